import type { FileResult, Manifest, ManifestFile, RunPool } from '../plan/manifest';
import { taskSecondsOf, tasksOf, toUpload } from '../plan/manifest';
import { maxNodeHours } from '../pools/nodeHours';
import { nodeTargets } from '../pools/nodeTargets';
import { coresOf as quotaCoresOf } from '../pools/vmSizes';
import type { Preset } from '../presets/preset';

/** How fast tasks were: sums over the files of earlier runs with one preset on one size of node. */
export interface Speed {
  readonly files: number;
  /** Length of the sources, in seconds. */
  readonly mediaSeconds: number;
  /** Time of their tasks, in seconds. */
  readonly taskSeconds: number;
}

/** What a run takes, as far as it can be known before it starts. */
export interface RunEstimate {
  readonly minutes: number;
  /** Hours of the nodes of each kind, from their creation to their end. */
  readonly nodeHours: { readonly dedicated: number; readonly spot: number };
  /** If every node runs for as long as the limits of the run allow. */
  readonly maxNodeHours: { readonly dedicated: number; readonly spot: number };
  /** Files of earlier runs that it is based on; 0 if it is based on built-in rates only. */
  readonly basedOn: number;
}

/** Azure needs a few minutes to allocate nodes, and the start task installs ffmpeg. */
const azureStartSeconds = 270;
const localStartSeconds = 2;

/** Starting a task, downloading its input and uploading its output, besides encoding. */
const azureTaskSeconds = 4;
const localTaskSeconds = 0.5;

/** A pool that scales to zero keeps its nodes this long after a submission, and then until its formula is evaluated. */
const keptMinutes = 15;
const evaluationMinutes = 5;

/** A common upload: 40 Mbit/s. To the local account files are copied. */
const azureBytesPerSecond = 5_000_000;
const localBytesPerSecond = 200_000_000;

/** Bytes of one second of media, where the length of a file is unknown: 6 Mbit/s of video, 192 kbit/s of audio. */
const videoBytesPerSecond = 750_000;
const audioBytesPerSecond = 24_000;

