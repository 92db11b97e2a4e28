import { createHash } from 'node:crypto';
import type { LimitFunction } from 'p-limit';
import { UserError } from './errors';
import type { Files, OpenFile } from './files';
import { type BlobInfo, isMissing, type Storage } from './storage';
import { callStorage } from './storageErrors';
import { blockBytes, eachBlock, type UploadRequest } from './transfers';

/**
 * Uploads a file that may change, shrink or vanish meanwhile: it is opened once, read in order, and looked at again
 * before the blob gets its content, so that a blob is never a mixture. (The SDK's own `uploadFile` hangs on a file cut
 * short and mixes one that is rewritten.)
 */
export async function upload(
  storage: Storage,
  files: Files,
  limit: LimitFunction,
  request: UploadRequest,
): Promise<{ skipped: boolean }> {
  if (isSame(request.there, request.expected)) return { skipped: true };
  const file = await files.open(request.uri);
  try {
    await mustBeUnchanged(file, request);
    if (request.expected.size <= blockBytes) await limit(() => putWhole(storage, file, request));
    else await putBlocks(storage, limit, file, request);
    return { skipped: false };
  } finally {
    await file.close();
  }
}

/** Source facts that travel with a blob, so that it is known again. */
function sourceMetadata({ size, modified }: UploadRequest['expected'], md5: Buffer): Record<string, string> {
  return { sourcesize: String(size), sourcemodified: String(modified), sourcemd5: md5.toString('hex') };
}

function isSame(there: BlobInfo | undefined, { size, modified }: UploadRequest['expected']): boolean {
  return (
    there !== undefined &&
    there.size === size &&
    there.metadata.sourcesize === String(size) &&
    there.metadata.sourcemodified === String(modified)
  );
}

async function mustBeUnchanged(file: OpenFile, { uri, expected }: UploadRequest): Promise<void> {
  const now = await file.stat();
  if (now.size !== expected.size || now.modified !== expected.modified) throw changed(uri);
}

function changed(uri: string): UserError {
  return new UserError({
    kind: 'fileChanged',
    file: decodeURIComponent(uri.slice(uri.lastIndexOf('/') + 1)),
  });
}

async function readBlock(file: OpenFile, uri: string, position: number, length: number): Promise<Uint8Array> {
  const data = await file.read(position, length);
  if (data.length !== length) throw changed(uri);
  return data;
}

async function putWhole(storage: Storage, file: OpenFile, request: UploadRequest): Promise<void> {
  const { container, blob, expected, uri, signal, onBytes } = request;
  signal.throwIfAborted();
  const data = await readBlock(file, uri, 0, expected.size);
  await mustBeUnchanged(file, request);
  const md5 = createHash('md5').update(data).digest();
  await callStorage(storage.host, 'upload', blob, () =>
    storage.blob(container, blob).upload(data, data.length, {
      blobHTTPHeaders: { blobContentMD5: md5 },
      metadata: sourceMetadata(expected, md5),
      abortSignal: signal,
    }),
  );
  onBytes(data.length);
}

/** A block's id holds the hash of its content, so that a block of an earlier attempt is used again only when it is the same. */
async function putBlocks(
  storage: Storage,
  limit: LimitFunction,
  file: OpenFile,
  request: UploadRequest,
): Promise<void> {
  const { container, blob, expected, uri, signal, onBytes } = request;
  const client = storage.blob(container, blob);
  const call = <T>(work: () => Promise<T>) => callStorage(storage.host, 'upload', blob, work);
  const there = await uncommittedBlocks(storage, request);
  const whole = createHash('md5');
  const ids: string[] = [];
  let reading: Promise<unknown> = Promise.resolve();
  await eachBlock(limit, expected.size, 0, signal, async (position, length, index) => {
    const read = reading.then(async () => {
      const data = await readBlock(file, uri, position, length);
      whole.update(data);
      return data;
    });
    reading = read.catch(() => undefined);
    const data = await read;
    const md5 = createHash('md5').update(data).digest();
    const id = Buffer.from(`${String(index).padStart(6, '0')}${md5.toString('hex')}`).toString('base64');
    ids[index] = id;
    if (!there.has(id)) {
      await call(() =>
        client.stageBlock(id, data, data.length, { transactionalContentMD5: md5, abortSignal: signal }),
      );
    }
    onBytes(data.length);
  });
  await mustBeUnchanged(file, request);
  const md5 = whole.digest();
  await call(() =>
    client.commitBlockList(ids, {
      blobHTTPHeaders: { blobContentMD5: md5 },
      metadata: sourceMetadata(expected, md5),
      abortSignal: signal,
    }),
  );
}

async function uncommittedBlocks(
  storage: Storage,
  { container, blob, signal }: UploadRequest,
): Promise<Set<string>> {
  try {
    const { uncommittedBlocks = [] } = await callStorage(storage.host, 'list blocks', blob, () =>
      storage.blob(container, blob).getBlockList('uncommitted', { abortSignal: signal }),
    );
    return new Set(uncommittedBlocks.map(({ name }) => name));
  } catch (error) {
    if (isMissing(error)) return new Set();
    throw error;
  }
}
