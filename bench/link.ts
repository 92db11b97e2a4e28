import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { accountKey, accountName, connectionTo } from './network/connection';
import { firstLine, Link, whyNoLink } from './network/namespaces';
import { patternBytes, patternFrom } from './network/pattern';
import type { RawOptions } from './network/rawTcp';
import { numbersOf, optionsOf } from './options';
import { type BenchResult, median, type Row, report, type Table } from './table';
import { azCommand, hasAz, timed } from './transferAz';
import type { WayFigures, WayOptions } from './transferWays';

const MiB = 1024 * 1024;
const shapes = {
  one: { title: '1 file of 1 GiB', files: 1, bytes: 1024 * MiB },
  ten: { title: '10 files of 100 MiB', files: 10, bytes: 100 * MiB },
  small: { title: '1,000 files of 1 MiB', files: 1000, bytes: MiB },
};
type ShapeName = keyof typeof shapes;
interface Shape {
  readonly title: string;
  readonly files: number;
  readonly bytes: number;
}

const directions = { up: 'Upload', down: 'Download' } as const;
type Direction = keyof typeof directions;
type WayName = 'raw' | 'ours' | 'sdk' | 'az';

/** A link: Mbit/s, milliseconds of a round trip, percent of lost packets. */
interface Cell {
  readonly mbit: number;
  readonly roundTrip: number;
  readonly loss: number;
}

const seed = 20261126;
const runFile = promisify(execFile);

/**
 * Uploads and downloads between two network namespaces that a slow link joins, in the same run with the SDK, the Azure CLI,
 * and bare TCP connections. Storage is a small program that keeps no data.
 */
export async function run(args: readonly string[]): Promise<BenchResult | undefined> {
  const values = optionsOf(args, {
    rounds: '5',
    /** Share of the files' size; of the number of small files. */
    scale: '1',
    mbit: '200,1000',
    'round-trip': '10,80',
    loss: '0,0.1',
    case: Object.keys(shapes).join(),
    direction: Object.keys(directions).join(),
    ways: 'raw,ours,sdk,az',
    /** TCP's congestion control. Default: this machine's. A namespace takes those that its kernel allows. */
    congestion: undefined,
    connections: '16',
    /** Greatest number of this extension's requests. Default: its own. */
    parallel: undefined,
  });
  const why = whyNoLink();
  if (why !== undefined) {
    console.log(`The benchmark of the link is skipped: ${why}`);
    return undefined;
  }
  const cells = numbersOf(values.mbit).flatMap((mbit) =>
    numbersOf(values['round-trip']).flatMap((roundTrip) =>
      numbersOf(values.loss).map((loss): Cell => ({ mbit, roundTrip, loss })),
    ),
  );
  const bench = new Bench({
    rounds: Number(values.rounds),
    scale: Number(values.scale),
    shapes: values.case.split(',') as ShapeName[],
    directions: values.direction.split(',') as Direction[],
    ways: (values.ways.split(',') as WayName[]).filter((way) => way !== 'az' || hasAz()),
    congestion: values.congestion,
    connections: Number(values.connections),
    parallel: values.parallel === undefined ? undefined : Number(values.parallel),
  });
  try {
    for (const cell of cells) await bench.measure(cell);
  } finally {
    bench.close();
  }
  const result = { name: 'link', tables: bench.tables(cells) };
  report(result);
  console.log(
    `The link: ${bench.kind}; packets of 1,500 bytes, congestion control ${bench.congestion}, seed ${seed}.`,
  );
  return result;
}

interface Options {
  readonly rounds: number;
  readonly scale: number;
  readonly shapes: readonly ShapeName[];
  readonly directions: readonly Direction[];
  readonly ways: readonly WayName[];
  readonly congestion?: string;
  /** Of the bare TCP transfer. */
  readonly connections: number;
  readonly parallel?: number;
}

interface Store {
  readonly port: number;
  readonly rawPort: number;
}

class Bench {
  readonly #folder = mkdtempSync(join(tmpdir(), 'bench-'));
  readonly #measured = new Map<string, WayFigures[]>();
  kind = '';
  congestion = '';

