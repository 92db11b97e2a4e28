import { type BoxIndex, childOf, makeBox, makeFullBox } from './movieBoxes';
import { layoutOf, type PartLayout, type Range } from './parts';
import type { SampleTable } from './sampleTable';

export interface Movie {
  /** Content of the `moov` box. */
  readonly bytes: Buffer;
  readonly boxes: readonly BoxIndex[];
  readonly timescale: number;
  /** The file's own `ftyp` box. */
  readonly fileType: Buffer;
}

/** When a track is shown. */
export interface Timing {
  /** Seconds on the movie's clock at which the track begins. */
  readonly startSeconds: number;
  /** Presentation time of the first shown sample, in units of the track; undefined without an edit list. */
  readonly from?: number;
  /** Units of the track that are shown; undefined if all. */
  readonly length?: number;
}

export interface PartSource {
  readonly movie: Movie;
  readonly video: BoxIndex;
  readonly table: SampleTable;
  readonly timing: Timing;
}

/**
 * When the first frame of a range is shown: frames before the edit are decoded but not shown. ffmpeg begins the track with
 * the first one that is, though the edit may have begun within the time of the one before. Infinity if none is shown.
 */
export function shownFrom({ times }: SampleTable, { from }: Timing, range: Range): number {
  const earliest = from ?? Number.NEGATIVE_INFINITY;
  let time = Number.POSITIVE_INFINITY;
  for (let index = range.from; index < range.to; index++) {
    const shown = times[index] as number;
    if (shown >= earliest && shown < time) time = shown;
  }
  return time;
}

/** When the last frame of the track ends: after its last edit, frames are decoded but not shown. */
export function shownUntil(table: SampleTable, { from = 0, length }: Timing): number {
  const end = presentationEnd(table);
  return length === undefined ? end : Math.min(end, from + length);
}

function presentationEnd(table: SampleTable): number {
  let end = 0;
  for (let index = 0; index < table.count; index++) {
    const duration = nextDecodeTime(table, index) - (table.decodeTimes[index] as number);
    end = Math.max(end, (table.times[index] as number) + duration);
  }
  return end;
}

/** A part whose last frame is shown until `until`, in units of the track. */
export function layoutOfPart(
  { movie, video, table, timing }: PartSource,
  range: Range,
  { until, isFirst }: { until: number; isFirst: boolean },
): PartLayout {
  const from = shownFrom(table, timing, range);
  const zero = table.decodeTimes[range.from] as number;
  const edits = [{ mediaTime: from - zero, seconds: (until - from) / table.timescale }];
  // Titles and the like are about the whole video: the first part carries them.
  return layoutOfTracks(movie, [{ box: video, table, range, edits }], { withTitles: isFirst });
}

interface Edit {
  /** In units of the track; -1 for time at which nothing of it is shown. */
  readonly mediaTime: number;
  readonly seconds: number;
}

/** Some samples of a track, which become a track of a new file. */
export interface NewTrack {
  readonly box: BoxIndex;
  readonly table: SampleTable;
  readonly range: Range;
  readonly edits: readonly Edit[];
}

/** A range of the source, and where it comes to lie in a new file, counted from the beginning of the media. */
interface Run extends Range {
  readonly place: number;
}

/** A file of samples of some tracks of a movie. Their packets and descriptions are copied. */
export function layoutOfTracks(
  movie: Movie,
  tracks: readonly NewTrack[],
  { withTitles }: { withTitles: boolean },
): PartLayout {
  const ranges = tracks.map(({ table, range }) => contiguous(table, range));
  const all = ranges.flat();
  if (tracks.length > 1) all.sort((one, other) => one.from - other.from);
  const places = new Map<Range, number>();
  let bytes = 0;
  for (const range of all) {
    places.set(range, bytes);
    bytes += range.to - range.from;
  }
  const runs = ranges.map((own) => own.map((range): Run => ({ ...range, place: places.get(range) ?? 0 })));
  const titles = movie.boxes.filter(({ type }) => withTitles && (type === 'udta' || type === 'meta'));
  const copy = copier(movie);
  const head = (mediaStart: number) =>
    Buffer.concat([
      movie.fileType,
      makeBox(
        'moov',
        copy(movie.boxes.find(({ type }) => type === 'mvhd')),
        ...tracks.map((track, index) => trackBox(movie, track, runs[index] ?? [], mediaStart)),
        ...titles.map(copy),
      ),
      mediaHeader(bytes),
    ]);
  // The size of the tables doesn't depend on where the media begins.
  return layoutOf(head(head(0).length), all);
}

function copier({ bytes }: Movie) {
  return (box: BoxIndex | undefined) =>
    box ? Buffer.from(bytes.subarray(box.at, box.end)) : Buffer.alloc(0);
}

function nextDecodeTime({ decodeTimes, endTime }: SampleTable, index: number): number {
  return decodeTimes[index + 1] ?? endTime;
}

/** Ranges of the file that samples take, merged where they follow one another. */
function contiguous({ positions, sizes }: SampleTable, { from, to }: Range): Range[] {
  const runs: { from: number; to: number }[] = [];
  for (let index = from; index < to; index++) {
    const position = positions[index] as number;
    const end = position + (sizes[index] as number);
    const last = runs.at(-1);
    if (last?.to === position) last.to = end;
    else runs.push({ from: position, to: end });
  }
  return runs;
}

