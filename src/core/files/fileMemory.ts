import { Turns } from './turns';

/** A file in memory, shared by all that have it open. */
interface Entry {
  readonly bytes: number;
  readonly data: Promise<Uint8Array>;
  users: number;
}

/** Memory that is given back once. */
export interface Reservation {
  release(): void;
}

export interface OpenData extends Reservation {
  readonly data: Uint8Array;
}

/** How long a file that nobody has open stays, for an upload that follows the probe. */
const keptMs = 120_000;

/**
 * Limits the memory of files that can only be read and written as a whole. A caller that opens one waits, in turn, until the
 * file fits; a file larger than the limit has all memory to itself. A closed file stays for a while, as long as nobody waits
 * for its memory, so that it is not read again.
 */
export class FileMemory {
  #used = 0;
  readonly #entries = new Map<string, Entry>();
  readonly #turns = new Turns<number>();

  /** `limit` is in bytes. */
  constructor(private readonly limit: number) {}

  /** Bytes in use, including those of closed files that stay. */
  get used(): number {
    return this.#used;
  }

  /** Reserves memory for a file of so many bytes that is written. Rejects when the signal aborts before it has it. */
  async reserve(bytes: number, signal?: AbortSignal): Promise<Reservation> {
    const counted = await this.#take(bytes, signal);
    let isReleased = false;
    return {
      release: () => {
        if (isReleased) return;
        isReleased = true;
        this.#give(counted);
      },
    };
  }

  /**
   * Opens a file of so many bytes. `key` names its version; with undefined the file is not shared and does not stay.
   * `mustNotWait` is for callers that hold memory themselves, which others may wait for.
   */
  async open(
    key: string | undefined,
    bytes: number,
    read: () => Promise<Uint8Array>,
    { mustNotWait = false }: { mustNotWait?: boolean } = {},
  ): Promise<OpenData> {
    const name = key ?? `${Math.random()}`;
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      const counted = mustNotWait ? this.#takeNow(bytes) : this.#take(bytes);
      entry = { bytes, users: 0, data: Promise.resolve(counted).then(read) };
      this.#entries.set(name, entry);
    }
    const opened = entry;
    opened.users++;
    const close = (keep: boolean) => {
      if (--opened.users > 0) return;
      if (keep && this.#turns.length === 0) setTimeout(() => this.#drop(name, opened), keptMs).unref();
      else this.#drop(name, opened);
    };
    try {
      const data = await opened.data;
      let isReleased = false;
      return {
        data,
        release() {
          if (isReleased) return;
          isReleased = true;
          close(key !== undefined);
        },
      };
    } catch (error) {
      close(false);
      throw error;
    }
  }

  async #take(bytes: number, signal?: AbortSignal): Promise<number> {
    const counted = Math.min(bytes, this.limit);
    if (this.#turns.length === 0 && this.#fits(counted)) return this.#takeNow(counted);
    try {
      await this.#turns.wait(counted, signal);
    } catch (error) {
      // The next one may need less.
      this.#give(0);
      throw error;
    }
    return counted;
  }

  #takeNow(bytes: number): number {
    const counted = Math.min(bytes, this.limit);
    this.#used += counted;
    return counted;
  }

  #give(bytes: number): void {
    this.#used -= bytes;
    this.#turns.admit((next) => {
      if (!this.#fits(next)) return false;
      this.#takeNow(next);
      return true;
    });
  }

  /** Drops closed files, the oldest first, as far as that makes room. */
  #fits(bytes: number): boolean {
    for (const [name, entry] of this.#entries) {
      if (this.#used + bytes <= this.limit) break;
      if (entry.users > 0) continue;
      this.#entries.delete(name);
      this.#used -= Math.min(entry.bytes, this.limit);
    }
    return this.#used + bytes <= this.limit;
  }

  #drop(name: string, entry: Entry): void {
    if (entry.users > 0 || this.#entries.get(name) !== entry) return;
    this.#entries.delete(name);
    this.#give(Math.min(entry.bytes, this.limit));
  }
}