  constructor(private readonly options: Options) {
    for (const name of options.shapes) makeFiles(this.#sourceOf(name), this.#shape(name));
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Measures all shapes and ways over one link. */
  async measure(cell: Cell): Promise<void> {
    const { congestion } = this.options;
    const link = await Link.open({
      bitsPerSecond: cell.mbit * 1e6,
      roundTripMs: cell.roundTrip,
      loss: cell.loss / 100,
      seed,
      congestion,
    });
    this.kind = link.kind;
    this.congestion = link.congestion;
    const script = fileURLToPath(new URL('./network/blockStore.js', import.meta.url));
    const [command, commandArguments] = link.inside('storage', process.execPath, script);
    const store = spawn(command, commandArguments, {
      env: { ...process.env, STORE: JSON.stringify({ host: Link.storageHost }) },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    try {
      const ports: Store = JSON.parse(await firstLine(store));
      for (const name of this.options.shapes) await this.#measureShape(link, ports, cell, name);
    } finally {
      store.stdin.end();
      link.close();
    }
  }

  async #measureShape(link: Link, store: Store, cell: Cell, name: ShapeName): Promise<void> {
    const shape = this.#shape(name);
    const { rounds, ways } = this.options;
    // What is downloaded has hashes, as this extension's outputs have.
    const connection = connectionTo(Link.storageHost, store.port);
    const container = `fill-${name}`;
    await this.#move(link, store, 'ours', {
      direction: 'up',
      folder: this.#sourceOf(name),
      connection,
      container,
    });
    for (let round = 0; round < rounds; round++) {
      for (const way of ways) {
        for (const direction of this.options.directions) {
          const target = join(this.#folder, 'target');
          mkdirSync(target);
          const folder = direction === 'up' ? this.#sourceOf(name) : target;
          const into = direction === 'up' ? `${way}-${name}-${round}` : container;
          const figures = await this.#move(
            link,
            store,
            way,
            { direction, folder, connection, container: into },
            shape,
          );
          if (direction === 'down' && way !== 'raw') mustBeWhole(target, shape);
          rmSync(target, { recursive: true });
          const id = idOf(cell, name, direction, way);
          this.#measured.set(id, [...(this.#measured.get(id) ?? []), figures]);
          const rate = rateOf(shape, figures).toFixed(0);
          console.error(
            `${id}: ${figures.seconds.toFixed(2)} s, ${rate} Mbit/s, ${figures.cpuSeconds.toFixed(1)} CPU s`,
          );
        }
      }
    }
  }

  async #move(
    link: Link,
    store: Store,
    way: WayName,
    options: Omit<WayOptions, 'way'>,
    shape: Shape = this.#shape('one'),
  ): Promise<WayFigures> {
    if (way === 'raw') return this.#moveRaw(link, store, options.direction, shape);
    if (way === 'az') {
      const { command, env } = azCommand(options, { name: accountName, key: accountKey, parallel: 8 });
      return timed(link.inside('client', ...command), env);
    }
    const script = fileURLToPath(new URL('./transferWays.js', import.meta.url));
    const [command, commandArguments] = link.inside('client', process.execPath, script);
    const { stdout } = await runFile(command, commandArguments, {
      env: { ...process.env, TRANSFER: JSON.stringify({ ...options, way, parallel: this.options.parallel }) },
    });
    return JSON.parse(stdout);
  }

