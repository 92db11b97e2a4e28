import { RestError } from '@azure/storage-blob';
import { clockSkewMinutes } from './batchCall';
import { isAbort, type Problem, UserError } from './errors';

/** Runs a storage call and turns what it throws into problems. The SDK's own retries have been tried by then. */
export async function callStorage<T>(
  host: string,
  operation: string,
  resource: string,
  call: () => Promise<T>,
): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw storageError(error, host, operation, resource);
  }
}

/** A UserError for what the service or the network said; abortions and bugs as they are. */
export function storageError(error: unknown, host: string, operation: string, resource: string): unknown {
  if (isAbort(error) || error instanceof UserError || !(error instanceof RestError)) return error;
  const { statusCode: status, code = `HTTP ${status ?? '?'}` } = error;
  const detail = firstLine(error.message);
  let problem: Problem;
  if (status === undefined) {
    problem = /CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO/.test(code)
      ? { kind: 'certificate', host, code }
      : { kind: 'unreachable', host, code, detail };
  } else if (status === 401 || status === 403) {
    const minutes = clockSkewMinutes(error.response?.headers.get('date'));
    problem =
      minutes === undefined
        ? { kind: 'unauthorized', account: host, service: 'storage', code, detail }
        : { kind: 'clockSkew', minutes };
  } else if (status === 429 || code === 'ServerBusy') {
    problem = { kind: 'throttled', service: 'storage' };
  } else {
    const requestId = error.response?.headers.get('x-ms-request-id');
    problem = { kind: 'service', service: 'storage', operation, resource, status, code, detail, requestId };
  }
  return new UserError(problem);
}

/** Whether a UserError is Storage's answer with one of these codes (`ContainerNotFound`) or statuses (`HTTP 404`). */
export function isStorageCode(error: unknown, ...codes: string[]): boolean {
  if (!(error instanceof UserError) || error.problem.kind !== 'service') return false;
  const { code, status } = error.problem;
  return codes.includes(code) || codes.includes(`HTTP ${status}`);
}

/** Storage's messages go on with a request id, a time, and for signatures with the string that was signed. */
function firstLine(message: string): string | undefined {
  return message.split('\n')[0]?.trim() || undefined;
}
