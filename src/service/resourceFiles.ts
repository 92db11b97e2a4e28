import { createWriteStream } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ContainerClient, RestError } from '@azure/storage-blob';
import { failure } from './taskFailure';

export interface ResourceFile {
  readonly httpUrl?: string;
  readonly storageContainerUrl?: string;
  readonly autoStorageContainerName?: string;
  readonly blobPrefix?: string;
  readonly filePath?: string;
  readonly fileMode?: string;
}

const agents = { http: new http.Agent({ keepAlive: true }), https: new https.Agent({ keepAlive: true }) };

/** Redirections that are followed. */
const mostHops = 5;

/** Gathered before they are written. */
const writeBytes = 1024 * 1024;

/** Brings the resource files of a task into its working directory. Throws a TaskFailure with Batch's own codes. */
export async function fetchResourceFiles(
  files: readonly ResourceFile[],
  workingDir: string,
  signal: AbortSignal,
): Promise<void> {
  for (const file of files) {
    if (file.httpUrl !== undefined) await fetchUrl(file.httpUrl, file, workingDir, signal);
    else if (file.storageContainerUrl !== undefined) await fetchContainer(file, workingDir, signal);
    else throw failure('UserError', 'AutoStorageNotConfigured', 'The account has no auto storage.');
  }
}

async function fetchUrl(
  url: string,
  file: ResourceFile,
  workingDir: string,
  signal: AbortSignal,
): Promise<void> {
  const target = inside(workingDir, file.filePath ?? '');
  let response: IncomingMessage;
  try {
    response = await get(url, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw failure(
      'ServerError',
      'BlobDownloadMiscError',
      'Miscellaneous error encountered while downloading one of the specified Azure Blob(s)',
      {
        FilePath: file.filePath ?? '',
        Message: String((error as { code?: string }).code ?? error),
      },
    );
  }
  const { statusCode: status = 0 } = response;
  const details = { FilePath: file.filePath ?? '', HttpStatus: String(status) };
  if (status < 200 || status > 299) response.resume();
  if (status === 404) {
    throw failure('UserError', 'BlobNotFound', 'One of the specified Azure Blob(s) is not found', details);
  }
  if (status === 401 || status === 403) {
    throw failure(
      'UserError',
      'BlobAccessDenied',
      'Access for one of the specified Azure Blob(s) is denied',
      details,
    );
  }
  if (status < 200 || status > 299) {
    throw failure(
      'ServerError',
      'BlobDownloadMiscError',
      'Miscellaneous error encountered while downloading one of the specified Azure Blob(s)',
      details,
    );
  }
  await mkdir(dirname(target), { recursive: true });
  try {
    await pipeline(response, createWriteStream(target, { highWaterMark: writeBytes }), { signal });
  } catch (error) {
    throw writeFailure(error, details, signal);
  }
  await chmod(target, modeOf(file));
}

/** Node's own client rather than `fetch`, whose streams take several times the work for a file of some size. */
async function get(url: string, signal: AbortSignal, hops = 0): Promise<IncomingMessage> {
  const isEncrypted = url.startsWith('https:');
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const options = {
      signal,
      agent: isEncrypted ? agents.https : agents.http,
      headers: { 'x-ms-version': '2021-12-02' },
    };
    (isEncrypted ? https : http).get(url, options, resolve).on('error', reject);
  });
  const { statusCode = 0, headers } = response;
  if (statusCode < 300 || statusCode > 399 || headers.location === undefined || hops === mostHops)
    return response;
  response.resume();
  return get(new URL(headers.location, url).href, signal, hops + 1);
}

async function fetchContainer(file: ResourceFile, workingDir: string, signal: AbortSignal): Promise<void> {
  const container = new ContainerClient(file.storageContainerUrl ?? '');
  const root = inside(workingDir, file.filePath ?? '.');
  try {
    for await (const blob of container.listBlobsFlat({ prefix: file.blobPrefix, abortSignal: signal })) {
      const target = inside(root, blob.name);
      await mkdir(dirname(target), { recursive: true });
      const { readableStreamBody } = await container.getBlobClient(blob.name).download(0, undefined, {
        abortSignal: signal,
        maxRetryRequests: 3,
      });
      if (readableStreamBody) await pipeline(readableStreamBody, createWriteStream(target), { signal });
      await chmod(target, modeOf(file));
    }
  } catch (error) {
    throw containerFailure(error, signal);
  }
}

function containerFailure(error: unknown, signal: AbortSignal): unknown {
  if (!(error instanceof RestError)) return writeFailure(error, {}, signal);
  const details = { HttpStatus: String(error.statusCode), Message: String(error.code) };
  if (error.statusCode === 404) {
    return failure(
      'UserError',
      'ResourceContainerNotFound',
      'One of the specified Azure Blob container(s) is not found',
      details,
    );
  }
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

/** A path below a folder; one that leaves it is refused. */
function inside(folder: string, path: string): string {
  const target = join(folder, path);
  const way = relative(folder, target);
  if (isAbsolute(path) || way === '..' || way.startsWith(`..${sep}`)) {
    throw failure(
      'UserError',
      'ResourceFileCreateFailed',
      'A resource file may not leave the working directory',
      { FilePath: path },
    );
  }
  return target;
}

function modeOf({ fileMode }: ResourceFile): number {
  return fileMode === undefined ? 0o770 : Number.parseInt(fileMode, 8);
}
