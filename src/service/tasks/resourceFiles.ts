import { isIP } from 'node:net';
import { ContainerClient, RestError } from '@azure/storage-blob';
import { OutsideError, pathInside } from '../guard/dataFolder';
import {
  defaultSilenceMs,
  download,
  type Limits,
  PassingFailure,
  withRetries,
  writeFailure,
} from './download';
import { credentialFor, type OwnStorage, readableUrl } from './ownStorage';
import { failure, type TaskFailure } from './taskFailure';

export interface ResourceFile {
  readonly httpUrl?: string;
  readonly storageContainerUrl?: string;
  readonly autoStorageContainerName?: string;
  readonly blobPrefix?: string;
  readonly filePath?: string;
  readonly fileMode?: string;
}

/** The default mode of a resource file, and the bits that a mode may set. */
const defaultMode = 0o770;
const modeBits = 0o777;

/**
 * Brings the resource files of a task into its working directory. Blobs and containers of the account's own storage need
 * no SAS. A server that sends nothing for `silenceMs` is asked again some times. Throws a TaskFailure with Batch's codes.
 */
export async function fetchResourceFiles(
  files: readonly ResourceFile[],
  workingDir: string,
  signal: AbortSignal,
  storage?: OwnStorage,
  silenceMs = defaultSilenceMs,
): Promise<void> {
  const limits = { signal, silenceMs };
  for (const file of files) {
    const { httpUrl, storageContainerUrl, autoStorageContainerName = '', filePath = '' } = file;
    if (httpUrl !== undefined) {
      const target = { path: inside(workingDir, filePath), mode: fileModeOf(file) };
      await download(await readableUrl(storage, httpUrl), target, { FilePath: filePath }, limits);
    } else if (storageContainerUrl !== undefined) {
      await fetchContainer(storageContainerUrl, file, workingDir, storage, limits);
    } else if (storage !== undefined) {
      const url = `${storage.blobUrl}/${encodeURIComponent(autoStorageContainerName)}`;
      await fetchContainer(url, file, workingDir, storage, limits);
    } else {
      throw failure('UserError', 'AutoStorageNotConfigured', 'The account has no auto storage.');
    }
  }
}

async function fetchContainer(
  url: string,
  file: ResourceFile,
  workingDir: string,
  storage: OwnStorage | undefined,
  limits: Limits,
): Promise<void> {
  const { filePath = '' } = file;
  const root = /^\.?\/*$/.test(filePath) ? workingDir : inside(workingDir, filePath);
  const container = clientOf(url, storage);
  for await (const name of blobNames(container, file.blobPrefix, limits)) {
    const target = { path: inside(root, name), mode: fileModeOf(file) };
    const blobUrl = await readableUrl(storage, container.getBlobClient(name).url);
    await download(blobUrl, target, { FilePath: name }, limits);
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
  // This service has retries of its own.
  return new ContainerClient(url, credential, { retryOptions: { maxTries: 1 } });
}

/** Lists the blobs of a container, page by page. Throws a TaskFailure with Batch's codes. */
async function* blobNames(
  container: ContainerClient,
  prefix: string | undefined,
  { signal, silenceMs }: Limits,
): AsyncGenerator<string> {
  let token: string | undefined;
  do {
    const page = await withRetries(async () => {
      const abortSignal = AbortSignal.any([signal, AbortSignal.timeout(silenceMs)]);
      const pages = container.listBlobsFlat({ prefix, abortSignal }).byPage({ continuationToken: token });
      try {
        return (await pages.next()).value;
      } catch (error) {
        signal.throwIfAborted();
        if (!abortSignal.aborted && !mayPass(error)) throw containerFailure(error, signal);
        throw new PassingFailure(detailsOf(error), abortSignal.aborted);
      }
    }, signal).catch((error: unknown) => {
      signal.throwIfAborted();
      throw error instanceof PassingFailure ? listFailure(error.details) : error;
    });
    for (const { name } of page?.segment.blobItems ?? []) yield name;
    token = page?.continuationToken;
  } while (token);
}

/** Whether a failure of the storage service may pass: no connection, or a busy service. */
function mayPass(error: unknown): boolean {
  if (!(error instanceof RestError)) return false;
  const { statusCode } = error;
  return statusCode === undefined || statusCode >= 500 || statusCode === 408 || statusCode === 429;
}

function detailsOf(error: unknown): Record<string, string> {
  const { statusCode, code } = error as { statusCode?: number; code?: string };
  return {
    ...(statusCode === undefined ? {} : { HttpStatus: String(statusCode) }),
    Message: String(code ?? error),
  };
}

function containerFailure(error: unknown, signal: AbortSignal): unknown {
  if (!(error instanceof RestError)) return writeFailure(error, {}, signal);
  const details = detailsOf(error);
  if (error.statusCode === 404) return containerNotFound(details);
  if (error.statusCode === 401 || error.statusCode === 403) {
    return failure(
      'UserError',
      'ResourceContainerAccessDenied',
      'Access for one of the specified Azure Blob container(s) is denied',
      details,
    );
  }
  return listFailure(details);
}

function containerNotFound(details: Record<string, string>): TaskFailure {
  return failure(
    'UserError',
    'ResourceContainerNotFound',
    'One of the specified Azure Blob container(s) is not found',
    details,
  );
}

function listFailure(details: Record<string, string>): TaskFailure {
  return failure(
    'ServerError',
    'ResourceContainerListMiscError',
    'Miscellaneous error encountered while listing one of the specified Azure Blob container(s)',
    details,
  );
}

/** A path below a folder. Throws a TaskFailure for one that leaves it, or names a folder above on its way. */
function inside(folder: string, path: string): string {
  try {
    return pathInside(folder, path);
  } catch (error) {
    if (!(error instanceof OutsideError)) throw error;
    throw failure(
      'UserError',
      'ResourceFileCreateFailed',
      "The path of a resource file must be below the working directory and contain no '..'",
      { FilePath: path },
    );
  }
}

/** The bits of the mode of a file, which the API takes in octal (`0770`). */
function fileModeOf({ fileMode }: ResourceFile): number {
  return fileMode !== undefined && /^(0o)?[0-7]{3,5}$/.test(fileMode)
    ? Number.parseInt(fileMode.replace(/^0o/, ''), 8) & modeBits
    : defaultMode;
}
