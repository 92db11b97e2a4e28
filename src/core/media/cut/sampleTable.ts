import { type BoxIndex, childOf } from './movieBoxes';

/** Larger tables are not worth their memory: 40 hours at 60 frames a second. */
export const maxSamples = 8_000_000;

/** The samples of a track, in decoding order. Times are in units of the track's timescale. */
export interface SampleTable {
  readonly count: number;
  readonly timescale: number;
  readonly decodeTimes: Float64Array;
  /** Presentation times: decode times plus composition offsets. */
  readonly times: Float64Array;
  readonly sizes: Uint32Array;
  /** Positions in the file. */
  readonly positions: Float64Array;
  /** 1 for a sync sample. */
  readonly isSync: Uint8Array;
  /** End of the last sample in decoding order. */
  readonly endTime: number;
}

/**
 * Reads the sample tables of a track. Undefined if they are incomplete, contradict each other, or are too large.
 * https://developer.apple.com/documentation/quicktime-file-format/sample_table_atom
 */
export function readSampleTable(movie: Buffer, track: BoxIndex, fileSize: number): SampleTable | undefined {
  const header = childOf(track, 'mdia', 'mdhd');
  const table = childOf(track, 'mdia', 'minf', 'stbl');
  if (header === undefined || table === undefined) return undefined;
  const timescale = movie.readUInt32BE(header.start + (movie.readUInt8(header.start) === 1 ? 20 : 12));
  const sizes = readSizes(movie, childOf(table, 'stsz'));
  if (sizes === undefined || sizes.length === 0 || timescale === 0) return undefined;
  const decode = readDecodeTimes(movie, childOf(table, 'stts'), sizes.length);
  const positions = readPositions(movie, table, sizes, fileSize);
  if (decode === undefined || positions === undefined) return undefined;
  const offsets = childOf(table, 'ctts');
  const times = offsets ? addOffsets(movie, offsets, decode.times) : decode.times;
  const isSync = readSync(movie, childOf(table, 'stss'), sizes.length);
  if (times === undefined || isSync === undefined) return undefined;
  const { times: decodeTimes, end: endTime } = decode;
  return { count: sizes.length, timescale, decodeTimes, times, sizes, positions, isSync, endTime };
}

/** The table of a track whose samples are all in fragments. Undefined if the track has no header. */
export function emptyTable(movie: Buffer, track: BoxIndex): SampleTable | undefined {
  const header = childOf(track, 'mdia', 'mdhd');
  const sizes = childOf(track, 'mdia', 'minf', 'stbl', 'stsz');
  const count = sizes && sizes.end - sizes.start >= 12 ? movie.readUInt32BE(sizes.start + 8) : 0;
  if (header === undefined || count > 0) return undefined;
  return {
    count: 0,
    timescale: movie.readUInt32BE(header.start + (movie.readUInt8(header.start) === 1 ? 20 : 12)),
    decodeTimes: new Float64Array(0),
    times: new Float64Array(0),
    sizes: new Uint32Array(0),
    positions: new Float64Array(0),
    isSync: new Uint8Array(0),
    endTime: 0,
  };
}

function readSizes(movie: Buffer, box: BoxIndex | undefined): Uint32Array | undefined {
  if (box === undefined || box.end - box.start < 12) return undefined;
  const uniform = movie.readUInt32BE(box.start + 4);
  const count = movie.readUInt32BE(box.start + 8);
  if (count > maxSamples) return undefined;
  if (uniform > 0) return new Uint32Array(count).fill(uniform);
  if (box.start + 12 + 4 * count > box.end) return undefined;
  return Uint32Array.from({ length: count }, (_, index) => movie.readUInt32BE(box.start + 12 + 4 * index));
}

