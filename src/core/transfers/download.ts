import { createHash } from 'node:crypto';
import { base64, type Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import { type Problem, UserError } from '../errors';
import { type Files, folderOf, nameOf, type PartFile } from '../files/files';
import { beginHash, hashBeginning, hashFile } from '../files/hashing';
import type { RunningHash } from '../files/runningHash';
import { type Beginning, beginBlob } from './beginning';
import { eachBlock, type Slots } from './blocks';
import { checkedRangeBytes, fetchRange, type Version, versionOf } from './ranges';
import type { DownloadRequest } from './requests';

/** An open part file, and the position from which it is continued. */
interface Begun {
  readonly version: Version;
  readonly part: PartFile;
  readonly from: number;
  /** The range from there, if it is arriving already. */
  readonly beginning?: Beginning;
}

/**
 * A canceled download keeps its part file from this size on: downloading less again is faster than finding the part
 * file.
 */
const minKeptBytes = 16 * 1024 * 1024;

/** After these problems a part file is kept. */
const passing = new Set<Problem['kind']>([
  'unreachable',
  'throttled',
  'service',
  'unauthorized',
  'certificate',
  'clockSkew',
]);

/**
 * Downloads a blob into a part file beside the target, in ranges of one version, and gives it its name only after the whole
 * was checked. A part file of the same version is continued. A blob that is replaced meanwhile, or arrives damaged, is
 * downloaded once more.
 */
export async function download(
  storage: Storage,
  files: Files,
  slots: Slots,
  request: DownloadRequest,
): Promise<{ bytes: number; skipped: boolean }> {
  for (let isLast = false; ; isLast = true) {
    let told = 0;
    const onBytes = (count: number) => {
      told += count;
      request.onBytes(count);
    };
    try {
      return await new Attempt(storage, files, slots, { ...request, onBytes }).run();
    } catch (error) {
      if (isLast || !(isDamaged(error) || isReplaced(error))) throw error;
      request.onBytes(-told);
    }
  }
}

/** One attempt to download one version. */
class Attempt {
  /** Undefined for a version without a hash to compare with. */
  #hash: RunningHash | undefined;
  /** Bytes in the part file. */
  #written = 0;

  constructor(
    private readonly storage: Storage,
    private readonly files: Files,
    private readonly slots: Slots,
    private readonly request: DownloadRequest,
  ) {}

  async run(): Promise<{ bytes: number; skipped: boolean }> {
    try {
      return await this.#run();
    } finally {
      await this.#hash?.drop();
    }
  }

  async #run(): Promise<{ bytes: number; skipped: boolean }> {
    const { files, slots, storage, request } = this;
    const { uri, overwrite } = request;
    const free = await files.freeBytes(uri);
    const there = await files.stat(uri);
    let begun: Begun;
    let mayBeSame = false;
    if (there) {
      const version = await slots.request(() => versionOf(storage, request), request.signal);
      if (await isSame(files, uri, there, version)) {
        // A process that was killed between giving the final name and removing the temporary one left both.
        await files.dropPart(uri, tagOf(storage, request, version));
        return { bytes: version.size, skipped: true };
      }
      // Only the content itself can tell.
      mayBeSame = version.md5 === undefined && !there.isFolder && there.size === version.size;
      if (!overwrite && !mayBeSame) throw exists(request);
      begun = await this.#begin(version, free);
    } else {
      begun = await this.#beginWithFirst(free);
    }
    const { version, part } = begun;
    const skipped = await this.#resumable(part, async () => {
      await this.#fetchRest(begun);
      if (base64(await this.#hash?.digest()) !== version.md5) throw damaged(request);
      if (mayBeSame && (await hasSameContent(files, uri, part, version.size))) {
        await part.discard();
        return true;
      }
      if (mayBeSame && !overwrite) throw exists(request);
      await part.commit({ overwrite });
      return false;
    });
    return { bytes: version.size, skipped };
  }

  /** Begins with one request for version and content, which is enough for a small blob that has a hash. */
  async #beginWithFirst(free: number | undefined): Promise<Begun> {
    const beginning = await beginBlob(this.storage, this.slots, this.request);
    const { version } = beginning;
    try {
      const begun = await this.#begin(version, free);
      // What has no hash is read in ranges that are compared with hashes of their own.
      if (begun.from === 0 && version.md5 !== undefined && version.size > 0) return { ...begun, beginning };
      await beginning.drop();
      return begun;
    } catch (error) {
      await beginning.drop();
      throw error;
    }
  }

  /** Opens the part file, and computes the hash of what it holds. */
  async #begin(version: Version, free: number | undefined): Promise<Begun> {
    const { files, request, storage } = this;
    const { uri, onBytes } = request;
    const part = await files.part(uri, tagOf(storage, request, version), version.size);
    this.#hash = version.md5 === undefined ? undefined : beginHash(version.size);
    const from = await this.#resumable(part, async () => {
      const { resumeAt } = part;
      if (resumeAt > version.size) throw damaged(request);
      if (free !== undefined && free < version.size - resumeAt) {
        const sizes = { neededBytes: version.size, freeBytes: free };
        throw new UserError({ kind: 'diskFull', folder: folderOf(uri), ...sizes });
      }
      if (resumeAt > 0) await this.#hashThere(part);
      return resumeAt;
    });
    onBytes(from);
    return { version, part, from };
  }

  /** Downloads ranges in parallel and writes them in order, so that a part file never has a gap. */
  async #fetchRest({ version: { size, etag, md5 }, part, from, beginning }: Begun): Promise<void> {
    const { storage, slots, request } = this;
    const isChecked = md5 === undefined;
    const rangeBytes = () => (isChecked ? Math.min(checkedRangeBytes, slots.blockBytes) : slots.blockBytes);
    const lengthAt = (position: number) => (position === from && beginning?.length) || rangeBytes();
    const onBytes = (bytes: number) => slots.moved(bytes);
    // The thread does its orders one after another, so the next one need not wait for the answer to the one before.
    const isQueued = this.#hash?.updateAndWrite !== undefined && part.writeAndHash !== undefined;
    let turn: Promise<unknown> = Promise.resolve();
    const { lent } = beginning ?? {};
    slots.inOrder(size - from);
    await eachBlock(slots, { from, size, lengthAt, lent, signal: request.signal }, async (block) => {
      const before = turn;
      const { position, signal } = block;
      const range = { ...block, etag, isChecked, onBytes };
      const fetch = () => fetchRange(storage, { ...request, signal }, range);
      const fetching = position === from && beginning ? beginning.data(signal) : slots.request(fetch, signal);
      const begun = this.#write(part, position, fetching, before);
      turn = isQueued ? begun : begun.then(({ done }) => done);
      // The block after this one, if any, takes note of a failure.
      turn.catch(() => undefined);
      const { done } = await begun;
      await done;
      request.onBytes(block.length);
    });
  }

  /** Begins to write a range when the one before it had its turn. */
  async #write(
    part: PartFile,
    position: number,
    fetching: Promise<Uint8Array>,
    before: Promise<unknown>,
  ): Promise<{ done: Promise<void> }> {
    // Waits for both in any case: the buffer must not be lent again while it is being filled.
    const [fetched, previous] = await Promise.allSettled([fetching, before]);
    if (fetched.status === 'rejected') throw fetched.reason;
    if (previous.status === 'rejected') throw previous.reason;
    return { done: this.#append(part, position, fetched.value) };
  }

  async #append(part: PartFile, position: number, data: Uint8Array): Promise<void> {
    if (this.#hash && part.writeAndHash) await part.writeAndHash(position, data, this.#hash);
    else await Promise.all([part.write(position, data), this.#hash?.update(data)]);
    this.#written = position + data.length;
  }

  async #hashThere(part: PartFile): Promise<void> {
    this.#written = part.resumeAt;
    if (this.#hash) await hashBeginning(this.#hash, part, part.resumeAt);
  }

  /** Does a step with a part file. When it fails, the part file is kept for another download or removed. */
  async #resumable<T>(part: PartFile, step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      const isCanceled = this.request.signal.aborted && this.#written >= minKeptBytes;
      await (isCanceled || isWorthResuming(error) ? part.close() : part.discard());
      throw error;
    }
  }
}

/** Whether a file has the content of a blob, by its hash. False for a blob without a hash: size and time prove nothing. */
async function isSame(
  files: Files,
  uri: string,
  there: { isFolder: boolean; size: number },
  { size, md5 }: Version,
): Promise<boolean> {
  if (there.isFolder || there.size !== size || md5 === undefined) return false;
  return (await hashOfFile(files, uri, size)) === md5;
}

async function hasSameContent(files: Files, uri: string, part: PartFile, size: number): Promise<boolean> {
  return (await hashOfFile(files, uri, size)) === base64(await hashFile(part, size));
}

async function hashOfFile(files: Files, uri: string, size: number): Promise<string | undefined> {
  const file = await files.open(uri);
  try {
    return base64(await hashFile(file, size));
  } finally {
    await file.close();
  }
}

/** Identifies a version of a blob in the name of its part file. */
function tagOf(storage: Storage, { container, blob }: DownloadRequest, { etag, size }: Version): string {
  const version = JSON.stringify([storage.host, container, blob, etag, size]);
  return createHash('sha256').update(version).digest('hex').slice(0, 12);
}

function exists({ uri }: DownloadRequest): UserError {
  return new UserError({ kind: 'outputExists', file: nameOf(uri) });
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
