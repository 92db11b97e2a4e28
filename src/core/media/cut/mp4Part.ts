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

/** Presentation time of the earliest frame of a range of samples. */
function earliest({ times }: SampleTable, { from, to }: Range): number {
  let time = Number.POSITIVE_INFINITY;
  for (let index = from; index < to; index++) time = Math.min(time, times[index] as number);
  return time;
}

/** When the first frame of a range is shown: frames before the edit are decoded but not shown. */
export function shownFrom(table: SampleTable, { from }: Timing, range: Range): number {
  return Math.max(
    earliest(table, range),
    range.from === 0 ? (from ?? Number.NEGATIVE_INFINITY) : Number.NEGATIVE_INFINITY,
  );
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
  source: PartSource,
  range: Range,
  { until, isFirst }: { until: number; isFirst: boolean },
): PartLayout {
  const { movie, table, timing } = source;
  const runs = contiguous(table, range);
  const bytes = runs.reduce((sum, { from, to }) => sum + to - from, 0);
  const zero = table.decodeTimes[range.from] as number;
  const from = shownFrom(table, timing, range);
  const edit = { from: from - zero, length: until - from };
  const head = (mediaStart: number) =>
    Buffer.concat([
      movie.fileType,
      movieBox(source, range, runs, { edit, mediaStart, isFirst }),
      mediaHeader(bytes),
    ]);
  // The size of the tables doesn't depend on where the media begins.
  return layoutOf(head(head(0).length), runs);
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

function movieBox(
  { movie, video, table }: PartSource,
  range: Range,
  runs: readonly Range[],
  {
    edit,
    mediaStart,
    isFirst,
  }: { edit: { from: number; length: number }; mediaStart: number; isFirst: boolean },
): Buffer {
  const { bytes, timescale } = movie;
  const copy = (box: BoxIndex | undefined) =>
    box ? Buffer.from(bytes.subarray(box.at, box.end)) : Buffer.alloc(0);
  // Rounded up: a frame whose time lies beyond the edit is not shown.
  const length = Math.ceil((edit.length / table.timescale) * timescale);
  const media = makeBox(
    'mdia',
    copy(childOf(video, 'mdia', 'mdhd')),
    ...(childOf(video, 'mdia')?.children.filter(({ type }) => type === 'hdlr' || type === 'elng') ?? []).map(
      copy,
    ),
    makeBox(
      'minf',
      ...(childOf(video, 'mdia', 'minf')?.children.filter(({ type }) => type !== 'stbl') ?? []).map(copy),
      sampleBoxes(bytes, video, table, range, runs, mediaStart),
    ),
  );
  const list = Buffer.alloc(24);
  list.writeUInt32BE(1);
  list.writeBigUInt64BE(BigInt(length), 4);
  list.writeBigInt64BE(BigInt(Math.round(edit.from)), 12);
  list.writeUInt32BE(0x10000, 20);
  // Titles and the like are about the whole video: the first part carries them.
  const about = isFirst ? movie.boxes.filter(({ type }) => type === 'udta' || type === 'meta') : [];
  return makeBox(
    'moov',
    copy(movie.boxes.find(({ type }) => type === 'mvhd')),
    makeBox('trak', copy(childOf(video, 'tkhd')), makeBox('edts', makeFullBox('elst', 1, list)), media),
    ...about.map(copy),
  );
}

function sampleBoxes(
  movie: Buffer,
  video: BoxIndex,
  table: SampleTable,
  { from, to }: Range,
  runs: readonly Range[],
  mediaStart: number,
): Buffer {
  const { decodeTimes, times, sizes, isSync } = table;
  const samples = Array.from({ length: to - from }, (_, index) => from + index);
  const offsets = samples.map((index) => (times[index] as number) - (decodeTimes[index] as number));
  const syncs = samples.filter((index) => isSync[index] === 1).map((index) => index - from + 1);
  const descriptions = childOf(video, 'mdia', 'minf', 'stbl', 'stsd');
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
  runs: readonly Range[],
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
  let position = mediaStart;
  for (const [index, { from, to }] of runs.entries()) {
    positions.writeBigUInt64BE(BigInt(position), 4 + 8 * index);
    position += to - from;
  }
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
