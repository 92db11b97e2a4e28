import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { wholeOf } from '../src/core/files/bytes';
import type { Files } from '../src/core/files/files';
import { cutLayouts } from '../src/core/media/parser/cutContent';
import type { Manifest } from '../src/core/plan/manifest';
import type { Preset } from '../src/core/presets/preset';
import { Run } from '../src/core/runs/run';
import { Transfers } from '../src/core/transfers/transfers';
import { ffmpeg, temporaryFolder } from '../test/media';
import { TestService } from '../test/service/harness';
import { manifestOf, partsOf } from '../test/service/runSetup';
import { optionsOf } from './options';
import { type SplitCosts, scaled, simulate } from './splitSimulation';
import { type BenchResult, median, type Row, report } from './table';

const { signal } = new AbortController();

const throttledWay = 'in parts, 2 slots, throttled link';

/** One thread for each task, so that slots are what makes a run faster. */
const preset: Preset = {
  id: 'one-thread',
  label: 'One thread',
  needs: 'video',
  arguments: [
    ...['-filter_threads', '1', '-threads', '1', '-i', '${input}', '-map', '0:V:0', '-map', '${audio}?'],
    ...['-vf', 'scale=w=640:h=360', '-c:v', 'libx264', '-preset', 'medium', '-crf', '22', '-threads', '1'],
    ...['-pix_fmt', 'yuv420p', '-c:a', 'aac', '-movflags', '+faststart', '${output}'],
  ],
  extension: 'mp4',
  proof: 'video',
  split: true,
};

/** What one run took, in seconds. */
interface Taken {
  readonly run: number;
  /** Sums over the tasks of each kind. */
  readonly encode: number;
  readonly audio: number;
  readonly join: number;
  readonly upload: number;
  readonly parts: number;
  /** Reading the tables, in the probe and again before the upload. */
  readonly cut: number;
}

/** The video that the simulation is about. */
const longVideo = { seconds: 2 * 3600, partSeconds: 300, megabitsPerSecond: 8 };
const linkMegabits = 100;

