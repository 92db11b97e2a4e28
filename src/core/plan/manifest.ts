import type { Problem } from '../errors';
import type { Preset } from '../presets/preset';
import { type SplitFile, splitBytes, taskCount } from './pieces';

/** How far a run goes: one for each of the commands Upload, Submit and Transcode. */
export type Until = 'uploaded' | 'submitted' | 'fetched';

/**
 * A run, as the blob `manifest.json` of its output container holds it: all that any window on any machine needs to
 * continue the run. JSON, without secrets, SAS or host paths other than the URIs of the sources.
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
  /** What to do with an output whose name is taken, unless the file says that it is replaced. */
  readonly onConflict: 'rename' | 'overwrite';
  /** A retry adds the refused files that were repaired. */
  files: readonly ManifestFile[];
  /** Files that were chosen but cannot be transcoded, with the reason. */
  refused: readonly RefusedFile[];
  /** The first submission and one more for each retry. A file belongs to the last attempt that names it. */
  attempts: Attempt[];
  /** How far the user wants the run to go: it never goes further unasked. Default: `fetched`. */
  goal?: Until;
  /** ISO 8601. Set when the user canceled the run: nothing is submitted until the user retries or submits it. */
  canceled?: string;
  /** ISO 8601. Set when every file has a result and the input containers are deleted. */
  finished?: string;
  /** What the run was expected to take when it was planned. */
  readonly expected?: ExpectedUse;
  /** Hours of all nodes together, over all windows that watched to the end. */
  nodeHours?: number;
  /** Those of them that are of dedicated nodes. Undefined in manifests of earlier versions. */
  dedicatedNodeHours?: number;
}

/** Time and nodes that a run uses. */
export interface ExpectedUse {
  readonly minutes: number;
  readonly nodeHours: number;
  /** In `currency` (ISO 4217); undefined where prices were unknown. */
  readonly cost?: number;
  readonly currency?: string;
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
  /** Resource ID of the subnet that its nodes are in; undefined for a network of their own. */
  readonly subnetId?: string;
}

/** `run`: an auto pool that is deleted with its job. `scaleToZero`: kept, without nodes when idle. `keep`: kept with its nodes. */
export type PoolLifetime = 'run' | 'scaleToZero' | 'keep';

export interface Limits {
  readonly monitorMinutes: number;
  readonly taskMinutes: number;
  /** The service ends the job this long after its last task was added. */
  readonly jobMinutes: number;
  readonly retries: number;
}

export interface Attempt {
  readonly jobId: string;
  readonly inputContainer: string;
  /** ISO 8601. By the clock of this machine until its job exists, then by the clock of the service. */
  created: string;
  /** Undefined until a pool is chosen, and for an auto pool. */
  poolId?: string;
  /** Ids of the files it transcodes. */
  readonly fileIds: readonly string[];
  /** ISO 8601: when the first SAS of its tasks expires. Before tasks are added, when a SAS made at its creation would. */
  sasExpiry: string;
  /** Set once its job exists: one that does not exist later was deleted. Undefined in manifests of earlier versions. */
  hasJob?: boolean;
  /** Set once all its tasks have been added. */
  submitted?: { readonly at: string; readonly tasks: number };
}

/** One input: what it is, and every name it has on the way. */
export interface ManifestFile {
  /** Task id: `0001`, in the order of the selection. */
  readonly id: string;
  /** As it is shown: the path in its workspace folder, with slashes. */
  readonly path: string;
  /** Where it was when the run started. */
  readonly uri: string;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
  /** Bytes to upload if only the audio is; undefined if the whole file is. */
  readonly audioOnlyBytes?: number;
  /** `0001/clip.mp4`, escaped for Blob Storage. */
  readonly inputBlob: string;
  /** Name on the node: `input.mp4`, whatever the name of the source. */
  readonly nodeInput: string;
  /** Batch's command line: ffmpeg and its arguments, no shell. For a split file, the one that joins its parts. */
  readonly commandLine: string;
  /** Set if the file is transcoded in parts, and joined by the task of the file. */
  readonly split?: SplitFile;
  readonly output: ManifestOutput;
  /** The user agreed to replace the output that existed when the run was started. */
  readonly replacesOutput?: boolean;
  /** Length of the track that the output must match, if it is known. */
  readonly seconds?: number;
  /** Pixels of a displayed picture of the source, if its video is used and that is known. */
  readonly pixels?: number;
}

