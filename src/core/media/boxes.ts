import type { Bytes } from '../files/bytes';

/** What the boxes of an MP4 or QuickTime file tell that its parser does not. */
export interface BoxFacts {
  /** False for a file that was cut off, or is still being recorded: nothing in it can be played. */
  readonly hasIndex: boolean;
  /** Seconds that the edit list leaves of each track, by its id. */
  readonly editedSeconds: ReadonlyMap<number, number>;
}

export interface Box {
  readonly type: string;
  /** Where it begins in the file. */
  readonly at: number;
  /** Where its content begins and ends in the file. */
  readonly start: number;
  readonly end: number;
  /** The file ends before the box does. */
  readonly isCut: boolean;
}

/** Boxes that such a file may begin with. https://developer.apple.com/documentation/quicktime-file-format */
const firstTypes = new Set(['ftyp', 'moov', 'mdat', 'wide', 'free', 'skip', 'pnot']);

/** Larger than any header that is read; a table beyond it is not an edit list. */
const mostBytes = 64 * 1024;

/** Undefined for what is no such file. Reads headers only, whatever the size of the file. */
export async function readBoxes(file: Bytes, size: number): Promise<BoxFacts | undefined> {
  let isFirst = true;
  for await (const box of boxes(file, 0, size)) {
    if (isFirst && !firstTypes.has(box.type)) return undefined;
    isFirst = false;
    if (box.type === 'moov') {
      return { hasIndex: !box.isCut, editedSeconds: box.isCut ? new Map() : await edits(file, box) };
    }
  }
  return isFirst ? undefined : { hasIndex: false, editedSeconds: new Map() };
}

async function edits(file: Bytes, movie: Box): Promise<Map<number, number>> {
  let timescale = 0;
  const found: { track: number; units: number }[] = [];
  for await (const box of boxes(file, movie.start, movie.end)) {
    if (box.type === 'mvhd') {
      const view = await content(file, box);
      timescale = view.getUint8(0) === 1 ? view.getUint32(20) : view.getUint32(12);
    }
    if (box.type === 'trak') {
      const { track, units } = await edit(file, box);
      if (units > 0) found.push({ track, units });
    }
  }
  return new Map(timescale > 0 ? found.map(({ track, units }) => [track, units / timescale]) : []);
}

/** A track's id and how long its edits last together, less those that are empty, in units of the movie. */
async function edit(file: Bytes, trak: Box): Promise<{ track: number; units: number }> {
  let track = 0;
  let units = 0;
  for await (const box of boxes(file, trak.start, trak.end)) {
    if (box.type === 'tkhd') {
      const view = await content(file, box);
      track = view.getUint8(0) === 1 ? view.getUint32(20) : view.getUint32(12);
    }
    if (box.type === 'edts') {
      for await (const list of boxes(file, box.start, box.end)) {
        if (list.type === 'elst') units += editUnits(await content(file, list));
      }
    }
  }
  return { track, units };
}

function editUnits(view: DataView): number {
  const isLong = view.getUint8(0) === 1;
  const entry = isLong ? 20 : 12;
  const count = Math.min(view.getUint32(4), Math.floor((view.byteLength - 8) / entry));
  let units = 0;
  for (let at = 8, index = 0; index < count; index++, at += entry) {
    const duration = isLong ? Number(view.getBigUint64(at)) : view.getUint32(at);
    const mediaTime = isLong ? Number(view.getBigInt64(at + 8)) : view.getInt32(at + 4);
    if (mediaTime !== -1) units += duration;
  }
  return units;
}

async function content(file: Bytes, { start, end }: Box): Promise<DataView> {
  const bytes = await file.read(start, Math.min(end - start, mostBytes));
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The boxes between two positions, as far as they make sense. */
export async function* boxes(file: Bytes, from: number, to: number): AsyncGenerator<Box> {
  for (let at = from; at + 8 <= to; ) {
    const bytes = await file.read(at, Math.min(16, to - at));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (view.byteLength < 8) return;
    const short = view.getUint32(0);
    const isLong = short === 1 && view.byteLength === 16;
    const header = isLong ? 16 : 8;
    const length = isLong ? Number(view.getBigUint64(8)) : short === 0 ? to - at : short;
    if (length < header) return;
    const type = Buffer.from(bytes.subarray(4, 8)).toString('latin1');
    yield { type, at, start: at + header, end: Math.min(at + length, to), isCut: at + length > to };
    at += length;
  }
}

const matroskaMagic = 0x1a45dfa3;
const segmentId = 0x18538067;

/**
 * Whether a Matroska or WebM file ends before its segment does. Players and ffmpeg take such a file for a whole one.
 * https://www.rfc-editor.org/rfc/rfc8794
 */
export async function isCutMatroska(file: Bytes, size: number): Promise<boolean> {
  const bytes = Buffer.from(await file.read(0, 256));
  if (bytes.length < 16 || bytes.readUInt32BE(0) !== matroskaMagic) return false;
  const header = elementSize(bytes, 4);
  const at = header ? header.next + header.size : bytes.length;
  if (at + 12 > bytes.length || bytes.readUInt32BE(at) !== segmentId) return false;
  const segment = elementSize(bytes, at + 4);
  return segment !== undefined && segment.next + segment.size > size;
}

/** The size of an element, and where its content begins; undefined for one whose size was not known. */
function elementSize(bytes: Buffer, at: number): { size: number; next: number } | undefined {
  const first = bytes[at] ?? 0;
  const length = Math.clz32(first) - 23;
  if (length > 8) return undefined;
  const mask = 0xff >> length;
  let size = first & mask;
  let isUnknown = size === mask;
  for (const byte of bytes.subarray(at + 1, at + length)) {
    size = size * 256 + byte;
    isUnknown &&= byte === 0xff;
  }
  return isUnknown ? undefined : { size, next: at + length };
}
