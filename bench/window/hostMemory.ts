import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Workbench } from '../../scripts/workbench.mjs';
import { clip } from '../../test/media';
import { descendantsOf } from '../../test/service/descendants';
import { machine, type TestService } from '../../test/service/harness';
import { median, type Table } from '../table';
import { addJobs, connect, hostOf, jobId, type Place, startOf } from './account';
import { growthBetween } from './heapGrowth';

/** More than a list shows at once. */
const jobs = 150;
/** Factor by which time runs faster in the extension host while its memory is measured. */
const speed = 200;
/** Milliseconds after which the oldest jobs go and as many new ones come, by the fast clock. */
const changeMs = 200_000;
const changedJobs = 10;
/** Samples of the host's memory, after the first. */
const sampleCount = 24;
/** A video long enough that its task can be paused before it completes. */
const videoSeconds = 600;

interface Sample {
  readonly refreshes: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly rss: number;
}

export interface MemoryOptions {
  readonly hours: number;
  /** A folder for two snapshots of the heap; empty for none. */
  readonly snapshots: string;
}

/**
 * The extension host's memory while a run is monitored with the lists of pools and jobs open, over so many hours of a clock
 * that is fast. Ten jobs come and ten go every 200 seconds of that clock.
 */
export async function hostMemory(
  { hours, snapshots }: MemoryOptions,
  { root, service, blobs }: Place,
): Promise<Table> {
  const client = service.client();
  await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1 });
  await addJobs(client, 0, jobs);
  const samples = join(root, 'samples.jsonl');
  const folder = join(root, 'videos-memory');
  mkdirSync(join(folder, '.vscode'), { recursive: true });
  // The clock of the host is fast, and the run must last.
  const settings = { 'batchTranscode.monitoring.timeLimitMinutes': 100 * 24 * 60 };
  writeFileSync(join(folder, '.vscode/settings.json'), JSON.stringify(settings));
  await clip(join(folder, 'one.mp4'), videoSeconds);
  const workbench = await Workbench.open(folder, {
    extensions: [resolve('.'), resolve('bench/probe')],
    env: {
      BENCH_HOURS: String(hours),
      BENCH_SAMPLE_COUNT: String(sampleCount),
      BENCH_SPEED: String(speed),
      BENCH_SAMPLES: samples,
      BENCH_SNAPSHOTS: snapshots && resolve(snapshots),
    },
  });
  const held: number[] = [];
  try {
    await connect(workbench, service, blobs.url);
    await workbench.expand(hostOf(service));
    for (const list of ['Pools', 'Jobs']) await workbench.expand(list);
    await (await startOf(workbench, 'MP3 audio')).click();
    held.push(await heldTask(service));
    await workbench.openView('Azure Batch');
    await workbench.treeItem('Jobs').waitFor();
    await workbench.run('Bench: Hurry');
    for (let oldest = 0; readSamples(samples).length <= sampleCount; oldest += changedJobs) {
      const started = performance.now();
      for (let index = oldest; index < oldest + changedJobs; index++)
        await client.job.deleteMethod(jobId(index));
      await addJobs(client, jobs + oldest, changedJobs);
      await pause(Math.max(0, changeMs / speed - (performance.now() - started)));
    }
  } finally {
    for (const pid of held) process.kill(pid, 'SIGKILL');
    await workbench.close();
  }
  if (snapshots) growthBetween(join(snapshots, 'first.heapsnapshot'), join(snapshots, 'last.heapsnapshot'));
  return tableOf(readSamples(samples), hours);
}

function tableOf(samples: readonly Sample[], hours: number): Table {
  const size = Math.floor(samples.length / 4);
  const rows = ['first quarter', 'second', 'third', 'last'].map((way, index) => {
    // The very first sample is before anything has been loaded.
    const part = samples.slice(index * size + Number(index === 0), (index + 1) * size);
    const of = (key: keyof Sample) => median(part.map((sample) => sample[key]));
    return {
      way,
      heap: of('heapUsed'),
      rss: of('rss'),
      external: of('external'),
    };
  });
  const [, second, , last] = rows;
  // Without the first quarter, in which code is still being compiled and lists are loaded.
  const perDay = ((Number(last?.heap) / Number(second?.heap) - 1) * 24) / (hours / 2);
  return {
    title: `Memory of the extension host over ${hours} h, ${samples.at(-1)?.refreshes} refreshes of the jobs, MB after a collection`,
    columns: [
      { key: 'heap', label: 'heap', digits: 1 },
      { key: 'external', label: 'outside of it', digits: 1 },
      { key: 'rss', label: 'resident', digits: 0 },
      { key: 'growth', label: 'growth of the heap in 24 h at the pace since the second, %', digits: 1 },
    ],
    rows: rows.map(({ way, heap, external, rss }) => ({
      way,
      figures: {
        heap: heap / 1e6,
        external: external / 1e6,
        rss: rss / 1e6,
        ...(way === last?.way && { growth: perDay * 100 }),
      },
    })),
  };
}

function readSamples(path: string): Sample[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Sample);
}

/** Stops the process of the only running task, so that its run lasts as long as needed. */
async function heldTask({ ready }: TestService): Promise<number> {
  for (;;) {
    const [pid] = descendantsOf(ready.pid, 'ffmpeg');
    if (pid) {
      process.kill(pid, 'SIGSTOP');
      return pid;
    }
    await pause(20);
  }
}
