import type { Bytes, Content } from '../../files/bytes';
import type { AudioOnlyLayout } from './messages';

/** Ranges that are closer together than `gapBytes` are read with what lies between them, up to `spanBytes` at once. */
const spanBytes = 1024 * 1024;
const gapBytes = 64 * 1024;

/** Buffers for such reads, used again; there are never more than reads that were under way at once. */
const spareBuffers: Buffer[] = [];

/** Where the ranges of a layout come to lie, one after another behind its head. */
export class RangePlaces {
  /** Where each range begins in the new file. */
  readonly #places: Float64Array;
  readonly count: number;
  /** Of the new file. */
  readonly size: number;

  /** `ranges` holds pairs of positions, from and to, in ascending order. */
  constructor(
    headBytes: number,
    private readonly ranges: Float64Array,
  ) {
    this.count = ranges.length / 2;
    this.#places = new Float64Array(this.count);
    let place = headBytes;
    for (let index = 0; index < this.count; index++) {
      this.#places[index] = place;
      place += this.to(index) - this.from(index);
    }
    this.size = place;
  }

  from(index: number): number {
    return this.ranges[2 * index] as number;
  }

  to(index: number): number {
    return this.ranges[2 * index + 1] as number;
  }

  /** Where a position of the source, which lies in one of the ranges, is in the new file. */
  placeOf(position: number): number {
    const index = lastIndex(this.count, (at) => this.from(at) <= position);
    return (this.#places[index] as number) + position - this.from(index);
  }

  /** The range at a place of the new file, and the position in the source. */
  sourceOf(place: number): { index: number; position: number } {
    const index = lastIndex(this.count, (at) => (this.#places[at] as number) <= place);
    return { index, position: this.from(index) + place - (this.#places[index] as number) };
  }
}

/** A head in memory, followed by ranges of a file. */
export class RangedContent implements Content {
  readonly size: number;
  readonly #places: RangePlaces;
  readonly #head: Uint8Array;

  constructor(
    private readonly file: Bytes,
    { head, ranges }: AudioOnlyLayout,
  ) {
    this.#head = head;
    this.#places = new RangePlaces(head.length, ranges);
    this.size = this.#places.size;
  }

  async read(position: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const wanted = Math.max(0, Math.min(length, this.size - position));
    const target = into?.subarray(0, wanted) ?? new Uint8Array(wanted);
    let done = 0;
    if (position < this.#head.length) {
      const part = this.#head.subarray(position, position + wanted);
      target.set(part);
      done = part.length;
    }
    while (done < wanted) {
      const read = await this.#readSpan(position + done, target.subarray(done));
      if (read === 0) break;
      done += read;
    }
    return target.subarray(0, done);
  }

  /** Fills the beginning of the target by one read of the file. Resolves with the number of bytes: fewer if the file became shorter. */
  async #readSpan(place: number, target: Uint8Array): Promise<number> {
    const { index: first, position: from } = this.#places.sourceOf(place);
    const parts: { at: number; from: number; length: number }[] = [];
    let filled = 0;
    for (let index = first; index < this.#places.count && filled < target.length; index++) {
      const begin = index === first ? from : this.#places.from(index);
      const before = parts.at(-1);
      if (before && (begin - before.from - before.length > gapBytes || begin - from >= spanBytes)) break;
      const max = before ? from + spanBytes - begin : target.length;
      const length = Math.min(this.#places.to(index) - begin, target.length - filled, max);
      parts.push({ at: filled, from: begin, length });
      filled += length;
    }
    const last = parts.at(-1) as (typeof parts)[number];
    const span = last.from + last.length - from;
    if (parts.length === 1) {
      const data = await this.file.read(from, span, target);
      if (data.buffer !== target.buffer) target.set(data);
      return data.length;
    }
    const scratch = spareBuffers.pop() ?? Buffer.allocUnsafeSlow(spanBytes);
    try {
      const data = await this.file.read(from, span, scratch);
      if (data.length < span) return 0;
      for (const part of parts) {
        target.set(data.subarray(part.from - from, part.from - from + part.length), part.at);
      }
      return filled;
    } finally {
      spareBuffers.push(scratch);
    }
  }
}

/** The last of so many indices for which something holds that holds for all before it. */
function lastIndex(count: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (holds(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}
