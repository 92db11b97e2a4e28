import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { noLog } from '../src/core/log';
import { attemptOf } from '../src/core/plan/manifest';
import { Run } from '../src/core/runs/run';
import { clip, temporaryFolder } from '../test/media';
import { TestService } from '../test/service/harness';
import { Relay } from '../test/service/relay';
import { manifestOf, partsOf } from '../test/service/runSetup';
import { preparedFfmpeg } from './preparedFfmpeg';
import { type BenchResult, report } from './table';

const { signal } = new AbortController();

/** What happened, by milliseconds since the start of the job. */
class Timeline {
  readonly #start = Date.now();
  readonly #entries: { readonly at: number; readonly text: string }[] = [];

  /** `at`: milliseconds since 1970. */
  note(text: string, at = Date.now()): void {
    this.#entries.push({ at: at - this.#start, text });
  }

  print(): void {
    for (const { at, text } of this.#entries.sort((one, other) => one.at - other.at))
      console.log(`${String(at).padStart(7)} ${text}`);
  }
}

/**
 * Prints what happens when during one job of small files: steps of the run, requests with their duration, and tasks as the
 * service saw them. For finding out where time goes; times depend on the machine, the order of requests does not.
 * `--latency` is in milliseconds in each direction; with `--instant`, nodes take no time.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      files: { type: 'string', default: '20' },
      seconds: { type: 'string', default: '60' },
      latency: { type: 'string', default: '0' },
      instant: { type: 'boolean', default: false },
    },
  });
  const root = await temporaryFolder('bench-timeline');
  const sample = await clip(join(root.path, 'sample.mp4'), Number(values.seconds), '320x240');
  const names = { batchName: 'localbatch', storageName: 'localstorage' };
  const env: Record<string, string> = {};
  if (values.instant) env.PATH = `${await preparedFfmpeg(root.path, sample)}:${process.env.PATH}`;
  const service = await TestService.startAs(names, env);
  const latency = Number(values.latency);
  // Even without latency a relay takes time of its own.
  const relays =
    latency > 0 ? await Promise.all(urlsOf(service).map((url) => Relay.before(url, latency))) : [];
  const [batchUrl = '', blobUrl = ''] = latency > 0 ? relays.map(({ url }) => url) : urlsOf(service);
  try {
    const folder = join(root.path, 'clips');
    mkdirSync(folder);
    const paths = Array.from({ length: Number(values.files) }, (_, index) => join(folder, `${index}.mp4`));
    for (const path of paths) copyFileSync(sample, path);
    const figures = await timed(paths, service, { batchUrl, blobUrl });
    const result = {
      name: 'jobTimeline',
      tables: [
        {
          title: `${values.files} MP4s of ${values.seconds} s to MP3, the account ${latency} ms away`,
          columns: [
            { key: 'seconds', label: 'seconds', digits: 1 },
            { key: 'requests', label: 'requests' },
            { key: 'cpuSeconds', label: 'CPU s of the client', digits: 1 },
          ],
          rows: [{ way: 'this extension', figures }],
        },
      ],
    };
    report(result);
    return result;
  } finally {
    await Promise.all(relays.map((relay) => relay.close()));
    await service.close();
    await root.remove();
  }
}

function urlsOf({ ready }: TestService): [batchUrl: string, blobUrl: string] {
  return [ready.batchUrl, ready.blobUrl];
}

async function timed(
  paths: readonly string[],
  service: TestService,
  urls: { readonly batchUrl: string; readonly blobUrl: string },
): Promise<Record<string, number>> {
  const { account, ...credentials } = service.connection;
  const timeline = new Timeline();
  const before = process.cpuUsage();
  const started = performance.now();
  let requests = 0;
  const trace = (message: string) => {
    requests++;
    timeline.note(`  ${message.replace(/127\.0\.0\.1:\d+/, '').replace(/ [0-9a-f-]{36} /, ' ')}`);
  };
  const log = { ...noLog, trace };
  const { parts } = partsOf({ connection: { account: { ...account, ...urls }, ...credentials, log } });
  const manifest = await manifestOf(paths, { spotNodes: 5 });
  timeline.note('planned');
  const told: typeof parts = {
    ...parts,
    report(event) {
      if (event.kind === 'step')
        timeline.note(`${event.step.kind} ${'file' in event.step ? event.step.file : ''}`);
    },
  };
  const job = await Run.create(told, manifest, signal);
  const summary = await job.advance('fetched', signal);
  await job.close();
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(before);
  if (summary.succeeded !== paths.length) throw new Error(JSON.stringify(summary));
  for (const { id, executionInfo } of await service.client().task.list(attemptOf(manifest).jobId)) {
    timeline.note(`    task ${id} starts`, executionInfo?.startTime?.getTime());
    timeline.note(`    task ${id} ends`, executionInfo?.endTime?.getTime());
  }
  timeline.print();
  return { seconds, requests, cpuSeconds: (user + system) / 1e6 };
}
