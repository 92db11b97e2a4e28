import type { Batch, Job, Node, Pool, Task } from '../azure/batch';
import type { Problem } from '../errors';
import type { ManifestFile } from '../plan/manifest';
import { failureIn } from './ffmpegFailure';

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

/**
 * The reason why the service did not schedule a job, usually because it could not create its auto pool; undefined if there
 * is none. Codes: https://learn.microsoft.com/rest/api/batchservice/batch-status-and-error-codes.
 */
export function schedulingProblem({ id = '', executionInfo }: Job): Problem | undefined {
  const error = executionInfo?.schedulingError;
  if (error === undefined) return undefined;
  const { code = 'Unknown', message, details } = error;
  return /Quota/i.test(code)
    ? { kind: 'quota', what: 'pools' }
    : { kind: 'jobNotScheduled', job: id, code, detail: detailOf({ message, details }) };
}

interface FailureInfo {
  readonly message?: string;
  readonly details?: readonly { readonly name?: string; readonly value?: string }[];
}

function detailOf(info: FailureInfo | undefined): string | undefined {
  const details = (info?.details ?? []).map(({ name, value }) => `${name}: ${maskSas(value ?? '')}`);
  return [maskSas(info?.message ?? ''), ...details].filter(Boolean).join(' · ') || undefined;
}

/** Removes the signatures of SAS: Batch quotes whole URLs in the message of a failed transfer. */
export function maskSas(text: string): string {
  return text.replace(/(\bsig=)[^&\s"']+/gi, '$1***');
}

/** The line of a log with the reason of a failure; undefined for an empty log. */
export function tellingLine(log: string): string | undefined {
  return failureIn(log)?.line;
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

/** Resize errors that waiting does not end. https://learn.microsoft.com/azure/batch/batch-pool-node-error-checking */
const quotaCodes: Record<string, 'spotCores' | 'dedicatedCores'> = {
  AccountCoreQuotaReached: 'dedicatedCores',
  AccountVMSeriesCoreQuotaReached: 'dedicatedCores',
  AccountLowPriorityCoreQuotaReached: 'spotCores',
  AccountSpotCoreQuotaReached: 'spotCores',
};

/**
 * The reason why a pool did not get its nodes, a quota before anything else, from errors of resizes since `since`: older
 * ones belong to other runs (https://github.com/microsoft/ga4gh-tes/issues/409).
 */
export function resizeProblem(pool: Pool, since: Date): Problem | undefined {
  const { resizeErrors = [], allocationStateTransitionTime: when, id = '' } = pool;
  if (when !== undefined && when < since) return undefined;
  const error = resizeErrors.find(({ code = '' }) => code in quotaCodes) ?? resizeErrors[0];
  if (error?.code === undefined) return undefined;
  const what = quotaCodes[error.code];
  return what
    ? { kind: 'quota', what }
    : {
        kind: 'resizeFailed',
        pool: id,
        code: error.code,
        detail: detailOf({ message: error.message, details: error.values }),
      };
}
