import { RestError } from '@azure/storage-blob';
import { endedBy, errorCode, type Problem, UserError } from '../errors';
import { maskSas } from '../log';
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

export interface StorageCall {
  /** Name of the operation, as messages show it: `create container`. */
  readonly operation: string;
  /** Name of the container or blob that the operation is about. */
  readonly resource: string;
  /** Bytes that are sent or received: an attempt at a large block may take longer. */
  readonly bytes?: number;
  readonly signal?: AbortSignal;
}

/** When a blob is written only on a condition. */
export interface WriteOptions {
  readonly ifMatch?: string;
  readonly ifNoneMatch?: string;
  readonly leaseId?: string;
  readonly signal: AbortSignal;
}

/** The slowest transfer that is waited for; a connection that moves nothing at all is closed much earlier. */
const minBytesPerSecond = 4 * 1024;

/**
 * Calls Storage with the retries of `withRetries`. Throws a UserError for everything that the service or the network
 * answers or a time limit of the signal cuts off, and the signal's reason when aborted.
 */
export async function callStorage<T>(
  host: string,
  call: StorageCall,
  policy: RetryPolicy,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const attemptMs = policy.attemptMs + ((call.bytes ?? 0) / minBytesPerSecond) * 1000;
  try {
    return await withRetries(attempt, { ...policy, attemptMs }, call.signal);
  } catch (error) {
    if (call.signal?.aborted) throw endedBy(call.signal.reason, host);
    const problem = problemOf(error, host, call);
    if (problem === undefined) throw error;
    throw new UserError(problem, { cause: safeCause(error, firstLine(error as Error)) });
  }
}

/** Whether a UserError is Storage's answer with one of these codes (`ContainerNotFound`) or statuses (`HTTP 404`). */
export function isStorageCode(error: unknown, ...codes: string[]): boolean {
  if (!(error instanceof UserError) || error.problem.kind !== 'service') return false;
  const { code, status } = error.problem;
  return codes.includes(code) || codes.includes(`HTTP ${status}`);
}

/** The result of a call; undefined if what it is about does not exist, or is in a container that is being deleted. */
export async function orUndefined<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isStorageCode(error, 'HTTP 404', 'ContainerBeingDeleted')) return undefined;
    throw error;
  }
}

/** Whether a UserError is the answer to a call with a lease that has expired, or that another one has replaced. */
export function isLeaseOver(error: unknown): boolean {
  return isStorageCode(
    error,
    'LeaseIdMismatchWithLeaseOperation',
    'LeaseNotPresentWithLeaseOperation',
    'LeaseLost',
  );
}

function problemOf(error: unknown, host: string, { operation, resource }: StorageCall): Problem | undefined {
  const { statusCode: status, response } = error as ServiceFailure;
  const detail = firstLine(error as Error);
  if (status === undefined) {
    const code = errorCode(error) ?? (error instanceof RestError ? 'REQUEST_SEND_ERROR' : undefined);
    if (code === undefined || !(error instanceof RestError || isNetworkCode(code))) return undefined;
    return isCertificateCode(code)
      ? { kind: 'certificate', host, code }
      : { kind: 'unreachable', host, code, detail };
  }
  // The answer to a HEAD has no body, and its code only in this header.
  const code = errorCode(error) ?? response?.headers?.get('x-ms-error-code') ?? `HTTP ${status}`;
  if (status === 401 || status === 403) {
    const minutes = clockSkewMinutes(response?.headers?.get('date'));
    return minutes === undefined
      ? {
          kind: 'unauthorized',
          account: host,
          service: 'storage',
          code,
          detail: refusalDetail(error, detail),
        }
      : { kind: 'clockSkew', minutes };
  }
  if (isThrottled(error as ServiceFailure, code)) return { kind: 'throttled', service: 'storage' };
  const requestId = response?.headers?.get('x-ms-request-id');
  return { kind: 'service', service: 'storage', operation, resource, status, code, detail, requestId };
}

/**
 * Why a token was refused (`Issuer validation failed. Issuer did not match.`), otherwise `detail`. For a wrong key, Storage
 * answers with the signature of the request, which must not be shown.
 */
function refusalDetail(error: unknown, detail: string | undefined): string | undefined {
  const { details } = error as { details?: { authenticationErrorDetail?: unknown } };
  const text = details?.authenticationErrorDetail;
  return typeof text === 'string' && !/MAC signature/i.test(text) ? maskSas(text.trim()) : detail;
}

/** The rest of a message of Storage is a request id, a time, and for signatures the string that was signed. */
function firstLine({ message }: Error): string | undefined {
  return maskSas(message.split('\n')[0]?.trim() ?? '') || undefined;
}
