import { EventEmitter, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { TaskAdd } from '../azure/batch';
import type { BlobInfo } from '../azure/storage';
import { isAbort, type Problem, UserError } from '../errors';
import { type Attempt, type ManifestFile, toUpload } from '../plan/manifest';
import { ensurePool, nodeTargets } from '../pools/pool';
import { anyOf } from '../wait';
import {
  addTasks,
  type ContainerUrls,
  closeJob,
  ensureJob,
  folderMark,
  prolongJob,
  taskOf,
  unfinishedJobMinutes,
} from './job';
import { containerMetadata, type Run, type Until } from './run';

/** Files opened at a time; how many of their blocks travel at a time is `Transfers`' own limit. */
const filesAtOnce = 16;

/** Lets tasks of small files gather into one request, once the first have been added. */
const gatherMs = 100;

/** One file's own trouble; anything else concerns the whole run and ends it. */
const ownTrouble = new Set<Problem['kind']>([
  'fileMissing',
  'fileDenied',
  'fileChanged',
  'fileFailed',
  'emptyFile',
  'transferDamaged',
]);

/** Uploads what is missing and adds its tasks while the pool is made, each file as soon as it is there. */
export class Submitter {
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  /** Resolves when there is a job to watch, or there will be none. */
  readonly ready: Promise<void>;
  #isReady: () => void = () => undefined;
  #isFailed: (error: unknown) => void = () => undefined;
  #uploaded: ManifestFile[] = [];
  /** Tells of each file that was uploaded, and of the end of all uploads. */
  readonly #arrivals = new EventEmitter();
  #added = 0;
  #allUploaded = false;

  constructor(
    private readonly run: Run,
    private readonly attempt: Attempt,
    signal: AbortSignal,
  ) {
    this.#signal = anyOf(signal, this.#stop.signal);
    this.ready = new Promise((resolve, reject) => {
      this.#isReady = resolve;
      this.#isFailed = reject;
    });
    this.ready.catch(() => undefined);
  }

  /** Tasks in the job; undefined while they are still being added. */
  get tasks(): number | undefined {
    return this.attempt.submitted?.tasks;
  }

  async advance(until: Exclude<Until, 'fetched'>): Promise<void> {
    try {
      if (this.attempt.submitted === undefined) await this.#advance(until);
      this.#isReady();
    } catch (error) {
      this.#isFailed(error);
      throw error;
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  async #advance(until: Exclude<Until, 'fetched'>): Promise<void> {
    const { run, attempt } = this;
    const files = run.manifest.files.filter(
      ({ id }) => attempt.fileIds.includes(id) && run.results.get(id)?.problem === undefined,
    );
    if (files.length === 0) {
      attempt.submitted = { at: new Date().toISOString(), tasks: 0 };
      await run.save(this.#signal);
      return;
    }
    const made = await run.parts.storage.createContainer(
      attempt.inputContainer,
      containerMetadata(run.manifest, 'input'),
      this.#signal,
    );
    if (made === 'created') run.tell({ kind: 'containerCreated', container: attempt.inputContainer });
    this.#tellWhatStays(files);
    const there = new Map<string, BlobInfo>();
    if (made === 'exists') {
      const blobs = run.parts.storage.blobs(attempt.inputContainer, { signal: this.#signal });
      for await (const blob of blobs) there.set(blob.name, blob);
    }
    const uploading = this.#uploadAll(files, there);
    if (until === 'uploaded') return uploading;
    const results = await Promise.allSettled(
      [
        uploading.finally(() => {
          this.#allUploaded = true;
          this.#arrivals.emit('arrival');
        }),
        this.#addAll(files.length),
      ].map((part) => part.catch((error) => this.#fail(error))),
    );
    const failure = results.find((result) => result.status === 'rejected');
    if (failure)
      throw this.#stop.signal.aborted ? (this.#stop.signal.reason ?? failure.reason) : failure.reason;
  }

  #fail(error: unknown): never {
    this.#stop.abort(error);
    throw error;
  }

  #tellWhatStays(files: readonly ManifestFile[]): void {
    const { manifest } = this.run;
    const reduced = files.filter((file) => toUpload(manifest, file).audioOnly);
    if (reduced.length === 0) return;
    const bytes = reduced.reduce((sum, file) => sum + toUpload(manifest, file).bytes, 0);
    const of = reduced.reduce((sum, { size }) => sum + size, 0);
    this.run.tell({ kind: 'picturesLeft', files: reduced.length, bytes, of });
  }

  async #uploadAll(files: ManifestFile[], there: ReadonlyMap<string, BlobInfo>): Promise<void> {
    const limit = pLimit(filesAtOnce);
    await Promise.all(files.map((file) => limit(() => this.#upload(file, there.get(file.inputBlob)))));
  }

  async #upload(file: ManifestFile, there: BlobInfo | undefined): Promise<void> {
    const { run, attempt } = this;
    this.#signal.throwIfAborted();
    const { upload } = run.progress;
    const container = attempt.inputContainer;
    const { bytes: wanted, audioOnly } = toUpload(run.manifest, file);
    let sent = 0;
    try {
      run.tell({ kind: 'uploading', file: file.path, container });
      const { skipped } = await run.parts.transfers.upload({
        uri: file.uri,
        container,
        blob: file.inputBlob,
        expected: file,
        audioOnly,
        there,
        onBytes: (bytes) => {
          sent += bytes;
          upload.bytes += bytes;
          run.tellProgress();
        },
        signal: this.#signal,
      });
      if (skipped) run.tell({ kind: 'alreadyUploaded', file: file.path, container });
      upload.files++;
      upload.bytes += wanted - sent;
      this.#uploaded.push(file);
      this.#arrivals.emit('arrival');
    } catch (error) {
      if (isAbort(error) || !(error instanceof UserError) || !ownTrouble.has(error.problem.kind)) throw error;
      upload.bytes -= sent;
      upload.bytesTotal -= wanted;
      upload.filesTotal--;
      run.progress.tasks.total--;
      run.settle(file, { problem: error.problem });
    }
    run.tellProgress();
  }

  async #addAll(count: number): Promise<void> {
    const { run, attempt } = this;
    const { batch, storage } = run.parts;
    await this.#ensureJob(count);
    if (run.manifest.files.some(({ output }) => output.isFolder)) {
      await storage.writeText(attempt.inputContainer, folderMark, '\n', { signal: this.#signal });
    }
    const expiry = new Date(attempt.sasExpiry);
    const urls: ContainerUrls = {
      input: await storage.sasUrl(attempt.inputContainer, 'r', expiry),
      output: await storage.sasUrl(run.manifest.outputContainer, 'w', expiry),
    };
    let prolonged = Date.now();
    while (!this.#allUploaded || this.#uploaded.length > 0) {
      if (this.#uploaded.length === 0) await once(this.#arrivals, 'arrival', { signal: this.#signal });
      if (!this.#allUploaded && this.#added > 0) await delay(gatherMs, undefined, { signal: this.#signal });
      if (this.#uploaded.length > 0) await this.#add(this.#uploaded.splice(0), urls);
      if (Date.now() - prolonged > (unfinishedJobMinutes / 3) * 60_000) {
        prolonged = Date.now();
        await prolongJob(batch, attempt.jobId, this.#signal);
      }
    }
    if (this.#added === 0) await batch.terminateJob(attempt.jobId, 'NothingUploaded', this.#signal);
    else await closeJob(batch, attempt.jobId, run.manifest.limits.jobMinutes, this.#signal);
    attempt.submitted = { at: new Date().toISOString(), tasks: this.#added };
    await run.saveResults(this.#signal);
    await run.save(this.#signal);
    if (this.#added > 0) run.tell({ kind: 'tasksAdded', count: this.#added, job: attempt.jobId });
  }

  async #add(files: ManifestFile[], urls: ContainerUrls): Promise<void> {
    const { run, attempt } = this;
    const tasks: TaskAdd[] = files.map((file) => taskOf(run.manifest, attempt, file, urls));
    await addTasks(run.parts.batch, attempt.jobId, tasks, this.#signal);
    this.#added += tasks.length;
    this.#isReady();
  }

  async #ensureJob(count: number): Promise<void> {
    const { run, attempt } = this;
    const { manifest } = run;
    const { batch } = run.parts;
    const nodes = nodeTargets(manifest.pool, count);
    const autoPool = manifest.pool.lifetime === 'run';
    if (!autoPool && attempt.poolId === undefined) {
      const pool = await ensurePool(batch, manifest.pool, nodes, this.#signal);
      attempt.poolId = pool.id;
      await run.save(this.#signal);
      run.tell({ kind: pool.reused ? 'poolReused' : 'poolCreated', pool: pool.id, ...nodes });
    }
    const { created } = await ensureJob(batch, manifest, attempt, nodes, attempt.poolId, this.#signal);
    if (created) run.tell({ kind: 'jobCreated', job: attempt.jobId, autoPool });
  }
}
