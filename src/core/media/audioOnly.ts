import type { Bytes, Content } from '../files/bytes';
import { type Box, boxes } from './boxes';
import { Pieces, type Range } from './byteRanges';
import { ReadAhead } from './readAhead';

/** Tables of longer films than this are not worth their memory. */
const mostTableBytes = 64 * 1024 * 1024;

/** A file of which less than this share stays behind travels as it is. */
const leastShare = 0.1;

/** Boxes beside the tables that tell nothing of where anything is. Files with others are left alone. */
const plainTypes = new Set(['ftyp', 'moov', 'mdat', 'free', 'skip', 'wide', 'uuid', 'udta']);

/** Of those, the ones whose content nobody looks at. */
const fillerTypes = new Set(['mdat', 'free', 'skip', 'wide']);

/**
 * An MP4 or QuickTime file without its pictures: the sound of a film is a small part of it, and all that an audio preset
 * reads. Its other tracks keep their tables, edits, languages and names to the bit; only where their bytes lie is
 * written anew, so that ffmpeg makes the same of them. Undefined for a file that is of another kind, has no sound, is
 * fragmented, encrypted, cut off or in any other way not plain, and for one whose sound begins later than its pictures,
 * as times are counted from the earliest track.
 * https://developer.apple.com/documentation/quicktime-file-format
 */
