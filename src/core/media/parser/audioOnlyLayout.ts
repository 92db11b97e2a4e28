import type { Bytes } from '../../files/bytes';
import { type Box, boxes } from './boxes';
import { RangePlaces } from './fileRanges';
import type { AudioOnlyLayout } from './messages';

/** Larger tables are not worth their memory. */
const maxTableBytes = 64 * 1024 * 1024;

/** A file of which less than this share can be left out is uploaded whole. */
const minShare = 0.1;

/** Boxes that do not say where anything is in the file. Files with others are uploaded whole. */
const plainTypes = new Set(['ftyp', 'moov', 'mdat', 'free', 'skip', 'wide', 'uuid', 'udta']);

/** Of those, the ones whose content is not needed. */
const fillerTypes = new Set(['mdat', 'free', 'skip', 'wide']);

/**
 * An MP4 or QuickTime file without its video tracks: audio is a small part of a video, and all that an audio preset
 * reads. The other tracks keep their tables, edits, languages and names to the bit; only their chunk offsets are
 * rewritten, so that ffmpeg makes the same output. Undefined for a file of another format, one that has no audio, is
 * fragmented, encrypted, cut off or unusual in any other way, and for one whose audio begins later than its video, as
 * times are counted from the earliest track, unless `anyStart`: then the caller knows when each track begins.
 * https://developer.apple.com/documentation/quicktime-file-format
 */
