import { spawnSync } from 'node:child_process';
import { copyFileSync, createWriteStream, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { BatchServiceClient, BatchSharedKeyCredentials } from '@azure/batch';
import {
  BlobServiceClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  SASProtocol,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import { Run } from '../src/core/runs/run';
import { clip, temporaryFolder } from '../test/media';
import { machine, TestService } from '../test/service/harness';
import { Relay } from '../test/service/relay';
import { manifestOf, partsOf } from '../test/service/runSetup';
import { numbersOf, optionsOf } from './options';
import { preparedFfmpeg } from './preparedFfmpeg';
import { type BenchResult, median, type Row, report, type Table } from './table';

const { signal } = new AbortController();
const cores = availableParallelism();
/** The default number of nodes in a pool. */
const nodes = 5;
const arguments_ = ['-v', 'error', '-nostdin', '-y', '-i'];
const encoding = ['-vn', '-c:a', 'libmp3lame', '-b:a', '192k'];

/** The account a contender uses. */
interface Place {
  readonly service: TestService;
  readonly batchUrl: string;
  readonly blobUrl: string;
}

type Way = (paths: readonly string[], place: Place) => Promise<void>;

/**
 * The whole job, from MP4s on a disk to MP3s beside them: this extension, the tutorial's method written with the Azure SDK,
 * and the floor: ffmpeg on the same files and cores without a service. First on the local Batch account, where all share
 * the cores of this machine; then small files with an account `--latency` milliseconds away in each direction. What ffmpeg
 * alone takes for those bounds all ways, so that the last table has nodes that take no time, as when many other machines
 * transcode: requests dominate.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const values = optionsOf(args, {
    files: '20,200',
    seconds: '60',
    latency: '20',
    rounds: '3',
  });
  const root = await temporaryFolder('bench-job');
  const tables: Table[] = [];
  try {
    const counts = numbersOf(values.files);
    const rounds = Number(values.rounds);
    const sample = await clip(join(root.path, 'sample.mp4'), Number(values.seconds), '320x240');
    for (const files of counts) {
      tables.push({
        title: `${files} MP4s of ${values.seconds} s to MP3 on ${cores} cores`,
        columns: [{ key: 'seconds', label: 'seconds', digits: 1 }],
        rows: await races(rounds, () => race(root.path, sample, files, { [floorWay]: floor, ...ways })),
        ratio: { label: 'of the floor', key: 'seconds', of: floorWay, isLessBetter: false },
      });
    }
    const latency = Number(values.latency);
    const small = await clip(join(root.path, 'small.mp4'), 1);
    const files = Math.max(...counts);
    const away = `${files} MP4s of 1 s to MP3, the account ${latency} ms away`;
    const compared = {
      columns: [{ key: 'seconds', label: 'seconds', digits: 1 }],
      ratio: { label: 'times as fast', key: 'seconds', of: tutorialWay, isLessBetter: true },
    };
    tables.push({
      title: away,
      rows: await races(rounds, () =>
        race(root.path, small, files, { [floorWay]: floor, ...ways }, { latency }),
      ),
      ...compared,
    });
    const PATH = `${await preparedFfmpeg(root.path, small)}:${process.env.PATH}`;
    tables.push({
      title: `${away}, nodes that take no time`,
      rows: await races(rounds, () => race(root.path, small, files, ways, { latency, env: { PATH } })),
      ...compared,
    });
  } finally {
    await root.remove();
  }
  const result = { name: 'job', tables };
  report(result);
  return result;
}

/** Rounds; the contenders take turns, and the medians are reported. */
async function races(rounds: number, once: () => Promise<Row[]>): Promise<Row[]> {
  const all: Row[][] = [];
  for (let round = 0; round < rounds; round++) all.push(await once());
  return (all[0] ?? []).map(({ way }, index) => ({
    way,
    figures: { seconds: median(all.map((rows) => rows[index]?.figures?.seconds ?? Number.NaN)) },
  }));
}

const names = { batchName: 'localbatch', storageName: 'localstorage' };

/** Runs each contender on its own files and service; the start of the service isn't measured. */
async function race(
  root: string,
  sample: string,
  files: number,
  contestants: Readonly<Record<string, Way>>,
  { latency = 0, env = {} }: { latency?: number; env?: Record<string, string> } = {},
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [way, work] of Object.entries(contestants)) {
    const folder = join(root, `${files} ${way}`);
    mkdirSync(folder);
    const paths = Array.from({ length: files }, (_, index) => join(folder, `clip ${index}.mp4`));
    for (const path of paths) copyFileSync(sample, path);
    const service = await TestService.startAs(names, env);
    const { batchUrl, blobUrl } = service.ready;
    const [batch, blobs] = [await Relay.before(batchUrl, latency), await Relay.before(blobUrl, latency)];
    const place =
      latency > 0 ? { service, batchUrl: batch.url, blobUrl: blobs.url } : { service, batchUrl, blobUrl };
    try {
      const start = performance.now();
      await work(paths, place);
      rows.push({ way, figures: { seconds: (performance.now() - start) / 1000 } });
    } finally {
      await Promise.all([batch.close(), blobs.close()]);
      await service.close();
    }
    const made = readdirSync(folder).filter((name) => name.endsWith('.mp3')).length;
    if (made !== files) throw new Error(`${way}: ${made} of ${files} MP3s`);
    rmSync(folder, { recursive: true });
  }
  return rows;
}

const floorWay = 'xargs -P ffmpeg (the floor)';

const tutorialWay = 'the tutorial’s way';

async function floor(paths: readonly string[]): Promise<void> {
  const script = `exec ffmpeg ${arguments_.join(' ')} "$1" ${encoding.join(' ')} "\${1%.mp4}.mp3"`;
  const { status } = spawnSync('xargs', ['-0', `-P${cores}`, '-n1', 'sh', '-c', script, 'sh'], {
    input: paths.join('\0'),
  });
  if (status !== 0) throw new Error(`xargs ended with ${status}`);
}

const ways: Readonly<Record<string, Way>> = {
  async 'this extension'(paths, { service, batchUrl, blobUrl }) {
    const { account, ...credentials } = service.connection;
    const { parts } = partsOf({ connection: { account: { ...account, batchUrl, blobUrl }, ...credentials } });
    const run = await Run.create(parts, await manifestOf(paths, { spotNodes: nodes }), signal);
    const summary = await run.advance('fetched', signal);
    await run.close();
    if (summary.succeeded !== paths.length) throw new Error(JSON.stringify(summary));
  },
  [tutorialWay]: tutorial,
};

/** The tutorial's sequence: uploads, pool, job, tasks, a list of all tasks each second, downloads. */
async function tutorial(paths: readonly string[], { service, batchUrl, blobUrl }: Place): Promise<void> {
  const { batchName, batchKey, storageName, storageKey } = service.credentials;
  const credential = new StorageSharedKeyCredential(storageName, storageKey);
  const blobs = new BlobServiceClient(blobUrl, credential);
  const sasOf = (containerName: string, permissions: string, blobName?: string) =>
    generateBlobSASQueryParameters(
      {
        containerName,
        blobName,
        permissions: ContainerSASPermissions.parse(permissions),
        expiresOn: new Date(Date.now() + 2 * 3_600_000),
        protocol: SASProtocol.HttpsAndHttp,
      },
      credential,
    ).toString();
  const [input, output] = [blobs.getContainerClient('input'), blobs.getContainerClient('output')];
  await input.createIfNotExists();
  await output.createIfNotExists();
  const files: { name: string; url: string }[] = [];
  for (const path of paths) {
    const name = basename(path);
    const blob = input.getBlockBlobClient(name);
    await blob.uploadData(await readFile(path));
    files.push({ name, url: `${blob.url}?${sasOf('input', 'r')}` });
  }
  const client = new BatchServiceClient(new BatchSharedKeyCredentials(batchName, batchKey), batchUrl);
  await client.pool.add({ id: 'pool', ...machine, targetLowPriorityNodes: nodes });
  await client.job.add({ id: 'job', poolInfo: { poolId: 'pool' } });
  const tasks = files.map(({ name, url }, index) => ({
    id: `Task${index}`,
    commandLine: `/bin/bash -c "ffmpeg ${arguments_.join(' ')} 'in.mp4' ${encoding.join(' ')} '${name.replace('.mp4', '.mp3')}'"`,
    resourceFiles: [{ httpUrl: url, filePath: 'in.mp4' }],
    outputFiles: [
      {
        filePattern: name.replace('.mp4', '.mp3'),
        destination: { container: { containerUrl: `${output.url}?${sasOf('output', 'w')}` } },
        uploadOptions: { uploadCondition: 'tasksuccess' as const },
      },
    ],
  }));
  for (let at = 0; at < tasks.length; at += 100)
    await client.task.addCollection('job', tasks.slice(at, at + 100));
  for (;;) {
    const all = await client.task.list('job', { taskListOptions: { select: 'id,state' } });
    if (all.every(({ state }) => state === 'completed')) break;
    await new Promise((done) => setTimeout(done, 1_000));
  }
  const folder = paths[0]?.slice(0, -basename(paths[0] ?? '').length) ?? '';
  for await (const { name } of output.listBlobsFlat()) {
    const { readableStreamBody } = await output.getBlobClient(name).download();
    if (readableStreamBody) await pipeline(readableStreamBody, createWriteStream(join(folder, name)));
  }
  await input.delete();
}
