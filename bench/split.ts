import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Files } from '../src/core/files/files';
import type { Manifest } from '../src/core/plan/manifest';
import type { Preset } from '../src/core/presets/preset';
import { Run } from '../src/core/runs/run';
import { Transfers } from '../src/core/transfers/transfers';
import { ffmpeg, temporaryFolder } from '../test/media';
import { TestService } from '../test/service/harness';
import { manifestOf, partsOf } from '../test/service/runSetup';
import { type BenchResult, median, type Row, report } from './table';

const { signal } = new AbortController();

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
}

/**
 * One video as a whole and in parts, with one thread for each task: on one slot and on two, and with a link that carries the
 * video at twice the speed at which it is encoded. The measured costs feed a simulation of 5, 20 and 100 nodes.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string', default: '240' },
      'part-seconds': { type: 'string', default: '10' },
      rounds: { type: 'string', default: '3' },
    },
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
    const encode = middle('in parts, 1 slot', 'encode');
    const bytesPerSecond = (2 * statSync(video).size) / encode;
    const throttled = await transcode(video, { slots: 2, partSeconds, bytesPerSecond });
    taken.set('in parts, 2 slots, throttled link', [throttled]);
    const costs = {
      parts: throttled.parts,
      encode: encode / throttled.parts,
      // Cutting is part of the upload, joining is the last task.
      join: middle('in parts, 1 slot', 'join'),
      audio: middle('in parts, 1 slot', 'audio'),
    };
    const result: BenchResult = {
      name: 'split',
      tables: [
        {
          title: `A video of ${seconds} s, one thread a task`,
          columns: [
            { key: 'run', label: 'run, s' },
            { key: 'encode', label: 'encode, s' },
            { key: 'audio', label: 'audio, s' },
            { key: 'join', label: 'join, s' },
            { key: 'upload', label: 'upload, s' },
            { key: 'parts', label: 'parts', digits: 0 },
          ],
          rows: [...taken.keys()].map((way): Row => ({ way, figures: figures(way, middle) })),
          ratio: { label: 'times as fast', key: 'run', of: 'in parts, 1 slot', isLessBetter: true },
        },
        {
          title: 'Predicted from these costs, a video of 2 hours in parts of 5 minutes, link of 100 Mbit/s',
          columns: [
            { key: 'minutes', label: 'minutes' },
            { key: 'uploadMinutes', label: 'of which upload' },
          ],
          rows: [1, 5, 20, 100].map(
            (nodes): Row => ({ way: `${nodes} nodes`, figures: predicted(nodes, costs, partSeconds) }),
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
  const keys = ['run', 'encode', 'audio', 'join', 'upload', 'parts'] as const;
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
    };
  } finally {
    await service.close();
    await work.remove();
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
    part: (uri, version) => files.part(uri, version),
    freeBytes: (uri) => files.freeBytes(uri),
    dropPart: (uri, version) => files.dropPart(uri, version),
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

interface Costs {
  readonly parts: number;
  /** Seconds to encode one measured part. */
  readonly encode: number;
  readonly join: number;
  readonly audio: number;
}

/**
 * The run of a 2-hour video in parts of 5 minutes: each part is encoded by the first node that is free once it has been
 * uploaded; the join follows the last. Costs grow with the length of a part; the link carries 8 Mbit/s video.
 */
function predicted(
  nodes: number,
  { encode, join: joining, parts }: Costs,
  measuredPart: number,
): Record<string, number> {
  const [length, part] = [2 * 3600, 300];
  const count = length / part;
  const encodeSeconds = (encode * part) / measuredPart;
  const uploadSeconds = (part * 8) / 100;
  const free = Array.from({ length: nodes }, () => 0);
  let end = 0;
  for (let index = 0; index < count; index++) {
    const arrives = (index + 1) * uploadSeconds;
    const first = free.indexOf(Math.min(...free));
    const done = Math.max(arrives, free[first] as number) + encodeSeconds;
    free[first] = done;
    end = Math.max(end, done);
  }
  const joinSeconds = (joining * length) / (parts * measuredPart);
  return { minutes: (end + joinSeconds) / 60, uploadMinutes: (count * uploadSeconds) / 60 };
}
