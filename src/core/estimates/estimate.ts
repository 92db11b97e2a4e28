import type { Limits, Manifest, ManifestFile, RunPool } from '../plan/manifest';
import { tasksOf, toUpload } from '../plan/manifest';
import type { PlanNote } from '../plan/plan';
import { evaluationMinutes, freshMinutes } from '../pools/autoscaleFormula';
import { maxNodeHours } from '../pools/nodeHours';
import { nodeTargets } from '../pools/nodeTargets';
import type { Preset } from '../presets/preset';
import { limitNotes, limitsFor } from './limits';
import { azureTaskSeconds, localTaskSeconds, rateOf, type Speed } from './speeds';

/** What a run takes, as far as it can be known before it starts. */
export interface RunEstimate {
  readonly minutes: number;
  /** Hours of the nodes of each kind, from their creation to their end. */
  readonly nodeHours: { readonly dedicated: number; readonly spot: number };
  /** If every node runs for as long as the limits of the run allow. */
  readonly maxNodeHours: { readonly dedicated: number; readonly spot: number };
  /** Files of earlier runs that it is based on; 0 if it is based on built-in rates only. */
  readonly basedOn: number;
  /** The limits of the run, long enough for what it is expected to take. */
  readonly limits: Limits;
  /** What does not fit into the limits even so. */
  readonly notes: readonly PlanNote[];
}

/** Azure needs a few minutes to allocate nodes, and the start task installs ffmpeg. */
const azureStartSeconds = 270;
const localStartSeconds = 2;

/** A common upload: 40 Mbit/s. To the local account files are copied. */
const azureBytesPerSecond = 5_000_000;
const localBytesPerSecond = 200_000_000;

/** Bytes of one second of media, where the length of a file is unknown: 6 Mbit/s of video, 192 kbit/s of audio. */
const videoBytesPerSecond = 750_000;
const audioBytesPerSecond = 24_000;

export interface EstimateOptions {
  readonly isLocal: boolean;
  /** Of earlier runs with the same preset and node size. */
  readonly speed?: Speed;
}

/** Estimates what a planned run takes. */
export function estimateRun(manifest: Manifest, { isLocal, speed }: EstimateOptions): RunEstimate {
  const { files, pool, preset } = manifest;
  const nodes = nodeTargets(pool, tasksOf(manifest));
  const count = nodes.dedicated + nodes.spot;
  const overhead = isLocal ? localTaskSeconds : azureTaskSeconds;
  const tasks = files.map((file) => {
    const rate = rateOf({ preset, vmSize: pool.vmSize, pixels: file.pixels, overhead }, speed);
    return mediaSecondsOfTasks(file, preset).map((media) => overhead + media / rate);
  });
  const bytes = files.map((file) => toUpload(manifest, file).bytes);
  const bytesPerSecond = isLocal ? localBytesPerSecond : azureBytesPerSecond;
  const uploadSeconds = sumOf(bytes) / bytesPerSecond;
  const startSeconds = isLocal ? localStartSeconds : azureStartSeconds;
  const slots = Math.max(count * pool.slotsPerNode, 1);
  const taskSeconds = tasks.flat();
  const longest = taskSeconds.reduce((max, one) => Math.max(max, one), 0);
  const encodeSeconds = Math.max(longest, sumOf(taskSeconds) / slots);
  // Uploads and the start of the nodes overlap; each file is encoded after its own upload.
  const seconds = Math.max(startSeconds + encodeSeconds, uploadSeconds + (taskSeconds.at(-1) ?? 0));
  const hours = nodeSeconds(pool, seconds, uploadSeconds) / 3600;
  const limits = limitsFor(manifest.limits, seconds / 60);
  const max = maxNodeHours(pool, limits, tasksOf(manifest));
  const share = (kind: number) => (count > 0 ? kind / count : 0);
  return {
    minutes: seconds / 60,
    nodeHours: { dedicated: nodes.dedicated * hours, spot: nodes.spot * hours },
    maxNodeHours: { dedicated: max * share(nodes.dedicated), spot: max * share(nodes.spot) },
    basedOn: speed?.files ?? 0,
    limits,
    notes: limitNotes(files, tasks, seconds / 60, limits),
  };
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, one) => sum + one, 0);
}

/**
 * Seconds of media of each task of a file: one, or one for each part of a split file. The audio and the join take
 * little time.
 */
function mediaSecondsOfTasks(file: ManifestFile, preset: Preset): number[] {
  if (file.split === undefined) return [mediaSecondsOf(file, preset)];
  return file.split.parts.map(({ startSeconds, endSeconds }) => endSeconds - startSeconds);
}

/**
 * How long a node exists for a run of so many seconds. A pool that scales to zero keeps its nodes for a while after a submission,
 * and then until its formula is evaluated. It gets nodes when the first file has been uploaded.
 */
function nodeSeconds({ lifetime }: RunPool, seconds: number, uploadSeconds: number): number {
  const kept = (freshMinutes + evaluationMinutes) * 60;
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
  const until = Date.parse(last.submitted.at) + (freshMinutes + evaluationMinutes) * 60_000;
  return ((dedicated + spot) * Math.max(until - end, 0)) / 3_600_000;
}

function mediaSecondsOf({ seconds, size }: ManifestFile, preset: Preset): number {
  if (seconds !== undefined) return seconds;
  return size / (preset.needs === 'audio' ? audioBytesPerSecond : videoBytesPerSecond);
}
