import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Connection } from '../src/core/azure/account';
import { Storage } from '../src/core/azure/storage';
import { type Azurite, startAzurite } from '../src/service/storage/azurite';
import { optionsOf } from './options';
import { type BenchResult, median, type Row, report, type Table } from './table';
import { azCommand, hasAz, timed } from './transferAz';
import type { WayFigures, WayOptions } from './transferWays';

const MiB = 1024 * 1024;
const cases = {
  small: { title: '1,000 files of 1 MiB', files: 1000, bytes: MiB },
  ten: { title: '10 files of 100 MiB', files: 10, bytes: 100 * MiB },
  one: { title: '1 file of 1 GiB', files: 1, bytes: 1024 * MiB },
};
type Case = (typeof cases)[keyof typeof cases];

const directions = { up: 'Upload', down: 'Download' } as const;
type Direction = keyof typeof directions;

/** Label of each contender. */
const ways = {
  floor: 'bare HTTP requests, 8 at once (the floor)',
  ours: 'this extension',
  sdk: 'SDK, uploadFile/downloadToFile',
  az: 'az storage blob upload-batch/download-batch',
};
type WayName = keyof typeof ways;

const parallel = 8;
const name = 'benchaccount';
const key = randomBytes(64).toString('base64');
const runFile = promisify(execFile);

/**
 * Uploads and downloads 1 GiB in three shapes against Azurite on this machine. Each contender runs in its own process
 * against a fresh service, in turns; the figures are medians over the rounds.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const values = optionsOf(args, {
    rounds: '3',
    case: Object.keys(cases).join(),
    ways: Object.keys(ways).join(),
  });
  const chosen = values.ways.split(',') as WayName[];
  const tables: Table[] = [];
  for (const id of values.case.split(',') as (keyof typeof cases)[]) {
    const measured = await measure(cases[id], chosen, Number(values.rounds));
    for (const direction of ['up', 'down'] as const) {
      tables.push(tableOf(cases[id], direction, chosen, measured));
    }
  }
  const result = { name: 'transfers', tables };
  report(result);
  return result;
}

type Measured = Map<string, WayFigures[] | string>;

async function measure(shape: Case, chosen: readonly WayName[], rounds: number): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  const measured: Measured = new Map();
  try {
    const source = join(folder, 'source');
    makeFiles(source, shape);
    for (let round = 0; round < rounds; round++) {
      for (const way of chosen) {
        const figures = await once(way, source, join(folder, `${way}-${round}`), shape);
        for (const direction of ['up', 'down'] as const) {
          const id = `${direction} ${way}`;
          const before = measured.get(id) ?? [];
          const now = figures[direction];
          measured.set(
            id,
            typeof before === 'string' || typeof now === 'string' ? String(now) : [...before, now],
          );
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return measured;
}

/** Uploads and downloads with an otherwise empty service. */
async function once(
  way: WayName,
  source: string,
  folder: string,
  shape: Case,
): Promise<Record<Direction, WayFigures | string>> {
  if (way === 'az' && !hasAz()) return { up: 'az is not installed', down: 'az is not installed' };
  const script = 'dist/azurite.cjs';
  const target = join(folder, 'target');
  mkdirSync(target, { recursive: true });
  const azurite = await startAzurite({
    ...{ script, folder: join(folder, 'azurite'), port: 0 },
    account: { name, key },
  });
  try {
    const connection = connectionOf(azurite);
    const container = 'bench';
    await new Storage(connection).createContainer(container, {}, new AbortController().signal);
    const options = { connection, container, parallel };
    const up = await move(way, { ...options, direction: 'up', folder: source });
    const down = await move(way, { ...options, direction: 'down', folder: target });
    mustBeWhole(target, shape);
    return { up, down };
  } finally {
    await azurite.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function move(way: WayName, options: Omit<WayOptions, 'way'>): Promise<WayFigures> {
  if (way === 'az') {
    const {
      command: [az = '', ...azArguments],
      env,
    } = azCommand(options, { name, key, parallel });
    return timed([az, azArguments], env);
  }
  const script = fileURLToPath(new URL('./transferWays.js', import.meta.url));
  const { stdout } = await runFile(process.execPath, [script], {
    env: { ...process.env, TRANSFER: JSON.stringify({ ...options, way }) },
  });
  return JSON.parse(stdout);
}

function tableOf(shape: Case, direction: Direction, chosen: readonly WayName[], measured: Measured): Table {
  const rows = chosen.map((way): Row => {
    const figures = measured.get(`${direction} ${way}`) ?? 'not measured';
    if (typeof figures === 'string') return { way: ways[way], note: figures };
    const of = (key: keyof WayFigures) => median(figures.map((figure) => figure[key]));
    const seconds = of('seconds');
    return {
      way: ways[way],
      figures: {
        seconds,
        rate: (shape.files * shape.bytes) / MiB / seconds,
        peakMB: Math.max(...figures.map(({ peakMB }) => peakMB)),
        cpuSeconds: of('cpuSeconds'),
      },
    };
  });
  return {
    title: `${directions[direction]} of ${shape.title}`,
    columns: [
      { key: 'seconds', label: 'seconds', digits: 2 },
      { key: 'rate', label: 'MiB/s', digits: 0 },
      { key: 'peakMB', label: 'peak MB', digits: 0 },
      { key: 'cpuSeconds', label: 'CPU s', digits: 1 },
    ],
    rows,
    ratio: { label: 'of the floor', key: 'rate', of: ways.floor },
  };
}

function makeFiles(folder: string, { files, bytes }: Case): void {
  mkdirSync(folder, { recursive: true });
  for (let index = 0; index < files; index++) {
    const path = join(folder, `clip-${String(index).padStart(5, '0')}.mp4`);
    for (let left = bytes, flag = 'w'; left > 0; left -= 64 * MiB, flag = 'a') {
      writeFileSync(path, randomBytes(Math.min(left, 64 * MiB)), { flag });
    }
  }
}

function mustBeWhole(folder: string, { files }: Case): void {
  const there = readdirSync(folder).length;
  if (there !== files) throw new Error(`${there} of ${files} files arrived in ${folder}`);
}

function connectionOf({ blobUrl }: Azurite): Connection {
  const credential = { kind: 'sharedKey', name, key } as const;
  return {
    account: {
      id: 'bench',
      label: 'bench',
      signIn: 'keys',
      batchName: name,
      batchUrl: blobUrl,
      storageName: name,
      blobUrl,
    },
    batch: credential,
    storage: credential,
  };
}
