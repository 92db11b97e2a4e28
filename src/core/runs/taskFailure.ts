import type { Batch, Node, Pool, Task } from '../azure/batch';
import type { Problem } from '../errors';
import type { Attempt, ManifestFile } from '../plan/manifest';

/** Bytes at the end of a log that are read to find the line that tells. */
const tailBytes = 32 * 1024;

/**
 * Why the task of a file did not succeed, from what the service says of it and, where ffmpeg itself failed, from its
 * stderr. `readStderr` gives the end of that log, from the node or from where it was uploaded to.
 * Codes: https://learn.microsoft.com/rest/api/batchservice/task/get and batch-job-task-error-checking.
 */
export async function taskProblem(
  task: Pick<Task, 'executionInfo'>,
  file: ManifestFile,
  attempt: Attempt,
  taskMinutes: number,
  readStderr: () => Promise<string>,
): Promise<Problem | undefined> {
  const info = task.executionInfo;
  if (info === undefined || info.result?.toLowerCase() === 'success') return undefined;
  const code = info.failureInfo?.code ?? 'Unknown';
  const detail = detailOf(info.failureInfo);
  const { path } = file;
  if (/^FileUpload/.test(code)) return { kind: 'outputNotUploaded', file: path, code, detail };
  if (/Blob|ResourceFile|ResourceContainer|HttpUrl|ScriptDownload/i.test(code)) {
    const expiry = Date.parse(attempt.sasExpiry);
    const ended = info.endTime?.getTime() ?? Date.now();
    if (ended >= expiry) return { kind: 'inputExpired', file: path };
    return { kind: 'inputNotReachable', file: path, code, detail };
  }
  if (code === 'TaskEnded') {
    const ranMinutes = info.startTime && info.endTime ? (+info.endTime - +info.startTime) / 60_000 : 0;
    return ranMinutes >= taskMinutes - 0.05
      ? { kind: 'timeLimit', file: path, minutes: taskMinutes }
      : { kind: 'ended', file: path };
  }
  if (code === 'FailureExitCode' || (info.exitCode !== undefined && info.exitCode !== 0)) {
    const line = tellingLine(await readStderr().catch(() => ''));
    return { kind: 'transcodeFailed', file: path, exitCode: info.exitCode, line };
  }
  return { kind: 'taskFailed', file: path, code, detail };
}

interface FailureInfo {
  readonly message?: string;
  readonly details?: readonly { readonly name?: string; readonly value?: string }[];
}

function detailOf(info: FailureInfo | undefined): string | undefined {
  const details = (info?.details ?? []).map(({ name, value }) => `${name}: ${maskSas(value ?? '')}`);
  return [maskSas(info?.message ?? ''), ...details].filter(Boolean).join(' · ') || undefined;
}

/** A SAS without its signature: Batch quotes whole URLs in what it says of a failed transfer. */
export function maskSas(text: string): string {
  return text.replace(/(\bsig=)[^&\s"']+/gi, '$1***');
}

/** What ffmpeg and apt say when all is lost, the most telling first. */
const telling = [
  /moov atom not found/i,
  /no space left on device/i,
  /invalid data found when processing input/i,
  /(unknown|unrecognized) (encoder|decoder|option)|option .* not found|encoder .* not found/i,
  /does not contain any stream|matches no streams/i,
  /unable to (locate|fetch|correct|lock|acquire)|could not (get lock|resolve|connect)/i,
  /permission denied|no such file or directory|cannot allocate memory|killed/i,
  /\berror\b|\bfailed\b|\binvalid\b|^E: /i,
];

/** The line of a log that says why: not the banner, not the last "Conversion failed!". Undefined for an empty log. */
export function tellingLine(log: string): string | undefined {
  const lines = log
    .split(/[\r\n]+/)
    .map((line) => line.replace(/^(\[[^\]]* @ 0x[0-9a-f]+\] ?)+/i, '').trim())
    .filter((line) => line !== '' && !/^conversion failed!$/i.test(line));
  for (const pattern of telling) {
    const line = lines.findLast((candidate) => pattern.test(candidate));
    if (line !== undefined) return line.slice(0, 300);
  }
  return lines.at(-1)?.slice(0, 300);
}

/** The end of a log that lies with a task or on a node; empty when there is none. */
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

/** Why a node's start task failed, with the line of its stderr that tells. */
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
    line: tellingLine(log) ?? detailOf(node.startTaskInfo?.failureInfo),
  };
}

/** Resize errors that more waiting does not heal. https://learn.microsoft.com/azure/batch/batch-pool-node-error-checking */
const quotaCodes: Record<string, 'spotCores' | 'dedicatedCores'> = {
  AccountCoreQuotaReached: 'dedicatedCores',
  AccountVMSeriesCoreQuotaReached: 'dedicatedCores',
  AccountLowPriorityCoreQuotaReached: 'spotCores',
  AccountSpotCoreQuotaReached: 'spotCores',
};

/**
 * Why a pool did not get its nodes, from errors of resizes since `since`: older ones are another day's
 * (https://github.com/microsoft/ga4gh-tes/issues/409).
 */
export function resizeProblem(pool: Pool, since: Date): Problem | undefined {
  const { resizeErrors, allocationStateTransitionTime: when, id = '' } = pool;
  const [error] = resizeErrors ?? [];
  if (error?.code === undefined || (when !== undefined && when < since)) return undefined;
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
