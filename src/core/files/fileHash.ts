import { createHash } from 'node:crypto';
import { readSync, writeSync } from 'node:fs';
import type { FilePosition } from './runningHash';
import { writeBytes } from './writeBytes';

/** The MD5 of a file that is written in any order by the same thread. */
export class FileHash {
  readonly #hash = createHash('md5');
  /** The beginning of the file that is hashed, in bytes. */
  #hashed = 0;
  /** The lengths of what was written after a gap, by position. */
  readonly #ahead = new Map<number, number>();
  #buffer: Buffer | undefined;

  /** Continues with data that follows what is hashed. */
  update(data: Uint8Array): void {
    this.#hash.update(data);
    this.#hashed += data.length;
  }

  /** Writes data to the file, and hashes it if it follows what is hashed. Throws the error of the system. */
  write(data: Uint8Array, { fd, position }: FilePosition): void {
    const isNext = position === this.#hashed;
    // In short turns, so that the hash finds the data in the processor's cache.
    for (let done = 0; done < data.length; ) {
      // On a disk that is nearly full one write can be short without an error.
      const length = Math.min(writeBytes, data.length - done);
      const written = writeSync(fd, data, done, length, position + done);
      if (isNext) this.update(data.subarray(done, done + written));
      done += written;
    }
    if (!isNext) this.#ahead.set(position, data.length);
  }

  /** Hashes what was written ahead, up to the next gap. Throws the error of the system. */
  catchUp(fd: number): void {
    for (let length = this.#next(); length !== undefined; length = this.#next()) {
      this.#buffer ??= Buffer.allocUnsafe(writeBytes);
      for (const end = this.#hashed + length; this.#hashed < end; ) {
        const wanted = Math.min(this.#buffer.length, end - this.#hashed);
        const read = readSync(fd, this.#buffer, 0, wanted, this.#hashed);
        // A file that has become shorter meanwhile gets a hash that shows it.
        if (read === 0) return;
        this.update(this.#buffer.subarray(0, read));
      }
    }
  }

  digest(): Uint8Array {
    return this.#hash.digest();
  }

  /** Takes out the length of what was written where the hashed beginning ends. */
  #next(): number | undefined {
    const length = this.#ahead.get(this.#hashed);
    this.#ahead.delete(this.#hashed);
    return length;
  }
}