export async function audioOnlyLayout(
  file: Bytes,
  size: number,
  { anyStart = false }: { anyStart?: boolean } = {},
): Promise<AudioOnlyLayout | undefined> {
  try {
    return await leaveOutVideo(file, size, anyStart);
  } catch (error) {
    // Tables whose counts are larger than they are.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

async function leaveOutVideo(
  file: Bytes,
  size: number,
  anyStart: boolean,
): Promise<AudioOnlyLayout | undefined> {
  const top = await wholeBoxes(file, size);
  const movie = top?.find(({ type }) => type === 'moov');
  if (top === undefined || movie === undefined) return undefined;
  if (top.filter(({ type }) => type === 'moov').length > 1) return undefined;
  const beside = top.filter((box) => box !== movie && !fillerTypes.has(box.type));
  const tableBytes = [movie, ...beside].reduce((sum, { at, end }) => sum + end - at, 0);
  if (tableBytes > maxTableBytes) return undefined;
  const tables = Buffer.from(await file.read(movie.start, movie.end - movie.start));
  // ffmpeg gives this gap to the last track of the file, which may be another one without the video tracks.
  if (tables.includes('iTunSMPB')) return undefined;
  const tracks = await readTracks(tables);
  if (tracks === undefined || !canLeaveOutVideo(tracks, anyStart)) return undefined;
  const kept = tracks.filter(({ isLeftOut }) => !isLeftOut);
  const media = top.filter(({ type }) => type === 'mdat');
  const ranges = rangesOf(kept, tracks, media);
  if (ranges === undefined) return undefined;
  let bytes = 0;
  for (let index = 0; index < ranges.length; index += 2) {
    bytes += (ranges[index + 1] as number) - (ranges[index] as number);
  }
  const others = await Promise.all(beside.map(({ at, end }) => file.read(at, end - at)));
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
  if (head.length + bytes > (1 - minShare) * size) return undefined;
  // A second time, now that it is known where everything comes to lie.
  const places = new RangePlaces(head.length, ranges);
  for (const { offsets } of kept) offsets.move((from) => places.placeOf(from));
  const moved = Buffer.concat(withoutTracks(tables, tracks));
  moved.copy(head, head.length - mediaHeader.length - moved.length);
  return { head, ranges, size: places.size };
}

interface TrackTable {
  /** Where the track lies in the tables. */
  readonly box: Box;
  /** A video track, or the timecode that belongs to it. */
  readonly isLeftOut: boolean;
  readonly isAudio: boolean;
  /** Its first edit is empty: it begins later than the movie. */
  readonly beginsLate: boolean;
  /** Its first sample may be presented before the movie begins. */
  readonly mayBeginEarly: boolean;
  /** Tracks that hold its chapters. */
  readonly chapters: readonly number[];
  readonly hasTimecode: boolean;
  readonly offsets: ChunkOffsets;
}

/** The table of a track that holds the positions of its chunks in the file. */
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

  /** Position of a chunk in the file. */
  of(index: number): number {
    const at = this.at + 8 + index * this.#entry;
    return this.isLong ? Number(this.tables.readBigUInt64BE(at)) : this.tables.readUInt32BE(at);
  }

  /** Replaces each offset. */
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

/** Undefined if the tables are unusual. */
async function readTracks(tables: Buffer): Promise<TrackTable[] | undefined> {
  const tracks: TrackTable[] = [];
  const memory = { read: async (at: number, length: number) => tables.subarray(at, at + length) };
  for await (const box of boxes(memory, 0, tables.length)) {
    // Compressed tables, and fragments with tables of their own.
    if (box.isCut || box.type === 'cmov' || box.type === 'mvex') return undefined;
    if (box.type !== 'trak') continue;
    const track = await readTrack(memory, tables, box);
    if (track === undefined) return undefined;
    tracks.push(track);
  }
  return tracks;
}

/** Boxes of a track that hold boxes. */
const parents = new Set(['mdia', 'minf', 'stbl', 'dinf', 'edts', 'tref']);

async function readTrack(memory: Bytes, tables: Buffer, box: Box): Promise<TrackTable | undefined> {
  const parts = new Map<string, Box>();
  const open = async ({ start, end }: Box): Promise<boolean> => {
    for await (const part of boxes(memory, start, end)) {
      if (part.isCut || (parts.has(part.type) && part.type !== 'hdlr')) return false;
      parts.set(part.type, part);
      if (parents.has(part.type) && !(await open(part))) return false;
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
    isLeftOut: kind === 'vide' || kind === 'tmcd',
    isAudio: kind === 'soun',
    beginsLate: edit === 'empty',
    mayBeginEarly: edit === undefined && shifts !== undefined && tables.readUInt8(shifts.start) > 0,
    chapters: idsOf(tables, parts.get('chap')),
    hasTimecode: kind !== 'tmcd' && parts.has('tmcd'),
    offsets,
  };
}

/** Handler type of a track: `vide`, `soun`. QuickTime has a second handler deeper down, for where the data is. */
async function handlerOf(memory: Bytes, tables: Buffer, media: Box): Promise<string> {
  for await (const { type, start } of boxes(memory, media.start, media.end)) {
    if (type === 'hdlr') return tables.toString('latin1', start + 8, start + 12);
  }
  return '';
}

/** True if all of a track's data is in this file. */
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

function canLeaveOutVideo(tracks: readonly TrackTable[], anyStart: boolean): boolean {
  const leftOut = tracks.filter(({ isLeftOut }) => isLeftOut);
  const kept = tracks.filter(({ isLeftOut }) => !isLeftOut);
  const named = new Set(kept.flatMap(({ chapters }) => chapters));
  return (
    leftOut.length > 0 &&
    kept.some(({ isAudio, beginsLate }) => isAudio && (anyStart || !beginsLate)) &&
    !kept.some(({ hasTimecode }) => hasTimecode) &&
    leftOut.every(
      ({ mayBeginEarly, chapters }) =>
        (anyStart || !mayBeginEarly) && chapters.every((track) => named.has(track)),
    )
  );
}

/**
 * Ranges of the file that hold the chunks of the kept tracks: each up to where the next chunk of any track begins, as
 * readers differ in how they read tables of sizes. Undefined if a chunk lies outside of the media data.
 */
function rangesOf(
  kept: readonly TrackTable[],
  all: readonly TrackTable[],
  media: readonly Box[],
): Float64Array | undefined {
  const wanted = sorted(kept);
  const begins = sorted(all);
  const ranges = new Float64Array(2 * wanted.length);
  let used = 0;
  let next = 0;
  let box = 0;
  for (const from of wanted) {
    while (box < media.length && from >= (media[box] as Box).end) box++;
    const place = media[box];
    if (place === undefined || from < place.start) return undefined;
    while (next < begins.length && (begins[next] as number) <= from) next++;
    const to = Math.min(begins[next] ?? Number.POSITIVE_INFINITY, place.end);
    const lastTo = used > 0 ? (ranges[used - 1] as number) : -1;
    if (lastTo === from) ranges[used - 1] = to;
    else if (lastTo < from) {
      ranges[used++] = from;
      ranges[used++] = to;
    }
  }
  return ranges.slice(0, used);
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

/** The tables around those of the tracks that are left out. */
function withoutTracks(tables: Buffer, tracks: readonly TrackTable[]): Buffer[] {
  const parts: Buffer[] = [];
  let at = 0;
  for (const { box } of tracks.filter(({ isLeftOut }) => isLeftOut)) {
    parts.push(tables.subarray(at, box.at));
    at = box.end;
  }
  return [...parts, tables.subarray(at)];
}

function header(type: string, contentBytes: number): Buffer {
  const isLong = contentBytes + 8 > 0xffffffff;
  const bytes = Buffer.alloc(isLong ? 16 : 8);
  bytes.writeUInt32BE(isLong ? 1 : contentBytes + 8);
  bytes.write(type, 4, 'latin1');
  if (isLong) bytes.writeBigUInt64BE(BigInt(contentBytes + 16), 8);
  return bytes;
}

/** The boxes of a plain file, from its beginning to its end; undefined for any other file. */
async function wholeBoxes(file: Bytes, size: number): Promise<Box[] | undefined> {
  const found: Box[] = [];
  let at = 0;
  for await (const box of boxes(file, 0, size)) {
    if (box.isCut || !plainTypes.has(box.type)) return undefined;
    found.push(box);
    at = box.end;
  }
  return at === size ? found : undefined;
}
