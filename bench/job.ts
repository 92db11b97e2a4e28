import { copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { clip, temporaryFolder } from '../test/media';
import { TestService } from '../test/service/harness';
import { Relay } from '../test/service/relay';
import { bareRequests, floor, thisExtension, tutorial, type Way } from './jobWays';
import { numbersOf, optionsOf } from './options';
import { preparedFfmpeg } from './preparedFfmpeg';
import { type BenchResult, median, type Row, report, type Table } from './table';

const cores = availableParallelism();
/** The default number of nodes in a pool. */
const usualNodes = 5;
/** As many nodes that take no time as keep the requests busy. */
const instantNodes = 32;
const floorWay = 'xargs -P ffmpeg (the floor)';
const tutorialWay = 'the tutorial’s way';

const ways: Readonly<Record<string, Way>> = {
  'this extension': thisExtension,
  [tutorialWay]: tutorial,
  'bare requests': bareRequests,
};

/**
 * The whole job, from MP4s on a disk to MP3s beside them: this extension, the tutorial's method written with the Azure SDK,
 * and the floor: ffmpeg on the same files and cores without a service. First on the local Batch account, where all share
 * the cores of this machine; then small files with an account `--latency` milliseconds away in each direction. What ffmpeg
 * alone takes for those bounds all ways, so that the last table has nodes that take no time, as when many other machines
 * transcode: requests dominate. Bare requests show what a client without any care takes. `--only` (`here`, `away`,
 * `instant`) chooses tables. A service that has just started runs code for the first time; `--warm` files are transcoded on
 * it before.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const values = optionsOf(args, {
    files: '20,200',
    seconds: '60',
    latency: '20',
    rounds: '3',
    warm: '0',
    only: undefined,
  });
  const isWanted = (table: string) => values.only === undefined || values.only === table;
  const warm = Number(values.warm);
  const root = await temporaryFolder('bench-job');
  const tables: Table[] = [];
  try {
    const counts = numbersOf(values.files);
    const rounds = Number(values.rounds);
    const sample = await clip(join(root.path, 'sample.mp4'), Number(values.seconds), '320x240');
    for (const files of isWanted('here') ? counts : []) {
      const contestants = { [floorWay]: floor, ...ways };
      tables.push({
        title: `${files} MP4s of ${values.seconds} s to MP3 on ${cores} cores`,
        columns: [{ key: 'seconds', label: 'seconds', digits: 1 }],
        rows: await races(rounds, () => race(root.path, sample, files, contestants, { warm })),
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
    if (isWanted('away')) {
      const contestants = { [floorWay]: floor, ...ways };
      tables.push({
        title: away,
        rows: await races(rounds, () => race(root.path, small, files, contestants, { latency, warm })),
        ...compared,
      });
    }
    if (isWanted('instant')) {
      const PATH = `${await preparedFfmpeg(root.path, small)}:${process.env.PATH}`;
      tables.push({
        title: `${away}, nodes that take no time`,
        rows: await races(rounds, () =>
          race(root.path, small, files, ways, { latency, warm, nodes: instantNodes, env: { PATH } }),
        ),
        ...compared,
      });
    }
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

interface RaceOptions {
  /** Milliseconds to the account, in each direction. */
  readonly latency?: number;
  /** Files that are transcoded before. */
  readonly warm?: number;
  readonly nodes?: number;
  readonly env?: Record<string, string>;
}

/** Runs each contender on its own files and service; the start of the service isn't measured. */
async function race(
  root: string,
  sample: string,
  files: number,
  contestants: Readonly<Record<string, Way>>,
  { latency = 0, warm = 0, nodes = usualNodes, env = {} }: RaceOptions = {},
): Promise<Row[]> {
  const rows: Row[] = [];
  const clips = (folder: string, count: number) => {
    mkdirSync(folder);
    const paths = Array.from({ length: count }, (_, index) => join(folder, `clip ${index}.mp4`));
    for (const path of paths) copyFileSync(sample, path);
    return paths;
  };
  for (const [way, work] of Object.entries(contestants)) {
    const folder = join(root, `${files} ${way}`);
    const paths = clips(folder, files);
    const warmFolder = `${folder} before`;
    // Where ffmpeg takes time, the service's own limit keeps the machine from running more than its cores can.
    const limits = nodes > usualNodes ? ['--max-processes', String(nodes)] : [];
    const service = await TestService.startAs(names, env, ...limits);
    const { batchUrl, blobUrl } = service.ready;
    const [batch, blobs] = [await Relay.before(batchUrl, latency), await Relay.before(blobUrl, latency)];
    const place =
      latency > 0
        ? { service, nodes, batchUrl: batch.url, blobUrl: blobs.url }
        : { service, nodes, batchUrl, blobUrl };
    try {
      if (warm > 0) await thisExtension(clips(warmFolder, warm), place);
      const start = performance.now();
      await work(paths, place);
      rows.push({ way, figures: { seconds: (performance.now() - start) / 1000 } });
    } finally {
      await Promise.all([batch.close(), blobs.close()]);
      await service.close();
    }
    const made = readdirSync(folder).filter((name) => name.endsWith('.mp3')).length;
    if (made !== files) throw new Error(`${way}: ${made} of ${files} MP3s`);
    for (const each of [folder, warmFolder]) rmSync(each, { recursive: true, force: true });
  }
  return rows;
}
