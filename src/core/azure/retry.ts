import { setTimeout as delay } from 'node:timers/promises';
import pRetry from 'p-retry';
import { errorCode } from '../errors';

/** Told to whoever watches when calls have to wait, so that a person sees "throttled" rather than nothing. */
export interface RetryNotice {
  readonly reason: 'throttled' | 'unreachable' | 'failing';
  readonly attempt: number;
  readonly waitMs: number;
}

export interface RetryPolicy {
  /** How long a call may go on being retried, in milliseconds. */
  readonly patienceMs: number;
  readonly onRetry?: (notice: RetryNotice) => void;
}

/** What the errors of both Azure SDK generations have in common. */
export interface ServiceFailure {
  readonly statusCode?: number;
  readonly code?: string;
  readonly response?: { readonly headers?: { get(name: string): string | undefined } };
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
  'ENETDOWN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

/** Longest pause that a service's Retry-After can ask for. */
const longestWaitMs = 120_000;

/**
 * Calls again, after growing pauses, while what fails may pass by itself and patience lasts. Honours Retry-After, and
 * an abort ends a pause at once. Both SDKs' own retries are switched off for it: they do not retry 429 or a lost name
 * server, wait for minutes on 503, and one of them cannot be aborted meanwhile.
 */
export async function withRetries<T>(
  call: () => Promise<T>,
  { patienceMs, onRetry }: RetryPolicy,
  signal: AbortSignal | undefined,
): Promise<T> {
  signal?.throwIfAborted();
  return pRetry(call, {
    retries: Number.POSITIVE_INFINITY,
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
}

/** No answer, for a reason that may pass by itself. */
export function isNetworkCode(code: string): boolean {
  return transientCode.has(code);
}

/** A certificate that this machine does not trust, by OpenSSL's codes (`SELF_SIGNED_CERT_IN_CHAIN`). */
export function isCertificateCode(code: string): boolean {
  return /CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO/.test(code);
}

/**
 * Minutes that this machine's clock is ahead of the service (negative: behind), if so far that signatures fail: Azure
 * allows 15.
 */
export function clockSkewMinutes(dateHeader: string | undefined, now = Date.now()): number | undefined {
  const theirs = Date.parse(dateHeader ?? '');
  if (Number.isNaN(theirs)) return undefined;
  const minutes = Math.round((now - theirs) / 60_000);
  return Math.abs(minutes) >= 14 ? minutes : undefined;
}

function isTransient(error: unknown): boolean {
  const { statusCode } = error as ServiceFailure;
  if (statusCode !== undefined) return transientStatus.has(statusCode);
  return isNetworkCode(errorCode(error) ?? '');
}

function reasonOf(error: unknown): RetryNotice['reason'] {
  const { statusCode } = error as ServiceFailure;
  if (statusCode === 429 || statusCode === 503) return 'throttled';
  return statusCode === undefined ? 'unreachable' : 'failing';
}

function retryAfterMs(error: unknown): number {
  const text = (error as ServiceFailure).response?.headers?.get('retry-after');
  if (!text) return 0;
  const seconds = Number(text);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(text) - Date.now();
  return Math.min(Math.max(ms, 0) || 0, longestWaitMs);
}
