import { createHash } from 'node:crypto';
import { base64, type Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import { type Problem, UserError } from '../errors';
import {
  type FileStat,
  type Files,
  folderOf,
  maxAheadBytes,
  nameOf,
  type PartFile,
  pageBytes,
} from '../files/files';
import { beginHash, hashBeginning, hashFile } from '../files/hashing';
import type { RunningHash } from '../files/runningHash';
import { type Beginning, beginBlob } from './beginning';
import { type Block, eachBlock, type Slots } from './blocks';
import { RangeReader } from './rangeReader';
import { checkedRangeBytes, type Version, versionOf } from './ranges';
import type { DownloadRequest } from './requests';
import { Written } from './written';

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
  /** Undefined for a version without a hash to compare with, and where the whole file is hashed in the end. */
  #hash: RunningHash | undefined;
  readonly #written = new Written();

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
    // While a first range arrives, its memory is taken: a download that holds it must not wait for other memory.
    if (there || files.isInMemory(uri)) {
      const version = await slots.request(() => versionOf(storage, request), request.signal);
      if (there && (await this.#isSame(there, version))) {
        // A process that was killed between giving the final name and removing the temporary one left both.
        await files.dropPart(uri, tagOf(storage, request, version));
        return { bytes: version.size, skipped: true };
      }
      // Only the content itself can tell.
      mayBeSame = version.md5 === undefined && there?.isFolder === false && there.size === version.size;
      if (there && !overwrite && !mayBeSame) throw exists(request);
      begun = await this.#begin(version, free);
    } else {
      begun = await this.#beginWithFirst(free);
    }
    const { version, part } = begun;
    const skipped = await this.#resumable(part, async () => {
      await this.#fetchRest(begun);
      if ((await this.#md5Of(part, version)) !== version.md5) throw damaged(request);
      if (mayBeSame && (await this.#hasSameContent(part, version.size))) {
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
    const part = await files.part(uri, tagOf(storage, request, version), {
      bytes: version.size,
      signal: request.signal,
    });
    this.#hash = version.md5 !== undefined && part.writeAndHash ? beginHash(version.size) : undefined;
    const from = await this.#resumable(part, async () => {
      const { resumeAt } = part;
      if (resumeAt > version.size) throw damaged(request);
      if (free !== undefined && free < version.size - resumeAt) {
        const sizes = { neededBytes: version.size, freeBytes: free };
        throw new UserError({ kind: 'diskFull', folder: folderOf(uri), ...sizes });
      }
      if (resumeAt > 0 && this.#hash) await hashBeginning(this.#hash, part, resumeAt, request.signal);
      this.#written.add(0, resumeAt);
      return resumeAt;
    });
    onBytes(from);
    return { version, part, from };
  }

  /** Downloads ranges in parallel and writes what has arrived of each. */
  async #fetchRest(begun: Begun): Promise<void> {
    const { slots, request } = this;
    const { version, part, from, beginning } = begun;
    const { size } = version;
    const lengthAt = (position: number) => {
      if (position === from && beginning) return beginning.length;
      if (version.md5 === undefined) return Math.min(checkedRangeBytes, slots.blockBytes);
      return slots.rangeBytes(size - position);
    };
    slots.begin(size - from);
    const memoryFor = (length: number) => Math.min(length, slots.blockBytes);
    const { lent } = beginning ?? {};
    const ranges = { from, size, lengthAt, memoryFor, lent, signal: request.signal };
    await eachBlock(slots, ranges, async (range) => {
      const { position, signal } = range;
      if (position === from && beginning) {
        const data = await beginning.data(signal);
        this.#mustHave(data, range.length);
        await this.#write(part, position, data, signal);
      } else {
        const last = await slots.request((endTurn) => this.#fetchRange(begun, range, endTurn), signal);
        await last.written;
      }
    });
  }

  /**
   * Reads a range and writes it. The two halves of its memory take turns: one is filled while the other is written. Resolves
   * when the last one is being written.
   */
  async #fetchRange(
    { version, part }: Begun,
    { position, length, buffer, signal }: Block,
    endTurn: () => void,
  ): Promise<{ written: Promise<void> }> {
    const { storage, slots, request } = this;
    const isChecked = version.md5 === undefined;
    const onBytes = (bytes: number) => slots.moved(bytes);
    const reader = new RangeReader(storage, request, {
      position,
      length,
      etag: version.etag,
      isChecked,
      onBytes,
    });
    const half = isChecked ? length : halfOf(Math.min(length, buffer.length));
    let [next, other] = [buffer.subarray(0, half), buffer.subarray(half, 2 * half)];
    let before: Promise<void> = Promise.resolve();
    let written: Promise<void> = Promise.resolve();
    const end = slots.stragglers.begin(length, () => reader.reconnect());
    try {
      for (let done = 0; done < length; done += half) {
        // This half was written two rounds ago.
        await before;
        // The next request is on its way while the last bytes of this one arrive.
        if (done > 0 && done + half >= length) endTurn();
        const data = await reader.read(next, signal);
        this.#mustHave(data, Math.min(half, length - done));
        [next, other] = [other, next];
        before = written;
        written = this.#write(part, position + done, data, signal);
        // The next wait reports a failure.
        written.catch(() => undefined);
      }
      await before;
      return { written };
    } catch (error) {
      // The memory must not be lent again while it is being written.
      await Promise.allSettled([before, written]);
      throw error;
    } finally {
      end();
      reader.close();
    }
  }

  /** An answer that ends early, as one of a faulty proxy, would leave a gap that no other range fills. */
  #mustHave(data: Uint8Array, bytes: number): void {
    if (data.length < bytes) throw damaged(this.request);
  }

  async #write(part: PartFile, position: number, data: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#written.reaches(position + data.length - maxAheadBytes, signal);
    if (this.#hash && part.writeAndHash) await part.writeAndHash(position, data, this.#hash);
    else await part.write(position, data);
    this.#written.add(position, data.length);
    this.request.onBytes(data.length);
  }

  async #md5Of(part: PartFile, { size, md5 }: Version): Promise<string | undefined> {
    if (md5 === undefined) return undefined;
    return base64(await (this.#hash?.digest() ?? hashFile(part, size, this.request.signal)));
  }

  /** Whether a file has the content of a blob, by its hash. False for a blob without one: size and time prove nothing. */
  async #isSame(there: FileStat, { size, md5 }: Version): Promise<boolean> {
    if (there.isFolder || there.size !== size || md5 === undefined) return false;
    return (await this.#hashOfTarget(size)) === md5;
  }

  async #hasSameContent(part: PartFile, size: number): Promise<boolean> {
    const hash = await this.#hashOfTarget(size);
    return hash === base64(await hashFile(part, size, this.request.signal));
  }

  async #hashOfTarget(size: number): Promise<string | undefined> {
    const { uri, signal } = this.request;
    const file = await this.files.open(uri);
    try {
      return base64(await hashFile(file, size, signal));
    } finally {
      await file.close();
    }
  }

  /** Does a step with a part file. When it fails, the part file is kept for another download or removed. */
  async #resumable<T>(part: PartFile, step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      const { keepsPart = true, signal } = this.request;
      const isCanceled = signal.aborted && this.#written.end >= minKeptBytes;
      const isKept = keepsPart && (isCanceled || isWorthResuming(error));
      await (isKept ? part.close() : part.discard());
      throw error;
    }
  }
}

function halfOf(bytes: number): number {
  return Math.ceil(bytes / 2 / pageBytes) * pageBytes;
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
