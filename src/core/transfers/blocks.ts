import { maxAheadBytes, pageBytes } from '../files/files';
import { Turns } from '../files/turns';
import { anyOf } from '../wait';
import { Buffers, blockBytes, type Lent } from './buffers';
import { Parallelism } from './parallelism';

/** Memory for at most so many of the largest blocks: 50 MiB. */
const maxSlabs = 10;

/** Above this size, the blocks of one file are more than the first requests. */
const largeBytes = 8 * blockBytes;

/** Shortest of the last blocks of an upload: short enough for the slowest connection, and worth a request. */
const minLastBytes = blockBytes / 8;

/** Blocks that are in memory for each request, so that reading, hashing and writing leave no request unused. */
const blocksPerRequest = 1.25;

/**
 * Limits the requests in flight, over all files, and the memory of their blocks. Within the maximum the number of requests
 * follows the throughput. More requests have smaller blocks, so that memory is bounded whatever their number.
 */
export class Slots {
  readonly #buffers: Buffers;
  readonly #parallelism: Parallelism;
  readonly #turns = new Turns<undefined>();
  #inFlight = 0;

  /** `now` returns milliseconds, by which throughput is measured. */
  constructor(
    readonly max: number,
    now?: () => number,
  ) {
    this.#buffers = new Buffers(Math.min(maxSlabs, Math.ceil(blocksPerRequest * max)));
    this.#parallelism = new Parallelism(max, now);
  }

  /** The number of requests that are made at once. */
  get count(): number {
    return this.#parallelism.count;
  }

  /** Bytes that a block has at the moment. */
  get blockBytes(): number {
    return this.#buffers.lengthFor(blocksPerRequest * this.count);
  }

  /** Takes note of a file of which so many bytes are about to be downloaded. */
  download(bytes: number): void {
    if (bytes > largeBytes) this.#parallelism.largeDownload();
  }

  /** Takes note of a file of which so many bytes are about to be uploaded. */
  upload(bytes: number): void {
    if (bytes > largeBytes) this.#parallelism.largeUpload();
  }

  /**
   * Returns the size of the next block of an upload with `left` bytes to go. Blocks get shorter towards the end, so that all
   * requests end at about the same time, unless another file waits to continue.
   */
  uploadBytes(left: number): number {
    const { blockBytes } = this;
    if (this.#buffers.waiting > 0) return blockBytes;
    return Math.min(blockBytes, Math.max(minLastBytes, left / (2 * this.count)));
  }

  /**
   * Bytes that one request reads of a large file of which so many are left. A connection stands still between two requests,
   * so they are long at first; towards the end they are short, so that all end at about the same time.
   */
  rangeBytes(left: number): number {
    const share = Math.min(maxAheadBytes, left) / (2 * this.count);
    return Math.max(this.blockBytes, Math.floor(share / pageBytes) * pageBytes);
  }

  /** Takes note of bytes that a request has moved. */
  moved(bytes: number): void {
    this.#parallelism.moved(bytes, this.#turns.length > 0);
    this.#admit();
  }

  /** Takes note of a request that the service has refused because there are too many. */
  throttled(): void {
    this.#parallelism.throttled();
  }

  /** Waits for memory of so many bytes. Memory comes before a request's turn, never after it. */
  memory(bytes: number, signal: AbortSignal): Promise<Lent> {
    return this.#buffers.take(bytes, signal);
  }

  /** Waits for its turn with a request. */
  async request<T>(job: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.#inFlight === 0) this.#parallelism.restart();
    if (this.#turns.length > 0 || !this.#take()) await this.#turns.wait(undefined, signal);
    try {
      return await job();
    } finally {
      this.#inFlight--;
      this.#admit();
    }
  }

  #admit(): void {
    this.#turns.admit(() => this.#take());
  }

  #take(): boolean {
    if (this.#inFlight >= this.count) return false;
    this.#inFlight++;
    return true;
  }
}

export interface Blocks {
  readonly from: number;
  readonly size: number;
  /** Returns the length of the block at this position, if the file is longer. */
  readonly lengthAt: (position: number) => number;
  /** Returns how much memory a block of this length gets. Default: all of its length. */
  readonly memoryFor?: (length: number) => number;
  /** Memory of the first block, if it has been taken. */
  readonly lent?: Lent;
  readonly signal: AbortSignal;
}

export interface Block {
  readonly position: number;
  readonly length: number;
  /** Its memory. */
  readonly buffer: Buffer;
  /** Aborts with the transfer's own signal, and when another block has failed. */
  readonly signal: AbortSignal;
}

/**
 * Runs one job for each block, in the order of the blocks, as soon as there is memory for it. A file waits with one block
 * at a time, so that a small file does not wait for all of a large one. The first failure aborts the others. Resolves when
 * no job runs any more.
 */
export async function eachBlock(
  slots: Slots,
  { from, size, lengthAt, memoryFor = (length) => length, lent: first, signal }: Blocks,
  job: (block: Block) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const either = anyOf(signal, stop.signal);
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  const fail = (error: unknown) => {
    failure ??= { error };
    stop.abort(error);
  };
  const run = async (lent: Lent, position: number, length: number) => {
    try {
      await job({ position, length, buffer: lent.buffer, signal: either });
    } catch (error) {
      fail(error);
    } finally {
      lent.release();
    }
  };
  try {
    for (let position = from; position < size; ) {
      const length = Math.min(lengthAt(position), size - position);
      const lent = (position === from && first) || (await slots.memory(memoryFor(length), either));
      const done = run(lent, position, length);
      running.add(done);
      done.then(() => running.delete(done)).catch(fail);
      position += length;
    }
  } catch (error) {
    fail(error);
  }
  await Promise.all(running);
  if (failure) throw failure.error;
}
