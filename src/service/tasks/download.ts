import { createWriteStream } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import pRetry from 'p-retry';
import { agentFor } from './proxy';
import { failure, type TaskFailure } from './taskFailure';

/** Redirections that are followed. */
const maxHops = 5;

/** Batch's own nodes, too, retry a download before they fail the task. */
const retries = 3;

/** A connection on which nothing arrives for this long counts as cut. */
export const defaultSilenceMs = 60_000;

/** Codes of a stream whose connection was cut. */
const cutCodes = new Set(['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE']);

/** Bytes that are gathered before they are written; more at once takes longer (docs/performance.md). */
const writeBytes = 256 * 1024;

/** What ends a download, or a try at it. */
export interface Limits {
  /** Ends the download. */
  readonly signal: AbortSignal;
  /** Milliseconds without a byte after which a connection counts as cut. */
  readonly silenceMs: number;
}

/** Where a download goes, and its permissions. */
export interface Target {
  readonly path: string;
  readonly mode: number;
}

/** A failure that may pass when the download is retried: a connection that was kept too long, a busy service. */
export class PassingFailure extends Error {
  constructor(
    readonly details: Record<string, string>,
    /** The server was silent. */
    readonly isTimeout = false,
  ) {
    super('The download failed.');
  }
}

/** Makes a request again while its failure may pass. Throws the last PassingFailure, or the first other error. */
export function withRetries<T>(request: () => Promise<T>, signal: AbortSignal): Promise<T> {
  return pRetry(request, {
    retries,
    minTimeout: 200,
    signal,
    shouldRetry: ({ error }) => error instanceof PassingFailure,
  });
}

/** Downloads a URL to a file. `details` are those of its failures. Throws a TaskFailure with Batch's codes. */
export async function download(
  url: string,
  target: Target,
  details: Record<string, string>,
  limits: Limits,
): Promise<void> {
  const { signal } = limits;
  try {
    await mkdir(dirname(target.path), { recursive: true });
  } catch (error) {
    throw writeFailure(error, details, signal);
  }
  await withRetries(() => downloadOnce(url, target, details, limits), signal).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error instanceof PassingFailure ? passedFailure(error, details) : error;
  });
  await chmod(target.path, target.mode);
}

async function downloadOnce(
  url: string,
  { path }: Target,
  details: Record<string, string>,
  limits: Limits,
): Promise<void> {
  const response = await get(url, limits).catch((error) => {
    throw interruption(error);
  });
  const { statusCode: status = 0 } = response;
  if (status < 200 || status > 299) {
    response.resume();
    throw answerFailure(status, details);
  }
  try {
    const { signal } = limits;
    await pipeline(response, createWriteStream(path, { highWaterMark: writeBytes }), { signal });
  } catch (error) {
    const { code = '' } = error as { code?: string };
    if (error instanceof Silence || cutCodes.has(code)) throw interruption(error);
    throw writeFailure(error, details, limits.signal);
  }
}

/** Nothing arrived for too long. */
class Silence extends Error {
  readonly code = 'ETIMEDOUT';
}

/** The failure of a connection that was not made, was cut, or fell silent. */
function interruption(error: unknown): PassingFailure {
  const message = String((error as { code?: string }).code ?? error);
  return new PassingFailure({ Message: message }, message === 'ETIMEDOUT');
}

/** Node's own client rather than `fetch`, whose streams take several times the work for a file of some size. */
async function get(url: string, limits: Limits, hops = 0): Promise<IncomingMessage> {
  const { signal, silenceMs } = limits;
  const headers = { 'x-ms-version': '2021-12-02' };
  const options = { signal, agent: agentFor(url), headers, timeout: silenceMs };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    let waiting: { destroy(error: Error): unknown };
    const request = (url.startsWith('https:') ? https : http).get(url, options, (answer) => {
      waiting = answer;
      resolve(answer);
    });
    waiting = request;
    // Until a proxy has connected, the request has no socket, and nothing that ends it is reported.
    const end = (reason: Error) => {
      request.destroy(reason);
      reject(reason);
    };
    const unconnected = setTimeout(() => end(new Silence()), silenceMs);
    const abort = () => end(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    const connected = () => {
      clearTimeout(unconnected);
      signal.removeEventListener('abort', abort);
    };
    request.once('socket', connected).once('close', connected).on('error', reject);
    request.on('timeout', () => waiting.destroy(new Silence()));
  });
  const { statusCode = 0 } = response;
  const { location } = response.headers;
  if (statusCode < 300 || statusCode > 399 || location === undefined || hops === maxHops) return response;
  response.resume();
  return get(new URL(location, url).href, limits, hops + 1);
}

function answerFailure(status: number, details: Record<string, string>): Error {
  const told = { ...details, HttpStatus: String(status) };
  switch (status) {
    case 404:
      return failure('UserError', 'BlobNotFound', 'One of the specified Azure Blob(s) is not found', told);
    case 401:
    case 403:
      return failure(
        'UserError',
        'BlobAccessDenied',
        'Access for one of the specified Azure Blob(s) is denied',
        told,
      );
    default: {
      const mayPass = status >= 500 || status === 408 || status === 429;
      return mayPass ? new PassingFailure({ HttpStatus: String(status) }) : miscFailure(told);
    }
  }
}

/** The failure of a task whose download did not pass. */
function passedFailure({ details, isTimeout }: PassingFailure, also: Record<string, string>): TaskFailure {
  const all = { ...also, ...details };
  return isTimeout
    ? failure(
        'ServerError',
        'BlobDownloadTimedOut',
        'A download of one of the specified Azure Blob(s) timed out',
        all,
      )
    : miscFailure(all);
}

function miscFailure(details: Record<string, string>): TaskFailure {
  return failure(
    'ServerError',
    'BlobDownloadMiscError',
    'Miscellaneous error encountered while downloading one of the specified Azure Blob(s)',
    details,
  );
}

/** The failure of a file that cannot be written. Throws the reason of the signal if it is aborted. */
export function writeFailure(error: unknown, details: Record<string, string>, signal: AbortSignal): unknown {
  signal.throwIfAborted();
  const { code } = error as { code?: string };
  if (code === 'ENOSPC')
    return failure('ServerError', 'DiskFull', 'There is not enough disk space on the node', details);
  return failure('ServerError', 'ResourceFileWriteFailed', 'A resource file could not be written', {
    ...details,
    Message: code ?? String(error),
  });
}
