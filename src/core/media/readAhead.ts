import type { Bytes } from '../files/bytes';

/** Read at a time where little was asked for. */
const windowBytes = 64 * 1024;

/** As many as a look goes back and forth between: the beginning, the tables, the end. */
const mostWindows = 4;

/**
 * Serves small reads from what was read around them before: a look at a file's tables is dozens of reads of a few bytes
 * each, every one of them a trip to the disk. For files that do not change meanwhile, and one reader.
 */
export class ReadAhead implements Bytes {
  /** By their position; the one that served last comes last. */
  readonly #windows = new Map<number, Promise<Uint8Array>>();

  constructor(private readonly file: Bytes) {}

  async read(position: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const start = position - (position % windowBytes);
    if (position + length > start + windowBytes) return this.file.read(position, length, into);
    const data = await this.#window(start);
    return data.subarray(position - start, position - start + length);
  }

  #window(start: number): Promise<Uint8Array> {
    const window = this.#windows.get(start) ?? this.file.read(start, windowBytes);
    this.#windows.delete(start);
    this.#windows.set(start, window);
    for (const oldest of this.#windows.keys()) {
      if (this.#windows.size <= mostWindows) break;
      this.#windows.delete(oldest);
    }
    return window;
  }
}
