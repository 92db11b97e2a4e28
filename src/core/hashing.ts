import { Worker } from 'node:worker_threads';
import type { OpenFile } from './files';

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

/**
 * The MD5 of data that comes piece by piece, computed in a thread of its own: neither the window nor the transfer waits
 * for it. The pieces are to lie in shared memory and to stay as they are until the promise resolves.
 */
export class RunningHash {
  readonly #sequence = thread.begin();
  #isOver = false;

  async update(data: Uint8Array): Promise<void> {
    await thread.do({ sequence: this.#sequence, data });
  }

  /** Goes on with the data like `update`, and gives the MD5 of this data alone. */
  async updateAndHash(data: Uint8Array): Promise<Uint8Array> {
    return answered(await thread.do({ sequence: this.#sequence, data, own: true }));
  }

  /** The MD5 of all data; the hash is over then. */
  async digest(data?: Uint8Array): Promise<Uint8Array> {
    const digest = answered(await thread.do({ sequence: this.#sequence, data, ends: true }));
    this.#over();
    return digest;
  }

  /** Ends a hash that nobody wants any more; after `digest` there is nothing to end. */
  async drop(): Promise<void> {
    if (!this.#isOver) await this.digest();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    thread.end();
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
export async function hashBeginning(
  hash: RunningHash,
  file: Pick<OpenFile, 'read'>,
  size: number,
): Promise<void> {
  const buffer = sharedBuffer(Math.min(size, hashedAtOnce));
  for (let position = 0; position < size; position += hashedAtOnce) {
    const data = await file.read(position, Math.min(hashedAtOnce, size - position), buffer);
    if (data.length === 0) break;
    if (data.buffer !== buffer.buffer) buffer.set(data);
    await hash.update(buffer.subarray(0, data.length));
  }
}

export async function hashFile(file: Pick<OpenFile, 'read'>, size: number): Promise<Uint8Array> {
  const hash = new RunningHash();
  try {
    await hashBeginning(hash, file, size);
  } catch (error) {
    await hash.drop();
    throw error;
  }
  return hash.digest();
}