export async function audioOnlyOf(file: Bytes, size: number): Promise<Content | undefined> {
  try {
    return await leaveOutPictures(file, size);
  } catch (error) {
    // Tables that say more than there is of them.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

async function leaveOutPictures(file: Bytes, size: number): Promise<Content | undefined> {
  const near = new ReadAhead(file);
  const top = await wholeBoxes(near, 0, size);
  const movie = top?.find(({ type }) => type === 'moov');
  if (top === undefined || movie === undefined) return undefined;
  if (top.some(({ type }) => !plainTypes.has(type)) || top.filter(({ type }) => type === 'moov').length > 1)
    return undefined;
  const beside = top.filter((box) => box !== movie && !fillerTypes.has(box.type));
  const tableBytes = [movie, ...beside].reduce((sum, { at, end }) => sum + end - at, 0);
  if (tableBytes > mostTableBytes) return undefined;
  const tables = Buffer.from(await near.read(movie.start, movie.end - movie.start));
  const tracks = await readTracks(tables);
  if (tracks === undefined || !mayLosePictures(tracks)) return undefined;
  const kept = tracks.filter(({ staysBehind }) => !staysBehind);
  const media = top.filter(({ type }) => type === 'mdat');
  const ranges = rangesOf(kept, tracks, media);
  if (ranges === undefined) return undefined;
  const bytes = ranges.reduce((sum, { from, to }) => sum + to - from, 0);
  const others = await Promise.all(beside.map(({ at, end }) => near.read(at, end - at)));
  const left = withoutTracks(tables, tracks);
  const mediaHeader = header('mdat', bytes);
  const head = Buffer.concat([
    ...others.map((box) => Buffer.from(box)),
    header(
      'moov',
      left.reduce((sum, { length }) => sum + length, 0),
    ),
    ...left,
    mediaHeader,
  ]);
  if (head.length + bytes > (1 - leastShare) * size) return undefined;
  // A second time, now that it is known where everything comes to lie.
  const pieces = new Pieces(file, head, ranges);
  for (const { offsets } of kept) offsets.move((from) => pieces.placeOf(from));
  const moved = Buffer.concat(withoutTracks(tables, tracks));
  moved.copy(head, head.length - mediaHeader.length - moved.length);
  return pieces;
}

interface TrackTable {
  /** Where the track lies in the tables. */
  readonly box: Box;
  /** Pictures, and the timecode that is theirs. */
  readonly staysBehind: boolean;
  readonly isSound: boolean;
  /** Its first edit shows nothing: it begins later than the film. */
  readonly beginsLate: boolean;
  /** Its first picture or sound may come before the film begins. */
  readonly mayBeginEarly: boolean;
  /** Tracks that hold its chapters. */
  readonly chapters: readonly number[];
  readonly hasTimecode: boolean;
  readonly offsets: ChunkOffsets;
}

/** The table of a track that tells where its chunks lie in the file. */
class ChunkOffsets {
  constructor(
    private readonly tables: Buffer,
    private readonly at: number,
    private readonly isLong: boolean,
  ) {}

  get count(): number {
    return this.tables.readUInt32BE(this.at + 4);
  }

  /** Whether its entries are all there. */
  fits(end: number): boolean {
    return this.at + 8 + this.count * this.#entry <= end;
  }

  /** Where the chunk of this index begins. */
  of(index: number): number {
    const at = this.at + 8 + index * this.#entry;
    return this.isLong ? Number(this.tables.readBigUInt64BE(at)) : this.tables.readUInt32BE(at);
  }

  /** Writes each anew. */
  move(placeOf: (from: number) => number): void {
    const { count } = this;
    for (let index = 0; index < count; index++) {
      const at = this.at + 8 + index * this.#entry;
      const to = placeOf(this.of(index));
      if (this.isLong) this.tables.writeBigUInt64BE(BigInt(to), at);
      else this.tables.writeUInt32BE(to, at);
    }
  }

  get #entry(): number {
    return this.isLong ? 8 : 4;
  }
}

/** Undefined where something in the tables is not plain. */
async function readTracks(tables: Buffer): Promise<TrackTable[] | undefined> {
  const tracks: TrackTable[] = [];
  const memory = { read: async (at: number, length: number) => tables.subarray(at, at + length) };
  for await (const box of boxes(memory, 0, tables.length)) {
    // Compressed tables, and films whose pieces have tables of their own.
    if (box.isCut || box.type === 'cmov' || box.type === 'mvex') return undefined;
    if (box.type !== 'trak') continue;
    const track = await readTrack(memory, tables, box);
    if (track === undefined) return undefined;
    tracks.push(track);
  }
  return tracks;
}

/** Boxes of a track that are looked into. */
const opened = new Set(['mdia', 'minf', 'stbl', 'dinf', 'edts', 'tref']);

async function readTrack(memory: Bytes, tables: Buffer, box: Box): Promise<TrackTable | undefined> {
  const parts = new Map<string, Box>();
  const open = async ({ start, end }: Box): Promise<boolean> => {
    for await (const part of boxes(memory, start, end)) {
      if (part.isCut || (parts.has(part.type) && part.type !== 'hdlr')) return false;
      parts.set(part.type, part);
      if (opened.has(part.type) && !(await open(part))) return false;
    }
    return true;
  };
  if (!(await open(box))) return undefined;
  const [media, references] = [parts.get('mdia'), parts.get('dref')];
  const table = parts.get('co64') ?? parts.get('stco');
  const isOdd = (parts.has('co64') && parts.has('stco')) || parts.has('saio') || parts.has('senc');
  if (media === undefined || references === undefined || table === undefined || isOdd) return undefined;
  if (!(await isInThisFile(memory, tables, references))) return undefined;
  const offsets = new ChunkOffsets(tables, table.start, table.type === 'co64');
  if (!offsets.fits(table.end)) return undefined;
  const kind = await handlerOf(memory, tables, media);
  const edit = firstEdit(tables, parts.get('elst'));
  const shifts = parts.get('ctts');
  return {
    box,
    staysBehind: kind === 'vide' || kind === 'tmcd',
    isSound: kind === 'soun',
    beginsLate: edit === 'empty',
    mayBeginEarly: edit === undefined && shifts !== undefined && tables.readUInt8(shifts.start) > 0,
    chapters: idsOf(tables, parts.get('chap')),
    hasTimecode: kind !== 'tmcd' && parts.has('tmcd'),
    offsets,
  };
}

/** What a track is. QuickTime has a second handler deeper down, of where the data is. */
async function handlerOf(memory: Bytes, tables: Buffer, media: Box): Promise<string> {
  for await (const { type, start } of boxes(memory, media.start, media.end)) {
    if (type === 'hdlr') return tables.toString('latin1', start + 8, start + 12);
  }
  return '';
}

/** Whether none of a track's bytes lie in other files. */
async function isInThisFile(memory: Bytes, tables: Buffer, { start, end }: Box): Promise<boolean> {
  for await (const entry of boxes(memory, start + 8, end)) {
    if ((tables.readUInt32BE(entry.start) & 1) === 0) return false;
  }
  return true;
}

function firstEdit(tables: Buffer, list: Box | undefined): 'empty' | 'shown' | undefined {
  if (list === undefined || list.end - list.start < 8 || tables.readUInt32BE(list.start + 4) === 0)
    return undefined;
  const isLong = tables.readUInt8(list.start) === 1;
  if (list.end - list.start < (isLong ? 28 : 20)) return undefined;
  const time = isLong ? tables.readBigInt64BE(list.start + 16) : BigInt(tables.readInt32BE(list.start + 12));
  return time === -1n ? 'empty' : 'shown';
}

function idsOf(tables: Buffer, box: Box | undefined): number[] {
  if (box === undefined) return [];
  return Array.from({ length: Math.floor((box.end - box.start) / 4) }, (_, index) =>
    tables.readUInt32BE(box.start + 4 * index),
  );
}

function mayLosePictures(tracks: readonly TrackTable[]): boolean {
  const pictures = tracks.filter(({ staysBehind }) => staysBehind);
  const kept = tracks.filter(({ staysBehind }) => !staysBehind);
  const named = new Set(kept.flatMap(({ chapters }) => chapters));
  return (
    pictures.length > 0 &&
    kept.some(({ isSound, beginsLate }) => isSound && !beginsLate) &&
    !kept.some(({ hasTimecode }) => hasTimecode) &&
    pictures.every(
      ({ mayBeginEarly, chapters }) => !mayBeginEarly && chapters.every((track) => named.has(track)),
    )
  );
}

/**
 * What the chunks of some tracks take in the file: each up to where the next of any track begins, as tables of sizes are
 * read in more than one way. Undefined where a chunk lies outside of the media.
 */
function rangesOf(
  kept: readonly TrackTable[],
  all: readonly TrackTable[],
  media: readonly Box[],
): readonly Range[] | undefined {
  const wanted = sorted(kept);
  const begins = sorted(all);
  const ranges: { from: number; to: number }[] = [];
  let next = 0;
  let box = 0;
  for (const from of wanted) {
    while (box < media.length && from >= (media[box] as Box).end) box++;
    const place = media[box];
    if (place === undefined || from < place.start) return undefined;
    while (next < begins.length && (begins[next] as number) <= from) next++;
    const to = Math.min(begins[next] ?? Number.POSITIVE_INFINITY, place.end);
    const last = ranges.at(-1);
    if (last?.to === from) last.to = to;
    else if (last === undefined || last.to < from) ranges.push({ from, to });
  }
  return ranges;
}

function sorted(tracks: readonly TrackTable[]): Float64Array {
  const offsets = new Float64Array(tracks.reduce((sum, track) => sum + track.offsets.count, 0));
  let index = 0;
  let isSorted = true;
  for (const track of tracks) {
    const { count } = track.offsets;
    for (let chunk = 0; chunk < count; chunk++) {
      const offset = track.offsets.of(chunk);
      isSorted &&= index === 0 || offset >= (offsets[index - 1] as number);
      offsets[index++] = offset;
    }
  }
  return isSorted ? offsets : offsets.sort();
}

/** The tables in pieces, those of the pictures left out. */
function withoutTracks(tables: Buffer, tracks: readonly TrackTable[]): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  for (const { box } of tracks.filter(({ staysBehind }) => staysBehind)) {
    pieces.push(tables.subarray(at, box.at));
    at = box.end;
  }
  return [...pieces, tables.subarray(at)];
}

function header(type: string, contentBytes: number): Buffer {
  const isLong = contentBytes + 8 > 0xffffffff;
  const bytes = Buffer.alloc(isLong ? 16 : 8);
  bytes.writeUInt32BE(isLong ? 1 : contentBytes + 8);
  bytes.write(type, 4, 'latin1');
  if (isLong) bytes.writeBigUInt64BE(BigInt(contentBytes + 16), 8);
  return bytes;
}

/** Boxes that fill a file from its beginning to its end; undefined where they do not. */
async function wholeBoxes(file: Bytes, from: number, to: number): Promise<Box[] | undefined> {
  const found: Box[] = [];
  let at = from;
  for await (const box of boxes(file, from, to)) {
    if (box.isCut) return undefined;
    found.push(box);
    at = box.end;
  }
  return at === to ? found : undefined;
}
