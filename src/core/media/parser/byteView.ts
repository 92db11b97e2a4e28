import type { Bytes } from '../../files/bytes';

/** Reads numbers and text from a part of a file. All readers throw a RangeError beyond its end. */
export class ByteView {
  readonly #bytes: Buffer;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** A part; shorter if the bytes end before it does. */
  part(start: number, end: number): ByteView {
    return new ByteView(this.#bytes.subarray(start, end));
  }

  text(at: number, length: number): string {
    return this.#bytes.toString('latin1', at, at + length);
  }

  u8(at: number): number {
    return this.#bytes.readUInt8(at);
  }

  u16le(at: number): number {
    return this.#bytes.readUInt16LE(at);
  }

  u16be(at: number): number {
    return this.#bytes.readUInt16BE(at);
  }

  u24be(at: number): number {
    return this.#bytes.readUIntBE(at, 3);
  }

  u32le(at: number): number {
    return this.#bytes.readUInt32LE(at);
  }

  u32be(at: number): number {
    return this.#bytes.readUInt32BE(at);
  }

  u64le(at: number): number {
    return Number(this.#bytes.readBigUInt64LE(at));
  }

  s64be(at: number): number {
    return Number(this.#bytes.readBigInt64BE(at));
  }

  f64be(at: number): number {
    return this.#bytes.readDoubleBE(at);
  }

  /** Position of some bytes at or after a position; -1 if they are not there. */
  find(bytes: string | Uint8Array, from = 0): number {
    return this.#bytes.indexOf(bytes, from, 'latin1');
  }
}

/**
 * The first `length` bytes of a file that begins with one of these marks (Latin-1). Undefined for any other file, of which
 * only these few bytes are read: each format asks every file.
 */
export async function headAfterMark(
  file: Bytes,
  marks: readonly string[],
  length: number,
): Promise<ByteView | undefined> {
  const longest = Math.max(...marks.map((mark) => mark.length));
  const start = new ByteView(await file.read(0, longest));
  if (!marks.some((mark) => start.text(0, mark.length) === mark)) return undefined;
  return new ByteView(await file.read(0, length));
}