/**
 * One video as a whole and in parts, with one thread for each task: on one slot and on two, and with a link that carries the
 * video at twice the speed at which it is encoded. The costs on one slot feed a simulation, which is compared with the
 * measured runs on two slots and then asked about 5, 20 and 100 nodes. Takes about 8 minutes on an idle machine.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const values = optionsOf(args, {
    seconds: '72',
    'part-seconds': '6',
    rounds: '3',
  });
  const root = await temporaryFolder('bench-split');
  const seconds = Number(values.seconds);
  const partSeconds = Number(values['part-seconds']);
  try {
    const video = join(root.path, 'video.mp4');
    await makeVideo(video, seconds);
    const rounds = Array.from({ length: Number(values.rounds) }, (_, index) => index);
    const ways: Record<string, (() => Promise<Taken>) | undefined> = {
      'whole, 1 slot': () => transcode(video, { slots: 1 }),
      'in parts, 1 slot': () => transcode(video, { slots: 1, partSeconds }),
      'in parts, 2 slots': () => transcode(video, { slots: 2, partSeconds }),
    };
    const taken = new Map<string, Taken[]>();
    for (const _ of rounds) {
      for (const [way, measure] of Object.entries(ways))
        taken.set(way, [...(taken.get(way) ?? []), await (measure as () => Promise<Taken>)()]);
    }
    const middle = (way: string, key: keyof Taken) => median((taken.get(way) ?? []).map((each) => each[key]));
    const one = (key: keyof Taken) => middle('in parts, 1 slot', key);
    const bytesPerSecond = (2 * statSync(video).size) / one('encode');
    const throttled = await transcode(video, { slots: 2, partSeconds, bytesPerSecond });
    taken.set(throttledWay, [throttled]);
    const costs: SplitCosts = {
      parts: throttled.parts,
      part: one('encode') / throttled.parts,
      audio: one('audio'),
      join: one('join'),
      fixed: Math.max(0, one('run') - one('encode') - one('audio') - one('join')),
      upload: 0,
    };
    const whole = middle('whole, 1 slot', 'encode');
    const result: BenchResult = {
      name: 'split',
      tables: [
        {
          title: `A video of ${seconds} s in parts of ${partSeconds} s, one thread a task, median of ${rounds.length} rounds`,
          columns: [
            { key: 'run', label: 'run, s' },
            { key: 'encode', label: 'encode, s' },
            { key: 'audio', label: 'audio, s' },
            { key: 'cut', label: 'cut, s', digits: 2 },
            { key: 'join', label: 'join, s', digits: 2 },
            { key: 'upload', label: 'upload, s' },
            { key: 'parts', label: 'parts', digits: 0 },
          ],
          rows: [...taken.keys()].map((way): Row => ({ way, figures: figures(way, middle) })),
          ratio: { label: 'times as fast', key: 'run', of: 'in parts, 1 slot', isLessBetter: true },
        },
        {
          title: 'Required and measured',
          columns: [
            { key: 'measured', label: 'measured', digits: 2 },
            { key: 'required', label: 'required', digits: 2 },
          ],
          rows: [
            {
              way: 'times as fast on 2 slots, at least',
              figures: { measured: one('run') / middle('in parts, 2 slots', 'run'), required: 1.85 },
            },
            {
              way: 'cutting and joining, % of the encoding, at most',
              figures: { measured: (100 * (one('cut') + one('join'))) / whole, required: 3 },
            },
            {
              way: 'throttled link, s: at most upload, one part and join',
              figures: {
                measured: throttled.run,
                required: throttled.upload + throttled.encode / throttled.parts + throttled.join,
              },
            },
          ],
        },
        {
          title: 'Simulated from the costs on 1 slot, and measured',
          columns: [
            { key: 'predicted', label: 'predicted, s' },
            { key: 'measured', label: 'measured, s' },
            { key: 'error', label: 'error, %' },
          ],
          rows: [
            {
              way: 'in parts, 2 slots',
              figures: compared(simulate(2, costs).run, middle('in parts, 2 slots', 'run')),
            },
            {
              way: throttledWay,
              figures: compared(simulate(2, { ...costs, upload: throttled.upload }).run, throttled.run),
            },
          ],
        },
        {
          title: `Simulated: ${longVideo.seconds / 3600} hours in parts of ${longVideo.partSeconds / 60} minutes, ${longVideo.megabitsPerSecond} Mbit/s video, link of ${linkMegabits} Mbit/s`,
          columns: [
            { key: 'minutes', label: 'minutes' },
            { key: 'leastMinutes', label: 'least possible' },
            { key: 'uploadMinutes', label: 'of which upload' },
          ],
          rows: [1, 5, 20, 100].map(
            (nodes): Row => ({ way: `${nodes} nodes`, figures: predicted(nodes, costs, seconds) }),
          ),
          ratio: { label: 'times as fast', key: 'minutes', of: '1 nodes', isLessBetter: true },
        },
      ],
    };
    report(result);
    return result;
  } finally {
    await root.remove();
  }
}

function figures(way: string, middle: (way: string, key: keyof Taken) => number): Record<string, number> {
  const keys = ['run', 'encode', 'audio', 'cut', 'join', 'upload', 'parts'] as const;
  return Object.fromEntries(keys.map((key) => [key, middle(way, key)]));
}

/** A video whose frames all differ, with a key frame every two seconds. */
async function makeVideo(path: string, seconds: number): Promise<void> {
  const source = ['-f', 'lavfi', '-i', `testsrc2=size=854x480:rate=25:duration=${seconds}`];
  const sound = ['-f', 'lavfi', '-i', `sine=frequency=440:duration=${seconds}`];
  const encoding = ['-vf', 'noise=alls=12:allf=t', '-c:v', 'libx264', '-preset', 'ultrafast', '-g', '50'];
  await ffmpeg(...source, ...sound, ...encoding, '-pix_fmt', 'yuv420p', '-c:a', 'aac', path);
}

interface TranscodeOptions {
  readonly slots: number;
  readonly partSeconds?: number;
  /** Of the link; as fast as it is if undefined. */
  readonly bytesPerSecond?: number;
}

