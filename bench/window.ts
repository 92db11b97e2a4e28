import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { BatchServiceClient } from '@azure/batch';
import { Workbench } from '../scripts/workbench.mjs';
import { clip, temporaryFolder } from '../test/media';
import { descendantsOf } from '../test/service/descendants';
import { machine, TestService } from '../test/service/harness';
import { Relay } from '../test/service/relay';
import { optionsOf } from './options';
import { type BenchResult, median, report, type Table } from './table';

const jobs = 1_000;
/** Factor by which timers run faster in the extension host while its memory is measured. */
const speed = 200;
/** More bytes than any request without file content has. */
const fileBytes = 100_000;
const fileToUpload = 20;
/** A video long enough that its task can be paused before it completes. */
const videoSeconds = 600;

interface Sample {
  readonly looks: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly rss: number;
}

/**
 * Response times in a real VS Code, and memory over time: activation beside VS Code's Git extension, the first page of a
 * long list beside the plain request, the time from a click to the first byte of a file beside a script with the SDK; and
 * the extension host's memory while a run is monitored with the tree open, with as many polls as `--hours` hours have, in
 * quick succession. `--snapshots FOLDER` saves its heap there near the beginning and at the end.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const values = optionsOf(args, { rounds: '5', hours: '24', snapshots: '' });
  execFileSync(process.execPath, ['scripts/build.mjs', '--production']);
  const root = await temporaryFolder('bench-window');
  const service = await TestService.start();
  const relay = await Relay.before(service.ready.blobUrl);
  try {
    const tables = [
      await waits(Number(values.rounds), root.path, service, relay),
      ...(await memory(Number(values.hours), values.snapshots, root.path, service, relay)),
    ];
    const result = { name: 'window', tables };
    report(result);
    return result;
  } finally {
    await relay.close();
    await service.close();
    await root.remove();
  }
}

async function waits(rounds: number, root: string, service: TestService, relay: Relay): Promise<Table> {
  const client = service.client();
  await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1 });
  await addJobs(client, 0, jobs);
  const times: Record<string, number[]> = {};
  const took = (what: string, ms: number) => {
    times[what] ??= [];
    times[what].push(ms);
  };
  for (let round = 0; round < rounds; round++) {
    const folder = join(root, `videos-${round}`);
    mkdirSync(folder);
    await clip(join(folder, 'one.mp4'), fileToUpload);
    // High enough for the whole list of running extensions, because rows outside the viewport aren't rendered.
    const workbench = await Workbench.open(folder, { viewport: { width: 1280, height: 3000 } });
    try {
      const activation = await activationTimes(workbench);
      took('activation', activation.ours);
      took('activation of Git', activation.git);
      await connect(workbench, service, relay);
      await workbench.expand(hostOf(service));
      await workbench.treeItem('Jobs').waitFor();
      const opened = performance.now();
      await workbench.expand('Jobs');
      await workbench.treeItem(/job-\d+/).waitFor();
      took('first page', performance.now() - opened);
      await workbench.treeItem('no tasks').waitFor();
      took('first counts', performance.now() - opened);
      const asked = performance.now();
      await client.job.list({ jobListOptions: { maxResults: 100 } });
      took('bare request', performance.now() - asked);
      took('first byte', await clickToFirstByte(workbench, relay));
      took('script', await scriptToFirstByte(join(folder, 'one.mp4'), service, relay));
    } finally {
      await workbench.close();
    }
  }
  const row = (way: string, what: string, floor: string, note: string) => {
    const [ours, theirs] = [median(times[what] ?? []), median(times[floor] ?? [])];
    return { way, figures: { ours, theirs, ratio: ours / theirs }, note };
  };
  return {
    title: `What a person waits for, ms, median of ${rounds}`,
    columns: [
      { key: 'ours', label: 'this extension', digits: 0 },
      { key: 'theirs', label: 'beside it', digits: 0 },
      { key: 'ratio', label: 'ratio', digits: 2 },
    ],
    rows: [
      row('activation', 'activation', 'activation of Git', 'beside VS Code’s own Git'),
      row('first page of 1,000 jobs', 'first page', 'bare request', 'beside the bare request'),
      row('the same with task counts', 'first counts', 'bare request', 'beside the bare request'),
      row('click to first byte', 'first byte', 'script', 'beside a script with the SDK, from its start'),
    ],
  };
}

async function memory(
  hours: number,
  snapshots: string,
  root: string,
  service: TestService,
  relay: Relay,
): Promise<Table[]> {
  if (hours === 0) return [];
  const client = service.client();
  const samples = join(root, 'samples.jsonl');
  const folder = join(root, 'videos-memory');
  mkdirSync(join(folder, '.vscode'), { recursive: true });
  const settings = { 'batchTranscode.monitoring.timeLimitMinutes': hours * 60 };
  writeFileSync(join(folder, '.vscode/settings.json'), JSON.stringify(settings));
  await clip(join(folder, 'one.mp4'), videoSeconds);
  const workbench = await Workbench.open(folder, {
    extensions: [resolve('.'), resolve('bench/probe')],
    env: {
      BENCH_HOURS: String(hours),
      BENCH_SPEED: String(speed),
      BENCH_SAMPLES: samples,
      BENCH_SNAPSHOTS: snapshots,
    },
  });
  const held: number[] = [];
  try {
    await connect(workbench, service, relay);
    await workbench.expand(hostOf(service));
    for (const list of ['Pools', 'Jobs']) await workbench.expand(list);
    await (await startOf(workbench, 'MP3 audio')).click();
    held.push(await heldTask(service));
    await workbench.openView('Azure Batch');
    await workbench.treeItem('Jobs').waitFor();
    await workbench.run('Bench: Hurry');
    let newest = jobs;
    while (!isDone(samples)) {
      // The lists change: jobs complete and new ones are added.
      for (let index = newest - 10; index < newest; index++) await client.job.deleteMethod(jobId(index));
      await addJobs(client, newest, 10);
      newest += 10;
      await pause(1_000);
    }
  } finally {
    for (const pid of held) process.kill(pid, 'SIGKILL');
    await workbench.close();
  }
  const seen = readFileSync(samples, 'utf8')
    .trim()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Sample);
  const quarter = Math.floor(seen.length / 4);
  const part = (samplesOf: Sample[]) => ({
    heap: median(samplesOf.map(({ heapUsed }) => heapUsed)) / 1e6,
    external: median(samplesOf.map(({ external }) => external)) / 1e6,
    rss: median(samplesOf.map(({ rss }) => rss)) / 1e6,
  });
  return [
    {
      title: `Memory of the extension host that watches a run for ${hours} h, the tree open, MB after a collection`,
      columns: [
        { key: 'heap', label: 'heap', digits: 1 },
        { key: 'external', label: 'outside of it', digits: 1 },
        { key: 'rss', label: 'resident', digits: 0 },
      ],
      rows: ['first quarter', 'second', 'third', 'last'].map((way, index) => ({
        way,
        figures: part(seen.slice(index * quarter + Number(index === 0), (index + 1) * quarter)),
      })),
      ratio: { label: 'of the first', key: 'heap', of: 'first quarter' },
    },
  ];
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

function isDone(samples: string): boolean {
  return existsSync(samples) && readFileSync(samples, 'utf8').includes('done');
}

const jobId = (index: number) => `job-${String(index).padStart(7, '0')}`;

async function addJobs(client: BatchServiceClient, from: number, count: number): Promise<void> {
  for (let index = from; index < from + count; index++) {
    await client.job.add({ id: jobId(index), poolInfo: { poolId: 'pool' } });
    // The number of active jobs is limited.
    await client.job.terminate(jobId(index));
  }
}

const hostOf = ({ ready }: TestService) => new URL(ready.batchUrl).host;

/** Activation times from VS Code's list of running extensions. */
async function activationTimes(workbench: Workbench): Promise<{ ours: number; git: number }> {
  await workbench.openView('Azure Batch');
  await pause(3_000);
  await workbench.run('Developer: Show Running Extensions');
  const editor = workbench.page.locator('.runtime-extensions-editor');
  const timeOf = async (name: string | RegExp) => {
    const row = editor.locator('.monaco-list-row', { hasText: name }).first();
    await row.waitFor();
    return Number(/Activation: (\d+)ms/.exec((await row.textContent()) ?? '')?.[1]);
  };
  const times = {
    ours: await timeOf('azure-batch-transcode'),
    git: await timeOf(/^Git\d/),
  };
  await workbench.page.keyboard.press('Escape');
  await editor.waitFor({ state: 'detached' });
  return times;
}

