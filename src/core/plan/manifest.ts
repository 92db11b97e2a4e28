import type { Problem } from '../errors';
import type { Preset } from '../presets/preset';

/**
 * A run, as it stands in the blob `manifest.json` of its output container: enough for any window on any machine to
 * go on with it. JSON, without secrets, SAS or host paths other than the sources' own URIs.
 */
export interface Manifest {
  readonly version: 1;
  /** `20261125-074718-k3x9qz`: sorts by time, unique, valid inside pool, job and container names. */
  readonly runId: string;
  /** ISO 8601. */
  readonly created: string;
  /** Name of the workspace or folder it was started in. */
  readonly workspace: string;
  readonly preset: Preset;
  readonly pool: RunPool;
  readonly limits: Limits;
  readonly outputContainer: string;
  /** What the person answered, once, about outputs that exist already. */
  readonly onConflict: 'rename' | 'overwrite';
  readonly files: readonly ManifestFile[];
  /** Files that were chosen but could not be transcoded whatever was done, and why. */
  readonly refused: readonly RefusedFile[];
  /** The first submission and one more for each retry; the last is the live one. */
  attempts: Attempt[];
  /** Set when every file ended and the outputs were fetched. */
  finished?: string;
  /** What the nodes that were seen came to, over all windows that watched to the end. */
  nodeHours?: number;
}

export interface RefusedFile {
  readonly path: string;
  readonly uri: string;
  readonly problem: Problem;
}

export interface RunPool {
  readonly lifetime: PoolLifetime;
  readonly vmSize: string;
  readonly dedicatedNodes: number;
  readonly spotNodes: number;
  readonly slotsPerNode: number;
}

/** `run`: an auto pool that goes with its job. `scaleToZero`: kept, no nodes when idle. `keep`: as it is. */
export type PoolLifetime = 'run' | 'scaleToZero' | 'keep';

export interface Limits {
  readonly monitorMinutes: number;
  readonly taskMinutes: number;
  /** When the service ends the job whatever happens; SAS live a little longer. */
  readonly jobMinutes: number;
  readonly retries: number;
}

export interface Attempt {
  readonly jobId: string;
  readonly inputContainer: string;
  /** ISO 8601. */
  readonly created: string;
  /** Undefined until it is chosen, and for an auto pool. */
  poolId?: string;
  /** Ids of the files it transcodes. */
  readonly fileIds: readonly string[];
  /** ISO 8601: when the SAS of its tasks end. */
  sasExpiry: string;
  /** Set once all its tasks are in. */
  submitted?: { readonly at: string; readonly tasks: number };
}

/** One input: what it is, and every name it has on the way. */
export interface ManifestFile {
  /** Task id: `0001`, in the order of the selection. */
  readonly id: string;
  /** As people see it: the path in its workspace folder, with slashes. */
  readonly path: string;
  /** Where it was when the run started. */
  readonly uri: string;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
  /** What is uploaded of a film whose pictures the preset does not look at; undefined where it is the whole file. */
  readonly audioOnlyBytes?: number;
  /** `0001/clip.mp4`, escaped for Blob Storage. */
  readonly inputBlob: string;
  /** Name on the node: `input.mp4`, whatever the source is called. */
  readonly nodeInput: string;
  /** Batch's command line: ffmpeg and its arguments, no shell. */
  readonly commandLine: string;
  readonly output: ManifestOutput;
  /** Length of the track that the output must match, if it could be told. */
  readonly seconds?: number;
}

export interface ManifestOutput {
  /** On the node, relative to the working directory: `output.mp3`, or the folder `output`. */
  readonly nodePath: string;
  /** In the output container: `0001/clip.mp3`; for a folder the prefix that its blobs share (`0001/clip`). */
  readonly blob: string;
  readonly isFolder: boolean;
  /** Beside the source: `clip.mp3`, or the folder `clip`. Valid on every file system. */
  readonly name: string;
  /** `audio` or `video`: the track whose length proves it complete; `none`: being there is enough. */
  readonly proof: 'audio' | 'video' | 'none';
}

/** How one file ended, as the run reports it and as it is kept for the run's report. */
export interface FileResult {
  readonly id: string;
  readonly problem?: Problem;
  /** URI of the fetched file or folder. */
  readonly outputUri?: string;
  readonly outputBytes?: number;
  readonly outputSeconds?: number;
  readonly node?: string;
  readonly retries?: number;
  readonly startTime?: string;
  readonly endTime?: string;
}

/** The attempt that is live: the last. */
export function attemptOf({ attempts }: Manifest): Attempt {
  const last = attempts.at(-1);
  if (last === undefined) throw new Error('A manifest has at least one attempt.');
  return last;
}

/**
 * What is uploaded of a file in the live attempt. A retry, which has an input container of its own, gets all of it: should
 * what was left out have been missed, that is the remedy.
 */
export function toUpload(
  { attempts }: Pick<Manifest, 'attempts'>,
  { size, audioOnlyBytes }: ManifestFile,
): { bytes: number; audioOnly: boolean } {
  const isRetry = attempts.at(-1)?.inputContainer !== attempts[0]?.inputContainer;
  const audioOnly = !isRetry && audioOnlyBytes !== undefined;
  return { bytes: audioOnly ? audioOnlyBytes : size, audioOnly };
}

/** Minutes that a SAS outlives its job: outputs are uploaded after the task. */
const sasSlackMinutes = 30;

/**
 * A submission of these files, with names that were never used: Azure refuses the name of a container for a while
 * after it was deleted.
 */
export function newAttempt(
  { runId, attempts, limits }: Pick<Manifest, 'runId' | 'attempts' | 'limits'>,
  fileIds: readonly string[],
  now = new Date(),
): Attempt {
  const number = attempts.length + 1;
  const suffix = number === 1 ? '' : `-${number}`;
  return {
    jobId: `transcode-${runId}${suffix}`,
    inputContainer: `transcode-${runId}-input${suffix}`,
    created: now.toISOString(),
    fileIds,
    sasExpiry: sasExpiryFor(limits, now),
  };
}

/** When the SAS of a submission made now ends. ISO 8601. */
export function sasExpiryFor({ jobMinutes }: Limits, now = new Date()): string {
  return new Date(now.getTime() + (jobMinutes + sasSlackMinutes) * 60_000).toISOString();
}

/** `20261125-074718-k3x9qz` */
export function newRunId(now = new Date(), random = Math.random): string {
  const stamp = now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  const tail = Array.from(
    { length: 6 },
    () => 'abcdefghijkmnpqrstuvwxyz23456789'[Math.floor(random() * 32)],
  ).join('');
  return `${stamp}-${tail}`;
}

export function outputContainerOf(runId: string): string {
  return `transcode-${runId}-output`;
}
