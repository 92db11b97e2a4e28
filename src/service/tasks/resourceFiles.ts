import { createWriteStream } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ContainerClient, RestError } from '@azure/storage-blob';
import pRetry from 'p-retry';
import { OutsideError, pathInside } from '../guard/dataFolder';
import { credentialFor, type OwnStorage, readableUrl } from './ownStorage';
import { agentFor } from './proxy';
import { failure, TaskFailure } from './taskFailure';

export interface ResourceFile {
  readonly httpUrl?: string;
  readonly storageContainerUrl?: string;
  readonly autoStorageContainerName?: string;
  readonly blobPrefix?: string;
  readonly filePath?: string;
  readonly fileMode?: string;
}

/** Redirections that are followed. */
const maxHops = 5;

/** Batch's own nodes, too, retry a download before they fail the task. */
const fetchRetries = 3;

/** A connection on which nothing arrives for this long counts as cut. */
const silenceMs = 60_000;

/** The default mode of a resource file, and the bits that a mode may set. */
const defaultMode = 0o770;
const modeBits = 0o777;

/** Codes of a stream whose connection was cut. */
const cutCodes = new Set(['ECONNRESET', 'ETIMEDOUT', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE']);

/** Bytes that are gathered before they are written; more at once takes longer (docs/performance.md). */
const writeBytes = 256 * 1024;

/**
 * Brings the resource files of a task into its working directory. Blobs and containers of the account's own storage need
 * no SAS. Throws a TaskFailure with Batch's codes.
 */
export async function fetchResourceFiles(
  files: readonly ResourceFile[],
  workingDir: string,
  signal: AbortSignal,
  storage?: OwnStorage,
): Promise<void> {
  for (const file of files) {
    if (file.httpUrl !== undefined) {
      await fetchUrl(await readableUrl(storage, file.httpUrl), file, workingDir, signal);
    } else if (file.storageContainerUrl !== undefined) {
      await fetchContainer(clientOf(file.storageContainerUrl, storage), file, workingDir, signal);
    } else if (storage !== undefined) {
      const url = `${storage.blobUrl}/${encodeURIComponent(file.autoStorageContainerName ?? '')}`;
      await fetchContainer(clientOf(url, storage), file, workingDir, signal);
    } else {
      throw failure('UserError', 'AutoStorageNotConfigured', 'The account has no auto storage.');
    }
  }
}

/** Throws a TaskFailure for the URL of an account, which names no container. */
function clientOf(url: string, storage: OwnStorage | undefined): ContainerClient {
  const credential = credentialFor(storage, url);
  const { hostname, pathname } = new URL(url);
  const [first, second] = pathname.split('/').filter(Boolean);
  // With an IP address as host, the first name in the path is that of the account.
  const container = isIP(hostname) ? second : first;
  if (container === undefined) throw containerNotFound({ Message: 'The URL names no container.' });
  return new ContainerClient(url, credential);
}

function containerNotFound(details: Record<string, string>): TaskFailure {
  return failure(
    'UserError',
    'ResourceContainerNotFound',
    'One of the specified Azure Blob container(s) is not found',
    details,
  );
}

async function fetchUrl(
  url: string,
  file: ResourceFile,
  workingDir: string,
  signal: AbortSignal,
): Promise<void> {
  const target = inside(workingDir, file.filePath ?? '');
  const details = { FilePath: file.filePath ?? '' };
  await makeFolder(dirname(target), details, signal);
  await pRetry(() => fetchOnce(url, target, details, signal), {
    retries: fetchRetries,
    minTimeout: 200,
    signal,
    shouldRetry: ({ error }) => error instanceof PassingFailure,
  }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error instanceof PassingFailure ? miscFailure({ ...details, ...error.details }) : error;
  });
  await chmod(target, fileModeOf(file.fileMode) ?? defaultMode);
}

async function makeFolder(
  folder: string,
  details: Record<string, string>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw writeFailure(error, details, signal);
  }
}

/** A failure that may pass when the download is retried: a connection that was kept too long, a busy service. */
class PassingFailure extends Error {
  constructor(readonly details: Record<string, string>) {
    super('The download failed.');
  }
}

