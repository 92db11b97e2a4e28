import type { Bytes } from '../../files/bytes';
import { type BoxIndex, childOf, type FileBox, indexBoxes } from './movieBoxes';
import { emptyTable, maxSamples, readSampleTable, type SampleTable } from './sampleTable';

/** Limits for damaged or hostile files. */
const maxFragments = 100_000;
const maxFragmentBytes = 4 * 1024 * 1024;

/** What the fragments of a track have in common, from its `trex` box. */
interface Defaults {
  readonly duration: number;
  readonly size: number;
  readonly flags: number;
}

interface Samples {
  readonly defaults: Defaults;
  readonly decodeTimes: number[];
  readonly times: number[];
  readonly sizes: number[];
  readonly positions: number[];
  readonly isSync: number[];
  endTime: number;
}

/** Flags of a sample: it depends on others, it isn't a sync sample. */
const notSync = 0x0101_0000;

/**
 * Reads the samples of all tracks of a fragmented movie, by track id: those of its `moov` box, and those of its `moof` boxes.
 * Undefined if the fragments contradict each other or are too many. ISO/IEC 14496-12, 8.8.
 */
export async function readFragments(
  file: Bytes,
  fileSize: number,
  { bytes, boxes }: { readonly bytes: Buffer; readonly boxes: readonly BoxIndex[] },
  fragments: readonly FileBox[],
): Promise<ReadonlyMap<number, SampleTable> | undefined> {
  if (fragments.length > maxFragments) return undefined;
  const defaults = readDefaults(bytes, boxes);
  const tracks = new Map<number, { samples: Samples; timescale: number }>();
  for (const track of boxes.filter(({ type }) => type === 'trak')) {
    const [id, table] = [
      idOf(bytes, track),
      readSampleTable(bytes, track, fileSize) ?? emptyTable(bytes, track),
    ];
    if (id === undefined || table === undefined) return undefined;
    // ffmpeg applies edits in another way to samples of the movie box than to those of fragments.
    if (table.count > 0 && childOf(track, 'edts')) return undefined;
    const { timescale, decodeTimes, times, sizes, positions, isSync, endTime } = table;
    const samples = {
      defaults: defaults.get(id) ?? { duration: 0, size: 0, flags: 0 },
      decodeTimes: [...decodeTimes],
      times: [...times],
      sizes: [...sizes],
      positions: [...positions],
      isSync: [...isSync],
      endTime,
    };
    tracks.set(id, { samples, timescale });
  }
  let count = 0;
  for (const { at, start, end } of fragments) {
    if (end - start > maxFragmentBytes) return undefined;
    const content = Buffer.from(await file.read(start, end - start));
    const added = readFragment(content, at, (id) => tracks.get(id)?.samples);
    if (added === undefined) return undefined;
    count += added;
    if (count > maxSamples) return undefined;
  }
  const tables = new Map<number, SampleTable>();
  for (const [id, { samples, timescale }] of tracks) {
    if (samples.positions.some((position, index) => position + (samples.sizes[index] ?? 0) > fileSize))
      return undefined;
    tables.set(id, {
      count: samples.sizes.length,
      timescale,
      decodeTimes: Float64Array.from(samples.decodeTimes),
      times: Float64Array.from(samples.times),
      sizes: Uint32Array.from(samples.sizes),
      positions: Float64Array.from(samples.positions),
      isSync: Uint8Array.from(samples.isSync),
      endTime: samples.endTime,
    });
  }
  return tables;
}

/** Id of a `trak` box; undefined if it names none. */
export function idOf(movie: Buffer, track: BoxIndex): number | undefined {
  const header = childOf(track, 'tkhd');
  return header && movie.readUInt32BE(header.start + (movie.readUInt8(header.start) === 1 ? 20 : 12));
}

function readDefaults(movie: Buffer, boxes: readonly BoxIndex[]): Map<number, Defaults> {
  const extended = boxes.find(({ type }) => type === 'mvex');
  const found = new Map<number, Defaults>();
  for (const { type, start } of extended?.children ?? []) {
    if (type !== 'trex') continue;
    const at = (index: number) => movie.readUInt32BE(start + 4 + 4 * index);
    found.set(at(0), { duration: at(2), size: at(3), flags: at(4) });
  }
  return found;
}