/** Seconds of media per second of a task on a node with two cores. Measured with H.264 sources of 1080p. */
const builtInSpeeds: Readonly<Record<string, number>> = {
  mp3: 60,
  m4a: 50,
  opus: 45,
  flac: 120,
  wav: 200,
  speech: 25,
  'h264-1080p': 1.2,
  'h264-720p': 2,
  'h264-480p': 4,
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

/** For presets of the user's own. */
const audioSpeed = 40;
const videoSpeed = 1;

/** The cores that the built-in rates are for. Encoding video uses all cores, though not each fully. */
const measuredCores = 2;
const coreExponent = 0.8;

/** Earlier runs count fully from this much media on; before, the built-in rate has a share. */
const trustedMediaSeconds = 600;

export interface EstimateOptions {
  readonly isLocal: boolean;
  /** Of earlier runs with the same preset and node size. */
  readonly speed?: Speed;
}

/** Estimates what a planned run takes. */
export function estimateRun(manifest: Manifest, { isLocal, speed }: EstimateOptions): RunEstimate {
  const { files, pool, limits, preset } = manifest;
  const nodes = nodeTargets(pool, tasksOf(manifest));
  const count = nodes.dedicated + nodes.spot;
  const overhead = isLocal ? localTaskSeconds : azureTaskSeconds;
  const rate = rateOf(preset, pool, speed, overhead);
  const tasks = files.flatMap((file) =>
    mediaSecondsOfTasks(file, preset).map((media) => overhead + media / rate),
  );
  const bytes = files.map((file) => toUpload(manifest, file).bytes);
  const bytesPerSecond = isLocal ? localBytesPerSecond : azureBytesPerSecond;
  const uploadSeconds = bytes.reduce((sum, one) => sum + one, 0) / bytesPerSecond;
  const startSeconds = isLocal ? localStartSeconds : azureStartSeconds;
  const slots = Math.max(count * pool.slotsPerNode, 1);
  const encodeSeconds = Math.max(Math.max(0, ...tasks), tasks.reduce((sum, one) => sum + one, 0) / slots);
  // Uploads and the start of the nodes overlap; each file is encoded after its own upload.
  const seconds = Math.max(startSeconds + encodeSeconds, uploadSeconds + Math.max(0, ...tasks.slice(-1)));
  const hours = nodeSeconds(pool, seconds, uploadSeconds) / 3600;
  const max = maxNodeHours(pool, limits, tasksOf(manifest));
  const share = (kind: number) => (count > 0 ? kind / count : 0);
  return {
    minutes: seconds / 60,
    nodeHours: { dedicated: nodes.dedicated * hours, spot: nodes.spot * hours },
    maxNodeHours: { dedicated: max * share(nodes.dedicated), spot: max * share(nodes.spot) },
    basedOn: speed?.files ?? 0,
  };
}

/**
 * Seconds of media of each task of a file: one, or one for each part of a split file. The audio and the join take
 * little time.
 */
function mediaSecondsOfTasks(file: ManifestFile, preset: Preset): number[] {
  if (file.split === undefined) return [mediaSecondsOf(file, preset)];
  return file.split.parts.map(({ startSeconds, endSeconds }) => endSeconds - startSeconds);
}

/** How long a node exists for a run of so many seconds. Its pool is woken when the first file has been uploaded. */
function nodeSeconds({ lifetime }: RunPool, seconds: number, uploadSeconds: number): number {
  const kept = (keptMinutes + evaluationMinutes) * 60;
  return lifetime === 'scaleToZero' ? Math.max(seconds, uploadSeconds + kept) : seconds;
}

/**
 * Hours that the nodes of a run still exist after its end (milliseconds since 1970), until their pool scales to zero.
 * The estimate before a run has them, too.
 */
export function idleNodeHours({ pool, attempts }: Pick<Manifest, 'pool' | 'attempts'>, end: number): number {
  const last = attempts.findLast(({ submitted }) => submitted);
  if (pool.lifetime !== 'scaleToZero' || last?.submitted === undefined) return 0;
  const { dedicated, spot } = nodeTargets(pool, last.submitted.tasks);
  const until = Date.parse(last.submitted.at) + (keptMinutes + evaluationMinutes) * 60_000;
  return ((dedicated + spot) * Math.max(until - end, 0)) / 3_600_000;
}

/**
 * Seconds of media per second of encoding: of earlier runs, and of the built-in rate while there is little of them.
 * `overhead` is what each of their tasks took besides, in seconds.
 */
export function rateOf(
  preset: Preset,
  pool: Pick<RunPool, 'vmSize'>,
  speed: Speed | undefined,
  overhead = azureTaskSeconds,
): number {
  const builtIn = builtInRate(preset, pool.vmSize);
  if (speed === undefined || speed.files === 0 || speed.taskSeconds <= 0) return builtIn;
  const encodingSeconds = Math.max(speed.taskSeconds - speed.files * overhead, speed.taskSeconds / 4);
  const measured = speed.mediaSeconds / encodingSeconds;
  const weight = Math.min(speed.mediaSeconds / trustedMediaSeconds, 1);
  // Rates differ by factors, so their logarithms are averaged.
  return Math.exp(weight * Math.log(measured) + (1 - weight) * Math.log(builtIn));
}

function builtInRate({ id, needs }: Preset, vmSize: string): number {
  const isAudio = needs === 'audio';
  const rate = builtInSpeeds[id] ?? (isAudio ? audioSpeed : videoSpeed);
  return isAudio ? rate : rate * (coresOf(vmSize) / measuredCores) ** coreExponent;
}

/** Cores that encode: constrained sizes (`E16-4s`) use fewer than they take from the quota, and name them second. */
export function coresOf(vmSize: string): number {
  const active = /^[A-Za-z]+_[A-Za-z]+\d+-(\d+)/.exec(vmSize)?.[1];
  return Math.max(Number(active ?? quotaCoresOf(vmSize) ?? measuredCores), 1);
}

function mediaSecondsOf({ seconds, size }: ManifestFile, preset: Preset): number {
  if (seconds !== undefined) return seconds;
  return size / (preset.needs === 'audio' ? audioBytesPerSecond : videoBytesPerSecond);
}

/** The speed of the tasks of a run, from its results; undefined if no file of known length succeeded. */
export function speedOf({ files }: Manifest, results: readonly FileResult[]): Speed | undefined {
  const lengths = new Map(files.map(({ id, seconds }) => [id, seconds]));
  const done = results.flatMap((result) => {
    const mediaSeconds = lengths.get(result.id) ?? result.outputSeconds;
    const taskSeconds = taskSecondsOf(result);
    if (result.problem || taskSeconds === undefined || mediaSeconds === undefined) return [];
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
