import type { Bytes } from '../../files/bytes';
import { type Codec, canStartPart } from './keyFrames';
import { type BoxIndex, childOf, fileBoxes, indexBoxes, makeBox, makeFullBox } from './movieBoxes';
import { type CutVideo, chooseCuts, layoutOf, type PartLayout, type Range, type WholeReason } from './parts';
import { readSampleTable, type SampleTable } from './sampleTable';

/** Tables of longer videos are not worth their memory. */
const maxTableBytes = 64 * 1024 * 1024;

/** Cuts that are tried before a video counts as one that can't be cut. */
const maxTries = 200;

/**
 * Cuts an MP4 or QuickTime video into parts of about `seconds`, each a file of its own with the video track only. Packets and
 * sample descriptions are copied, so nothing is re-encoded. Resolves with the reason if the video has to stay whole.
 * https://developer.apple.com/documentation/quicktime-file-format
 */
export async function cutMp4(file: Bytes, size: number, seconds: number): Promise<CutVideo | WholeReason> {
  const movie = await readMovie(file, size);
  if (typeof movie === 'string') return movie;
  const tracks = movie.boxes.filter(({ type }) => type === 'trak');
  const video = tracks.find((track) => handlerOf(movie.bytes, track) === 'vide');
  if (video === undefined) return 'format';
  const timing = timingOf(movie, video);
  const table = readSampleTable(movie.bytes, video, size);
  if (timing === undefined || table === undefined) return 'index';
  const codec = codecOf(movie.bytes, video);
  if (codec === undefined) return 'index';
  if (codec.type === 'encv' || codec.type.startsWith('drm')) return 'encrypted';
  const cuts = await chooseSafeCuts(file, table, codec, seconds);
  if (typeof cuts === 'string') return cuts;
  const shown = tracks.map((track) => ({
    kind: handlerOf(movie.bytes, track),
    timing: timingOf(movie, track),
  }));
  const sounds = shown.filter(({ kind }) => kind === 'soun').map((track) => track.timing?.startSeconds ?? 0);
  const fileStart = Math.min(timing.startSeconds, ...sounds);
  const ranges = [0, ...cuts].map((from, index) => ({ from, to: cuts[index] ?? table.count }));
  const starts = ranges.map((range) => shownFrom(table, timing, range));
  const end = shownUntil(table, timing);
  const zero = starts[0] as number;
  const source = { movie, video, table, timing };
  const layouts = ranges.map((range, index) =>
    layoutOfPart(source, range, { until: starts[index + 1] ?? end, isFirst: index === 0 }),
  );
  const parts = layouts.map(({ size: bytes }, index) => ({
    startSeconds: ((starts[index] as number) - zero) / table.timescale,
    endSeconds: ((starts[index + 1] ?? end) - zero) / table.timescale,
    bytes,
  }));
  return {
    cuts: {
      parts,
      videoStartSeconds: timing.startSeconds - fileStart,
      audioStartSeconds: sounds.map((start) => start - fileStart),
      headBytes: 0,
    },
    layouts,
  };
}

interface Movie {
  /** Content of the `moov` box. */
  readonly bytes: Buffer;
  readonly boxes: readonly BoxIndex[];
  readonly timescale: number;
  /** The file's own `ftyp` box. */
  readonly fileType: Buffer;
}

async function readMovie(file: Bytes, size: number): Promise<Movie | WholeReason> {
  let found: Awaited<ReturnType<typeof fileBoxes>>[number] | undefined;
  let fileType = makeBox('ftyp', Buffer.from('isom\0\0\x02\0isommp41', 'latin1'));
  let isFirst = true;
  for (const box of await fileBoxes(file, size)) {
    if (isFirst && !['ftyp', 'moov', 'mdat', 'wide', 'free', 'skip'].includes(box.type)) return 'format';
    isFirst = false;
    if (box.isCut) return 'index';
    if (box.type === 'ftyp' && box.end - box.at <= 1024)
      fileType = Buffer.from(await file.read(box.at, box.end - box.at));
    if (box.type === 'moof') return 'index';
    if (box.type === 'moov') found = box;
  }
  if (found === undefined || found.end - found.start > maxTableBytes) return 'index';
  const bytes = Buffer.from(await file.read(found.start, found.end - found.start));
  const indexed = indexBoxes(bytes);
  const header = indexed?.find(({ type }) => type === 'mvhd');
  // Fragments have tables of their own, and compressed tables are not read.
  if (
    indexed === undefined ||
    header === undefined ||
    indexed.some(({ type }) => type === 'mvex' || type === 'cmov')
  )
    return 'index';
  const timescale = bytes.readUInt32BE(header.start + (bytes.readUInt8(header.start) === 1 ? 20 : 12));
  return timescale > 0 ? { bytes, boxes: indexed, timescale, fileType } : 'index';
}

function handlerOf(movie: Buffer, track: BoxIndex): string {
  const handler = childOf(track, 'mdia', 'hdlr');
  return handler ? movie.toString('latin1', handler.start + 8, handler.start + 12) : '';
}

/** When a track is shown. */
interface Timing {
  /** Seconds on the movie's clock at which the track begins. */
  readonly startSeconds: number;
  /** Presentation time of the first shown sample, in units of the track; undefined without an edit list. */
  readonly from?: number;
  /** Units of the track that are shown; undefined if all. */
  readonly length?: number;
}

