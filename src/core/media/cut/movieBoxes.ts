import type { Bytes } from '../../files/bytes';

/** A box of an MP4 or QuickTime file's tables, with the boxes inside it. Positions are in the tables. */
export interface BoxIndex {
  readonly type: string;
  /** Where the box begins. */
  readonly at: number;
  /** Where its content begins and ends. */
  readonly start: number;
  readonly end: number;
  readonly children: readonly BoxIndex[];
}

/** Boxes that contain nothing but boxes. */
const containerTypes = new Set(['trak', 'mdia', 'minf', 'stbl', 'edts', 'dinf', 'udta', 'mvex', 'traf']);

/** More boxes than any real file has. */
const maxBoxes = 10_000;

/** Indexes the boxes of a `moov` box's content. Undefined if a box reaches beyond its parent, or there are too many. */
export function indexBoxes(movie: Buffer): readonly BoxIndex[] | undefined {
  let budget = maxBoxes;
  const index = (from: number, to: number): BoxIndex[] | undefined => {
    const found: BoxIndex[] = [];
    let at = from;
    while (at + 8 <= to) {
      if (--budget < 0) return undefined;
      const short = movie.readUInt32BE(at);
      // QuickTime ends user data with 32 zero bits.
      if (short === 0) break;
      const isLong = short === 1 && at + 16 <= to;
      const length = isLong ? Number(movie.readBigUInt64BE(at + 8)) : short;
      const start = at + (isLong ? 16 : 8);
      const end = at + length;
      if (end < start || end > to) return undefined;
      const type = movie.toString('latin1', at + 4, at + 8);
      const children = containerTypes.has(type) && type !== 'udta' ? index(start, end) : [];
      if (children === undefined) return undefined;
      found.push({ type, at, start, end, children });
      at = end;
    }
    return found;
  };
  return index(0, movie.length);
}

/** A box at the top of a file, of which the content isn't read. */
export interface FileBox {
  readonly type: string;
  readonly at: number;
  readonly start: number;
  readonly end: number;
  /** The file ends before the box does. */
  readonly isCut: boolean;
}

/** More boxes at the top than any real file has: a fragment a second for two days. */
const maxFileBoxes = 400_000;

/** The boxes at the top of a file, up to the first that makes no sense. Throws a RangeError for far too many. */
export async function fileBoxes(file: Bytes, size: number): Promise<FileBox[]> {
  const found: FileBox[] = [];
  for (let at = 0; at + 8 <= size; ) {
    if (found.length >= maxFileBoxes) throw new RangeError('Too many boxes.');
    const header = Buffer.from(await file.read(at, Math.min(16, size - at)));
    const short = header.readUInt32BE(0);
    const isLong = short === 1 && header.length === 16;
    const length = isLong ? Number(header.readBigUInt64BE(8)) : short === 0 ? size - at : short;
    const start = at + (isLong ? 16 : 8);
    if (at + length < start) break;
    const end = Math.min(at + length, size);
    found.push({ type: header.toString('latin1', 4, 8), at, start, end, isCut: at + length > size });
    at += length;
  }
  return found;
}

/** The first box on a path of types below a box. */
export function childOf(box: Pick<BoxIndex, 'children'>, ...path: readonly string[]): BoxIndex | undefined {
  let current: Pick<BoxIndex, 'children'> | undefined = box;
  for (const type of path) current = current?.children.find((child) => child.type === type);
  return current === box ? undefined : (current as BoxIndex | undefined);
}

/** A box of this type with this content. */
export function makeBox(type: string, ...content: readonly Uint8Array[]): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(8 + content.reduce((sum, { length }) => sum + length, 0));
  header.write(type, 4, 'latin1');
  return Buffer.concat([header, ...content]);
}

/** A box with version and flags. */
export function makeFullBox(type: string, version: number, ...content: readonly Uint8Array[]): Buffer {
  return makeBox(type, Buffer.from([version, 0, 0, 0]), ...content);
}