/** Adds the samples of a `moof` box that begins at `moofAt`. Returns how many there are; undefined if it is damaged. */
function readFragment(
  moof: Buffer,
  moofAt: number,
  samplesOf: (track: number) => Samples | undefined,
): number | undefined {
  const boxes = indexBoxes(moof);
  if (boxes === undefined) return undefined;
  let count = 0;
  // Without another statement, data follows the data of the track before.
  let dataEnd = moofAt;
  for (const traf of boxes.filter(({ type }) => type === 'traf')) {
    const box = childOf(traf, 'tfhd');
    if (box === undefined) return undefined;
    const header = readHeader(moof, box, moofAt, dataEnd);
    const samples = samplesOf(header.track);
    if (samples === undefined) return undefined;
    const time = decodeTimeOf(moof, childOf(traf, 'tfdt')) ?? samples.endTime;
    if (time < (samples.decodeTimes.at(-1) ?? 0)) return undefined;
    samples.endTime = time;
    dataEnd = header.base;
    for (const run of traf.children.filter(({ type }) => type === 'trun')) {
      const defaults = { ...samples.defaults, ...header.defaults };
      const read = readRun(moof, run, samples, { defaults, base: header.base, dataEnd });
      if (read === undefined) return undefined;
      dataEnd = read.dataEnd;
      count += read.count;
    }
  }
  return count;
}

/** Reads numbers of 32 bits one after the other, those that flags say are there. */
function reader(moof: Buffer, start: number, end: number) {
  let at = start;
  return {
    next(isThere = true): number | undefined {
      if (!isThere) return undefined;
      if (at + 4 > end) throw new RangeError('A fragment is cut off.');
      at += 4;
      return moof.readUInt32BE(at - 4);
    },
  };
}

function readHeader(moof: Buffer, { start, end }: BoxIndex, moofAt: number, dataEnd: number) {
  const flags = moof.readUIntBE(start + 1, 3);
  const { next } = reader(moof, start + 4, end);
  const track = next() ?? 0;
  const [high, low] = [next((flags & 1) !== 0), next((flags & 1) !== 0)];
  next((flags & 2) !== 0);
  const [duration, size, sampleFlags] = [8, 16, 32].map((flag) => next((flags & flag) !== 0));
  const isFromMoof = (flags & 0x2_0000) !== 0;
  const defaults: Partial<Defaults> = {
    ...(duration !== undefined && { duration }),
    ...(size !== undefined && { size }),
    ...(sampleFlags !== undefined && { flags: sampleFlags }),
  };
  return {
    track,
    base: high !== undefined ? high * 2 ** 32 + (low ?? 0) : isFromMoof ? moofAt : dataEnd,
    defaults,
  };
}

function decodeTimeOf(moof: Buffer, box: BoxIndex | undefined): number | undefined {
  if (box === undefined) return undefined;
  return moof.readUInt8(box.start) === 1
    ? Number(moof.readBigUInt64BE(box.start + 4))
    : moof.readUInt32BE(box.start + 4);
}

/** What the boxes before a run say of its samples. */
interface RunContext {
  readonly defaults: Defaults;
  /** Where the data of the fragment begins. */
  readonly base: number;
  /** Where the data of the run before ends. */
  readonly dataEnd: number;
}

function readRun(
  moof: Buffer,
  { start, end }: BoxIndex,
  samples: Samples,
  { defaults, base, dataEnd }: RunContext,
): { count: number; dataEnd: number } | undefined {
  const flags = moof.readUIntBE(start + 1, 3);
  const { next } = reader(moof, start + 4, end);
  const count = next() ?? 0;
  if (count > maxSamples - samples.sizes.length) return undefined;
  const offset = next((flags & 1) !== 0);
  const firstFlags = next((flags & 4) !== 0);
  let position = offset === undefined ? dataEnd : base + (offset | 0);
  if (position < 0) return undefined;
  for (let index = 0; index < count; index++) {
    const duration = next((flags & 0x100) !== 0) ?? defaults.duration;
    const size = next((flags & 0x200) !== 0) ?? defaults.size;
    const ownFlags = next((flags & 0x400) !== 0) ?? defaults.flags;
    // Version 0 is unsigned by the standard, but muxers write negative offsets.
    const shift = (next((flags & 0x800) !== 0) ?? 0) | 0;
    const sampleFlags = index === 0 ? (firstFlags ?? ownFlags) : ownFlags;
    samples.decodeTimes.push(samples.endTime);
    samples.times.push(samples.endTime + shift);
    samples.sizes.push(size);
    samples.positions.push(position);
    samples.isSync.push((sampleFlags & notSync) === 0 ? 1 : 0);
    samples.endTime += duration;
    position += size;
  }
  return { count, dataEnd: position };
}
