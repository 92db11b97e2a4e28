import type { Bytes } from '../../files/bytes';
import type { Track } from '../mediaInfo';

/*
 * Facts about Matroska and WebM files that their parser does not report. Ids and types:
 * https://www.rfc-editor.org/rfc/rfc9559, https://www.rfc-editor.org/rfc/rfc8794
 */

const ids = {
  ebml: 0x1a45dfa3,
  segment: 0x18538067,
  cluster: 0x1f43b675,
  info: 0x1549a966,
  timestampScale: 0x2ad7b1,
  duration: 0x4489,
  tracks: 0x1654ae6b,
  trackEntry: 0xae,
  type: 0x83,
  codec: 0x86,
  language: 0x22b59c,
  languageBcp47: 0x22b59d,
  name: 0x536e,
  isDefault: 0x88,
  isForced: 0x55aa,
  isHearingImpaired: 0x55ab,
} as const;

const subtitleType = 0x11;
const mediaTypes = [1, 2];

/** Larger than the track headers of any file; fonts are attachments. */
const maxTracksBytes = 4 * 1024 * 1024;

/** Maximum number of joined files whose lengths are read. */
const maxJoined = 100;

/** Elements of the segment before the tracks; a file with more is not worth the reads. */
const maxElements = 64;

/** ffmpeg's names of Matroska's subtitle codecs. */
const subtitleCodecs: Readonly<Record<string, string>> = {
  'S_TEXT/UTF8': 'subrip',
  'S_TEXT/ASCII': 'subrip',
  'S_TEXT/SSA': 'ass',
  'S_TEXT/ASS': 'ass',
  S_SSA: 'ass',
  S_ASS: 'ass',
  'S_TEXT/WEBVTT': 'webvtt',
  'D_WEBVTT/SUBTITLES': 'webvtt',
  S_VOBSUB: 'dvd_subtitle',
  'S_HDMV/PGS': 'hdmv_pgs_subtitle',
  'S_HDMV/TEXTST': 'hdmv_text_subtitle',
  S_DVBSUB: 'dvb_subtitle',
  S_ARIBSUB: 'arib_caption',
};

export interface MatroskaFacts {
  /** The file ends before its segment does. Players and ffmpeg take such a file for a whole one. */
  readonly isCut: boolean;
  /** Undefined if the track headers are not near the beginning. */
  readonly subtitles?: readonly Track[];
  /** Number of audio and video tracks. The parser lists those of joined files as well. */
  readonly mediaTracks?: number;
  /**
   * Seconds of all files, if several were joined byte by byte. The time stamps of each begin at 0, and ffmpeg shows
   * little more than the longest of them.
   */
  readonly joinedSeconds?: number;
}

/** Undefined for a file of another format. */
export async function readMatroska(file: Bytes, size: number): Promise<MatroskaFacts | undefined> {
  const head = await elementAt(file, 0, size);
  if (head?.id !== ids.ebml) return undefined;
  const segment = await elementAt(file, head.end, size);
  if (segment?.id !== ids.segment) return undefined;
  const tracks = await contentOf(file, ids.tracks, segment, size);
  return {
    isCut: segment.end > size,
    joinedSeconds: await readJoinedSeconds(file, segment, size),
    ...(tracks && { mediaTracks: countMediaTracks(tracks), subtitles: subtitleTracks(tracks) }),
  };
}

/** The content of an element that comes before the clusters of a segment; undefined if it is not there. */
async function contentOf(
  file: Bytes,
  id: number,
  segment: Element,
  size: number,
): Promise<Buffer | undefined> {
  const end = Math.min(segment.end, size);
  let at = segment.start;
  for (let count = 0; count < maxElements && at < end; count++) {
    const element = await elementAt(file, at, end);
    if (element === undefined || element.id === ids.cluster) return undefined;
    if (element.id === id && element.end - element.start <= maxTracksBytes)
      return Buffer.from(await file.read(element.start, element.end - element.start));
    at = element.end;
  }
  return undefined;
}

/** Undefined for a single file, and if one of several does not state its length. */
async function readJoinedSeconds(file: Bytes, first: Element, size: number): Promise<number | undefined> {
  let seconds = 0;
  let segment: Element | undefined = first;
  for (let count = 0; segment !== undefined; count++) {
    const head = await elementAt(file, segment.end, size);
    const isLast = head?.id !== ids.ebml;
    if ((isLast && count === 0) || count === maxJoined) return undefined;
    const length = statedSeconds(await contentOf(file, ids.info, segment, size));
    if (length === undefined) return undefined;
    seconds += length;
    segment = isLast ? undefined : await elementAt(file, head.end, size);
  }
  return seconds;
}

