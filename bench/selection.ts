import { execFileSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Workbench } from '../scripts/workbench.mjs';
import { Run } from '../src/core/runs/run';
import { clip, temporaryFolder } from '../test/media';
import { descendantsOf } from '../test/service/descendants';
import { TestService } from '../test/service/harness';
import { Relay } from '../test/service/relay';
import { manifestOf, partsOf } from '../test/service/runSetup';
import { numbersOf, optionsOf } from './options';
import { type BenchResult, median, type Row, report, type Table } from './table';

const { signal } = new AbortController();
const clipBytes = 1024 * 1024;

/** Media files among the many others. */
const fewMedia = 3;

/**
 * Large selections: how long probing and planning takes and what a save of such a run writes; and in a real VS Code the time
 * from the click on a folder to the review, without the user's own time, and how much more memory the extension host takes
 * than before the click.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const values = optionsOf(args, {
    files: '1000,5000',
    others: '20000',
    rounds: '3',
    /** `core`, `window`, or both. */
    only: undefined,
  });
  const counts = numbersOf(values.files);
  const rounds = Number(values.rounds);
  const root = await temporaryFolder('bench-selection');
  try {
    const sample = await clip(join(root.path, 'sample.mp4'));
    const folders = new Map(
      counts.map((count) => [count, makeClips(sample, join(root.path, `${count} clips`), count)]),
    );
    const tables: Table[] = [];
    if (values.only !== 'window') tables.push(await inCore(folders, rounds), await saves(folders));
    if (values.only !== 'core') {
      makeClips(sample, join(root.path, `${fewMedia} of ${values.others}`), fewMedia, Number(values.others));
      tables.push(
        await inWindow(
          root.path,
          [
            ...counts.map((count) => [`${count} clips`, count] as const),
            [`${fewMedia} of ${values.others}`, fewMedia],
          ],
          rounds,
        ),
      );
    }
    const result = { name: 'selection', tables };
    report(result);
    return result;
  } finally {
    await root.remove();
  }
}

/** Clips of 1 MiB, most of it an empty box at the end, beside files that are no media. */
function makeClips(sample: string, folder: string, count: number, others = 0): string[] {
  mkdirSync(folder);
  const { size } = statSync(sample);
  const box = Buffer.from([0, 0, 0, 0, ...Buffer.from('free')]);
  box.writeUInt32BE(clipBytes - size);
  for (let index = count; index < others; index++) writeFileSync(join(folder, `note ${index}.txt`), '');
  return Array.from({ length: count }, (_, index) => {
    const path = join(folder, `clip ${index}.mp4`);
    copyFileSync(sample, path);
    const file = openSync(path, 'r+');
    writeSync(file, box, 0, box.length, size);
    ftruncateSync(file, clipBytes);
    closeSync(file);
    return path;
  });
}

async function inCore(folders: ReadonlyMap<number, readonly string[]>, rounds: number): Promise<Table> {
  const rows: Row[] = [];
  for (const [count, paths] of folders) {
    const seconds: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const started = performance.now();
      await manifestOf(paths);
      seconds.push((performance.now() - started) / 1000);
    }
    const typical = median(seconds);
    rows.push({ way: `${count} files`, figures: { seconds: typical, each: (typical * 1000) / count } });
  }
  return {
    title: `Probing and planning files of 1 MiB, median of ${rounds}`,
    columns: [
      { key: 'seconds', label: 'seconds', digits: 1 },
      { key: 'each', label: 'seconds per 1,000', digits: 2 },
    ],
    rows,
  };
}

