import { Readable } from 'node:stream';
import { base64, type Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import { UserError } from '../errors';
import { type Content, wholeOf } from '../files/bytes';
import { type FileStat, type Files, nameOf, type OpenFile } from '../files/files';
import { beginHash, hashFile, hashOf } from '../files/hashing';
import type { RunningHash } from '../files/runningHash';
import { audioOnlyContent } from '../media/parser/audioOnlyContent';
import { RangedContent } from '../media/parser/fileRanges';
import { type Block, eachBlock, type Slots } from './blocks';
import { blockBytes } from './buffers';
import type { UploadRequest } from './requests';
import { StagedBlocks } from './stagedBlocks';

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
    else await putWhole(storage, slots, source, request);
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

async function isSameContent(content: Content, { there, signal }: UploadRequest): Promise<boolean> {
  if (there?.md5 === undefined || there.size !== content.size) return false;
  return base64(await hashFile(content, content.size, signal)) === there.md5;
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
  slots: Slots,
  { file, content }: Source,
  request: UploadRequest,
): Promise<void> {
  const { container, blob, uri, signal, onBytes } = request;
  const { buffer, release } = await slots.memory(content.size, signal);
  try {
    const data = await readBlock(content, uri, { position: 0, length: content.size, buffer });
    await mustBeUnchanged(file, request);
    const md5 = await hashOf(data);
    const call = { operation: 'upload', resource: blob, bytes: data.length, signal };
    const put = (endTurn: () => void) => (abortSignal: AbortSignal) =>
      storage.blob(container, blob).upload(bodyOf(data, endTurn), data.length, {
        blobHTTPHeaders: { blobContentMD5: md5 },
        metadata: sourceMetadata(request, content, md5),
        abortSignal,
      });
    const answer = await slots.request(async (endTurn) => {
      const stored = await storage.call(call, put(endTurn));
      slots.moved(data.length);
      return stored;
    }, signal);
    // The service returns the hash of the bytes that it received.
    if (answer.contentMD5 && base64(answer.contentMD5) !== base64(md5)) {
      await storage.deleteBlob(container, blob, signal);
      throw new UserError({ kind: 'transferDamaged', file: nameOf(uri) });
    }
  } finally {
    release();
  }
  onBytes(content.size);
}

/**
 * Uploads a file in blocks, of which those that an earlier attempt has sent are not sent again. Each byte is hashed once,
 * for the MD5 of the whole: TLS verifies what is on its way.
 */
async function putBlocks(
  storage: Storage,
  slots: Slots,
  { file, content }: Source,
  request: UploadRequest,
): Promise<void> {
  const { container, blob, uri, expected, part, onBytes, signal } = request;
  const { size } = content;
  slots.begin(size);
  const client = storage.blob(container, blob);
  const source = [expected.size, expected.modified, size, part?.name];
  const staged = new StagedBlocks(
    size,
    source,
    await slots.request(() => uncommittedBlocks(storage, request), signal),
  );
  const whole = beginHash(size);
  let turn: Promise<unknown> = Promise.resolve();
  const lengthAt = (position: number) => staged.lengthAt(position, slots.uploadBytes(size - position));
  try {
    await eachBlock(slots, { from: 0, size, lengthAt, signal }, async (block) => {
      const before = turn;
      const hashed = readInTurn(content, uri, block, before, whole);
      turn = hashed.catch(() => undefined);
      const { data, hashing } = await hashed;
      const send = async () => {
        const { id, isStaged } = staged.add(block.position, data);
        if (isStaged) return;
        const { length } = block;
        const call = { operation: 'upload', resource: blob, bytes: length };
        await slots.request(async (endTurn) => {
          const stage = (abortSignal: AbortSignal) =>
            client.stageBlock(id, bodyOf(data, endTurn), length, { abortSignal });
          await slots.stragglers.run(length, block.signal, (signal) =>
            storage.call({ ...call, signal }, stage),
          );
          slots.moved(length);
        }, block.signal);
      };
      // Waits for both in any case: the memory must not be lent again before.
      const [all, sent] = await Promise.allSettled([hashing, send()]);
      if (sent.status === 'rejected') throw sent.reason;
      if (all.status === 'rejected') throw all.reason;
      onBytes(block.length);
    });
    await mustBeUnchanged(file, request);
  } catch (error) {
    await whole.drop();
    throw error;
  }
  const md5 = await whole.digest();
  const call = { operation: 'upload', resource: blob, signal };
  const commit = (abortSignal: AbortSignal) =>
    client.commitBlockList(staged.ids(), {
      blobHTTPHeaders: { blobContentMD5: md5 },
      metadata: sourceMetadata(request, content, md5),
      abortSignal,
    });
  await slots.request(() => storage.call(call, commit), signal);
}

/** Reads a block, and hashes it after the one before it. */
async function readInTurn(
  content: Content,
  uri: string,
  block: Block,
  before: Promise<unknown>,
  whole: RunningHash,
): Promise<{ data: Buffer; hashing: Promise<void> }> {
  const [read] = await Promise.allSettled([readBlock(content, uri, block), before]);
  if (read.status === 'rejected') throw read.reason;
  block.signal.throwIfAborted();
  return { data: read.value, hashing: whole.update(read.value) };
}

/** Bytes that are handed to a connection at a time. */
const chunkBytes = 256 * 1024;

/** A body for each attempt. `onEnd` is called when the last bytes have been handed to the connection. */
function bodyOf(data: Buffer, onEnd: () => void): () => NodeJS.ReadableStream {
  return () => {
    let position = 0;
    return new Readable({
      highWaterMark: chunkBytes,
      read() {
        const chunk = data.subarray(position, position + chunkBytes);
        position += chunk.length;
        if (chunk.length === 0) onEnd();
        this.push(chunk.length > 0 ? chunk : null);
      },
    });
  };
}

async function uncommittedBlocks(
  storage: Storage,
  { container, blob, signal }: UploadRequest,
): Promise<{ name: string; size: number }[]> {
  try {
    const { uncommittedBlocks = [] } = await storage.call(
      { operation: 'list blocks', resource: blob, signal },
      (abortSignal) => storage.blob(container, blob).getBlockList('uncommitted', { abortSignal }),
    );
    return uncommittedBlocks;
  } catch (error) {
    if (isStorageCode(error, 'BlobNotFound')) return [];
    throw error;
  }
}