export interface ManifestOutput {
  /** On the node, relative to the working directory: `output.mp3`, or the folder `output`. */
  readonly nodePath: string;
  /** In the output container: `0001/clip.mp3`; for a folder the prefix that its blobs share (`0001/clip`). */
  readonly blob: string;
  readonly isFolder: boolean;
  /** The files of the folder go beside the source, each with the output's name in front: `clip.eng.srt`. */
  readonly isBeside?: boolean;
  /** `clip.mp3`, or the folder `clip`. Valid on every file system. */
  readonly name: string;
  /** URI of the folder that it is saved in, with a slash at its end; undefined for the folder of the source. */
  readonly folder?: string;
  /** `audio` or `video`: the track whose length proves the output complete. `none`: an output that exists is enough. */
  readonly proof: 'audio' | 'video' | 'none';
}

/** When and where a task ran. */
export interface TaskRun {
  readonly node?: string;
  readonly retries?: number;
  /** By the clock of the service. ISO 8601. */
  readonly startTime?: string;
  readonly endTime?: string;
}

/** All tasks of a file: one, or for a split file one for each piece and the join. */
export function taskRunsOf({ node, retries, startTime, endTime, pieces = [] }: FileResult): TaskRun[] {
  return [...pieces, { node, retries, startTime, endTime }];
}

/** How long the tasks of a file took together, in seconds; undefined if that isn't known. */
export function taskSecondsOf(result: FileResult): number | undefined {
  const known = taskRunsOf(result).flatMap(({ startTime, endTime }) =>
    startTime && endTime ? (Date.parse(endTime) - Date.parse(startTime)) / 1000 : [],
  );
  return known.length > 0 ? known.reduce((sum, seconds) => sum + seconds, 0) : undefined;
}

/** The result of one file, as the run reports it and as `results.json` of its output container holds it. */
export interface FileResult extends TaskRun {
  readonly id: string;
  readonly problem?: Problem;
  /** What failed, if something did. A failed download can be repeated without another transcode. */
  readonly failedAt?: 'upload' | 'task' | 'download';
  /** URI of the fetched file or folder. */
  readonly outputUri?: string;
  readonly outputBytes?: number;
  readonly outputSeconds?: number;
  /** Of a split file: the tasks of its pieces, which ran before the file's own task joined them. */
  readonly pieces?: readonly TaskRun[];
  /** By the clock of the service; undefined where another process did it. */
  readonly uploaded?: TimeSpan;
  readonly fetched?: TimeSpan;
}

/** ISO 8601. */
export interface TimeSpan {
  readonly start: string;
  readonly end: string;
}

/** From two times in milliseconds since 1970. */
export function timeSpan(start: number, end: number): TimeSpan {
  return { start: new Date(start).toISOString(), end: new Date(end).toISOString() };
}

/** Whether all tasks of a run have been added. */
export function isSubmitted({ attempts }: Pick<Manifest, 'attempts'>): boolean {
  return attempts.every(({ submitted }) => submitted !== undefined);
}

/** The last attempt. */
export function attemptOf({ attempts }: Manifest): Attempt {
  const last = attempts.at(-1);
  if (last === undefined) throw new Error('A manifest has at least one attempt.');
  return last;
}

/**
 * How much of a file an attempt (the last one unless given) uploads. A retry with an input container of its own uploads
 * the whole file, in case the task failed for want of what was left out.
 */
export function toUpload(
  { attempts }: Pick<Manifest, 'attempts'>,
  { size, audioOnlyBytes, split }: ManifestFile,
  attempt = attempts.at(-1),
): { bytes: number; audioOnly: boolean } {
  if (split) return { bytes: splitBytes(split), audioOnly: false };
  const isRetry = attempt?.inputContainer !== attempts[0]?.inputContainer;
  const audioOnly = !isRetry && audioOnlyBytes !== undefined;
  return { bytes: audioOnly ? audioOnlyBytes : size, audioOnly };
}

/** Tasks of all files of a run: one for each, more for split files. */
export function tasksOf({ files }: Pick<Manifest, 'files'>): number {
  return files.reduce((sum, file) => sum + taskCount(file), 0);
}

/** Tasks of an attempt: one for each of its files, more for split files. */
export function tasksOfAttempt({ files }: Pick<Manifest, 'files'>, { fileIds }: Attempt): number {
  const ids = new Set(fileIds);
  return tasksOf({ files: files.filter(({ id }) => ids.has(id)) });
}

/** Minutes that a SAS outlives its job, for outputs that are uploaded after their task. */
const sasSlackMinutes = 30;

/**
 * Makes a new attempt for these files, under names that were never used: Azure refuses the name of a deleted container
 * for at least 30 seconds.
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

/** When a SAS made now must expire, for a job whose last task is added now. ISO 8601. */
export function sasExpiryFor({ jobMinutes }: Limits, now = new Date()): string {
  return new Date(now.getTime() + (jobMinutes + sasSlackMinutes) * 60_000).toISOString();
}

export function outputContainerOf(runId: string): string {
  return `transcode-${runId}-output`;
}
