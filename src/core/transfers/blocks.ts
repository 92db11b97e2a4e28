import { maxAheadBytes, pageBytes } from '../files/files';
import { Turns } from '../files/turns';
import { anyOf } from '../wait';
import { Buffers, blockBytes, type Lent } from './buffers';
import { Parallelism } from './parallelism';
import { Stragglers } from './stragglers';

/** Memory for at most so many of the largest blocks: 50 MiB. */
const maxSlabs = 10;

/** Above this size, the blocks of one file are more than the first requests. */
const largeBytes = 8 * blockBytes;

/** Shortest of the last blocks of an upload: short enough for the slowest connection, and worth a request. */
const minLastBytes = blockBytes / 8;

/**
 * Requests in flight for each one that is moving bytes: the others have handed over their last bytes and wait for the answer,
 * or are the first ones over new connections, which are slow at first.
 */
const inFlightPerRequest = 2;

/** Blocks that are in memory for each request in flight, so that reading, hashing and writing leave no request unused. */
const blocksPerInFlight = 1.25;

/**
 * Limits the requests in flight, over all files, and the memory of their blocks. Within the maximum the number of requests
 * that move bytes follows the throughput. More requests have smaller blocks, so that memory is bounded whatever their number.
 */
export class Slots {
  readonly #buffers: Buffers;
  readonly #parallelism: Parallelism;
  readonly stragglers: Stragglers;
  readonly #turns = new Turns<undefined>();
  #inFlight = 0;
  /** Requests in flight that have not ended their turn. */
  #moving = 0;
  /** Whether bytes were moved since the last time without requests. */
  #hasMoved = false;

  /** `now` returns milliseconds, by which throughput is measured. */
  constructor(
    readonly max: number,
    now?: () => number,
  ) {
    this.#buffers = new Buffers(Math.min(maxSlabs, Math.ceil(blocksPerInFlight * max)));
    this.#parallelism = new Parallelism(max, now);
    this.stragglers = new Stragglers(now);
  }

  /** The number of requests that move bytes at once. */
  get count(): number {
    return this.#parallelism.count;
  }

  /** The largest number of requests in flight at the moment. */
  get maxInFlight(): number {
    return Math.min(this.max, inFlightPerRequest * this.count);
  }

  /** Bytes that a block has at the moment. */
  get blockBytes(): number {
    return this.#buffers.lengthFor(blocksPerInFlight * this.maxInFlight);
  }

  /** Takes note of a file of which so many bytes are about to be transferred. */
  begin(bytes: number): void {
    if (bytes > largeBytes) this.#parallelism.largeFile();
  }

  /**
   * Returns the size of the next block of an upload with `left` bytes to go. Blocks get shorter towards the end, so that all
   * requests end at about the same time, unless another file waits to continue.
   */
  uploadBytes(left: number): number {
    const { blockBytes } = this;
    if (this.#buffers.waiting > 0) return blockBytes;
    return Math.min(blockBytes, Math.max(minLastBytes, left / this.maxInFlight));
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
    this.#hasMoved = true;
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

  /**
   * Waits for its turn with a request. The turn ends with the request, or when the job says so because it only waits for the
   * answer: another one can then move its bytes.
   */
  async request<T>(job: (endTurn: () => void) => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.#inFlight === 0) this.#restart();
    if (this.#turns.length > 0 || !this.#take()) await this.#turns.wait(undefined, signal);
    let isMoving = true;
    const endTurn = () => {
      if (isMoving) this.#moving--;
      isMoving = false;
      this.#admit();
    };
    try {
      return await job(endTurn);
    } finally {
      this.#inFlight--;
      endTurn();
    }
  }

  #restart(): void {
    this.#parallelism.restart();
    this.#hasMoved = false;
  }

  #admit(): void {
    this.#turns.admit(() => this.#take());
  }

  #take(): boolean {
    const { count, maxInFlight } = this;
    // All connections begin at the same time: one that began later would be slow when the others no longer are.
    const maxMoving = this.#hasMoved ? count : maxInFlight;
    if (this.#inFlight >= maxInFlight || this.#moving >= maxMoving) return false;
    this.#moving++;
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
