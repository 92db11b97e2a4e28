import { sharedBuffer } from '../files/hashing';
import { Turns } from '../files/turns';

/**
 * Bytes of the largest block or range: large enough that the cost of requests does not matter. More than 4 MiB, because
 * Azurite hashes each range up to that size.
 */
export const blockBytes = 5 * 1024 * 1024;

/** A slab of memory is divided into equal parts, at most this many. */
const maxParts = 16;

/** Memory of one block, which is given back once. */
export interface Lent {
  /** At least as long as was asked for. */
  readonly buffer: Buffer;
  release(): void;
}

interface Slab {
  readonly memory: Buffer;
  /** Length of each part in bytes. */
  partBytes: number;
  free: Buffer[];
  parts: number;
}

interface Ask {
  readonly bytes: number;
  buffer?: Buffer;
  slab?: Slab;
}

/**
 * The memory of all transfers: a fixed number of slabs, each for one large block or for several small ones, so that many
 * requests for small blocks take no more memory than a few for large ones. Slabs are made when they are first needed, lie
 * where hashing needs them, and are kept.
 */
export class Buffers {
  readonly #slabs: Slab[] = [];
  readonly #turns = new Turns<Ask>();

  constructor(private readonly maxSlabs: number) {}

  /** How many blocks wait for memory. */
  get waiting(): number {
    return this.#turns.length;
  }

  /** The largest length of blocks of which so many have room at once. */
  lengthFor(count: number): number {
    let parts = 1;
    while (parts < maxParts && this.maxSlabs * parts < count) parts *= 2;
    return blockBytes / parts;
  }

  /** Waits for memory. A block longer than a slab gets memory of its own, and waits for nothing. */
  async take(bytes: number, signal: AbortSignal): Promise<Lent> {
    if (bytes > blockBytes) return { buffer: sharedBuffer(bytes), release: () => undefined };
    const ask: Ask = { bytes: partBytesFor(bytes) };
    if (this.#turns.length > 0 || !this.#find(ask)) await this.#turns.wait(ask, signal);
    const { buffer, slab } = ask;
    if (buffer === undefined || slab === undefined) throw new Error('a turn without memory');
    let isReleased = false;
    return {
      buffer,
      release: () => {
        if (isReleased) return;
        isReleased = true;
        slab.free.push(buffer);
        this.#turns.admit((next) => this.#find(next));
      },
    };
  }

  #find(ask: Ask): boolean {
    const { bytes } = ask;
    const slab =
      this.#slabs.find(({ partBytes, free }) => partBytes === bytes && free.length > 0) ??
      this.#slabs.find(({ parts, free }) => free.length === parts) ??
      this.#newSlab();
    if (slab === undefined) return false;
    if (slab.partBytes !== bytes) divide(slab, bytes);
    ask.slab = slab;
    ask.buffer = slab.free.pop();
    return true;
  }

  #newSlab(): Slab | undefined {
    if (this.#slabs.length >= this.maxSlabs) return undefined;
    const slab = { memory: sharedBuffer(blockBytes), partBytes: 0, free: [], parts: 0 };
    this.#slabs.push(slab);
    return slab;
  }
}

function partBytesFor(bytes: number): number {
  let length = blockBytes;
  while (length / 2 >= bytes && length > blockBytes / maxParts) length /= 2;
  return length;
}

function divide(slab: Slab, partBytes: number): void {
  slab.partBytes = partBytes;
  slab.parts = blockBytes / partBytes;
  slab.free = Array.from({ length: slab.parts }, (_, index) =>
    slab.memory.subarray(index * partBytes, (index + 1) * partBytes),
  );
}
