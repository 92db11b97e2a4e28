import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { Bytes } from './bytes';

/** Longest time that the thread waits for work before it ends. */
const idleMs = 10_000;

/**
 * What the thread runs. It is text, because a bundle has no file of it; it sees nothing of this module. Data comes in
 * shared memory, so that nothing is copied.
 */
const program = `
  const { createHash } = require('node:crypto');
  const { parentPort } = require('node:worker_threads');
  const running = new Map();
  parentPort.on('message', ({ id, sequence, data, own, ends }) => {
    let hash = running.get(sequence);
    if (hash === undefined) running.set(sequence, (hash = createHash('md5')));
    if (data) hash.update(data);
    const answer = ends ? hash.digest() : own ? createHash('md5').update(data).digest() : undefined;
    if (ends) running.delete(sequence);
    parentPort.postMessage({ id, answer });
  });
`;

interface Order {
  readonly sequence: number;
  readonly data?: Uint8Array;
  /** Whether the hash of this data alone is wanted. */
  readonly own?: boolean;
  /** Whether the hash of the whole sequence is wanted. */
  readonly ends?: boolean;
}

interface Waiting {
  readonly resolve: (answer: Uint8Array | undefined) => void;
  readonly reject: (error: Error) => void;
}

/** The one thread of this process that hashes, while there is something to hash. */
class HashThread {
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #orders = 0;
  #sequences = 0;
  #open = 0;
  readonly #waiting = new Map<number, Waiting>();

  begin(): number {
    clearTimeout(this.#idle);
    this.#open++;
    return this.#sequences++;
  }

  end(): void {
    if (--this.#open > 0) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#stop(), idleMs).unref();
  }

  do(order: Order): Promise<Uint8Array | undefined> {
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const id = this.#orders++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      // Only while somebody waits does it keep the process alive.
      worker.ref();
      worker.postMessage({ ...order, id });
    });
  }

  #start(): Worker {
    const worker = new Worker(program, { eval: true, name: 'hashing' });
    worker.on('message', ({ id, answer }: { id: number; answer?: Uint8Array }) => {
      this.#waiting.get(id)?.resolve(answer);
      this.#waiting.delete(id);
      if (this.#waiting.size === 0) worker.unref();
    });
    worker.on('error', (error) => {
      this.#worker = undefined;
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
    return worker;
  }

  #stop(): void {
    void this.#worker?.terminate();
    this.#worker = undefined;
  }
}

const thread = new HashThread();

/** The MD5 of data that comes piece by piece. */
export interface RunningHash {
  /** The data is to lie in shared memory, and to stay as it is until the promise resolves. */
  update(data: Uint8Array): Promise<void>;
  /** Goes on with the data like `update`, and gives the MD5 of this data alone. */
  updateAndHash(data: Uint8Array): Promise<Uint8Array>;
  /** The MD5 of all data; the hash is over then. */
  digest(): Promise<Uint8Array>;
  /** Ends a hash that nobody wants any more; after `digest` there is nothing to end. */
  drop(): Promise<void>;
}

/** Up to so many bytes are hashed sooner than a thread is told of them. */
const handfulBytes = 128 * 1024;

/**
 * Begins the hash of so many bytes: of more than a handful in a thread of its own, so that neither the window nor the
 * transfer waits for it.
 */
export function beginHash(bytes: number): RunningHash {
  return bytes > handfulBytes ? new HashInThread() : new HashHere();
}

/** The MD5 of some data, which is to lie in shared memory. */
export async function hashOf(data: Uint8Array): Promise<Uint8Array> {
  const hash = beginHash(data.length);
  await hash.update(data);
  return hash.digest();
}

class HashHere implements RunningHash {
  readonly #hash = createHash('md5');

  async update(data: Uint8Array): Promise<void> {
    this.#hash.update(data);
  }

  async updateAndHash(data: Uint8Array): Promise<Uint8Array> {
    this.#hash.update(data);
    return createHash('md5').update(data).digest();
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  async drop(): Promise<void> {
    // Nothing is held.
  }
}

class HashInThread implements RunningHash {
  readonly #sequence = thread.begin();
  #isOver = false;

  async update(data: Uint8Array): Promise<void> {
    await thread.do({ sequence: this.#sequence, data });
  }

  async updateAndHash(data: Uint8Array): Promise<Uint8Array> {
    return answered(await thread.do({ sequence: this.#sequence, data, own: true }));
  }

  async digest(): Promise<Uint8Array> {
    const digest = answered(await thread.do({ sequence: this.#sequence, ends: true }));
    this.#isOver = true;
    thread.end();
    return digest;
  }

  async drop(): Promise<void> {
    if (!this.#isOver) await this.digest();
  }
}

function answered(answer: Uint8Array | undefined): Uint8Array {
  if (answer === undefined) throw new Error('the hashing thread gave no answer');
  return answer;
}

/** Memory that both this thread and the hashing one see. */
export function sharedBuffer(length: number): Buffer {
  return Buffer.from(new SharedArrayBuffer(length));
}

const hashedAtOnce = 1024 * 1024;

/** Goes on with the first `size` bytes of a file, or with all there are. */
export async function hashBeginning(hash: RunningHash, file: Bytes, size: number): Promise<void> {
  const buffer = sharedBuffer(Math.min(size, hashedAtOnce));
  for (let position = 0; position < size; position += hashedAtOnce) {
    const data = await file.read(position, Math.min(hashedAtOnce, size - position), buffer);
    if (data.length === 0) break;
    if (data.buffer !== buffer.buffer) buffer.set(data);
    await hash.update(buffer.subarray(0, data.length));
  }
}

export async function hashFile(file: Bytes, size: number): Promise<Uint8Array> {
  const hash = beginHash(size);
  try {
    await hashBeginning(hash, file, size);
  } catch (error) {
    await hash.drop();
    throw error;
  }
  return hash.digest();
}
