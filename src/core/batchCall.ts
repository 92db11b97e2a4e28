import { setTimeout as delay } from 'node:timers/promises';
import pRetry from 'p-retry';
import { errorCode, isAbort, type Problem, UserError } from './errors';

/** Told to whoever watches when calls have to wait, so that a person sees "throttled" rather than nothing. */
export interface RetryNotice {
  readonly reason: 'throttled' | 'unreachable' | 'failing';
  readonly attempt: number;
  readonly waitMs: number;
}

export interface CallOptions {
  /** What was called, as it may be shown: `add pool`. */
  readonly operation: string;
  /** Id of the resource it was called on. */
  readonly resource?: string;
  readonly signal?: AbortSignal;
}

export interface RetryPolicy {
  /** How long a call may go on being retried, in milliseconds. */
  readonly patienceMs: number;
  readonly onRetry?: (notice: RetryNotice) => void;
}

/** The part of ms-rest-js's RestError that we read. Its request, which holds a signature, is never kept or logged. */
interface RestFailure {
  statusCode?: number;
  code?: string;
  message?: unknown;
  body?: { code?: string; message?: { value?: string }; values?: { key?: string; value?: string }[] };
  response?: { headers?: { get(name: string): string | undefined } };
}

const transientStatus = new Set([408, 429, 500, 502, 503, 504]);
const transientCode = new Set([
  'REQUEST_SEND_ERROR',
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EPIPE',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

/**
 * Calls Batch with retries of our own: the package's retry 503 after 34 s, 429 never, and cannot be aborted while
 * they wait. Throws UserError for everything the service or the network says, and an AbortError when aborted.
 */
export async function callBatch<T>(
  host: string,
  { operation, resource, signal }: CallOptions,
  { patienceMs, onRetry }: RetryPolicy,
  call: () => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  try {
    return await pRetry(call, {
      retries: 1000,
      minTimeout: 300,
      maxTimeout: 15_000,
      randomize: true,
      maxRetryTime: patienceMs,
      signal,
      shouldRetry: ({ error }) => isTransient(error),
      async onFailedAttempt({ error, attemptNumber }) {
        if (!isTransient(error)) return;
        const waitMs = retryAfterMs(error);
        onRetry?.({ reason: reasonOf(error), attempt: attemptNumber, waitMs });
        if (waitMs > 0 && waitMs < patienceMs) await delay(waitMs, undefined, { signal });
      },
    });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (isAbort(error) || error instanceof UserError) throw error;
    const problem = problemOf(error as RestFailure, host, operation, resource);
    if (problem === undefined) throw error;
    throw new UserError(problem);
  }
}

/** Whether a UserError is Batch's answer with one of these codes (`PoolExists`, `JobNotFound`). */
export function isBatchCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof UserError && error.problem.kind === 'service' && codes.includes(error.problem.code);
}

function isTransient(error: unknown): boolean {
  const { statusCode } = error as RestFailure;
  if (statusCode !== undefined) return transientStatus.has(statusCode);
  return transientCode.has(errorCode(error) ?? '');
}

function reasonOf(error: unknown): RetryNotice['reason'] {
  const { statusCode } = error as RestFailure;
  if (statusCode === 429 || statusCode === 503) return 'throttled';
  return statusCode === undefined ? 'unreachable' : 'failing';
}

function retryAfterMs(error: unknown): number {
  const text = (error as RestFailure).response?.headers?.get('retry-after');
  if (!text) return 0;
  const seconds = Number(text);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(text) - Date.now();
  return Math.min(Math.max(ms, 0) || 0, 120_000);
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
    if (/CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO/.test(code)) return { kind: 'certificate', host, code };
    return transientCode.has(code)
      ? { kind: 'unreachable', host, code, detail: cleanText(error.message) }
      : undefined;
  }
  if (status === 401 || status === 403) {
    const minutes = clockSkewMinutes(error.response?.headers?.get('date'));
    if (minutes !== undefined) return { kind: 'clockSkew', minutes };
    return { kind: 'unauthorized', account: host, service: 'batch', code, detail: detailOf(error) };
  }
  if (status === 429 || code === 'ServerBusy') return { kind: 'throttled', service: 'batch' };
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

/** Minutes that this machine's clock is ahead of the service (negative: behind), if so far that signatures fail: Batch allows 15. */
export function clockSkewMinutes(dateHeader: string | undefined, now = Date.now()): number | undefined {
  const theirs = Date.parse(dateHeader ?? '');
  if (Number.isNaN(theirs)) return undefined;
  const minutes = Math.round((now - theirs) / 60_000);
  return Math.abs(minutes) >= 14 ? minutes : undefined;
}

function detailOf({ body, message }: RestFailure): string | undefined {
  const sentence = cleanText(body?.message?.value ?? message);
  const values = (body?.values ?? []).map(({ key, value }) => `${key}: ${value}`);
  return [sentence, ...values].filter(Boolean).join(' · ') || undefined;
}

/** Batch ends each message with two lines, `RequestId:` and `Time:`. */
function cleanText(message: unknown): string | undefined {
  return typeof message === 'string' ? message.replace(/\n(RequestId|Time):.*/g, '').trim() : undefined;
}