async function connect(workbench: Workbench, service: TestService, relay: Relay): Promise<void> {
  const { batchKey, storageName, storageKey } = service.credentials;
  const storage = `AccountName=${storageName};AccountKey=${storageKey};BlobEndpoint=${relay.url}`;
  await workbench.run('Azure Batch: Connect an Azure Batch Account…');
  await workbench.pick('Account keys');
  for (const [prompt, text] of [
    ['URL of the Batch account', service.ready.batchUrl],
    ['Access key of the Batch account', batchKey],
    ['Name of its storage account', storage],
  ] as const) {
    await workbench.answer(prompt, text);
  }
  await workbench.toast('Connected to').waitFor();
  const report = workbench.page.frameLocator('iframe.webview.ready').frameLocator('iframe');
  await report.getByText('Upload and download a test blob').first().waitFor();
  await workbench.run('Notifications: Clear All Notifications');
  await workbench.run('View: Close All Editors');
}

/** The last click that starts the run of a video. */
async function startOf(workbench: Workbench, preset: string): Promise<{ click(): Promise<void> }> {
  await workbench.rightClick('one.mp4');
  await workbench.choose('Transcode on Azure Batch');
  await workbench.pick(preset);
  await workbench
    .quickPick(/About|node-hour/)
    .first()
    .waitFor();
  return workbench.quickPick('Transcode').first();
}

