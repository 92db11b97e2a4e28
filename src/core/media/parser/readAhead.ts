import type { Bytes } from '../../files/bytes';

/** Bytes that are read for a smaller request, unless the reader says otherwise. */
const usualWindow = 64 * 1024;

/** A probe goes back and forth between the beginning, the tables and the end. */
const maxWindows = 4;

/**
 * Serves small reads from what was read around them before: a probe of a file's tables is dozens of reads of a few bytes
 * each, every one of them a round trip. For one reader of a file that does not change meanwhile.
 */
export class ReadAhead implements Bytes {
  /** By their position; the one that was used last comes last. */
  readonly #windows = new Map<number, Promise<Uint8Array>>();

  constructor(
    private readonly file: Bytes,
    private readonly windowBytes = usualWindow,
  ) {}

  async read(position: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const start = position - (position % this.windowBytes);
    if (position + length > start + this.windowBytes) return this.file.read(position, length, into);
    const data = await this.#window(start);
    return data.subarray(position - start, position - start + length);
  }

  #window(start: number): Promise<Uint8Array> {
    const window = this.#windows.get(start) ?? this.file.read(start, this.windowBytes);
    this.#windows.delete(start);
    this.#windows.set(start, window);
    for (const oldest of this.#windows.keys()) {
      if (this.#windows.size <= maxWindows) break;
      this.#windows.delete(oldest);
    }
    return window;
  }
}