/** A floating point number of units of the time stamps, which are nanoseconds. */
function statedSeconds(info: Buffer | undefined): number | undefined {
  const values = new Map(Array.from(elementsIn(info ?? Buffer.alloc(0)), ({ id, data }) => [id, data]));
  const duration = values.get(ids.duration);
  if (duration?.length !== 8 && duration?.length !== 4) return undefined;
  const units = duration.length === 8 ? duration.readDoubleBE() : duration.readFloatBE();
  const scale = values.get(ids.timestampScale)?.reduce((sum, byte) => sum * 256 + byte, 0) ?? 1_000_000;
  const seconds = (units * scale) / 1e9;
  return seconds > 0 && Number.isFinite(seconds) ? seconds : undefined;
}

interface Element {
  readonly id: number;
  /** Where its content begins and ends; the end of the file if its size is not known. */
  readonly start: number;
  readonly end: number;
}

async function elementAt(file: Bytes, at: number, end: number): Promise<Element | undefined> {
  if (at >= end) return undefined;
  const element = elementIn(Buffer.from(await file.read(at, Math.min(12, end - at))), 0);
  if (element === undefined) return undefined;
  return {
    id: element.id,
    start: at + element.start,
    end: element.isUnknown ? end : at + element.end,
  };
}

/** The element whose header begins at a position of a buffer; undefined if there is none. */
function elementIn(bytes: Buffer, at: number): (Element & { readonly isUnknown: boolean }) | undefined {
  const idLength = lengthOf(bytes[at]);
  const id = idLength <= 4 && at + idLength <= bytes.length ? bytes.readUIntBE(at, idLength) : undefined;
  const sizeAt = at + idLength;
  const sizeLength = lengthOf(bytes[sizeAt]);
  if (id === undefined || sizeLength > 8 || sizeAt + sizeLength > bytes.length) return undefined;
  const mask = 0xff >> sizeLength;
  let size = (bytes[sizeAt] as number) & mask;
  let isUnknown = size === mask;
  for (const byte of bytes.subarray(sizeAt + 1, sizeAt + sizeLength)) {
    size = size * 256 + byte;
    isUnknown &&= byte === 0xff;
  }
  const start = sizeAt + sizeLength;
  return { id, start, end: start + size, isUnknown };
}

/** Bytes of a variable-length number, by its first byte; 9 for none. */
function lengthOf(first: number | undefined): number {
  return Math.clz32(first ?? 0) - 23;
}

function* elementsIn(bytes: Buffer): Generator<{ id: number; data: Buffer }> {
  for (let at = 0; at < bytes.length; ) {
    const element = elementIn(bytes, at);
    if (element === undefined || element.isUnknown || element.end > bytes.length) return;
    yield { id: element.id, data: bytes.subarray(element.start, element.end) };
    at = element.end;
  }
}

function countMediaTracks(tracks: Buffer): number {
  return [...elementsIn(tracks)].filter(
    ({ id, data }) =>
      id === ids.trackEntry &&
      [...elementsIn(data)].some((fact) => fact.id === ids.type && mediaTypes.includes(fact.data[0] ?? 0)),
  ).length;
}

function subtitleTracks(tracks: Buffer): Track[] {
  const found: Track[] = [];
  let index = 0;
  for (const { id, data } of elementsIn(tracks)) {
    if (id !== ids.trackEntry) continue;
    const track = subtitleTrack(data, index++);
    if (track) found.push(track);
  }
  return found;
}

function subtitleTrack(entry: Buffer, index: number): Track | undefined {
  const values = new Map(Array.from(elementsIn(entry), ({ id, data }) => [id, data]));
  const number = (id: number, fallback: number) =>
    values.get(id)?.reduce((sum, byte) => sum * 256 + byte, 0) ?? fallback;
  const text = (id: number) => values.get(id)?.toString('utf8').replace(/\0+$/, '');
  if (number(ids.type, 0) !== subtitleType) return undefined;
  const codec = text(ids.codec) ?? '';
  return {
    kind: 'subtitle',
    index,
    codec: subtitleCodecs[codec],
    language: text(ids.languageBcp47) ?? text(ids.language) ?? 'eng',
    title: text(ids.name),
    isDefault: number(ids.isDefault, 1) === 1,
    isForced: number(ids.isForced, 0) === 1,
    isHearingImpaired: number(ids.isHearingImpaired, 0) === 1,
  };
}
