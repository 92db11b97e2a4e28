import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir, realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';
import { Readable } from 'node:stream';
import { BlockBlobClient, RestError } from '@azure/storage-blob';
import pLimit from 'p-limit';
import { appendText } from '../guard/dataFolder';
import { PassingFailure, withRetries } from './download';
import { FilePattern, literalPattern } from './filePattern';
import { credentialFor, type OwnStorage } from './ownStorage';
import { failure, TaskFailure } from './taskFailure';
import { type BlobHeaders, blobHeadersOf, type UploadHeader } from './uploadHeaders';

export interface OutputFile {
  readonly filePattern: string;
  readonly destination: {
    readonly container?: {
      readonly path?: string;
      readonly containerUrl: string;
      readonly uploadHeaders?: readonly UploadHeader[];
    };
  };
  readonly uploadOptions: { readonly uploadCondition: string };
}

export interface TaskPlace {
  readonly taskDir: string;
  readonly workingDir: string;
  /** The task's environment: a pattern may contain its variables. */
  readonly env: NodeJS.ProcessEnv;
  /** Needs no SAS. */
  readonly storage?: OwnStorage;
}

const blockBytes = 8 * 1024 * 1024;
/** Bytes that are handed to a connection at a time. */
const chunkBytes = 64 * 1024;
/** Milliseconds without progress after which the request of a block, or of a whole small file, counts as cut. */
const defaultSilenceMs = 5 * 60_000;
const blocksAtOnce = 4;

/**
 * Uploads the files of a task that match a pattern and whose condition holds; blobs of the same name are overwritten. A
 * pattern without a match is no error. Only regular files match: a folder, pipe or device does not, and a link only if
 * it is named in full and leads to a file of the node. Resolves to the URLs of the containers that were written to.
 * Throws a TaskFailure with Batch's codes.
 */
export async function uploadOutputFiles(
  files: readonly OutputFile[],
  place: TaskPlace,
  exitCode: number,
  signal: AbortSignal,
  silenceMs = defaultSilenceMs,
): Promise<Set<string>> {
  const written = new Set<string>();
  for (const file of files) {
    const { container } = file.destination;
    if (container === undefined || !conditionHolds(file, exitCode)) continue;
    const pattern = expandVariables(file.filePattern, place.env);
    for (const { path, blob } of await matches(pattern, container.path, place, signal)) {
      await log(place, 'fileuploadout.txt', `Uploading ${path}`);
      written.add(container.containerUrl);
      await upload(path, blob, container, place.storage, { signal, silenceMs }).catch(async (error) => {
        signal.throwIfAborted();
        const problem = uploadFailure(error, path);
        const message = problem.info.details?.find(({ name }) => name === 'Message')?.value;
        await log(place, 'fileuploaderr.txt', `${path}: ${problem.info.code}: ${message}`);
        throw problem;
      });
    }
  }
  return written;
}

function conditionHolds({ uploadOptions }: OutputFile, exitCode: number): boolean {
  switch (uploadOptions.uploadCondition.toLowerCase()) {
    case 'tasksuccess':
      return exitCode === 0;
    case 'taskfailure':
      return exitCode !== 0;
    default:
      return true;
  }
}

/** Folders of the task are no patterns, whatever the path of the data folder; variables of the client may be. */
function expandVariables(pattern: string, env: NodeJS.ProcessEnv): string {
  return pattern.replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced, bare) => {
    const name = braced ?? bare;
    const value = env[name];
    return value === undefined ? whole : name.startsWith('AZ_BATCH_') ? literalPattern(value) : value;
  });
}

interface Match {
  readonly path: string;
  readonly blob: string;
}

/** The files that a pattern matches, and the name of the blob that each becomes: its path below the fixed part. */
async function matches(
  text: string,
  path: string | undefined,
  { taskDir, workingDir }: TaskPlace,
  signal: AbortSignal,
): Promise<Match[]> {
  const absolute = isAbsolute(text) ? text : `${literalPattern(workingDir)}/${text}`;
  const pattern = new FilePattern(absolute.split(sep).join('/'));
  if (!(await staysInJob(pattern.literal ?? pattern.base, taskDir))) return [];
  if (pattern.literal !== undefined) {
    const file = await regularFile(pattern.literal, taskDir);
    const name = pattern.literal.slice(pattern.literal.lastIndexOf('/') + 1);
    return file === undefined ? [] : [{ path: file, blob: path || name }];
  }
  const found: Match[] = [];
  for await (const file of filesIn(pattern.base, signal)) {
    const name = relative(pattern.base, file).split(sep).join('/');
    if (pattern.matches(name))
      found.push({ path: file, blob: path ? `${path.replace(/\/+$/, '')}/${name}` : name });
  }
  return found.sort((one, other) => (one.blob < other.blob ? -1 : 1));
}

/**
 * Whether a path below the folder of a job leads to no place outside it. A task may have put a link in place of a folder,
 * also of its working directory. Other absolute paths are those that the client names.
 */
async function staysInJob(path: string, taskDir: string): Promise<boolean> {
  const isBelow = (one: string, folder: string) => one === folder || one.startsWith(`${folder}${sep}`);
  const job = dirname(taskDir);
  if (!isBelow(join(path), job)) return true;
  const [target, root] = await Promise.all([path, job].map((one) => realpath(one).catch(() => undefined)));
  return target !== undefined && root !== undefined && isBelow(target, root);
}

