import type { Batch, Node, Task } from '../azure/batch';
import type { Problem } from '../errors';
import type { ManifestFile } from '../plan/manifest';
import { failureIn } from './ffmpegFailure';
import { detailOf } from './poolFailure';

/** Bytes at the end of a log in which the line with the reason is looked for. */
const tailBytes = 32 * 1024;

/** What is read only for the kinds of failures that need it. */
export interface FailureSources {
  /** The end of ffmpeg's stderr, from the node or from the blob that it was uploaded to. */
  stderr(): Promise<string>;
  /** When the SAS that the task was given expires. */
  sasExpiry(): Promise<Date | undefined>;
}

/**
 * The reason why the task of a file did not succeed; undefined if it did.
 * Codes: https://learn.microsoft.com/rest/api/batchservice/task/get and batch-job-task-error-checking.
 */
export async function taskProblem(
  task: Pick<Task, 'executionInfo'>,
  file: ManifestFile,
  taskMinutes: number,
  sources: FailureSources,
): Promise<Problem | undefined> {
  const info = task.executionInfo;
  if (info === undefined || info.result?.toLowerCase() === 'success') return undefined;
  const code = info.failureInfo?.code ?? 'Unknown';
  const detail = detailOf(info.failureInfo);
  const { path } = file;
  if (/^FileUpload/.test(code)) return { kind: 'outputNotUploaded', file: path, code, detail };
  if (/Blob|ResourceFile|ResourceContainer|HttpUrl|ScriptDownload/i.test(code)) {
    const expiry = await sources.sasExpiry();
    if (expiry && info.endTime && info.endTime >= expiry) return { kind: 'inputExpired', file: path };
    return { kind: 'inputNotReachable', file: path, code, detail };
  }
  if (code === 'TaskEnded') {
    const ranMinutes = info.startTime && info.endTime ? (+info.endTime - +info.startTime) / 60_000 : 0;
    return ranMinutes >= taskMinutes - 0.05
      ? { kind: 'timeLimit', file: path, minutes: taskMinutes }
      : { kind: 'ended', file: path };
  }
  if (code === 'FailureExitCode' || (info.exitCode !== undefined && info.exitCode !== 0)) {
    return {
      kind: 'transcodeFailed',
      file: path,
      exitCode: info.exitCode,
      ...failureIn(await sources.stderr()),
    };
  }
  return { kind: 'taskFailed', file: path, code, detail };
}

/** Reads the end of a log of a task or a node. Empty if there is none. */
export async function readTail(
  batch: Batch,
  place: Parameters<Batch['readFile']>[0],
  path: string,
  signal: AbortSignal,
): Promise<string> {
  const properties = await batch.fileProperties(place, path, signal);
  if (properties === undefined) return '';
  const from = Math.max(0, properties.size - tailBytes);
  return Buffer.from(await batch.readFile(place, path, from, tailBytes, signal)).toString('utf8');
}

/** The reason why a node's start task failed, with the line of its stderr that says so. */
export async function startTaskProblem(
  batch: Batch,
  poolId: string,
  node: Node,
  signal: AbortSignal,
): Promise<Problem> {
  const nodeId = node.id ?? '';
  const log = await readTail(batch, { poolId, nodeId }, 'startup/stderr.txt', signal).catch(() => '');
  return {
    kind: 'startTaskFailed',
    pool: poolId,
    node: nodeId,
    exitCode: node.startTaskInfo?.exitCode,
    line: detailOf(node.startTaskInfo?.failureInfo),
    ...failureIn(log),
  };
}