async function clickToFirstByte(workbench: Workbench, relay: Relay): Promise<number> {
  // A preset that uses video, so that the whole file is uploaded, as by the script.
  const start = await startOf(workbench, 'Thumbnail');
  const clicked = performance.now();
  const before = relay.bytes.up;
  await start.click();
  const ms = await firstByte(relay, before, clicked);
  await workbench.toast('1 of 1 transcoded').waitFor();
  return ms;
}

const script = `
import { readFileSync } from 'node:fs';
import { BlobServiceClient } from '@azure/storage-blob';
const container = BlobServiceClient.fromConnectionString(process.env.STORAGE).getContainerClient('script-' + Date.now());
await container.create();
const data = readFileSync(process.env.FILE);
await container.getBlockBlobClient('one.mp4').upload(data, data.length);
await container.delete();
`;

async function scriptToFirstByte(file: string, service: TestService, relay: Relay): Promise<number> {
  const { storageName, storageKey } = service.credentials;
  const path = resolve('out/bench/script.mjs');
  writeFileSync(path, script);
  const before = relay.bytes.up;
  const started = performance.now();
  const child = spawn(process.execPath, [path], {
    stdio: 'inherit',
    env: {
      ...process.env,
      FILE: file,
      STORAGE: `DefaultEndpointsProtocol=http;AccountName=${storageName};AccountKey=${storageKey};BlobEndpoint=${relay.url}`,
    },
  });
  const ended = new Promise((done) => child.once('exit', done));
  const ms = await firstByte(relay, before, started);
  await ended;
  return ms;
}

/** Milliseconds until content of a file has passed. */
async function firstByte(relay: Relay, before: number, since: number): Promise<number> {
  while (relay.bytes.up - before < fileBytes) {
    if (performance.now() - since > 60_000) throw new Error('No file was sent.');
    await pause(2);
  }
  return performance.now() - since;
}
