import { base64, type Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import { UserError } from '../errors';
import { type Content, wholeOf } from '../files/bytes';
import { type FileStat, type Files, nameOf, type OpenFile } from '../files/files';
import { beginHash, hashFile, hashOf } from '../files/hashing';
import { audioOnlyContent } from '../media/parser/audioOnlyContent';
import { RangedContent } from '../media/parser/fileRanges';
import { type Block, blockBytes, eachBlock, type Slots } from './blocks';
import type { UploadRequest } from './requests';

/** https://learn.microsoft.com/azure/storage/blobs/scalability-targets */
const maxBlocks = 50_000;

/**
 * Uploads a file that may change or disappear meanwhile. The file is opened once, read in order, and checked again before
 * the blob gets its content, so that a blob never mixes two versions. (The SDK's `uploadFile` hangs on a file that is
 * truncated and mixes versions of one that is rewritten.)
 */
export async function upload(
  storage: Storage,
  files: Files,
  slots: Slots,
  request: UploadRequest,
): Promise<{ skipped: boolean }> {
  if (isSameSource(request)) return { skipped: true };
  const file = await files.open(request.uri);
  try {
    mustBeExpected(file.opened, request);
    const content = await contentOf(file, request);
    if (await isSameContent(content, request)) return { skipped: true };
    const source = { file, content };
    if (content.size > blockBytes) await putBlocks(storage, slots, source, request);
    else await slots.runWithBuffer((buffer) => putWhole(storage, source, request, buffer));
    return { skipped: false };
  } finally {
    await file.close();
  }
}

/** An open file, and the part of it to upload. */
interface Source {
  readonly file: OpenFile;
  readonly content: Content;
}

async function contentOf(
  file: OpenFile,
  { uri, expected, audioOnly = false, part, signal }: UploadRequest,
): Promise<Content> {
  const whole = wholeOf(file);
  if (part) return new RangedContent(whole, part.layout);
  return (audioOnly && (await audioOnlyContent(whole, { uri, ...expected }, { signal }))) || whole;
}

/** Value of the metadata `pictures` of a blob without the video of its source. */
const leftOut = 'none';

/** Metadata that identifies the source of a blob. */
function sourceMetadata(
  { expected: { size, modified }, part }: UploadRequest,
  content: Content,
  md5: Uint8Array,
): Record<string, string> {
  const isWhole = content.size === size;
  return {
    sourcesize: String(size),
    sourcemodified: String(modified),
    sourcemd5: Buffer.from(md5).toString('hex'),
    ...(part ? { part: part.name } : isWhole ? {} : { pictures: leftOut }),
  };
}

function isSameSource({ there, expected: { size, modified }, audioOnly, part }: UploadRequest): boolean {
  if (there === undefined) return false;
  const { sourcesize, sourcemodified, pictures } = there.metadata;
  const isEnough = part
    ? there.metadata.part === part.name && there.size === part.layout.size
    : pictures === leftOut
      ? audioOnly === true
      : there.size === size;
  return isEnough && sourcesize === String(size) && sourcemodified === String(modified);
}

async function isSameContent(content: Content, { there }: UploadRequest): Promise<boolean> {
  if (there?.md5 === undefined || there.size !== content.size) return false;
  return base64(await hashFile(content, content.size)) === there.md5;
}

async function mustBeUnchanged(file: OpenFile, request: UploadRequest): Promise<void> {
  mustBeExpected(await file.stat(), request);
}

function mustBeExpected({ size, modified }: FileStat, { uri, expected }: UploadRequest): void {
  if (size !== expected.size || modified !== expected.modified) throw changed(uri);
}

function changed(uri: string): UserError {
  return new UserError({ kind: 'fileChanged', file: nameOf(uri) });
}

/** Reads a block into its buffer, where hashing needs it. Throws `fileChanged` if the file is shorter. */
async function readBlock(
  content: Content,
  uri: string,
  { position, length, buffer }: Pick<Block, 'position' | 'length' | 'buffer'>,
): Promise<Buffer> {
  const data = await content.read(position, length, buffer);
  if (data.length !== length) throw changed(uri);
  if (data.buffer !== buffer.buffer) buffer.set(data);
  return buffer.subarray(0, length);
}

async function putWhole(
  storage: Storage,
  { file, content }: Source,
  request: UploadRequest,
  buffer: Buffer,
): Promise<void> {
  const { container, blob, uri, signal, onBytes } = request;
  signal.throwIfAborted();
  const data = await readBlock(content, uri, { position: 0, length: content.size, buffer });
  await mustBeUnchanged(file, request);
  const md5 = await hashOf(data);
  const call = { operation: 'upload', resource: blob, bytes: data.length, signal };
  const answer = await storage.call(call, (abortSignal) =>
    storage.blob(container, blob).upload(data, data.length, {
      blobHTTPHeaders: { blobContentMD5: md5 },
      metadata: sourceMetadata(request, content, md5),
      abortSignal,
    }),
  );
  // The service returns the hash of the bytes that it received.
  if (answer.contentMD5 && base64(answer.contentMD5) !== base64(md5)) {
    await storage.deleteBlob(container, blob, signal);
    throw new UserError({ kind: 'transferDamaged', file: nameOf(uri) });
  }
  onBytes(data.length);
}

/**
 * Uploads a file in blocks. The id of a block contains the hash of its content, so that a block of an earlier attempt is
 * reused only if its content is the same.
 */
async function putBlocks(
  storage: Storage,
  slots: Slots,
  { file, content }: Source,
  request: UploadRequest,
): Promise<void> {
  const { container, blob, uri, onBytes } = request;
  const { size } = content;
  const client = storage.blob(container, blob);
  const there = await slots.run(() => uncommittedBlocks(storage, request));
  const bytes = Math.max(blockBytes, Math.ceil(size / maxBlocks));
  const whole = beginHash(size);
  const ids: string[] = [];
  let reading: Promise<unknown> = Promise.resolve();
  try {
    await eachBlock(slots, { from: 0, size, bytes, signal: request.signal }, async (block) => {
      const read = reading.then(async () => {
        const data = await readBlock(content, uri, block);
        return { data, hashing: whole.updateAndHash(data) };
      });
      reading = read.catch(() => undefined);
      const { data, hashing } = await read;
      const md5 = await hashing;
      const id = blockId(block.index, md5);
      ids[block.index] = id;
      if (!there.has(id)) {
        const { length, signal } = block;
        await storage.call({ operation: 'upload', resource: blob, bytes: length, signal }, (abortSignal) =>
          client.stageBlock(id, data, length, { transactionalContentMD5: md5, abortSignal }),
        );
      }
      onBytes(block.length);
    });
    await mustBeUnchanged(file, request);
  } catch (error) {
    await whole.drop();
    throw error;
  }
  const md5 = await whole.digest();
  await slots.run(() =>
    storage.call({ operation: 'upload', resource: blob, signal: request.signal }, (abortSignal) =>
      client.commitBlockList(ids, {
        blobHTTPHeaders: { blobContentMD5: md5 },
        metadata: sourceMetadata(request, content, md5),
        abortSignal,
      }),
    ),
  );
}

/** All block ids of a blob must have the same length. */
function blockId(index: number, md5: Uint8Array): string {
  const id = `${String(index).padStart(6, '0')}${Buffer.from(md5).toString('hex')}`;
  return Buffer.from(id).toString('base64');
}

async function uncommittedBlocks(
  storage: Storage,
  { container, blob, signal }: UploadRequest,
): Promise<Set<string>> {
  try {
    const { uncommittedBlocks = [] } = await storage.call(
      { operation: 'list blocks', resource: blob, signal },
      (abortSignal) => storage.blob(container, blob).getBlockList('uncommitted', { abortSignal }),
    );
    return new Set(uncommittedBlocks.map(({ name }) => name));
  } catch (error) {
    if (isStorageCode(error, 'BlobNotFound')) return new Set();
    throw error;
  }
}
