import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Connection } from '../../src/core/azure/account';
import { Run } from '../../src/core/runs/run';
import type { RunEvent, Step } from '../../src/core/runs/runEvents';
import type { RunParts } from '../../src/core/runs/runState';
import type { Clock } from '../../src/core/wait';
import { clip, temporaryFolder } from '../media';
import { type FaultyProxy, faultyProxy } from './faultyProxy';
import { TestService } from './harness';
import { type ManifestOptions, manifestOf, partsOf } from './runSetup';

export const never = new AbortController().signal;

/** The service, sources, and proxies before Batch and Storage for the tests of runs. */
export class RunFixture {
  #folders = 0;
  #releases: (() => void)[] = [];

  private constructor(
    readonly service: TestService,
    readonly root: Awaited<ReturnType<typeof temporaryFolder>>,
    /** An MP4 of 1.5 seconds. */
    readonly sample: string,
    readonly batch: FaultyProxy,
    readonly blobs: FaultyProxy,
  ) {}

  static async make(...args: string[]): Promise<RunFixture> {
    const service = await TestService.start(...args);
    const root = await temporaryFolder('runs');
    const sample = await clip(join(root.path, 'sample.mp4'), 1.5);
    const { batchUrl, blobUrl } = service.ready;
    return new RunFixture(service, root, sample, await faultyProxy(batchUrl), await faultyProxy(blobUrl));
  }

  async close(): Promise<void> {
    await this.batch.close();
    await this.blobs.close();
    await this.service.close();
    await this.root.remove();
  }

  /** Ends all faults. */
  async calm(): Promise<void> {
    for (const release of this.#releases.splice(0)) release();
    this.batch.fault = undefined;
    this.batch.change = undefined;
    this.blobs.fault = undefined;
    this.blobs.change = undefined;
    await this.service.fault({
      startTask: null,
      allocation: null,
      schedulingError: null,
      refuseShare: 0,
      countsLagMs: 0,
      listsLagMs: 0,
      nodeArrivalMs: 0,
    });
  }

  /** Holds back the task of a source, at the download of its input, until the returned function is called. */
  holdTask(name: string): () => void {
    const released = new Promise<void>((resolve) => this.#releases.push(resolve));
    this.blobs.fault = async ({ method, url = '' }) => {
      // Tasks come with a SAS, the client with the account's key.
      if (method === 'GET' && url.includes(name) && url.includes('sig=')) await released;
      return false;
    };
    return this.#releases.at(-1) as () => void;
  }

  /** A new folder with copies of a source under these names. */
  folder(names: readonly string[], source = this.sample): { folder: string; paths: string[] } {
    const folder = join(this.root.path, `folder-${++this.#folders}`);
    mkdirSync(folder);
    const paths = names.map((name) => join(folder, name));
    for (const path of paths) copyFileSync(source, path);
    return { folder, paths };
  }

  /** By way of the proxies. */
  get connection(): Connection {
    const { connection } = this.service;
    const account = { ...connection.account, batchUrl: this.batch.url, blobUrl: this.blobs.url };
    return { ...connection, account };
  }

  parts(options: { clock?: Clock; patienceMs?: number } = {}): {
    parts: RunParts;
    steps: Step[];
    events: RunEvent[];
  } {
    return partsOf({ connection: this.connection }, options);
  }

  async start(
    paths: readonly string[],
    options: ManifestOptions & { clock?: Clock; patienceMs?: number } = {},
  ): Promise<{ run: Run; parts: RunParts; steps: Step[]; events: RunEvent[] }> {
    const told = this.parts(options);
    return { ...told, run: await Run.create(told.parts, await manifestOf(paths, options), never) };
  }
}
