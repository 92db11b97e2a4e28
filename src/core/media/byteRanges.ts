import type { Bytes, Content } from '../files/bytes';

/** Part of a file, from a position up to another. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Read at once of what lies scattered: pieces closer together than a disk cares for come with what is between them. */
const spanBytes = 1024 * 1024;
const gapBytes = 64 * 1024;

/** Memory for such reads, used again and again; there is never more of it than reads were under way at once. */
const spare: Buffer[] = [];

/** A head in memory, and after it ranges of a file one after another. */
export class Pieces implements Content {
  readonly size: number;
  /** Where each range begins here. */
  readonly #places: Float64Array;

  constructor(
    private readonly file: Bytes,
    private readonly head: Buffer,
    private readonly ranges: readonly Range[],
  ) {
    this.#places = new Float64Array(ranges.length);
    let place = head.length;
    for (const [index, { from, to }] of ranges.entries()) {
      this.#places[index] = place;
      place += to - from;
    }
    this.size = place;
  }

  /** Where a position of the file, which lies in one of the ranges, comes to lie here. */
  placeOf(from: number): number {
    const index = lastIndex(this.ranges.length, (at) => (this.ranges[at] as Range).from <= from);
    return (this.#places[index] as number) + from - (this.ranges[index] as Range).from;
  }

  async read(position: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const wanted = Math.max(0, Math.min(length, this.size - position));
    const target = into?.subarray(0, wanted) ?? new Uint8Array(wanted);
    let done = 0;
    if (position < this.head.length) {
      const part = this.head.subarray(position, position + wanted);
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

  /** Fills the beginning of the target by one read of the file. Resolves with how much: less where the file is shorter by now. */
  async #readSpan(position: number, target: Uint8Array): Promise<number> {
    const first = lastIndex(this.ranges.length, (at) => (this.#places[at] as number) <= position);
    const from = (this.ranges[first] as Range).from + position - (this.#places[first] as number);
    const pieces: { at: number; from: number; length: number }[] = [];
    let filled = 0;
    for (let index = first; index < this.ranges.length && filled < target.length; index++) {
      const range = this.ranges[index] as Range;
      const begin = index === first ? from : range.from;
      const before = pieces.at(-1);
      if (before && (begin - before.from - before.length > gapBytes || begin - from >= spanBytes)) break;
      const most = before ? from + spanBytes - begin : target.length;
      const length = Math.min(range.to - begin, target.length - filled, most);
      pieces.push({ at: filled, from: begin, length });
      filled += length;
    }
    const last = pieces.at(-1) as (typeof pieces)[number];
    const span = last.from + last.length - from;
    if (pieces.length === 1) {
      const data = await this.file.read(from, span, target);
      if (data.buffer !== target.buffer) target.set(data);
      return data.length;
    }
    const scratch = spare.pop() ?? Buffer.allocUnsafeSlow(spanBytes);
    try {
      const data = await this.file.read(from, span, scratch);
      if (data.length < span) return 0;
      for (const piece of pieces) {
        target.set(data.subarray(piece.from - from, piece.from - from + piece.length), piece.at);
      }
      return filled;
    } finally {
      spare.push(scratch);
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
