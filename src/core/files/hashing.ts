import { createHash } from 'node:crypto';
import type { Bytes } from './bytes';
import { type HashThread, idlestThread } from './hashThread';
import type { FilePosition, RunningHash } from './runningHash';

/** Data up to this size is hashed faster than a thread can be asked to. */
const maxBytesHere = 128 * 1024;

/** Bytes of a file that are read and hashed at a time. */
const readBytes = 1024 * 1024;

const noData = new Uint8Array(0);

/** Begins the hash of so many bytes, or of less. Large data is hashed in a thread, so that neither window nor transfer waits. */
export function beginHash(bytes: number): RunningHash {
  return bytes > maxBytesHere ? new HashInThread(bytes) : new HashHere();
}

/** Returns the MD5 of data in shared memory, which must not change until the promise resolves. */
export async function hashOf(data: Uint8Array): Promise<Uint8Array> {
  if (data.length <= maxBytesHere) return createHash('md5').update(data).digest();
  return digestOf(await idlestThread().do({ data }));
}

class HashHere implements RunningHash {
  readonly #hash = createHash('md5');

  async update(data: Uint8Array): Promise<void> {
    this.#hash.update(data);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  async drop(): Promise<void> {
    // It has no resources.
  }
}

class HashInThread implements RunningHash {
  readonly #thread: HashThread = idlestThread();
  readonly #sequence = this.#thread.beginSequence();
  /** The hash, once the thread has all data. */
  #ending: Promise<Uint8Array | undefined> | undefined;

  /** `left`: bytes that are not hashed yet. The hash ends with the last of them, which takes one message less. */
  constructor(private left: number) {}

  async update(data: Uint8Array): Promise<void> {
    await this.#continue({ data });
  }

  async updateAndWrite(data: Uint8Array, to: FilePosition): Promise<void> {
    await this.#continue({ data, to });
  }

  async digest(): Promise<Uint8Array> {
    return digestOf(await (this.#ending ?? this.#end({ data: noData })));
  }

  async drop(): Promise<void> {
    if (this.#ending === undefined) await this.#end({ data: noData });
  }

  async #continue(order: { readonly data: Uint8Array; readonly to?: FilePosition }): Promise<void> {
    if (this.#ending) throw new Error('there is more data than the hash was begun for');
    this.left -= order.data.length;
    if (this.left > 0) await this.#thread.do({ sequence: this.#sequence, ...order });
    else await this.#end(order);
  }

  #end(order: { readonly data: Uint8Array; readonly to?: FilePosition }): Promise<Uint8Array | undefined> {
    this.#ending = this.#thread
      .do({ sequence: this.#sequence, ...order, ends: true })
      .finally(() => this.#thread.endSequence());
    return this.#ending;
  }
}

function digestOf(digest: Uint8Array | undefined): Uint8Array {
  if (digest === undefined) throw new Error('the hashing thread gave no hash');
  return digest;
}

/** Memory that this thread and the hashing threads share. */
export function sharedBuffer(length: number): Buffer {
  return Buffer.from(new SharedArrayBuffer(length));
}

/** Continues a hash with the first `size` bytes of a file, or with all of a shorter one, until the signal aborts. */
export async function hashBeginning(
  hash: RunningHash,
  file: Bytes,
  size: number,
  signal: AbortSignal,
): Promise<void> {
  const buffer = sharedBuffer(Math.min(size, readBytes));
  for (let position = 0; position < size; position += readBytes) {
    signal.throwIfAborted();
    const data = await file.read(position, Math.min(readBytes, size - position), buffer);
    if (data.length === 0) break;
    if (data.buffer !== buffer.buffer) buffer.set(data);
    await hash.update(buffer.subarray(0, data.length));
  }
}

/** Returns the MD5 of the first `size` bytes of a file. Rejects with the signal's reason when it aborts before that. */
export async function hashFile(file: Bytes, size: number, signal: AbortSignal): Promise<Uint8Array> {
  const hash = beginHash(size);
  try {
    await hashBeginning(hash, file, size, signal);
  } catch (error) {
    await hash.drop();
    throw error;
  }
  return hash.digest();
}