async function transcode(
  video: string,
  { slots, partSeconds, bytesPerSecond }: TranscodeOptions,
): Promise<Taken> {
  const service = await TestService.start('--node-step-ms', '50', '--max-processes', String(slots));
  const work = await temporaryFolder('bench-split-run');
  try {
    mkdirSync(join(work.path, 'out'));
    const manifest = await manifestOf([video], {
      preset,
      partSeconds,
      spotNodes: slots,
      taskMinutes: 60,
      monitorMinutes: 60,
    });
    const { parts } = partsOf(service);
    const files = bytesPerSecond ? throttledFiles(parts.files, bytesPerSecond) : parts.files;
    const cut = partSeconds === undefined ? 0 : await cutSeconds(parts.files, video, partSeconds);
    const started = Date.now();
    const run = await Run.create(
      {
        ...parts,
        files,
        transfers: new Transfers(parts.storage, files),
        outputUri: (_, name) => new URL(`file://${join(work.path, 'out', name)}`).href,
      },
      manifest,
      signal,
    );
    await run.advance('fetched', signal);
    await run.close();
    const seconds = (Date.now() - started) / 1000;
    return {
      run: seconds,
      ...(await taskTimes(parts.batch, manifest)),
      upload: uploadSeconds(run, manifest),
      cut,
    };
  } finally {
    await service.close();
    await work.remove();
  }
}

/** A cut is made by the probe, and again before the upload. */
async function cutSeconds(files: Files, video: string, partSeconds: number): Promise<number> {
  const file = await files.open(pathToFileURL(video).href);
  try {
    const started = Date.now();
    await cutLayouts(wholeOf(file), partSeconds);
    return (2 * (Date.now() - started)) / 1000;
  } finally {
    await file.close();
  }
}

async function taskTimes(batch: ReturnType<typeof partsOf>['parts']['batch'], manifest: Manifest) {
  const jobId = manifest.attempts[0]?.jobId ?? '';
  const { items } = await batch.taskPage(jobId, { select: 'id,executionInfo', signal });
  const sum = (pattern: RegExp) =>
    items
      .filter(({ id = '' }) => pattern.test(id))
      .reduce(
        (total, { executionInfo: info }) =>
          total + ((info?.endTime?.getTime() ?? 0) - (info?.startTime?.getTime() ?? 0)) / 1000,
        0,
      );
  const isSplit = manifest.files[0]?.split !== undefined;
  return {
    encode: sum(isSplit ? /-part-/ : /^\d+$/),
    audio: sum(/-audio$/),
    join: isSplit ? sum(/^\d+$/) : 0,
    parts: manifest.files[0]?.split?.parts.length ?? 1,
  };
}

function uploadSeconds(run: Run, manifest: Manifest): number {
  const upload = run.results.get(manifest.files[0]?.id ?? '')?.uploaded;
  return upload ? (Date.parse(upload.end) - Date.parse(upload.start)) / 1000 : 0;
}

/** Files whose bytes come no faster than a link would carry them. */
function throttledFiles(files: Files, bytesPerSecond: number): Files {
  let free = 0;
  return {
    stat: (uri) => files.stat(uri),
    isInMemory: (uri) => files.isInMemory(uri),
    part: (uri, version) => files.part(uri, version),
    freeBytes: (uri) => files.freeBytes(uri),
    dropPart: (uri, version) => files.dropPart(uri, version),
    renameFolder: (from, to, signal) => files.renameFolder(from, to, signal),
    dropPartFolder: (uri) => files.dropPartFolder(uri),
    async open(uri) {
      const file = await files.open(uri);
      return {
        opened: file.opened,
        stat: () => file.stat(),
        close: () => file.close(),
        async read(position, length, into) {
          const now = Date.now();
          free = Math.max(free, now) + (length / bytesPerSecond) * 1000;
          await pause(free - now);
          return file.read(position, length, into);
        },
      };
    },
  };
}

function compared(predicted: number, measured: number): Record<string, number> {
  return { predicted, measured, error: (100 * (predicted - measured)) / measured };
}

function predicted(nodes: number, costs: SplitCosts, measuredSeconds: number): Record<string, number> {
  const upload = (longVideo.seconds * longVideo.megabitsPerSecond) / linkMegabits;
  const { run, least } = simulate(nodes, scaled(costs, { measuredSeconds, ...longVideo, upload }));
  return { minutes: run / 60, leastMinutes: least / 60, uploadMinutes: upload / 60 };
}