async function fetchOnce(
  url: string,
  target: string,
  details: Record<string, string>,
  signal: AbortSignal,
): Promise<void> {
  const response = await get(url, signal).catch((error) => {
    throw new PassingFailure({ Message: String((error as { code?: string }).code ?? error) });
  });
  const { statusCode: status = 0 } = response;
  if (status < 200 || status > 299) {
    response.resume();
    throw answerFailure(status, details);
  }
  try {
    await pipeline(response, createWriteStream(target, { highWaterMark: writeBytes }), { signal });
  } catch (error) {
    const { code = '' } = error as { code?: string };
    if (cutCodes.has(code)) throw new PassingFailure({ Message: code });
    throw writeFailure(error, details, signal);
  }
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

function miscFailure(details: Record<string, string>): TaskFailure {
  return failure(
    'ServerError',
    'BlobDownloadMiscError',
    'Miscellaneous error encountered while downloading one of the specified Azure Blob(s)',
    details,
  );
}

/** Node's own client rather than `fetch`, whose streams take several times the work for a file of some size. */
async function get(url: string, signal: AbortSignal, hops = 0): Promise<IncomingMessage> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const options = { signal, agent: agentFor(url), headers: { 'x-ms-version': '2021-12-02' } };
    const request = (url.startsWith('https:') ? https : http).get(url, options, resolve);
    request.on('error', reject);
    request.setTimeout(silenceMs, () => request.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
  });
  const { statusCode = 0, headers } = response;
  if (statusCode < 300 || statusCode > 399 || headers.location === undefined || hops === maxHops)
    return response;
  response.resume();
  return get(new URL(headers.location, url).href, signal, hops + 1);
}

async function fetchContainer(
  container: ContainerClient,
  file: ResourceFile,
  workingDir: string,
  signal: AbortSignal,
): Promise<void> {
  const { filePath = '' } = file;
  const root = /^\.?\/*$/.test(filePath) ? workingDir : inside(workingDir, filePath);
  try {
    for await (const blob of container.listBlobsFlat({ prefix: file.blobPrefix, abortSignal: signal })) {
      const target = inside(root, blob.name);
      await makeFolder(dirname(target), { FilePath: blob.name }, signal);
      const { readableStreamBody } = await container.getBlobClient(blob.name).download(0, undefined, {
        abortSignal: signal,
        maxRetryRequests: 3,
      });
      if (readableStreamBody) await pipeline(readableStreamBody, createWriteStream(target), { signal });
      await chmod(target, fileModeOf(file.fileMode) ?? defaultMode);
    }
  } catch (error) {
    throw containerFailure(error, signal);
  }
}

function containerFailure(error: unknown, signal: AbortSignal): unknown {
  if (error instanceof TaskFailure) return error;
  if (!(error instanceof RestError)) return writeFailure(error, {}, signal);
  const details = { HttpStatus: String(error.statusCode), Message: String(error.code) };
  if (error.statusCode === 404) return containerNotFound(details);
  if (error.statusCode === 401 || error.statusCode === 403) {
    return failure(
      'UserError',
      'ResourceContainerAccessDenied',
      'Access for one of the specified Azure Blob container(s) is denied',
      details,
    );
  }
  return failure(
    'ServerError',
    'ResourceContainerListMiscError',
    'Miscellaneous error encountered while listing one of the specified Azure Blob container(s)',
    details,
  );
}

function writeFailure(error: unknown, details: Record<string, string>, signal: AbortSignal): unknown {
  signal.throwIfAborted();
  const { code } = error as { code?: string };
  if (code === 'ENOSPC')
    return failure('ServerError', 'DiskFull', 'There is not enough disk space on the node', details);
  return failure('ServerError', 'ResourceFileWriteFailed', 'A resource file could not be written', {
    ...details,
    Message: code ?? String(error),
  });
}

/** A path below a folder. Throws a TaskFailure for one that leaves it. */
function inside(folder: string, path: string): string {
  try {
    return pathInside(folder, path);
  } catch (error) {
    if (!(error instanceof OutsideError)) throw error;
    throw failure(
      'UserError',
      'ResourceFileCreateFailed',
      'A resource file may not leave the working directory',
      { FilePath: path },
    );
  }
}

/** The bits of a file mode as the API takes it, in octal (`0770`); undefined for any other text. */
function fileModeOf(text: string | undefined): number | undefined {
  return text !== undefined && /^(0o)?[0-7]{3,5}$/.test(text)
    ? Number.parseInt(text.replace(/^0o/, ''), 8) & modeBits
    : undefined;
}
