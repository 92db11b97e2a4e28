import pLimit from 'p-limit';
import { sharedBuffer } from '../files/hashing';
import { anyOf } from '../wait';
import { Parallelism } from './parallelism';

/**
 * Bytes of a block or range: large enough that the cost of requests does not matter, small enough that a few dozen fit in
 * memory. More than 4 MiB, because Azurite hashes each range up to that size.
 */
export const blockBytes = 6 * 1024 * 1024;

/**
 * Limits the requests in flight, over all files, and the memory that they use: one buffer for each, which is made when it
 * is first needed and reused. Within the maximum the number of requests follows the throughput.
 */
export class Slots {
  readonly #limit;
  readonly #free: Buffer[] = [];
  readonly #parallelism: Parallelism;

  /** `now` returns milliseconds, by which throughput is measured. */
  constructor(
    readonly max: number,
    now?: () => number,
  ) {
    this.#parallelism = new Parallelism(max, now);
    this.#limit = pLimit(this.#parallelism.count);
  }

  /** Takes note of bytes that a request has moved. */
  moved(bytes: number): void {
    this.#parallelism.moved(bytes, this.#limit.pendingCount > 0);
    this.#limit.concurrency = this.#parallelism.count;
  }

  /** Takes note of a request that the service has refused because there are too many. */
  throttled(): void {
    this.#parallelism.throttled();
    this.#limit.concurrency = this.#parallelism.count;
  }

  /** Waits for its turn with a request that needs no memory. */
  run<T>(job: () => Promise<T>): Promise<T> {
    return this.#limit(job);
  }

  /** Waits for its turn, and lends the job a buffer of `blockBytes`, or of `bytes` if that is more. */
  runWithBuffer<T>(job: (buffer: Buffer) => Promise<T>, bytes = blockBytes): Promise<T> {
    if (this.#limit.activeCount === 0) this.#parallelism.restart();
    return this.#limit(async () => {
      if (bytes > blockBytes) return job(sharedBuffer(bytes));
      const buffer = this.#free.pop() ?? sharedBuffer(blockBytes);
      try {
        return await job(buffer);
      } finally {
        this.#free.push(buffer);
      }
    });
  }
}

export interface Blocks {
  readonly from: number;
  readonly size: number;
  /** Length of each block except the last. */
  readonly bytes: number;
  readonly signal: AbortSignal;
}

export interface Block {
  readonly index: number;
  readonly position: number;
  readonly length: number;
  /** At least as long as the block. */
  readonly buffer: Buffer;
  /** Aborts with the transfer's own signal, and when another block has failed. */
  readonly signal: AbortSignal;
}

/**
 * Runs one job for each block in the slots, in the order of the blocks. A file queues no more blocks than can run at once,
 * so that a small file does not wait for all of a large one. The first failure aborts the others. Resolves when no job
 * runs any more.
 */
export async function eachBlock(
  slots: Slots,
  { from, size, bytes, signal }: Blocks,
  job: (block: Block) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const either = anyOf(signal, stop.signal);
  let failure: { error: unknown } | undefined;
  let index = 0;
  const next = async (buffer: Buffer) => {
    const position = from + index * bytes;
    if (failure || position >= size) return;
    try {
      either.throwIfAborted();
      const length = Math.min(bytes, size - position);
      await job({ index: index++, position, length, buffer, signal: either });
    } catch (error) {
      failure ??= { error };
      stop.abort(error);
    }
  };
  const lane = async () => {
    while (!failure && from + index * bytes < size) await slots.runWithBuffer(next, bytes);
  };
  const lanes = Math.min(slots.max, Math.ceil((size - from) / bytes));
  await Promise.all(Array.from({ length: lanes }, lane));
  if (failure) throw failure.error;
}
