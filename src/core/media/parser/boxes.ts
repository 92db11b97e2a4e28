import type { Bytes } from '../../files/bytes';

/*
 * MP4 and QuickTime boxes. The package mp4box keeps an object for each sample of a file, so that its memory grows with
 * the file, and writes samples anew; it does not rewrite chunk offsets in place, which the audio-only upload needs.
 */

/** Facts in the boxes of an MP4 or QuickTime file that its parser does not report. */
export interface BoxFacts {
  /** False for a file that was cut off, or is still being recorded: nothing in it can be played. */
  readonly hasIndex: boolean;
  /** A track is encrypted. */
  readonly isProtected: boolean;
  /** The samples of all tracks are in other files, which ffmpeg does not open. */
  readonly isReference: boolean;
  /** A track holds subtitles, or text that may be subtitles. */
  readonly hasText: boolean;
  /** Fragments may follow the samples of the movie box, whose lengths are then not those of the tracks. */
  readonly isContinued: boolean;
  /** Seconds that the edit list leaves of each track, by its id. */
  readonly editedSeconds: ReadonlyMap<number, number>;
  /** Ids of tracks of which the edit list repeats, joins or cuts off parts. */
  readonly splicedTracks: ReadonlySet<number>;
  /** Ids of tracks without samples, as recordings without a microphone have them. */
  readonly emptyTracks: ReadonlySet<number>;
  /** Ids of tracks whose header says that their length is not known. */
  readonly unstatedTracks: ReadonlySet<number>;
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
const firstTypes = new Set(['ftyp', 'moov', 'mdat', 'wide', 'free', 'skip', 'pnot', 'styp', 'sidx', 'moof']);

/** Seconds of a track beyond its edit that are padding, as encoders of audio add it. */
const maxPadding = 0.25;

/** Larger than any header that is read; a table beyond it is not an edit list. */
const maxBytes = 64 * 1024;

/** More than any file has on one level, except one that is made to keep a parser busy. */
const maxBoxes = 100_000;

/** Sample entries of encrypted tracks: ISO/IEC 14496-12 section 8.12, and FairPlay's. */
const protectedEntries = new Set(['encv', 'enca', 'enct', 'encs', 'drms', 'drmi', 'drmt']);

/** Handler types of tracks that ffmpeg lists as subtitles. */
const textHandlers = new Set(['text', 'sbtl', 'subt', 'subp', 'clcp']);

/**
 * Undefined for a file of another format. Reads headers only, whatever the size of the file.
 * Throws a RangeError for boxes that contradict each other.
 */
export async function readBoxes(file: Bytes, size: number): Promise<BoxFacts | undefined> {
  let isFirst = true;
  let movie: MovieFacts | undefined;
  for await (const box of boxes(file, 0, size)) {
    if (isFirst && !firstTypes.has(box.type)) return undefined;
    isFirst = false;
    if (box.type === 'moov' && movie === undefined) {
      if (box.isCut) return emptyMovie;
      movie = await readMovie(file, box);
      if (!movie.needsFragments) return movie;
    }
    if (box.type === 'moof') return { ...(movie ?? emptyMovie), hasIndex: true };
  }
  return isFirst ? undefined : { ...(movie ?? emptyMovie), hasIndex: false };
}

interface MovieFacts extends BoxFacts {
  /** The samples are in fragments, and the movie box alone holds none. */
  readonly needsFragments: boolean;
}

const emptyMovie: MovieFacts = {
  hasIndex: false,
  isProtected: false,
  isReference: false,
  hasText: false,
  isContinued: false,
  editedSeconds: new Map(),
  splicedTracks: new Set(),
  emptyTracks: new Set(),
  unstatedTracks: new Set(),
  needsFragments: true,
};

async function readMovie(file: Bytes, movie: Box): Promise<MovieFacts> {
  let timescale = 0;
  let isFragmented = false;
  let hasReferences = false;
  const tracks: TrackFacts[] = [];
  for await (const box of boxes(file, movie.start, movie.end)) {
    if (box.type === 'mvhd') {
      const view = await content(file, box);
      timescale = view.getUint8(0) === 1 ? view.getUint32(20) : view.getUint32(12);
    }
    if (box.type === 'mvex') isFragmented = true;
    if (box.type === 'rmra') hasReferences = true;
    if (box.type === 'trak') tracks.push(await readTrack(file, box));
  }
  // The edits of a movie whose recording continued in fragments end with its first part.
  const edited = timescale > 0 && !isFragmented ? tracks.filter(({ edits }) => edits.units > 0) : [];
  const isSpliced = ({ edits, mediaSeconds }: TrackFacts) =>
    edits.count > 1 ||
    (edits.count === 1 && edits.units / timescale < mediaSeconds(edits.start) - maxPadding);
  return {
    hasIndex: true,
    isProtected: tracks.some(({ entry }) => protectedEntries.has(entry)),
    isReference: tracks.length > 0 ? tracks.every(({ isExternal }) => isExternal) : hasReferences,
    hasText: tracks.some(({ handler }) => textHandlers.has(handler)),
    editedSeconds: new Map(edited.map(({ id, edits }) => [id, edits.units / timescale])),
    splicedTracks: new Set(edited.filter(isSpliced).map(({ id }) => id)),
    emptyTracks: new Set(isFragmented ? [] : tracks.flatMap(({ id, samples }) => (samples === 0 ? id : []))),
    unstatedTracks: new Set(tracks.flatMap(({ id, isUnstated }) => (isUnstated ? id : []))),
    isContinued: isFragmented && tracks.some(({ samples }) => samples > 0),
    needsFragments: isFragmented && tracks.every(({ samples }) => samples === 0),
  };
}

interface TrackFacts {
  id: number;
  handler: string;
  /** Type of the first sample entry: `avc1`, `encv`. */
  entry: string;
  samples: number;
  /** Its samples are in another file. */
  isExternal: boolean;
  edits: Edits;
  /** Length of its samples from a position on, which is in units of the track; 0 if it is not known. */
  mediaSeconds: (start: number) => number;
  isUnstated: boolean;
}

/** The edits of a track, without those that are empty. */
interface Edits {
  readonly count: number;
  /** How long they last together, in units of the movie. */
  readonly units: number;
  /** Where the first begins, in units of the track. */
  readonly start: number;
}

/** The boxes of a track that hold boxes. */
const trackParents = new Set(['mdia', 'minf', 'dinf', 'stbl', 'edts']);

async function readTrack(file: Bytes, trak: Box): Promise<TrackFacts> {
  const edits = { count: 0, units: 0, start: 0 };
  const facts: TrackFacts = {
    id: 0,
    handler: '',
    entry: '',
    samples: 0,
    isExternal: false,
    edits,
    mediaSeconds: () => 0,
    isUnstated: false,
  };
  const open = async (parent: Box): Promise<void> => {
    for await (const box of boxes(file, parent.start, parent.end)) {
      if (trackParents.has(box.type)) await open(box);
      else await readTrackBox(file, parent, box, facts);
    }
  };
  await open(trak);
  return facts;
}

async function readTrackBox(file: Bytes, parent: Box, box: Box, facts: TrackFacts): Promise<void> {
  switch (box.type) {
    case 'tkhd': {
      const view = await content(file, box);
      facts.id = view.getUint8(0) === 1 ? view.getUint32(20) : view.getUint32(12);
      return;
    }
    case 'hdlr':
      // QuickTime has a second handler deeper down, for where the data is.
      if (parent.type === 'mdia') facts.handler = typeAt(await content(file, box), 8);
      return;
    case 'stsd':
      facts.entry = typeAt(await content(file, box), 12);
      return;
    case 'stsz':
      facts.samples = (await content(file, box)).getUint32(8);
      return;
    case 'dref':
      facts.isExternal = isExternal(await content(file, box));
      return;
    case 'stz2':
      facts.samples = (await content(file, box)).getUint32(8);
      return;
    case 'mdhd': {
      const view = await content(file, box);
      const isLong = view.getUint8(0) === 1;
      const timescale = view.getUint32(isLong ? 20 : 12);
      const units = isLong ? Number(view.getBigUint64(24)) : view.getUint32(16);
      // All bits set: the length is not known (ISO/IEC 14496-12, 8.4.2.3).
      facts.isUnstated = units === (isLong ? 2 ** 64 : 0xffffffff);
      facts.mediaSeconds = (start) => (timescale > 0 && !facts.isUnstated ? (units - start) / timescale : 0);
      return;
    }
    case 'elst':
      facts.edits = readEdits(await content(file, box));
  }
}

/** Whether the first data reference names a file: it lacks the flag of self-contained media, and has a location. */
function isExternal(view: DataView): boolean {
  if (view.byteLength < 20) return false;
  const [size, flags] = [view.getUint32(8), view.getUint32(16)];
  return size > 12 && (flags & 1) === 0;
}

function typeAt(view: DataView, position: number): string {
  if (view.byteLength < position + 4) return '';
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + position, 4));
}

function readEdits(view: DataView): Edits {
  const isLong = view.getUint8(0) === 1;
  const entry = isLong ? 20 : 12;
  const count = Math.min(view.getUint32(4), Math.floor((view.byteLength - 8) / entry));
  let [edits, units, start] = [0, 0, 0];
  for (let at = 8, index = 0; index < count; index++, at += entry) {
    const duration = isLong ? Number(view.getBigUint64(at)) : view.getUint32(at);
    const mediaTime = isLong ? Number(view.getBigInt64(at + 8)) : view.getInt32(at + 4);
    if (mediaTime === -1) continue;
    if (edits++ === 0) start = mediaTime;
    units += duration;
  }
  return { count: edits, units, start };
}

async function content(file: Bytes, { start, end }: Box): Promise<DataView> {
  const bytes = await file.read(start, Math.min(end - start, maxBytes));
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The boxes between two positions, as far as they make sense. Throws a RangeError for far too many. */
export async function* boxes(file: Bytes, from: number, to: number): AsyncGenerator<Box> {
  let count = 0;
  for (let at = from; at + 8 <= to; ) {
    if (++count > maxBoxes) throw new RangeError('Too many boxes.');
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