  async #moveRaw(link: Link, { rawPort }: Store, direction: Direction, shape: Shape): Promise<WayFigures> {
    const options: RawOptions = {
      host: Link.storageHost,
      port: rawPort,
      direction,
      bytes: shape.files * shape.bytes,
      connections: this.options.connections,
    };
    const script = fileURLToPath(new URL('./network/rawTcp.js', import.meta.url));
    const [command, commandArguments] = link.inside('client', process.execPath, script);
    const env = { ...process.env, RAW: JSON.stringify(options) };
    const { stdout } = await runFile(command, commandArguments, { env });
    return { ...JSON.parse(stdout), cpuSeconds: 0, peakMB: 0 };
  }

  /** One table for each shape and direction, with a row for each link. */
  tables(cells: readonly Cell[]): Table[] {
    const { scale, rounds, connections } = this.options;
    return this.options.shapes.flatMap((name) =>
      this.options.directions.map((direction): Table => {
        const scaled = scale === 1 ? '' : ` at ${scale} of that size`;
        return {
          title: `${directions[direction]} of ${shapes[name].title}${scaled}, ${connections} bare TCP connections, median of ${rounds}`,
          columns: columns.filter(({ key }) => this.options.ways.some((way) => key.endsWith(way))),
          rows: cells.map((cell) => this.#row(cell, name, direction)),
        };
      }),
    );
  }

  #row(cell: Cell, name: ShapeName, direction: Direction): Row {
    const shape = this.#shape(name);
    const figures: Record<string, number> = {};
    const rates = new Map<WayName, number>();
    for (const way of this.options.ways) {
      const measured = this.#measured.get(idOf(cell, name, direction, way)) ?? [];
      const rate = median(measured.map((one) => rateOf(shape, one)));
      rates.set(way, rate);
      figures[`link ${way}`] = (rate / cell.mbit) * 100;
      if (way === 'raw') continue;
      const GiB = (shape.files * shape.bytes) / 1024 / MiB;
      figures[`cpu ${way}`] = median(measured.map(({ cpuSeconds }) => cpuSeconds / GiB));
      figures[`peak ${way}`] = Math.max(...measured.map(({ peakMB }) => peakMB));
    }
    const raw = rates.get('raw');
    const ours = rates.get('ours');
    if (raw !== undefined && ours !== undefined) figures['floor ours'] = (ours / raw) * 100;
    return { way: `${cell.mbit} Mbit/s, ${cell.roundTrip} ms, ${cell.loss} %`, figures };
  }

  #sourceOf(name: ShapeName): string {
    return join(this.#folder, name);
  }

  /** Smaller files, or fewer small ones. */
  #shape(name: ShapeName): Shape {
    const { title, files, bytes } = shapes[name];
    const { scale } = this.options;
    return name === 'small'
      ? { title, files: Math.ceil(files * scale), bytes }
      : { title, files, bytes: Math.ceil(bytes * scale) };
  }
}

const columns = [
  { key: 'link raw', label: 'bare TCP, % of the link', digits: 0 },
  { key: 'link ours', label: 'this extension, %', digits: 0 },
  { key: 'link sdk', label: 'SDK, %', digits: 0 },
  { key: 'link az', label: 'az, %', digits: 0 },
  { key: 'floor ours', label: 'this extension, % of bare TCP', digits: 0 },
  { key: 'cpu ours', label: 'CPU s/GiB', digits: 1 },
  { key: 'cpu sdk', label: 'SDK CPU', digits: 1 },
  { key: 'cpu az', label: 'az CPU', digits: 1 },
  { key: 'peak ours', label: 'peak MB', digits: 0 },
];

function idOf({ mbit, roundTrip, loss }: Cell, shape: ShapeName, direction: Direction, way: WayName): string {
  return `${mbit} Mbit/s, ${roundTrip} ms, ${loss} %, ${shape}, ${direction}, ${way}`;
}

function rateOf({ files, bytes }: Shape, { seconds }: WayFigures): number {
  return (files * bytes * 8) / 1e6 / seconds;
}

function makeFiles(folder: string, { files, bytes }: Shape): void {
  mkdirSync(folder, { recursive: true });
  for (let index = 0; index < files; index++) {
    const path = join(folder, `clip-${String(index).padStart(5, '0')}.mp4`);
    for (let done = 0, flag = 'w'; done < bytes; done += patternBytes, flag = 'a') {
      writeFileSync(path, patternFrom(done, Math.min(patternBytes, bytes - done)), { flag });
    }
  }
}

function mustBeWhole(folder: string, { files, bytes }: Shape): void {
  const names = readdirSync(folder);
  const isWhole =
    names.length === files && names.every((name) => statSync(join(folder, name)).size === bytes);
  if (!isWhole) throw new Error(`${names.length} of ${files} files arrived in ${folder}`);
}