/** A file, or what a link to a file of the same job leads to. */
async function regularFile(path: string, taskDir: string): Promise<string | undefined> {
  const stats = await lstat(path).catch(() => undefined);
  if (!stats?.isSymbolicLink()) return stats?.isFile() ? path : undefined;
  const target = await realpath(path).catch(() => undefined);
  const job = await realpath(join(taskDir, '..')).catch(() => undefined);
  if (target === undefined || job === undefined || !target.startsWith(`${job}${sep}`)) return undefined;
  return (await lstat(target).catch(() => undefined))?.isFile() ? target : undefined;
}

/** The regular files below a folder. One that can't be read, or is removed meanwhile, has none. */
async function* filesIn(folder: string, signal: AbortSignal): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    signal.throwIfAborted();
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesIn(path, signal);
    else if (entry.isFile()) yield path;
  }
}

/** The file is shorter than when its upload began. */
class Shrunk extends Error {
  constructor() {
    super('The file became shorter while it was uploaded.');
  }
}

/** What ends an upload, or one of its requests. */
interface Limits {
  readonly signal: AbortSignal;
  readonly silenceMs: number;
}

interface RequestOptions {
  readonly abortSignal: AbortSignal;
  readonly onProgress: () => void;
}

/** Makes a request, again some times if it makes no progress. The package itself repeats those that fail. */
function send(request: (options: RequestOptions) => Promise<unknown>, limits: Limits): Promise<unknown> {
  const { signal, silenceMs } = limits;
  return withRetries(async () => {
    const silent = new AbortController();
    const timer = setTimeout(() => silent.abort(), silenceMs);
    const onProgress = () => {
      timer.refresh();
    };
    try {
      await request({ abortSignal: AbortSignal.any([signal, silent.signal]), onProgress });
    } catch (error) {
      const isCut = silent.signal.aborted && !signal.aborted;
      throw isCut ? new PassingFailure({ Message: 'ETIMEDOUT' }, true) : error;
    } finally {
      clearTimeout(timer);
    }
  }, signal);
}

/** A body for each try, in chunks, so that its progress is seen. */
function bodyOf(content: Buffer): () => Readable {
  function* chunks() {
    for (let at = 0; at < content.length; at += chunkBytes) yield content.subarray(at, at + chunkBytes);
  }
  return () => Readable.from(chunks());
}

/** Uploads as many bytes as the file has when it is opened. It may be anything by then: opening does not wait. */
async function upload(
  path: string,
  blob: string,
  { containerUrl, uploadHeaders = [] }: NonNullable<OutputFile['destination']['container']>,
  storage: OwnStorage | undefined,
  limits: Limits,
): Promise<void> {
  const url = new URL(containerUrl);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/${blob.split('/').map(encodeURIComponent).join('/')}`;
  const client = new BlockBlobClient(url.href, credentialFor(storage, containerUrl));
  const headers = blobHeadersOf(uploadHeaders);
  const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Error('It is not a regular file.');
    if (stats.size <= blockBytes) {
      const content = await read(file, 0, stats.size);
      const body = bodyOf(content);
      await send((options) => client.upload(body, stats.size, { ...headers, ...options }), limits);
    } else {
      await uploadBlocks(client, file, stats.size, headers, limits);
    }
  } finally {
    await file.close();
  }
}

async function uploadBlocks(
  client: BlockBlobClient,
  file: FileHandle,
  size: number,
  headers: BlobHeaders,
  limits: Limits,
): Promise<void> {
  const limit = pLimit(blocksAtOnce);
  // The first block that fails ends the others: the file is closed after that.
  const stop = new AbortController();
  const either = { ...limits, signal: AbortSignal.any([limits.signal, stop.signal]) };
  const ids = Array.from({ length: Math.ceil(size / blockBytes) }, (_, index) =>
    Buffer.from(String(index).padStart(8, '0')).toString('base64'),
  );
  const staged = ids.map((id, index) =>
    limit(async () => {
      either.signal.throwIfAborted();
      const length = Math.min(blockBytes, size - index * blockBytes);
      const block = await read(file, index * blockBytes, length);
      await send((options) => client.stageBlock(id, bodyOf(block), length, options), either);
    }),
  );
  try {
    await Promise.all(staged);
  } finally {
    stop.abort();
    await Promise.allSettled(staged);
  }
  await send(({ abortSignal }) => client.commitBlockList(ids, { ...headers, abortSignal }), limits);
}

async function read(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(buffer, done, length - done, position + done);
    if (bytesRead === 0) throw new Shrunk();
    done += bytesRead;
  }
  return buffer;
}

function uploadFailure(error: unknown, path: string): TaskFailure {
  if (error instanceof TaskFailure) return error;
  const { code, message = String(error) } = error as { code?: string; message?: string };
  const passing = error instanceof PassingFailure ? error.details.Message : undefined;
  const details = {
    FilePath: path,
    Message: passing ?? (error instanceof Shrunk ? message : String(code ?? message)),
  };
  const status = error instanceof RestError ? error.statusCode : undefined;
  if (status === 404) {
    return failure(
      'UserError',
      'FileUploadContainerNotFound',
      'One of the specified Azure container(s) was not found while attempting to upload an output file',
      details,
    );
  }
  if (status === 401 || status === 403) {
    return failure(
      'UserError',
      'FileUploadAccessDenied',
      'Access was denied to one of the specified Azure container(s) while attempting to upload an output file',
      details,
    );
  }
  return failure(
    'UserError',
    'FileUploadMiscError',
    'An error occurred while attempting to upload an output file',
    details,
  );
}

async function log({ taskDir }: TaskPlace, name: string, line: string): Promise<void> {
  await appendText(join(taskDir, name), `${new Date().toISOString()} ${line}\n`);
}
