import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';

/** What the service keeps free for itself. Below it, the disk counts as full and no task starts. */
export const reserveBytes = 1024 * 1024;
const stepBytes = 64 * 1024;

/** A file that occupies room on the disk, so that changes in progress can be completed when the disk is full. */
export class Reserve {
  #file: number | undefined;
  #bytes = 0;

  constructor(private readonly path: string) {}

  /** Occupies the room. Returns false, with nothing occupied in addition, if there is none. */
  fill(): boolean {
    try {
      this.#file ??= openSync(this.path, 'a+', 0o600);
      this.#bytes = fstatSync(this.#file).size;
      const zeros = Buffer.alloc(stepBytes);
      while (this.#bytes < reserveBytes) {
        const written = writeSync(this.#file, zeros);
        if (written === 0) return false;
        this.#bytes += written;
      }
      return true;
    } catch {
      return false;
    }
  }

  /** Gives up enough room for so many bytes. Returns false if there is not that much left. */
  release(bytes: number): boolean {
    const size = this.#bytes - Math.ceil(bytes / stepBytes) * stepBytes;
    if (this.#file === undefined || size < 0) return false;
    try {
      ftruncateSync(this.#file, size);
      this.#bytes = size;
      return true;
    } catch {
      return false;
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}