/** Runs of `(count, value)`; calls back for each run, and returns false if the entries are cut off. */
function eachRun(
  movie: Buffer,
  { start, end }: BoxIndex,
  take: (count: number, at: number) => boolean,
): boolean {
  if (end - start < 8) return false;
  const entries = movie.readUInt32BE(start + 4);
  if (start + 8 + 8 * entries > end) return false;
  for (let entry = 0; entry < entries; entry++) {
    const at = start + 8 + 8 * entry;
    if (!take(movie.readUInt32BE(at), at + 4)) return false;
  }
  return true;
}

function readDecodeTimes(
  movie: Buffer,
  box: BoxIndex | undefined,
  count: number,
): { times: Float64Array; end: number } | undefined {
  if (box === undefined) return undefined;
  const times = new Float64Array(count);
  let index = 0;
  let time = 0;
  const isWhole = eachRun(movie, box, (run, at) => {
    const duration = movie.readUInt32BE(at);
    if (index + run > count) return false;
    for (const end = index + run; index < end; index++, time += duration) times[index] = time;
    return true;
  });
  return isWhole && index === count ? { times, end: time } : undefined;
}

function addOffsets(movie: Buffer, box: BoxIndex, decodeTimes: Float64Array): Float64Array | undefined {
  const times = decodeTimes.slice();
  let index = 0;
  const isWhole = eachRun(movie, box, (run, at) => {
    // Version 0 is unsigned by the standard, but QuickTime and many muxers write negative offsets.
    const offset = movie.readInt32BE(at);
    if (index + run > times.length) return false;
    for (const end = index + run; index < end; index++) times[index] = (times[index] as number) + offset;
    return true;
  });
  return isWhole && index === times.length ? times : undefined;
}

function readSync(movie: Buffer, box: BoxIndex | undefined, count: number): Uint8Array | undefined {
  // Without the table, every sample is a sync sample.
  if (box === undefined) return new Uint8Array(count).fill(1);
  if (box.end - box.start < 8) return undefined;
  const entries = movie.readUInt32BE(box.start + 4);
  if (box.start + 8 + 4 * entries > box.end) return undefined;
  const isSync = new Uint8Array(count);
  for (let entry = 0; entry < entries; entry++) {
    const number = movie.readUInt32BE(box.start + 8 + 4 * entry);
    if (number < 1 || number > count) return undefined;
    isSync[number - 1] = 1;
  }
  return isSync;
}

/** Position of each sample: those of a chunk follow one another. */
function readPositions(
  movie: Buffer,
  table: BoxIndex,
  sizes: Uint32Array,
  fileSize: number,
): Float64Array | undefined {
  const long = childOf(table, 'co64');
  const offsets = long ?? childOf(table, 'stco');
  const runs = childOf(table, 'stsc');
  if (offsets === undefined || runs === undefined) return undefined;
  if (offsets.end - offsets.start < 8 || runs.end - runs.start < 8) return undefined;
  const width = long ? 8 : 4;
  const chunks = movie.readUInt32BE(offsets.start + 4);
  const entries = movie.readUInt32BE(runs.start + 4);
  if (offsets.start + 8 + width * chunks > offsets.end || runs.start + 8 + 12 * entries > runs.end)
    return undefined;
  const positions = new Float64Array(sizes.length);
  let sample = 0;
  for (let entry = 0; entry < entries; entry++) {
    const at = runs.start + 8 + 12 * entry;
    const first = movie.readUInt32BE(at);
    const perChunk = movie.readUInt32BE(at + 4);
    const next = entry + 1 < entries ? movie.readUInt32BE(at + 12) : chunks + 1;
    if (first < 1 || next <= first || next > chunks + 1) return undefined;
    for (let chunk = first; chunk < next && sample < sizes.length; chunk++) {
      const place = offsets.start + 8 + width * (chunk - 1);
      let position = long ? Number(movie.readBigUInt64BE(place)) : movie.readUInt32BE(place);
      for (let inChunk = 0; inChunk < perChunk && sample < sizes.length; inChunk++, sample++) {
        positions[sample] = position;
        position += sizes[sample] as number;
      }
      if (position > fileSize) return undefined;
    }
  }
  return sample === sizes.length ? positions : undefined;
}