/** Undefined for edits that repeat, reorder or slow down the track. */
function timingOf({ bytes, timescale }: Movie, track: BoxIndex): Timing | undefined {
  const header = childOf(track, 'mdia', 'mdhd');
  if (header === undefined) return undefined;
  const units = bytes.readUInt32BE(header.start + (bytes.readUInt8(header.start) === 1 ? 20 : 12));
  const list = childOf(track, 'edts', 'elst');
  if (list === undefined) return { startSeconds: firstTime(bytes, track) / Math.max(units, 1) };
  const isLong = bytes.readUInt8(list.start) === 1;
  const width = isLong ? 20 : 12;
  const count = bytes.readUInt32BE(list.start + 4);
  if (count > 16 || list.start + 8 + count * width > list.end) return undefined;
  const edits = Array.from({ length: count }, (_, index) => {
    const at = list.start + 8 + index * width;
    const duration = isLong ? Number(bytes.readBigUInt64BE(at)) : bytes.readUInt32BE(at);
    const time = isLong ? Number(bytes.readBigInt64BE(at + 8)) : bytes.readInt32BE(at + 4);
    return { duration, time, rate: bytes.readInt32BE(at + width - 4) };
  });
  const [empty, shown, ...others] = edits[0]?.time === -1 ? edits : [undefined, ...edits];
  if (shown === undefined || others.length > 0 || shown.rate !== 0x10000 || shown.time < 0) return undefined;
  return {
    startSeconds: (empty?.duration ?? 0) / timescale,
    from: shown.time,
    // 0 stands for the rest of the track.
    length: shown.duration === 0 ? undefined : (shown.duration / timescale) * units,
  };
}

/** Presentation time of the first sample of a track without an edit list. */
function firstTime(movie: Buffer, track: BoxIndex): number {
  const offsets = childOf(track, 'mdia', 'minf', 'stbl', 'ctts');
  if (offsets === undefined || offsets.end - offsets.start < 16) return 0;
  return Math.max(0, movie.readInt32BE(offsets.start + 12));
}

/** Undefined if the track has several sample descriptions or none. */
function codecOf(movie: Buffer, track: BoxIndex): Codec | undefined {
  const box = childOf(track, 'mdia', 'minf', 'stbl', 'stsd');
  if (box === undefined || box.end - box.start < 16 || movie.readUInt32BE(box.start + 4) !== 1)
    return undefined;
  const type = movie.toString('latin1', box.start + 12, box.start + 16);
  const entry = movie.subarray(box.start, box.end);
  // lengthSizeMinusOne: byte 4 of avcC's content, byte 21 of hvcC's.
  const at = { avcC: 4, hvcC: 21 };
  for (const [name, offset] of Object.entries(at)) {
    const found = entry.indexOf(name, 0, 'latin1');
    const value = found < 0 ? undefined : entry[found + 4 + offset];
    if (value !== undefined) return { type, nalLengthBytes: (value & 3) + 1 };
  }
  return { type, nalLengthBytes: 4 };
}

/** Cuts at samples that start a closed group of pictures, as indices of samples in decoding order. */
async function chooseSafeCuts(
  file: Bytes,
  table: SampleTable,
  codec: Codec,
  seconds: number,
): Promise<number[] | WholeReason> {
  const { count, times, isSync, timescale, endTime } = table;
  const earliestFrom = new Float64Array(count);
  for (let index = count - 1, earliest = Number.POSITIVE_INFINITY; index >= 0; index--) {
    earliest = Math.min(earliest, times[index] as number);
    earliestFrom[index] = earliest;
  }
  let candidates: number[] = [0];
  for (let index = 1, latest = times[0] as number; index < count; index++) {
    // All earlier frames are shown before all later ones, so the cut is one on the screen as well.
    if (isSync[index] === 1 && latest < (earliestFrom[index] as number)) candidates.push(index);
    latest = Math.max(latest, times[index] as number);
  }
  const first = earliestFrom[0] as number;
  const end = (endTime - first) / timescale;
  if (end < 1.5 * seconds) return 'short';
  if (candidates.length === 1)
    return isSync.some((flag, index) => flag === 1 && index > 0) ? 'openGop' : 'keyFrames';
  const safe = new Set<number>([0]);
  for (let tries = 0; ; ) {
    const points = candidates.map((sample) => ((earliestFrom[sample] as number) - first) / timescale);
    const cuts = chooseCuts(points, end, seconds).map((index) => candidates[index] as number);
    const unknown = cuts.find((sample) => !safe.has(sample));
    if (unknown === undefined)
      return cuts.length > 0 ? cuts : candidates.length > 1 ? 'keyFrames' : 'openGop';
    if (++tries > maxTries) return 'openGop';
    if (await canStartPart(file, table, codec, unknown)) safe.add(unknown);
    else candidates = candidates.filter((sample) => sample !== unknown);
  }
}

interface Source {
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
function shownFrom(table: SampleTable, { from }: Timing, range: Range): number {
  return Math.max(
    earliest(table, range),
    range.from === 0 ? (from ?? Number.NEGATIVE_INFINITY) : Number.NEGATIVE_INFINITY,
  );
}

/** When the last frame of the track ends: after its last edit, frames are decoded but not shown. */
function shownUntil(table: SampleTable, { from = 0, length }: Timing): number {
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
function layoutOfPart(
  source: Source,
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
  { movie, video, table }: Source,
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
