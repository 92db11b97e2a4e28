import type { Bytes } from '../../files/bytes';
import { idOf, readFragments } from './fragments';
import { type Codec, canStartPart, describedCodec } from './keyFrames';
import { type BoxIndex, childOf, type FileBox, fileBoxes, indexBoxes, makeBox } from './movieBoxes';
import {
  layoutOfPart,
  layoutOfTracks,
  type Movie,
  type NewTrack,
  type PartSource,
  shownFrom,
  shownUntil,
  type Timing,
} from './mp4Part';
import { type CutVideo, chooseCuts, type PartLayout, type VideoPart, type WholeReason } from './parts';
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
  const tracks = await readTracks(file, size, movie);
  if (typeof tracks === 'string') return tracks;
  const video = tracks.find(({ kind }) => kind === 'vide');
  if (video === undefined) return 'format';
  const { table, timing, box } = video;
  if (table === undefined) return 'index';
  if (timing === undefined) return 'edits';
  const codec = codecOf(movie.bytes, box);
  if (codec === undefined) return 'index';
  if (codec.type === 'encv' || codec.type.startsWith('drm')) return 'encrypted';
  const cuts = await chooseSafeCuts(file, table, codec, seconds);
  if (typeof cuts === 'string') return cuts;
  const audio = tracks.filter(({ kind }) => kind === 'soun');
  const starts = audio.map((track) => track.timing?.startSeconds ?? 0);
  const fileStart = Math.min(timing.startSeconds, ...starts);
  const source = { movie, video: box, table, timing };
  const parts = partsOf(source, cuts);
  if (parts.length < 2) return 'short';
  if (parts.some(({ part }) => !(part.endSeconds > part.startSeconds))) return 'index';
  return {
    cuts: {
      parts: parts.map(({ part }) => part),
      videoStartSeconds: timing.startSeconds - fileStart,
      audioStartSeconds: starts.map((start) => start - fileStart),
      audioBegins: 'withFirstTrack',
      headBytes: 0,
    },
    layouts: parts.map(({ layout }) => layout),
    ...(movie.fragments.length > 0 && audio.length > 0 && { audio: fragmentedAudio(movie, audio) }),
  };
}

/** The parts that begin at the first sample and at each of these, without those that the edit list leaves out. */
function partsOf(source: PartSource, cuts: readonly number[]): { part: VideoPart; layout: PartLayout }[] {
  const { table, timing } = source;
  const end = shownUntil(table, timing);
  const shown = [0, ...cuts]
    .map((from, index) => ({ from, to: cuts[index] ?? table.count }))
    .map((range) => ({ range, start: shownFrom(table, timing, range) }))
    .filter(({ start }) => start < end);
  const zero = shown[0]?.start ?? 0;
  return shown.map(({ range, start }, index) => {
    const until = shown[index + 1]?.start ?? end;
    const layout = layoutOfPart(source, range, { until, isFirst: index === 0 });
    const part = {
      startSeconds: (start - zero) / table.timescale,
      endSeconds: (until - zero) / table.timescale,
      bytes: layout.size,
    };
    return { part, layout };
  });
}

interface MovieTrack {
  readonly box: BoxIndex;
  /** Handler type: `vide`, `soun`. */
  readonly kind: string;
  /** Undefined for edits that repeat, reorder or slow down the track. */
  readonly timing?: Timing;
  /** Undefined for tables that are damaged; read for the video, and for all tracks of a fragmented movie. */
  readonly table?: SampleTable;
}

async function readTracks(
  file: Bytes,
  size: number,
  movie: FileMovie,
): Promise<readonly MovieTrack[] | WholeReason> {
  const boxes = movie.boxes.filter(({ type }) => type === 'trak');
  const kindOf = (box: BoxIndex) => handlerOf(movie.bytes, box);
  if (movie.fragments.length === 0) {
    const video = boxes.find((box) => kindOf(box) === 'vide');
    return boxes.map((box) => ({
      box,
      kind: kindOf(box),
      timing: timingOf(movie, box),
      table: box === video ? readSampleTable(movie.bytes, box, size) : undefined,
    }));
  }
  // The audio of these gets new tables, to which the samples of chapters would have to be added.
  if (boxes.some((box) => childOf(box, 'tref'))) return 'format';
  const tables = await readFragments(file, size, movie, movie.fragments);
  if (tables === undefined) return 'index';
  return boxes.map((box) => {
    const table = tables.get(idOf(movie.bytes, box) ?? 0);
    return { box, kind: kindOf(box), table, timing: table && fragmentedTiming(movie, box, table) };
  });
}

