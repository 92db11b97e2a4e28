import { appendFile, readdir } from 'node:fs/promises';
import { isAbsolute, join, posix, relative, resolve, sep } from 'node:path';
import { BlockBlobClient, RestError } from '@azure/storage-blob';
import picomatch from 'picomatch';
import { failure, type TaskFailure } from './taskFailure';

export interface OutputFile {
  readonly filePattern: string;
  readonly destination: {
    readonly container?: {
      readonly path?: string;
      readonly containerUrl: string;
      readonly uploadHeaders?: readonly { readonly name: string; readonly value?: string }[];
    };
  };
  readonly uploadOptions: { readonly uploadCondition: string };
}

export interface TaskPlace {
  readonly taskDir: string;
  readonly workingDir: string;
  /** The task's environment: a pattern may begin with `$AZ_BATCH_TASK_DIR`. */
  readonly env: NodeJS.ProcessEnv;
}

const blockBytes = 8 * 1024 * 1024;
const blocksAtOnce = 4;

/**
 * Uploads what a task left, by pattern and condition, over what may be there. A pattern without a match is no error.
 * Throws a TaskFailure with Batch's own codes.
 */
export async function uploadOutputFiles(
  files: readonly OutputFile[],
  place: TaskPlace,
  exitCode: number,
  signal: AbortSignal,
): Promise<void> {
  for (const file of files) {
    const { container } = file.destination;
    if (container === undefined || !isMeant(file, exitCode)) continue;
    const pattern = expandVariables(file.filePattern, place.env);
    for (const { path, blob } of await matches(pattern, container.path, place.workingDir)) {
      await log(place, 'fileuploadout.txt', `Uploading ${path}`);
      await upload(path, blob, container, signal).catch(async (error) => {
        signal.throwIfAborted();
        const problem = uploadFailure(error, path);
        await log(place, 'fileuploaderr.txt', `${path}: ${problem.info.code}`);
        throw problem;
      });
    }
  }
}

function isMeant({ uploadOptions }: OutputFile, exitCode: number): boolean {
  switch (uploadOptions.uploadCondition.toLowerCase()) {
    case 'tasksuccess':
      return exitCode === 0;
    case 'taskfailure':
      return exitCode !== 0;
    default:
      return true;
  }
}

function expandVariables(pattern: string, env: NodeJS.ProcessEnv): string {
  return pattern.replace(/\$\{?(AZ_BATCH_\w+)\}?/g, (whole, name: string) => env[name] ?? whole);
}

/** What a pattern matches below its fixed part, and the blob that each match becomes. */
async function matches(
  pattern: string,
  path: string | undefined,
  workingDir: string,
): Promise<{ path: string; blob: string }[]> {
  const whole = isAbsolute(pattern) ? pattern : `${workingDir.split(sep).join('/')}/${pattern}`;
  const normal = posix.normalize(whole.split(sep).join('/'));
  const { base, glob, isGlob } = picomatch.scan(normal);
  if (!isGlob) {
    const target = resolve(normal.replace(/\[(.)\]/g, '$1'));
    const name = posix.basename(target.split(sep).join('/'));
    const siblings = await readdir(join(target, '..')).catch((): string[] => []);
    return siblings.includes(name) ? [{ path: target, blob: path || name }] : [];
  }
  const isMatch = picomatch(glob, { dot: false, nobrace: true, noextglob: true, nonegate: true });
  const found: { path: string; blob: string }[] = [];
  for await (const file of filesIn(base)) {
    const way = relative(base, file).split(sep).join('/');
    if (isMatch(way)) found.push({ path: file, blob: path ? posix.join(path, way) : way });
  }
  return found.sort((one, other) => (one.blob < other.blob ? -1 : 1));
}

async function* filesIn(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesIn(path);
    else if (entry.isFile()) yield path;
  }
}

async function upload(
  path: string,
  blob: string,
  { containerUrl, uploadHeaders = [] }: NonNullable<OutputFile['destination']['container']>,
  signal: AbortSignal,
): Promise<void> {
  const url = new URL(containerUrl);
  url.pathname += `/${blob.split('/').map(encodeURIComponent).join('/')}`;
  const headers = new Map(uploadHeaders.map(({ name, value }) => [name.toLowerCase(), value]));
  await new BlockBlobClient(url.href).uploadFile(path, {
    blockSize: blockBytes,
    maxSingleShotSize: blockBytes,
    concurrency: blocksAtOnce,
    blobHTTPHeaders: {
      blobContentType: headers.get('x-ms-blob-content-type'),
      blobContentEncoding: headers.get('x-ms-blob-content-encoding'),
      blobCacheControl: headers.get('x-ms-blob-cache-control'),
      blobContentLanguage: headers.get('x-ms-blob-content-language'),
    },
    abortSignal: signal,
  });
}

function uploadFailure(error: unknown, path: string): TaskFailure {
  const details = { FilePath: path, Message: String((error as { code?: string }).code ?? error) };
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
  await appendFile(join(taskDir, name), `${new Date().toISOString()} ${line}\n`);
}