/** What it costs to save a run when the results of 100 more files are known. */
async function saves(folders: ReadonlyMap<number, readonly string[]>): Promise<Table> {
  const service = await TestService.start();
  const relay = await Relay.before(service.ready.blobUrl);
  try {
    const { account, ...credentials } = service.connection;
    const connection = { account: { ...account, blobUrl: relay.url }, ...credentials };
    const rows: Row[] = [];
    for (const [count, paths] of folders) {
      const manifest = await manifestOf(paths);
      const { parts } = partsOf({ connection });
      const opened = await Run.create(parts, manifest, signal);
      const settle = (from: number, to: number) => {
        for (const file of manifest.files.slice(from, to))
          opened.state.settle(file, { outputUri: `${file.uri}.mp3`, outputBytes: 1 });
      };
      settle(0, count - 100);
      await opened.state.saveResults(signal);
      const before = relay.bytes.up;
      settle(count - 100, count);
      await opened.state.saveResults(signal);
      await opened.state.save(signal);
      const bytes = relay.bytes.up - before;
      await opened.close();
      rows.push({
        way: `${count} files`,
        figures: { whole: JSON.stringify(manifest).length, bytes },
      });
    }
    return {
      title: 'Saving a run after 100 more results',
      columns: [
        { key: 'bytes', label: 'bytes sent', digits: 0 },
        { key: 'whole', label: 'the whole manifest, bytes', digits: 0 },
      ],
      rows,
    };
  } finally {
    await relay.close();
    await service.close();
  }
}

type Selection = readonly [folder: string, media: number];

async function inWindow(root: string, selections: readonly Selection[], rounds: number): Promise<Table> {
  execFileSync(process.execPath, ['scripts/build.mjs', '--production']);
  const rows: Row[] = [];
  for (const [folder, media] of selections) {
    const measured: Measured[] = [];
    for (let round = 0; round < rounds; round++) measured.push(await clickToReview(root, folder, media));
    const of = (key: keyof Measured) => median(measured.map((each) => each[key]));
    const seconds = of('scan') + of('review');
    rows.push({
      way: folder,
      figures: {
        scan: of('scan'),
        review: of('review'),
        each: (seconds * 1000) / media,
        memory: of('memory'),
        peak: of('peak'),
      },
    });
  }
  return {
    title: `From the click to the review in VS Code, median of ${rounds}`,
    columns: [
      { key: 'scan', label: 'click to number of files, s', digits: 1 },
      { key: 'review', label: 'preset to review, s', digits: 1 },
      { key: 'each', label: 'seconds per 1,000 files', digits: 2 },
      { key: 'memory', label: 'extension host above idle, peak MB', digits: 0 },
      { key: 'peak', label: 'extension host, peak MB', digits: 0 },
    ],
    rows,
  };
}

interface Measured {
  readonly scan: number;
  readonly review: number;
  /** Megabytes above what the extension host had before the click. */
  readonly memory: number;
  /** Megabytes. */
  readonly peak: number;
}

async function clickToReview(root: string, folder: string, media: number): Promise<Measured> {
  const workbench = await Workbench.open(root);
  try {
    await workbench.rightClick(folder);
    const [pid] = descendantsOf(workbench.server.pid, '--type=extensionHost');
    if (pid === undefined) throw new Error('The extension host does not run.');
    const idle = memoryOf(pid).now;
    // Forgets the peak so far: https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
    await workbench.choose('Azure Batch', 'Transcode on Azure Batch With Options…');
    const clicked = performance.now();
    const files = workbench.quickPick(new RegExp(`Transcode ${media.toLocaleString('en')} Files`)).first();
    await files.waitFor({ timeout: 300_000 });
    const scan = (performance.now() - clicked) / 1000;
    await files.click();
    await workbench.pick('Use the local Batch account');
    const preset = workbench.quickPick('MP3 audio').first();
    await preset.waitFor();
    const chosen = performance.now();
    await preset.click();
    await workbench.quickPick('Show Command').first().waitFor({ timeout: 300_000 });
    const review = (performance.now() - chosen) / 1000;
    const { peak } = memoryOf(pid);
    await workbench.page.keyboard.press('Escape');
    return { scan, review, memory: (peak - idle) / 1e6, peak: peak / 1e6 };
  } finally {
    await workbench.close();
  }
}

/** Resident memory of a process in bytes. Linux only. */
function memoryOf(pid: number): { now: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return { now: bytes('VmRSS'), peak: bytes('VmHWM') };
}