function trackBox(
  movie: Movie,
  { box, table, range, edits }: NewTrack,
  runs: readonly Run[],
  mediaStart: number,
): Buffer {
  const copy = copier(movie);
  const media = makeBox(
    'mdia',
    copy(childOf(box, 'mdia', 'mdhd')),
    ...(childOf(box, 'mdia')?.children.filter(({ type }) => type === 'hdlr' || type === 'elng') ?? []).map(
      copy,
    ),
    makeBox(
      'minf',
      ...(childOf(box, 'mdia', 'minf')?.children.filter(({ type }) => type !== 'stbl') ?? []).map(copy),
      sampleBoxes(movie.bytes, box, { table, range, runs, mediaStart }),
    ),
  );
  const list = Buffer.alloc(4 + 20 * edits.length);
  list.writeUInt32BE(edits.length);
  for (const [index, { mediaTime, seconds }] of edits.entries()) {
    const at = 4 + 20 * index;
    // Rounded up: a frame whose time lies beyond the edit is not shown. What a division leaves of a whole number does not count.
    list.writeBigUInt64BE(BigInt(Math.ceil(seconds * movie.timescale - 0.001)), at);
    list.writeBigInt64BE(BigInt(Math.round(mediaTime)), at + 8);
    list.writeUInt32BE(0x10000, at + 16);
  }
  const editBox = edits.length > 0 ? makeBox('edts', makeFullBox('elst', 1, list)) : Buffer.alloc(0);
  const about = box.children.filter(({ type }) => type === 'udta').map(copy);
  return makeBox('trak', copy(childOf(box, 'tkhd')), editBox, media, ...about);
}

/** The samples of a track that go into a part. */
interface PartSamples {
  readonly table: SampleTable;
  readonly range: Range;
  readonly runs: readonly Run[];
  /** Where the bytes of the samples begin in the part. */
  readonly mediaStart: number;
}

function sampleBoxes(
  movie: Buffer,
  track: BoxIndex,
  { table, range: { from, to }, runs, mediaStart }: PartSamples,
): Buffer {
  const { decodeTimes, times, sizes, isSync } = table;
  const samples = Array.from({ length: to - from }, (_, index) => from + index);
  const offsets = samples.map((index) => (times[index] as number) - (decodeTimes[index] as number));
  const syncs = samples.filter((index) => isSync[index] === 1).map((index) => index - from + 1);
  const descriptions = childOf(track, 'mdia', 'minf', 'stbl', 'stsd');
  const isAllSync = syncs.length === samples.length;
  return makeBox(
    'stbl',
    descriptions ? movie.subarray(descriptions.at, descriptions.end) : Buffer.alloc(0),
    makeFullBox(
      'stts',
      0,
      runLengths(samples.map((index) => nextDecodeTime(table, index) - (decodeTimes[index] as number))),
    ),
    ...(offsets.some((offset) => offset !== 0)
      ? [makeFullBox('ctts', offsets.some((offset) => offset < 0) ? 1 : 0, runLengths(offsets))]
      : []),
    ...(isAllSync ? [] : [makeFullBox('stss', 0, numbers([syncs.length, ...syncs]))]),
    makeFullBox('stsz', 0, numbers([0, samples.length, ...samples.map((index) => sizes[index] as number)])),
    ...chunkBoxes(table, samples, runs, mediaStart),
  );
}

/** One chunk for each run of the file. */
function chunkBoxes(
  { sizes }: SampleTable,
  samples: readonly number[],
  runs: readonly Run[],
  mediaStart: number,
): Buffer[] {
  const counts: number[] = [];
  let next = 0;
  for (const { from, to } of runs) {
    let left = to - from;
    let count = 0;
    while (left > 0 || (count === 0 && next < samples.length)) {
      left -= sizes[samples[next] as number] as number;
      next++;
      count++;
    }
    counts.push(count);
  }
  // Empty samples at the end belong to the last chunk.
  if (counts.length > 0) counts[counts.length - 1] = (counts.at(-1) as number) + samples.length - next;
  const entries = counts.flatMap((count, index) =>
    counts[index - 1] === count ? [] : [[index + 1, count, 1]],
  );
  const positions = Buffer.alloc(4 + 8 * runs.length);
  positions.writeUInt32BE(runs.length);
  for (const [index, { place }] of runs.entries())
    positions.writeBigUInt64BE(BigInt(mediaStart + place), 4 + 8 * index);
  return [
    makeFullBox('stsc', 0, numbers([entries.length, ...entries.flat()])),
    makeFullBox('co64', 0, positions),
  ];
}

/** The number of runs, then count and value of each. Negative values are two's complement. */
function runLengths(values: readonly number[]): Buffer {
  const runs: [count: number, value: number][] = [];
  for (const value of values) {
    const last = runs.at(-1);
    if (last?.[1] === value) last[0]++;
    else runs.push([1, value]);
  }
  return numbers([runs.length, ...runs.flat()]);
}

function numbers(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, 4 * index);
  return bytes;
}

/** The header of a media box, always with a long size, so that its length is known. */
function mediaHeader(contentBytes: number): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32BE(1);
  header.write('mdat', 4, 'latin1');
  header.writeBigUInt64BE(BigInt(contentBytes + 16), 8);
  return header;
}
