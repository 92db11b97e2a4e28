import { RestError } from '@azure/storage-blob';
import { isAbort, type Problem, UserError } from '../errors';
import { clockSkewMinutes, isCertificateCode, type RetryPolicy, withRetries } from './retry';

export interface StorageCall {
  /** What is called, as it may be shown: `create container`. */
  readonly operation: string;
  /** Name of the container or blob it is called on. */
  readonly resource: string;
  readonly signal?: AbortSignal;
}

/**
 * Calls Storage with retries of our own. Throws UserError for everything the service or the network says, and the
 * signal's reason when aborted.
 */
export async function callStorage<T>(
  host: string,
  call: StorageCall,
  policy: RetryPolicy,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await withRetries(() => unlessCut(work, call.signal), policy, call.signal);
  } catch (error) {
    if (call.signal?.aborted) throw call.signal.reason;
    throw error instanceof RestError ? new UserError(problemOf(error, host, call)) : error;
  }
}

/** Whether a UserError is Storage's answer with one of these codes (`ContainerNotFound`) or statuses (`HTTP 404`). */
export function isStorageCode(error: unknown, ...codes: string[]): boolean {
  if (!(error instanceof UserError) || error.problem.kind !== 'service') return false;
  const { code, status } = error.problem;
  return codes.includes(code) || codes.includes(`HTTP ${status}`);
}

/** What a body that ended before its end is to retries: a connection that was reset. */
export function connectionCut(cause: unknown): RestError {
  return new RestError(cause instanceof Error ? cause.message : String(cause), { code: 'ECONNRESET' });
}

/** The SDK also says "aborted" when the other side cuts a connection. */
async function unlessCut<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw isAbort(error) && !signal?.aborted ? connectionCut(error) : error;
  }
}

function problemOf(error: RestError, host: string, { operation, resource }: StorageCall): Problem {
  const { statusCode: status, response } = error;
  const detail = firstLine(error.message);
  if (status === undefined) {
    const code = error.code ?? 'REQUEST_SEND_ERROR';
    return isCertificateCode(code)
      ? { kind: 'certificate', host, code }
      : { kind: 'unreachable', host, code, detail };
  }
  // The answer to a HEAD has no body, hence no code but in this header.
  const code = error.code ?? response?.headers.get('x-ms-error-code') ?? `HTTP ${status}`;
  if (status === 401 || status === 403) {
    const minutes = clockSkewMinutes(response?.headers.get('date'));
    return minutes === undefined
      ? { kind: 'unauthorized', account: host, service: 'storage', code, detail }
      : { kind: 'clockSkew', minutes };
  }
  if (status === 429 || code === 'ServerBusy') return { kind: 'throttled', service: 'storage' };
  const requestId = response?.headers.get('x-ms-request-id');
  return { kind: 'service', service: 'storage', operation, resource, status, code, detail, requestId };
}

/** Storage's messages go on with a request id, a time, and for signatures with the string that was signed. */
function firstLine(message: string): string | undefined {
  return message.split('\n')[0]?.trim() || undefined;
}
