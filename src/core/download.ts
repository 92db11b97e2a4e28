import { createHash, type Hash } from 'node:crypto';
import type { BlobDownloadResponseParsed } from '@azure/storage-blob';
import type { LimitFunction } from 'p-limit';
import { type Problem, UserError } from './errors';
import { type Files, folderOf, hashOf, nameOf, type PartFile } from './files';
import { base64, bodyOf, type Storage } from './storage';
import { connectionCut, isStorageCode } from './storageErrors';
import { blockBytes, type DownloadRequest, eachBlock } from './transfers';

/** The longest range of which Storage tells the hash. */
const checkedRangeBytes = 4 * 1024 * 1024;

/** One version of a blob. */
interface Version {
  readonly size: number;
  readonly etag: string;
  readonly modified: Date;
  /** Base64; blobs that were uploaded in blocks may have none. */
  readonly md5?: string;
}

/** After these a part file is worth going on with. */
const passing = new Set<Problem['kind']>([
  'unreachable',
  'throttled',
  'service',
  'unauthorized',
  'certificate',
  'clockSkew',
]);

/**
 * Downloads a blob into a part file beside the target, in ranges of one version, checks the whole and only then gives
 * it its name. What a cut left of the same version is gone on with. A blob that is replaced meanwhile, or arrives
 * damaged, is fetched once more.
 */
export async function download(
  storage: Storage,
  files: Files,
  limit: LimitFunction,
  request: DownloadRequest,
): Promise<{ bytes: number; skipped: boolean }> {
  for (let isLast = false; ; isLast = true) {
    let told = 0;
    const onBytes = (count: number) => {
      told += count;
      request.onBytes(count);
    };
    try {
      return await attempt(storage, files, limit, { ...request, onBytes });
    } catch (error) {
      if (isLast || !(isDamaged(error) || isReplaced(error))) throw error;
      request.onBytes(-told);
    }
  }
}

async function attempt(
  storage: Storage,
  files: Files,
  limit: LimitFunction,
  request: DownloadRequest,
): Promise<{ bytes: number; skipped: boolean }> {
  const { uri, overwrite } = request;
  const free = await files.freeBytes(uri);
  const there = await files.stat(uri);
  // One request is enough for a small blob, unless what is there may be it.
  const { version, data } = await limit(() =>
    there ? versionOf(storage, request) : firstRange(storage, request),
  );
  const bytes = version.size;
  if (there) {
    if (await isSame(files, uri, there, version)) return { bytes, skipped: true };
    if (!overwrite) throw new UserError({ kind: 'outputExists', file: nameOf(uri) });
  }
  const part = await files.part(uri, tagOf(storage, request, version));
  try {
    if (free !== undefined && free < bytes - part.resumeAt) {
      throw new UserError({ kind: 'diskFull', folder: folderOf(uri), neededBytes: bytes, freeBytes: free });
    }
    await fill(storage, limit, request, version, part, data);
    await part.commit({ overwrite });
    return { bytes, skipped: false };
  } catch (error) {
    await (isWorthResuming(error) ? part.close() : part.discard());
    throw error;
  }
}

async function fill(
  storage: Storage,
  limit: LimitFunction,
  request: DownloadRequest,
  version: Version,
  part: PartFile,
  beginning: Uint8Array | undefined,
): Promise<void> {
  const { size, md5 } = version;
  let from = part.resumeAt;
  if (from > size) throw damaged(request);
  const hash = await hashOf(part, from);
  request.onBytes(from);
  if (from === 0 && beginning) {
    await part.write(0, beginning);
    hash.update(beginning);
    from = beginning.length;
    request.onBytes(from);
  }
  await fetchRanges(storage, limit, request, version, part, from, hash);
  if (md5 && hash.digest('base64') !== md5) throw damaged(request);
}

/** Ranges are fetched in parallel and written in order, so that a part file is always a beginning. */
async function fetchRanges(
  storage: Storage,
  limit: LimitFunction,
  request: DownloadRequest,
  { size, etag, md5 }: Version,
  part: PartFile,
  from: number,
  hash: Hash,
): Promise<void> {
  const isChecked = md5 === undefined;
  const bytes = isChecked ? checkedRangeBytes : blockBytes;
  let writing: Promise<unknown> = Promise.resolve();
  await eachBlock(limit, { from, size, bytes, signal: request.signal }, async (block) => {
    const { position, length, signal } = block;
    const fetched = fetchRange(storage, { ...request, signal }, { position, length, etag, isChecked });
    // Nothing is written after a gap: the part file would look longer than what it holds.
    const written = Promise.all([fetched, writing]).then(async ([{ data }]) => {
      await part.write(position, data);
      hash.update(data);
      request.onBytes(length);
    });
    writing = written;
    await written;
  });
}

