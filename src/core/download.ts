import { createHash, type Hash } from 'node:crypto';
import type { LimitFunction } from 'p-limit';
import { isAbort, UserError } from './errors';
import type { Files, PartFile } from './files';
import type { Storage } from './storage';
import { callStorage, isStorageCode } from './storageErrors';
import { blockBytes, type DownloadRequest, eachBlock } from './transfers';

/** One version of a blob. */
interface Version {
  readonly size: number;
  readonly etag: string;
  readonly modified: Date;
  /** Base64; large blobs often have none. */
  readonly md5?: string;
}

/**
 * Downloads a blob into a part file beside the target, in ranges of one version, checks the whole and only then gives
 * it its name. What a cut left is gone on with when the content can be proved at the end.
 */
export async function download(
  storage: Storage,
  files: Files,
  limit: LimitFunction,
  request: DownloadRequest,
): Promise<{ bytes: number; skipped: boolean }> {
  const version = await limit(() => versionOf(storage, request));
  if (await isThere(files, request.uri, version)) return { bytes: version.size, skipped: true };
  const free = await files.freeBytes(request.uri);
  if (free !== undefined && free < version.size) {
    throw new UserError({
      kind: 'diskFull',
      folder: nameOf(request.uri, 1),
      neededBytes: version.size,
      freeBytes: free,
    });
  }
  for (const mayResume of [true, false]) {
    if (await attempt(storage, files, limit, request, version, mayResume))
      return { bytes: version.size, skipped: false };
  }
  throw new UserError({ kind: 'transferDamaged', file: nameOf(request.uri) });
}

/** False when what arrived is not what was sent. */
async function attempt(
  storage: Storage,
  files: Files,
  limit: LimitFunction,
  request: DownloadRequest,
  version: Version,
  mayResume: boolean,
): Promise<boolean> {
  const part = await files.part(request.uri);
  let finished = false;
  try {
    const hash = createHash('md5');
    const from = mayResume && version.md5 && part.resumeAt <= version.size ? part.resumeAt : 0;
    if (part.resumeAt > version.size || (from === 0 && part.resumeAt > 0)) {
      await part.discard();
      finished = true;
      return attemptFresh(storage, files, limit, request, version);
    }
    await hashThere(part, from, hash);
    request.onBytes(from);
    await fetchRanges(storage, limit, request, version, part, from, hash);
    finished = true;
    if (version.md5 && hash.digest('base64') !== version.md5) {
      await part.discard();
      return false;
    }
    await part.commit({ overwrite: request.overwrite });
    return true;
  } catch (error) {
    finished ||= isAbort(error);
    if (finished) await part.discard();
    throw error;
  } finally {
    if (!finished) await part.close();
  }
}

function attemptFresh(
  storage: Storage,
  files: Files,
  limit: LimitFunction,
  request: DownloadRequest,
  version: Version,
): Promise<boolean> {
  return attempt(storage, files, limit, request, version, false);
}

/** Ranges are fetched in parallel and written in order, so that a part file is always a beginning. */
async function fetchRanges(
  storage: Storage,
  limit: LimitFunction,
  { container, blob, signal, onBytes }: DownloadRequest,
  { size, etag }: Version,
  part: PartFile,
  from: number,
  hash: Hash,
): Promise<void> {
  let before = Promise.resolve(true);
  await eachBlock(limit, size, from, signal, async (position, length) => {
    const earlier = before;
    let isWritten: (written: boolean) => void = () => undefined;
    before = new Promise((resolve) => {
      isWritten = resolve;
    });
    let written = false;
    try {
      const data = await callStorage(storage.host, 'download', blob, () =>
        storage.blob(container, blob).downloadToBuffer(position, length, {
          conditions: { ifMatch: etag },
          blockSize: length,
          abortSignal: signal,
        }),
      );
      // Nothing is written after a gap: the part file would look longer than what it holds.
      if (!(await earlier)) return;
      await part.write(position, data);
      hash.update(data);
      onBytes(data.length);
      written = true;
    } finally {
      isWritten(written);
    }
  });
}

async function versionOf(storage: Storage, { container, blob, signal }: DownloadRequest): Promise<Version> {
  try {
    const {
      contentLength = 0,
      etag = '',
      lastModified = new Date(0),
      contentMD5,
    } = await callStorage(storage.host, 'download', blob, () =>
      storage.blob(container, blob).getProperties({ abortSignal: signal }),
    );
    return {
      size: contentLength,
      etag,
      modified: lastModified,
      md5: contentMD5 && Buffer.from(contentMD5).toString('base64'),
    };
  } catch (error) {
    // A HEAD has no body, hence no code.
    if (isStorageCode(error, 'HTTP 404')) {
      throw new UserError({
        kind: 'service',
        service: 'storage',
        operation: 'download',
        resource: blob,
        status: 404,
        code: 'BlobNotFound',
      });
    }
    throw error;
  }
}

/** The same content under the final name: fetched before. Without a hash, a file of that size that is younger than the blob. */
async function isThere(files: Files, uri: string, { size, modified, md5 }: Version): Promise<boolean> {
  const there = await files.stat(uri);
  if (there === undefined || there.isFolder || there.size !== size) return false;
  if (md5 === undefined) return there.modified >= modified.getTime();
  const file = await files.open(uri);
  try {
    const hash = createHash('md5');
    await hashThere(file, size, hash);
    return hash.digest('base64') === md5;
  } finally {
    await file.close();
  }
}

async function hashThere(
  file: { read(position: number, length: number): Promise<Uint8Array> },
  size: number,
  hash: Hash,
): Promise<void> {
  for (let position = 0; position < size; position += blockBytes) {
    hash.update(await file.read(position, Math.min(blockBytes, size - position)));
  }
}

function nameOf(uri: string, up = 0): string {
  const segments = uri.split('/');
  return decodeURIComponent(
    up === 0
      ? (segments.at(-1) ?? uri)
      : segments
          .slice(0, -up)
          .join('/')
          .replace(/^file:\/\//, ''),
  );
}
