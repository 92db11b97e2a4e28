import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import pRetry from 'p-retry';
import { errorCode, isAbort } from '../errors';
import { type Log, noLog } from '../log';

/** Tells an observer that a call has to wait, so that users see "throttled" instead of no progress. */
export interface RetryNotice {
  readonly reason: 'throttled' | 'unreachable' | 'failing';
  readonly attempt: number;
  readonly waitMs: number;
}

export interface RetryPolicy {
  /** How long a call is retried, in milliseconds from its start; an attempt that timed out is always made once more. */
  readonly patienceMs: number;
  /** How long one attempt may take as a whole, in milliseconds, including an answer whose body never ends. */
  readonly attemptMs: number;
  readonly onRetry?: (notice: RetryNotice) => void;
  /** Called whenever a call succeeds, also one that was not retried. */
  readonly onSuccess?: () => void;
  /** Whether a failure is temporary although failures of its kind usually are not. It is retried without `onRetry`. */
  readonly canPass?: (error: unknown) => boolean;
  /** Drops a token that the service has refused: the call is made once more, with a new one. Undefined for keys. */
  readonly renew?: () => void;
  readonly log?: Log;
}

/** Batch gives up a request after 30 seconds (`timeout` of its REST API); the rest is for the transfer. */
export const defaultPolicy: RetryPolicy = { patienceMs: 20_000, attemptMs: 60_000 };

/** The members that the errors of both Azure SDK generations share. */
export interface ServiceFailure {
  readonly statusCode?: number;
  readonly code?: string;
  /** The parsed body of an error of Batch. */
  readonly body?: { readonly code?: string };
  readonly response?: { readonly headers?: { get(name: string): string | undefined } };
}

const transientStatus = new Set([408, 429, 500, 502, 503, 504]);

/** The code of both SDKs for a body that ends early or is neither JSON nor XML: an answer that was cut on its way. */
const parseError = 'PARSE_ERROR';