/** ffmpeg shows all samples of fragments: an edit list moves the track, and neither begins nor ends it. */
function fragmentedTiming(movie: Movie, box: BoxIndex, table: SampleTable): Timing | undefined {
  const edits = timingOf(movie, box);
  if (edits === undefined || table.count === 0) return undefined;
  const first = shownFrom(table, { startSeconds: 0 }, { from: 0, to: table.count });
  // ffmpeg delays tracks with negative composition offsets until none is.
  const delay = -smallestOffset(table);
  const empty = edits.from === undefined ? 0 : edits.startSeconds;
  return { startSeconds: empty + (first + delay - (edits.from ?? 0)) / table.timescale };
}

/** The smallest composition offset of a track, or 0. */
function smallestOffset({ count, times, decodeTimes }: SampleTable): number {
  let smallest = 0;
  for (let index = 0; index < count; index++)
    smallest = Math.min(smallest, (times[index] as number) - (decodeTimes[index] as number));
  return smallest;
}

/** The audio tracks of a fragmented movie as a file of its own, which begins when the first of them does. */
function fragmentedAudio(movie: Movie, audio: readonly MovieTrack[]): PartLayout {
  const start = Math.min(...audio.map(({ timing }) => timing?.startSeconds ?? 0));
  const tracks = audio.flatMap(({ box, table, timing }): NewTrack[] => {
    if (table === undefined || table.count === 0) return [];
    const late = (timing?.startSeconds ?? start) - start;
    const zero = table.times[0] as number;
    const whole = {
      mediaTime: zero - (table.decodeTimes[0] as number),
      seconds: (table.endTime - zero) / table.timescale,
    };
    return [
      {
        box,
        table,
        range: { from: 0, to: table.count },
        edits: late > 0 ? [{ mediaTime: -1, seconds: late }, whole] : [],
      },
    ];
  });
  return layoutOfTracks(movie, tracks, { withTitles: true });
}

/** A movie, and the fragments that belong to it. */
interface FileMovie extends Movie {
  readonly fragments: readonly FileBox[];
}

async function readMovie(file: Bytes, size: number): Promise<FileMovie | WholeReason> {
  const fragments: FileBox[] = [];
  let found: Awaited<ReturnType<typeof fileBoxes>>[number] | undefined;
  let fileType = makeBox('ftyp', Buffer.from('isom\0\0\x02\0isommp41', 'latin1'));
  let isFirst = true;
  for (const box of await fileBoxes(file, size)) {
    if (isFirst && !['ftyp', 'styp', 'moov', 'mdat', 'wide', 'free', 'skip'].includes(box.type))
      return 'format';
    isFirst = false;
    if (box.isCut) return 'index';
    if (box.type === 'ftyp' && box.end - box.at <= 1024)
      fileType = Buffer.from(await file.read(box.at, box.end - box.at));
    if (box.type === 'moof') fragments.push(box);
    if (box.type === 'moov') found = box;
  }
  if (found === undefined || found.end - found.start > maxTableBytes) return 'index';
  const bytes = Buffer.from(await file.read(found.start, found.end - found.start));
  const indexed = indexBoxes(bytes);
  const header = indexed?.find(({ type }) => type === 'mvhd');
  // Compressed tables are not read.
  if (indexed === undefined || header === undefined || indexed.some(({ type }) => type === 'cmov'))
    return 'index';
  const timescale = bytes.readUInt32BE(header.start + (bytes.readUInt8(header.start) === 1 ? 20 : 12));
  return timescale > 0 ? { bytes, boxes: indexed, timescale, fileType, fragments } : 'index';
}

function handlerOf(movie: Buffer, track: BoxIndex): string {
  const handler = childOf(track, 'mdia', 'hdlr');
  return handler ? movie.toString('latin1', handler.start + 8, handler.start + 12) : '';
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
  // A shorter configuration lacks the length of NAL units.
  for (const [name, minBytes] of [
    ['avcC', 5],
    ['hvcC', 22],
  ] as const) {
    const found = entry.indexOf(name, 0, 'latin1');
    const description = entry.subarray(found + 4);
    if (found >= 0 && description.length >= minBytes) return describedCodec(type, name, description);
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
    if (unknown === undefined) return cuts.length > 0 ? cuts : tries > 0 ? 'openGop' : 'keyFrames';
    if (++tries > maxTries) return 'openGop';
    if (await canStartPart(file, table, codec, unknown)) safe.add(unknown);
    else candidates = candidates.filter((sample) => sample !== unknown);
  }
}
