import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { builtProgram } from './builtProgram';
import type { FilePosition } from './runningHash';

/** An order to a hashing thread, about data in shared memory. */
export interface HashOrder {
  readonly id: number;
  /** The running hash that the data continues; if undefined, the data is hashed by itself. */
  readonly sequence?: number;
  readonly data: Uint8Array;
  /** Whether this data is the last of its sequence. */
  readonly ends?: boolean;
  /** Where to write the data as well. */
  readonly to?: FilePosition;
}

export interface HashReply {
  readonly id: number;
  /** The MD5, for an order that ends a sequence or has none. */
  readonly digest?: Uint8Array;
  /** Why the data could not be written. */
  readonly failure?: { readonly code: string; readonly message: string };
}

/** How long a thread without work is kept, in milliseconds. */
const idleMs = 10_000;

/** At least two, so that a slow disk does not hold up the hashes of another file. */
const maxThreads = Math.min(4, Math.max(2, availableParallelism() - 1));

interface Waiting {
  readonly resolve: (digest: Uint8Array | undefined) => void;
  readonly reject: (error: Error) => void;
}

/** A thread that computes MD5 hashes and writes what it has hashed. It starts with its first order and ends when it has had no work for a while. */
export class HashThread {
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #orders = 0;
  #sequences = 0;
  /** Number of running hashes. Only the worker has their state. */
  #open = 0;
  /** Sequences before this one have lost their state with a worker that failed. */
  #firstSequence = 0;
  readonly #waiting = new Map<number, Waiting>();

  get load(): number {
    return this.#open + this.#waiting.size;
  }

  beginSequence(): number {
    clearTimeout(this.#idle);
    this.#open++;
    return this.#sequences++;
  }

  endSequence(): void {
    this.#open--;
    this.#stopWhenIdle();
  }

  async do(order: Omit<HashOrder, 'id'>): Promise<Uint8Array | undefined> {
    if (order.sequence !== undefined && order.sequence < this.#firstSequence)
      throw new Error('the hashing thread has failed');
    clearTimeout(this.#idle);
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const id = this.#orders++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      // The thread keeps the process alive only while it has an order.
      worker.ref();
      worker.postMessage({ ...order, id } satisfies HashOrder);
    });
  }

  #start(): Worker {
    const worker = new Worker(builtProgram('hashWorker.js'), { name: 'hashing' });
    worker.on('message', ({ id, digest, failure }: HashReply) => {
      const waiting = this.#waiting.get(id);
      if (failure) waiting?.reject(Object.assign(new Error(failure.message), { code: failure.code }));
      else waiting?.resolve(digest);
      this.#waiting.delete(id);
      if (this.#waiting.size > 0) return;
      worker.unref();
      this.#stopWhenIdle();
    });
    worker.on('error', (error) => {
      this.#worker = undefined;
      this.#firstSequence = this.#sequences;
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
    return worker;
  }

  #stopWhenIdle(): void {
    if (this.load > 0) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      const worker = this.#worker;
      this.#worker = undefined;
      // A failure to end a thread without work has no effect.
      worker?.terminate().catch(() => undefined);
    }, idleMs).unref();
  }
}

const threads: HashThread[] = [];

/** The thread with the least work, or a new one while there are cores for it. */
export function idlestThread(): HashThread {
  const idlest = threads.reduce<HashThread | undefined>(
    (best, thread) => (best === undefined || thread.load < best.load ? thread : best),
    undefined,
  );
  if (idlest && (idlest.load === 0 || threads.length >= maxThreads)) return idlest;
  const thread = new HashThread();
  threads.push(thread);
  return thread;
}