const transientCode = new Set([
  parseError,
  'REQUEST_SEND_ERROR',
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EPIPE',
  'EAI_AGAIN',
  'ENETDOWN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

const attempts = new AsyncLocalStorage<number>();

/** Number of the attempt that runs in this asynchronous context, from 1. */
export function currentAttempt(): number {
  return attempts.getStore() ?? 1;
}

/**
 * Calls again, after growing pauses, while a failure can pass by itself and patience lasts. Each attempt gets a signal of
 * its own and is abandoned after `attemptMs`, whether or not the call listens to the signal. Honors Retry-After: one that
 * outlasts the patience ends the call. An abort ends pauses at once, and attempts within two seconds if the call doesn't
 * listen to its signal, with the signal's reason. A refused token is renewed, once for each call.
 *
 * The retries of both SDKs are off: they do not retry 429 or a failed name lookup, wait for minutes after a 503, and one
 * of them cannot be aborted during a pause.
 */
export async function withRetries<T>(
  call: (signal: AbortSignal) => Promise<T>,
  { patienceMs, attemptMs, onRetry, onSuccess, canPass, renew, log = noLog }: RetryPolicy,
  signal: AbortSignal | undefined,
): Promise<T> {
  signal?.throwIfAborted();
  const started = performance.now();
  let isRepeated = false;
  let isRenewed = false;
  const result = await pRetry(
    (attempt) => attempts.run(attempt, () => withinLimit(call, attemptMs, signal)),
    {
      retries: Number.POSITIVE_INFINITY,
      minTimeout: 300,
      maxTimeout: 15_000,
      randomize: true,
      signal,
      shouldRetry: () => isRepeated,
      async onFailedAttempt({ error, attemptNumber: attempt }) {
        if (renew !== undefined && isRefused(error)) {
          renew();
          isRepeated = !isRenewed;
          isRenewed = true;
          return;
        }
        if (canPass?.(error)) {
          isRepeated = true;
          return;
        }
        const leftMs = patienceMs - (performance.now() - started);
        const waitMs = retryAfterMs(error);
        const isPatient = leftMs > 0 || (error instanceof AttemptTimeout && attempt < 2);
        isRepeated = isTransient(error) && isPatient && waitMs <= Math.max(leftMs, 0);
        if (!isTransient(error)) return;
        const reason = reasonOf(error);
        log.debug(`Attempt ${attempt} failed (${reason}, ${codeOf(error)}).`);
        onRetry?.({ reason, attempt, waitMs });
        if (isRepeated && waitMs > 0) await delay(waitMs, undefined, { signal });
      },
    },
  );
  onSuccess?.();
  return result;
}

/** How long an attempt that was told to end may take to do so before it is abandoned. */
const endingMs = 2_000;

class AttemptTimeout extends Error {
  readonly code = 'ETIMEDOUT';

  constructor(limitMs: number) {
    super(`no complete answer within ${limitMs / 1000} s`);
  }
}

/** Aborts an attempt when its time is over or the signal aborts, and does not wait long for it to end. */
async function withinLimit<T>(
  call: (signal: AbortSignal) => Promise<T>,
  limitMs: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  // The SDKs leave listeners on the signal they get, each of which keeps its answer: so it lives as long as the call.
  const own = new AbortController();
  const timers = new Set<NodeJS.Timeout>();
  let abandon: (reason: unknown) => void = () => undefined;
  const abandoned = new Promise<never>((_resolve, reject) => {
    abandon = reject;
  });
  const end = (reason: unknown) => {
    own.abort(reason);
    timers.add(setTimeout(() => abandon(reason), endingMs));
  };
  const abort = () => end(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort);
  timers.add(setTimeout(() => end(new AttemptTimeout(limitMs)), limitMs));
  try {
    return await Promise.race([call(own.signal), abandoned]);
  } catch (error) {
    if (own.signal.aborted) throw own.signal.reason;
    // The SDKs also say "aborted" when the other side closes the connection.
    throw isAbort(error) ? connectionCut(error) : error;
  } finally {
    for (const timer of timers) clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

/** The error of a connection that was reset, for a body that ended early. */
export function connectionCut(cause: unknown): Error {
  const message = cause instanceof Error ? cause.message : String(cause);
  return Object.assign(new Error(message, { cause }), { code: 'ECONNRESET' });
}

/** Whether a request got no answer for a reason that can pass by itself. */
export function isNetworkCode(code: string): boolean {
  return transientCode.has(code);
}

/** Whether this machine does not trust a certificate, by OpenSSL's codes (`SELF_SIGNED_CERT_IN_CHAIN`). */
export function isCertificateCode(code: string): boolean {
  return /CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO/.test(code);
}

/**
 * Minutes that this machine's clock is ahead of the service (negative: behind), if so many that signatures fail: Azure
 * accepts 15.
 */
export function clockSkewMinutes(dateHeader: string | undefined, now = Date.now()): number | undefined {
  const serviceTime = Date.parse(dateHeader ?? '');
  if (Number.isNaN(serviceTime)) return undefined;
  const minutes = Math.round((now - serviceTime) / 60_000);
  return Math.abs(minutes) >= 14 ? minutes : undefined;
}

/** An SDK's error as the cause of a UserError: without its request, which holds a signature, and with a safe message. */
export function safeCause(error: unknown, message: string | undefined): Error {
  const { name, stack = '' } = error instanceof Error ? error : new Error();
  const cause = Object.assign(new Error(message ?? name), { name, code: errorCode(error) });
  cause.stack = [
    `${name}: ${cause.message}`,
    ...stack.split('\n').filter((line) => /^\s+at /.test(line)),
  ].join('\n');
  return cause;
}

/** Refusals with status 503 that last half a minute and have their own callers that wait for them (`pools/poolSizes`). */
const waitedForByCallers = new Set(['TooManyEnableAutoScaleRequests', 'AutoScaleTooManyRequestsToEnable']);

/** Whether a service has refused the token or the signature of a request. */
function isRefused(error: unknown): boolean {
  return (error as ServiceFailure).statusCode === 401;
}

function isTransient(error: unknown): boolean {
  const { statusCode, body } = error as ServiceFailure;
  const code = errorCode(error) ?? '';
  if (waitedForByCallers.has(body?.code ?? code)) return false;
  if (code === parseError) return true;
  return statusCode === undefined ? isNetworkCode(code) : transientStatus.has(statusCode);
}

/** Whether a service refuses a request because it has too many, and says or means that it will take it later. */
export function isThrottled(error: ServiceFailure, code: string): boolean {
  const { statusCode } = error;
  if (statusCode === 429 || code === 'ServerBusy') return true;
  return statusCode === 503 && !waitedForByCallers.has(code) && retryAfterMs(error) > 0;
}

function reasonOf(error: unknown): RetryNotice['reason'] {
  const { statusCode } = error as ServiceFailure;
  if (statusCode === 429 || statusCode === 503) return 'throttled';
  return statusCode === undefined ? 'unreachable' : 'failing';
}

function codeOf(error: unknown): string {
  const { statusCode } = error as ServiceFailure;
  return [statusCode, errorCode(error)].filter((part) => part !== undefined).join(' ');
}

function retryAfterMs(error: unknown): number {
  const headers = (error as ServiceFailure).response?.headers;
  const text = headers?.get('retry-after');
  if (!text) return 0;
  const seconds = Number(text);
  // A date is in the service's time, which can differ from this machine's.
  const sent = Date.parse(headers?.get('date') ?? '') || Date.now();
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(text) - sent;
  return Math.max(ms, 0) || 0;
}