/** The version of a blob, and its beginning: all of a small one. */
async function firstRange(
  storage: Storage,
  request: DownloadRequest,
): Promise<{ version: Version; data?: Uint8Array }> {
  try {
    const range = { position: 0, length: checkedRangeBytes, isChecked: true };
    const { answer, data } = await fetchRange(storage, request, range);
    const { etag = '', lastModified = new Date(0), contentRange, contentMD5, blobContentMD5 } = answer;
    const size = Number(contentRange?.split('/')[1] ?? data.length);
    const md5 = blobContentMD5 ?? (contentRange ? undefined : contentMD5);
    return { version: { size, etag, modified: lastModified, md5: base64(md5) }, data };
  } catch (error) {
    // An empty blob has no range.
    if (isStorageCode(error, 'InvalidRange', 'HTTP 416')) return versionOf(storage, request);
    throw error;
  }
}

interface Range {
  readonly position: number;
  readonly length: number;
  /** The only version to take it from. */
  readonly etag?: string;
  /** Whether Storage is to tell the hash of the range, of at most `checkedRangeBytes`. */
  readonly isChecked: boolean;
}

/** All bytes of a range, or fewer where the blob ends; a cut connection is gone on with where it was cut. */
async function fetchRange(
  storage: Storage,
  { container, blob, signal }: DownloadRequest,
  range: Range,
): Promise<{ answer: BlobDownloadResponseParsed; data: Buffer }> {
  const { position, length, isChecked } = range;
  let { etag } = range;
  let data: Buffer | undefined;
  let filled = 0;
  return storage.call({ operation: 'download', resource: blob, signal }, async () => {
    const start = filled;
    const answer = await storage.blob(container, blob).download(position + start, length - start, {
      conditions: { ifMatch: etag },
      rangeGetContentMD5: isChecked,
      maxRetryRequests: 0,
      abortSignal: signal,
    });
    etag ??= answer.etag;
    data ??= Buffer.allocUnsafe(answer.contentLength ?? 0);
    try {
      for await (const chunk of bodyOf(answer)) {
        data.set(chunk, filled);
        filled += chunk.length;
      }
      const theirs = isChecked ? base64(answer.contentMD5) : undefined;
      if (theirs && createHash('md5').update(data.subarray(start)).digest('base64') !== theirs) {
        throw connectionCut(new Error('what arrived is not what was sent'));
      }
    } catch (error) {
      // Without its end, the hash of a range proves nothing.
      if (isChecked) filled = start;
      throw error;
    }
    return { answer, data };
  });
}

async function versionOf(
  storage: Storage,
  { container, blob, signal }: DownloadRequest,
): Promise<{ version: Version; data?: undefined }> {
  const properties = await storage.call({ operation: 'download', resource: blob, signal }, () =>
    storage.blob(container, blob).getProperties({ abortSignal: signal }),
  );
  const { contentLength: size = 0, etag = '', lastModified = new Date(0), contentMD5 } = properties;
  return { version: { size, etag, modified: lastModified, md5: base64(contentMD5) } };
}

/** The same content under the final name: fetched before. Without a hash, a file of that size that is younger than the blob. */
async function isSame(
  files: Files,
  uri: string,
  there: { isFolder: boolean; size: number; modified: number },
  { size, modified, md5 }: Version,
): Promise<boolean> {
  if (there.isFolder || there.size !== size) return false;
  if (md5 === undefined) return there.modified >= modified.getTime();
  const file = await files.open(uri);
  try {
    return (await hashOf(file, size)).digest('base64') === md5;
  } finally {
    await file.close();
  }
}

/** Names one version of one blob in the name of a part file. */
function tagOf(storage: Storage, { container, blob }: DownloadRequest, { etag, size }: Version): string {
  const version = JSON.stringify([storage.host, container, blob, etag, size]);
  return createHash('sha256').update(version).digest('hex').slice(0, 12);
}

function damaged({ uri }: DownloadRequest): UserError {
  return new UserError({ kind: 'transferDamaged', file: nameOf(uri) });
}

function isDamaged(error: unknown): boolean {
  return error instanceof UserError && error.problem.kind === 'transferDamaged';
}

function isReplaced(error: unknown): boolean {
  return isStorageCode(error, 'ConditionNotMet');
}

function isWorthResuming(error: unknown): boolean {
  return error instanceof UserError && passing.has(error.problem.kind) && !isReplaced(error);
}
