import { endedBy, isAbort, type Problem, UserError } from '../errors';
import { maskSas } from '../log';
import type { Job } from './batchTypes';
import {
  clockSkewMinutes,
  isCertificateCode,
  isNetworkCode,
  isThrottled,
  type RetryPolicy,
  type ServiceFailure,
  safeCause,
  withRetries,
} from './retry';

export interface CallOptions {
  /** Name of the operation, as messages show it: `add pool`. */
  readonly operation: string;
  /** Id of the resource that the operation is about. */
  readonly resource?: string;
  readonly signal?: AbortSignal;
}

/** The members of ms-rest-js's RestError that are read. Its request holds a signature: it is never stored or logged. */
interface RestFailure extends ServiceFailure {
  message?: unknown;
  body?: { code?: string; message?: { value?: string }; values?: { key?: string; value?: string }[] };
}

/**
 * Calls Batch with the retries of `withRetries`. Throws a UserError for everything that the service or the network
 * answers or a time limit of the signal cuts off, and the signal's reason when aborted.
 */
export async function callBatch<T>(
  host: string,
  { operation, resource, signal }: CallOptions,
  policy: RetryPolicy,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  try {
    return await withRetries(call, policy, signal);
  } catch (error) {
    if (signal?.aborted) throw endedBy(signal.reason, host);
    if (isAbort(error) || error instanceof UserError) throw error;
    const problem = problemOf(error as RestFailure, host, operation, resource);
    if (problem === undefined) throw error;
    throw new UserError(problem, { cause: safeCause(error, detailOf(error as RestFailure)) });
  }
}

/** Answers to what needs a job that can run tasks: it has ended, is about to, or does not exist. */
export const endedJobCodes = ['JobNotFound', 'JobCompleted', 'JobBeingTerminated', 'JobBeingDeleted'];

/** Whether the tasks of a job can no longer run. A disabled job can be enabled again. */
export function hasEnded({ state }: Pick<Job, 'state'>): boolean {
  return state === 'terminating' || state === 'completed' || state === 'deleting';
}

/** Whether a UserError is Batch's answer with one of these codes (`PoolExists`, `JobNotFound`). */
export function isBatchCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof UserError && error.problem.kind === 'service' && codes.includes(error.problem.code);
}

function problemOf(
  error: RestFailure,
  host: string,
  operation: string,
  resource: string | undefined,
): Problem | undefined {
  const { statusCode: status, body } = error;
  const code = body?.code ?? error.code ?? (status === undefined ? undefined : `HTTP ${status}`);
  if (code === undefined) return undefined;
  if (status === undefined) {
    if (isCertificateCode(code)) return { kind: 'certificate', host, code };
    return isNetworkCode(code)
      ? { kind: 'unreachable', host, code, detail: cleanText(error.message) }
      : undefined;
  }
  if (status === 401 || status === 403) {
    const minutes = clockSkewMinutes(error.response?.headers?.get('date'));
    if (minutes !== undefined) return { kind: 'clockSkew', minutes };
    return { kind: 'unauthorized', account: host, service: 'batch', code, detail: detailOf(error) };
  }
  if (isThrottled(error, code)) return { kind: 'throttled', service: 'batch' };
  return {
    kind: 'service',
    service: 'batch',
    operation,
    resource,
    status,
    code,
    detail: detailOf(error),
    requestId: error.response?.headers?.get('request-id'),
  };
}

function detailOf({ body, message }: RestFailure): string | undefined {
  const sentence = cleanText(body?.message?.value ?? message);
  const values = (body?.values ?? []).map(({ key, value }) => `${key}: ${maskSas(value ?? '')}`);
  return [sentence, ...values].filter(Boolean).join(' · ') || undefined;
}

/** Batch ends each message with two lines, `RequestId:` and `Time:`. */
function cleanText(message: unknown): string | undefined {
  return typeof message === 'string'
    ? maskSas(message.replace(/\n(RequestId|Time):.*/g, '').trim())
    : undefined;
}
