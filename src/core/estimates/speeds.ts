import { type FileResult, type Manifest, taskSecondsOf } from '../plan/manifest';
import { quotaCores } from '../pools/vmSizes';
import type { Preset } from '../presets/preset';

/** How fast tasks were: sums over the files of earlier runs with one preset on one size of node. */
export interface Speed {
  readonly files: number;
  /** Length of the sources, in seconds. */
  readonly mediaSeconds: number;
  /** Time of their tasks, in seconds. */
  readonly taskSeconds: number;
}

/** Starting a task, downloading its input and uploading its output, besides encoding. */
export const azureTaskSeconds = 4;
export const localTaskSeconds = 0.5;

/**
 * Seconds of media per second of a task on a node with two cores, by the ids of the built-in presets. Measured with
 * H.264 sources of 1080p.
 */
export const builtInSpeeds: Readonly<Record<string, number>> = {
  mp3: 60,
  m4a: 50,
  opus: 45,
  flac: 120,
  wav: 200,
  speech: 25,
  'speech-recognition': 100,
  'h264-1080p': 1.2,
  'h264-720p': 2,
  'h264-480p': 4,
  'h264-source': 1.2,
  h265: 0.5,
  vp9: 0.4,
  av1: 0.4,
  remux: 200,
  thumbnail: 300,
  'contact-sheet': 25,
  preview: 30,
  subtitles: 200,
  hls: 0.9,
};

/** Most pixels of a picture that a preset encodes; sources with more are scaled down. */
const maxPixels: Readonly<Record<string, number>> = {
  'h264-1080p': 1920 * 1080,
  'h264-720p': 1280 * 720,
  'h264-480p': 854 * 480,
  'h264-source': 3840 * 2160,
  h265: 3840 * 2160,
  vp9: 1920 * 1080,
  av1: 1920 * 1080,
};

const measuredPixels = 1920 * 1080;

/** Audio and starting take their time however small the pictures are. */
const maxPixelFactor = 8;

/** For presets of the user's own. */
const audioSpeed = 40;
const videoSpeed = 1;

/** The cores that the built-in rates are for. Encoding video uses all cores, though not each fully. */
const measuredCores = 2;
const coreExponent = 0.8;

/** Earlier runs count fully from this much media on; before, the built-in rate has a share. */
const trustedMediaSeconds = 600;

/** The task whose rate is asked for. */
export interface RatedTask {
  readonly preset: Preset;
  readonly vmSize: string;
  /** Pixels of a displayed picture of its source; undefined if there is none or its size is unknown. */
  readonly pixels?: number;
  /** What the task takes besides encoding, in seconds. */
  readonly overhead: number;
}

/** Seconds of media per second of encoding: of earlier runs, and of the built-in rate while there is little of them. */
export function rateOf(task: RatedTask, speed: Speed | undefined): number {
  const builtIn = builtInRate(task);
  if (speed === undefined || speed.files === 0) return builtIn;
  if (speed.taskSeconds <= 0 || !(speed.mediaSeconds > 0)) return builtIn;
  const encodingSeconds = Math.max(speed.taskSeconds - speed.files * task.overhead, speed.taskSeconds / 4);
  const measured = speed.mediaSeconds / encodingSeconds;
  const weight = Math.min(speed.mediaSeconds / trustedMediaSeconds, 1);
  // Rates differ by factors, so their logarithms are averaged.
  return Math.exp(weight * Math.log(measured) + (1 - weight) * Math.log(builtIn));
}

function builtInRate({ preset: { id, needs }, vmSize, pixels }: RatedTask): number {
  const isAudio = needs === 'audio';
  const rate = builtInSpeeds[id] ?? (isAudio ? audioSpeed : videoSpeed);
  if (isAudio) return rate;
  return rate * (activeCores(vmSize) / measuredCores) ** coreExponent * pixelFactor(id, pixels);
}

/** How much faster pictures of this size are encoded than those that the built-in rates were measured with. */
function pixelFactor(presetId: string, pixels: number | undefined): number {
  const max = maxPixels[presetId];
  if (max === undefined || pixels === undefined) return 1;
  return Math.min(Math.min(measuredPixels, max) / Math.max(Math.min(pixels, max), 1), maxPixelFactor);
}

/** Cores that encode: constrained sizes (`E16-4s`) use fewer than they take from the quota, and name them second. */
export function activeCores(vmSize: string): number {
  const active = /^[A-Za-z]+_[A-Za-z]+\d+-(\d+)/.exec(vmSize)?.[1];
  return Math.max(Number(active ?? quotaCores(vmSize) ?? measuredCores), 1);
}

/** The speed of the tasks of a run, from its results; undefined if no file of known length succeeded. */
export function speedOf({ files }: Manifest, results: readonly FileResult[]): Speed | undefined {
  const lengths = new Map(files.map(({ id, seconds }) => [id, seconds]));
  const done = results.flatMap((result) => {
    const mediaSeconds = lengths.get(result.id) ?? result.outputSeconds;
    const taskSeconds = taskSecondsOf(result);
    if (result.problem || taskSeconds === undefined || !mediaSeconds) return [];
    return { mediaSeconds, taskSeconds };
  });
  const sum = (of: (one: (typeof done)[number]) => number) => done.reduce((total, one) => total + of(one), 0);
  const taskSeconds = sum((one) => one.taskSeconds);
  if (taskSeconds <= 0) return undefined;
  return { files: done.length, mediaSeconds: sum((one) => one.mediaSeconds), taskSeconds };
}

/** Older runs count less than newer ones. */
const keptShare = 0.7;

/** Adds the speed of a run to that of earlier ones. */
export function addSpeed(before: Speed | undefined, run: Speed): Speed {
  if (before === undefined) return run;
  return {
    files: Math.round(before.files * keptShare) + run.files,
    mediaSeconds: before.mediaSeconds * keptShare + run.mediaSeconds,
    taskSeconds: before.taskSeconds * keptShare + run.taskSeconds,
  };
}
