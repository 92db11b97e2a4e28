import { createHash } from 'node:crypto';
import type { LimitFunction } from 'p-limit';
import { UserError } from './errors';
import { type Files, hashOf, nameOf, type OpenFile } from './files';
import { base64, type Storage } from './storage';
import { isStorageCode } from './storageErrors';
import { blockBytes, eachBlock, type UploadRequest } from './transfers';

/** https://learn.microsoft.com/azure/storage/blobs/scalability-targets */
const mostBlocks = 50_000;

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
  if (isSameSource(request)) return { skipped: true };
  const file = await files.open(request.uri);
  try {
    await mustBeUnchanged(file, request);
    if (await isSameContent(file, request)) return { skipped: true };
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

function isSameSource({ there, expected: { size, modified } }: UploadRequest): boolean {
  return (
    there?.size === size &&
    there.metadata.sourcesize === String(size) &&
    there.metadata.sourcemodified === String(modified)
  );
}

async function isSameContent(file: OpenFile, { there, expected: { size } }: UploadRequest): Promise<boolean> {
  if (there?.md5 === undefined || there.size !== size) return false;
  return (await hashOf(file, size)).digest('base64') === there.md5;
}

async function mustBeUnchanged(file: OpenFile, { uri, expected }: UploadRequest): Promise<void> {
  const now = await file.stat();
  if (now.size !== expected.size || now.modified !== expected.modified) throw changed(uri);
}

function changed(uri: string): UserError {
  return new UserError({ kind: 'fileChanged', file: nameOf(uri) });
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
  const answer = await storage.call({ operation: 'upload', resource: blob, signal }, () =>
    storage.blob(container, blob).upload(data, data.length, {
      blobHTTPHeaders: { blobContentMD5: md5 },
      metadata: sourceMetadata(expected, md5),
      abortSignal: signal,
    }),
  );
  // The service answers with the hash of what it received.
  if (answer.contentMD5 && base64(answer.contentMD5) !== base64(md5)) {
    await storage.deleteBlob(container, blob, signal);
    throw new UserError({ kind: 'transferDamaged', file: nameOf(uri) });
  }
  onBytes(data.length);
}

/**
 * A block's id holds the hash of its content, so that a block of an earlier attempt is used again only when it is the
 * same.
 */
async function putBlocks(
  storage: Storage,
  limit: LimitFunction,
  file: OpenFile,
  request: UploadRequest,
): Promise<void> {
  const { container, blob, expected, uri, onBytes } = request;
  const { size } = expected;
  const client = storage.blob(container, blob);
  const there = await limit(() => uncommittedBlocks(storage, request));
  const bytes = Math.max(blockBytes, Math.ceil(size / mostBlocks));
  const whole = createHash('md5');
  const ids: string[] = [];
  let reading: Promise<unknown> = Promise.resolve();
  await eachBlock(limit, { from: 0, size, bytes, signal: request.signal }, async (block) => {
    const { index, position, length, signal } = block;
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
      await storage.call({ operation: 'upload', resource: blob, signal }, () =>
        client.stageBlock(id, data, length, { transactionalContentMD5: md5, abortSignal: signal }),
      );
    }
    onBytes(length);
  });
  await mustBeUnchanged(file, request);
  const md5 = whole.digest();
  await limit(() =>
    storage.call({ operation: 'upload', resource: blob, signal: request.signal }, () =>
      client.commitBlockList(ids, {
        blobHTTPHeaders: { blobContentMD5: md5 },
        metadata: sourceMetadata(expected, md5),
        abortSignal: request.signal,
      }),
    ),
  );
}

async function uncommittedBlocks(
  storage: Storage,
  { container, blob, signal }: UploadRequest,
): Promise<Set<string>> {
  try {
    const { uncommittedBlocks = [] } = await storage.call(
      { operation: 'list blocks', resource: blob, signal },
      () => storage.blob(container, blob).getBlockList('uncommitted', { abortSignal: signal }),
    );
    return new Set(uncommittedBlocks.map(({ name }) => name));
  } catch (error) {
    if (isStorageCode(error, 'BlobNotFound')) return new Set();
    throw error;
  }
}
