import {
  ADTS,
  CustomSource,
  EncodedPacketSink,
  FLAC,
  Input,
  type InputFormat,
  type InputTrack,
  Logging,
  LogLevel,
  MATROSKA,
  MP3,
  MP4,
  MPEG_TS,
  OGG,
  QTFF,
  WAVE,
  WEBM,
} from 'mediabunny';
import type { Bytes } from '../../files/bytes';
import { adtsSeconds } from '../adts';
import { coverCodec, statedCodec } from '../coverPicture';
import { audioIdsChange } from '../cut/audioIds';
import type { MediaInfo, Track } from '../mediaInfo';
import { id3Length, otherContent } from '../otherContent';
import { readAsf } from './asf';
import { readAudioHeader } from './audioHeaders';
import { audioOnlyLayout } from './audioOnlyLayout';
import { readBoxes } from './boxes';
import { readFlv } from './flv';
import { type MatroskaFacts, readMatroska } from './matroska';
import type { Parsed } from './messages';
import { mayHoldCodedAudio, readAvi, readWave, readWave64 } from './riff';

/*
 * What the parser process does with the bytes of a file. Nothing here runs in the extension host.
 */

/** Without playlists: reading one would fetch what it names. */
const formats: InputFormat[] = [MP4, QTFF, MATROSKA, WEBM, WAVE, OGG, FLAC, MP3, ADTS, MPEG_TS];

/** Formats whose tables tell how long each track is. */
const tabled = new Set<InputFormat>([MP4, QTFF, WAVE, FLAC]);

/** Formats in which the parser skips tracks of codecs that it does not know. */
const partlyRead = new Set<InputFormat>([OGG, MPEG_TS]);

/** ffmpeg's names of the formats. */
const formatNames = new Map<InputFormat, string>([
  [MP4, 'mov,mp4,m4a,3gp,3g2,mj2'],
  [QTFF, 'mov,mp4,m4a,3gp,3g2,mj2'],
  [MATROSKA, 'matroska,webm'],
  [WEBM, 'matroska,webm'],
  [WAVE, 'wav'],
  [OGG, 'ogg'],
  [FLAC, 'flac'],
  [MP3, 'mp3'],
  [ADTS, 'aac'],
  [MPEG_TS, 'mpegts'],
]);

/** ffmpeg's names of the codecs that it calls otherwise. */
const codecNames: Readonly<Record<string, string>> = {
  avc: 'h264',
  ulaw: 'pcm_mulaw',
  alaw: 'pcm_alaw',
  'pcm-u8': 'pcm_u8',
  'pcm-s8': 'pcm_s8',
};

/** ffmpeg's names of WebCodecs' color terms. */
const colorNames: Readonly<Record<string, string>> = { pq: 'smpte2084', hlg: 'arib-std-b67' };

/** Where no table tells a length, packets are read to find it, up to this much of a file. */
const maxBytes = 64 * 1024 * 1024;

/** What a read costs at least, so that a file of tiny frames is not walked frame by frame. */
const minBytes = 16 * 1024;

/** A last picture may stand for minutes, but encoders do not keep how long. */
const maxLastPicture = 0.5;

/** Seconds by which a last packet may end before the stated length of the file. */
const maxMissing = 0.7;

Logging.level = LogLevel.Silent;

/** What is in a file, from a few small reads of its tables, whatever its size. Throws for tables that contradict each other. */
export async function readMedia(file: Bytes, size: number): Promise<Parsed> {
  const instead = await otherContent(file, size);
  if (instead !== undefined) return { media: { tracks: [], knows: [], instead } };
  const boxes = await readBoxes(file, size);
  if (boxes?.hasIndex === false) return { media: { tracks: [], knows: [], instead: 'cutOff' } };
  if (boxes?.isReference) return { media: { tracks: [], knows: [], instead: 'reference' } };
  if (boxes?.isProtected) return { media: { tracks: [], knows: [], isProtected: true } };
  if (boxes === undefined && (await mayHoldCodedAudio(file))) return {};
  const parsed = await parseMedia(file, size, { hasTables: boxes !== undefined });
  const media = boxes ? parsed : await withAudioIds(await withHeader(parsed, file, size), file, size);
  if (!media?.tracks.some(({ kind, isAttachedPicture }) => kind === 'video' && !isAttachedPicture)) {
    return { media };
  }
  const audioOnly = await audioOnlyLayout(file, size);
  const audioOnlyBytes = audioOnly?.size;
  return { media: { ...media, audioOnlyBytes }, audioOnly };
}

/** Formats that the parser does not know, or whose header has facts that the parser does not report. */
const headerReaders = [readAvi, readAsf, readFlv, readWave, readWave64, readAudioHeader];

async function withAudioIds(
  media: MediaInfo | undefined,
  file: Bytes,
  size: number,
): Promise<MediaInfo | undefined> {
  if (media !== undefined && media.format !== 'mpegts') return media;
  if (!(await audioIdsChange(file, size))) return media;
  return { ...(media ?? { format: 'mpegts', tracks: [], knows: [] }), hasOtherAudioIds: true };
}

/** What the parser found, and what the header of the file says. A length that a header states is the one to prove. */
async function withHeader(
  media: MediaInfo | undefined,
  file: Bytes,
  size: number,
): Promise<MediaInfo | undefined> {
  if (media?.isProtected) return media;
  for (const read of headerReaders) {
    const header = await read(file, size).catch((error) => {
      // A header that is cut off.
      if (error instanceof RangeError) return undefined;
      throw error;
    });
    if (header === undefined) continue;
    if (media === undefined) return header;
    const isWhole = media.tracks.length >= header.tracks.length;
    const tracks = isWhole ? media.tracks.map((track) => withLength(track, header)) : header.tracks;
    return { ...media, tracks, seconds: header.seconds ?? media.seconds, knows: header.knows };
  }
  return media;
}

function withLength(track: Track, header: MediaInfo): Track {
  const stated = header.tracks.find(({ kind }) => kind === track.kind)?.seconds;
  return { ...track, seconds: stated ?? track.seconds };
}

/** What is in an output, or how long a playlist is. Undefined for what cannot be read. */
export async function readOutput(file: Bytes, size: number): Promise<MediaInfo | undefined> {
  const head = Buffer.from(await file.read(0, Math.min(size, 16)));
  if (head.toString('latin1').startsWith('#EXTM3U')) {
    return readPlaylist(Buffer.from(await file.read(0, Math.min(size, maxPlaylistBytes))).toString('utf8'));
  }
  const boxes = await readBoxes(file, size);
  return boxes && !boxes.hasIndex ? undefined : parseMedia(file, size, { hasTables: boxes !== undefined });
}

async function parseMedia(
  file: Bytes,
  size: number,
  { hasTables }: { hasTables: boolean },
): Promise<MediaInfo | undefined> {
  let budget = maxBytes;
  const source = new CustomSource({
    getSize: () => size,
    // The tables of an MP4 file are read one after the other: what follows them is samples, which no probe needs.
    prefetchProfile: hasTables ? 'none' : 'fileSystem',
    // A prefetch may fail unnoticed: a read that is needed reports its own error.
    handleUnhandledError: () => undefined,
    read: async (start, end) => {
      budget -= Math.max(end - start, minBytes);
      if (budget < 0) throw new Error('Too much to read.');
      return file.read(start, end - start);
    },
  });
  const input = new Input({ source, formats });
  const media = await readInput(input, file, size).catch(() => undefined);
  input.dispose();
  return media;
}

async function readInput(input: Input, file: Bytes, size: number): Promise<MediaInfo | undefined> {
  if (!(await input.canRead())) return undefined;
  const format = await input.getFormat();
  const all = await input.getTracks();
  const boxes = tabled.has(format) ? await readBoxes(file, size) : undefined;
  const matroska = format === MATROSKA || format === WEBM ? await readMatroska(file, size) : undefined;
  const found = matroska?.joinedSeconds === undefined ? all : all.slice(0, matroska.mediaTracks);
  // Without its tables, a file doesn't say what it contains.
  if (found.length === 0) return undefined;
  const lengths: Length[] = [];
  if (format === ADTS) lengths.push({ first: 0, stated: await adtsSeconds(file, size) });
  else {
    for (const track of found)
      lengths.push(await lengthOf(track, format, boxes?.unstatedTracks.has(track.id) === true));
  }
  const isContinued = boxes?.isContinued === true;
  const exact = isContinued ? [] : await exactLengths(lengths, format, file, matroska);
  const tracks = await Promise.all(
    found.map(async (track, index) => ({
      ...(await readTrack(track, shortest(exact[index], boxes?.editedSeconds.get(track.id)))),
      ...(boxes?.splicedTracks.has(track.id) && { isSpliced: true }),
      ...(boxes?.emptyTracks.has(track.id) && { isEmpty: true }),
    })),
  );
  const ends = lengths.flatMap(({ stated, measured }) => measured?.end ?? stated ?? []);
  const knowsText = boxes ? !boxes.hasText : matroska?.subtitles !== undefined;
  return {
    format: formatNames.get(format),
    tracks: [...tracks, ...(matroska?.subtitles ?? []), ...(await readCovers(input, format, found))],
    seconds:
      matroska?.joinedSeconds ??
      (ends.length > 0 && !isContinued
        ? Math.max(...ends) - Math.min(...lengths.map(({ first }) => first))
        : undefined),
    knows: partlyRead.has(format) ? [] : ['audio', 'video', ...(knowsText ? (['subtitle'] as const) : [])],
  };
}

/** Formats whose tags may hold covers, which ffmpeg lists as video tracks. */
const covered = new Set<InputFormat>([MP3, FLAC, MP4, QTFF, OGG]);

/** Formats whose covers are attachments, which are read as a whole, as fonts are: not of videos. */
const attached = new Set<InputFormat>([MATROSKA, WEBM]);

async function readCovers(
  input: Input,
  format: InputFormat,
  tracks: readonly InputTrack[],
): Promise<Track[]> {
  const isAttached = attached.has(format) && tracks.every((track) => track.isAudioTrack());
  if (!covered.has(format) && !isAttached) return [];
  const { images = [] } = await input.getMetadataTags();
  // A picture of this type is a link, which ffmpeg does not list.
  const pictures = images.filter(({ mimeType }) => mimeType !== '-->');
  return pictures.map((picture) => {
    const stated = statedCodec(picture);
    const codec = coverCodec(picture);
    return {
      kind: 'video',
      codec: codec ?? stated,
      isDefault: false,
      isAttachedPicture: true,
      ...(codec === undefined && { isEmpty: true }),
      ...(codec !== undefined && codec !== stated && { isMislabeled: true }),
    };
  });
}

interface Length {
  readonly first: number;
  /** Where the tables say that the track ends. */
  readonly stated?: number;
  /** Where its last packet ends, a last picture cut short. */
  readonly measured?: { readonly end: number; readonly shown: number };
}

async function lengthOf(track: InputTrack, format: InputFormat, isUnstated: boolean): Promise<Length> {
  const first = Math.max(await track.getFirstTimestamp(), 0);
  const stated = isUnstated ? undefined : ((await track.getDurationFromMetadata()) ?? undefined);
  const isTold = stated !== undefined && stated > 0;
  // Frame by frame to the end takes a minute for an hour of MP3; its header and FLAC's are as good.
  if (format === MP3 || (isTold && tabled.has(format) && !track.isVideoTrack())) return { first, stated };
  const last = await new EncodedPacketSink(track)
    .getPacket(Number.POSITIVE_INFINITY, { metadataOnly: true })
    .catch(() => null);
  if (last === null) return { first, stated };
  const shown = track.isVideoTrack() ? Math.min(last.duration, maxLastPicture) : last.duration;
  return {
    first,
    stated: isTold ? stated : undefined,
    measured: { end: last.timestamp + last.duration, shown: last.timestamp + shown },
  };
}

/** How long each track is, where that is certain. */
async function exactLengths(
  lengths: readonly Length[],
  format: InputFormat,
  file: Bytes,
  matroska: MatroskaFacts | undefined,
): Promise<(number | undefined)[]> {
  if (matroska !== undefined) {
    const { isCut, joinedSeconds } = matroska;
    if (joinedSeconds !== undefined) return lengths.map(() => joinedSeconds);
    // The one length that is stated is the longest track's. Of a file that is cut or damaged there is no better one.
    const end = Math.max(0, ...lengths.map(({ measured }) => measured?.end ?? 0));
    const isShort = lengths.some(({ stated = 0 }) => end < stated - maxMissing);
    return lengths.map(({ first, stated, measured }) => {
      const last = isCut || isShort ? stated : measured?.shown;
      return last && last - first;
    });
  }
  if (format === MP3) {
    const [length] = lengths;
    return [length?.stated !== undefined && (await countsFrames(file)) ? length.stated : undefined];
  }
  return lengths.map(({ first, stated, measured }) => {
    const end = shortest(stated, measured?.shown);
    return end && end - first;
  });
}

/** An MP3's length is certain if its first frame says how many there are; else it is a guess from the first bitrate. */
async function countsFrames(file: Bytes): Promise<boolean> {
  const tag = id3Length(Buffer.from(await file.read(0, 10)));
  const frame = Buffer.from(await file.read(tag, 512)).toString('latin1');
  return /Xing|Info|VBRI/.test(frame);
}

function shortest(...lengths: (number | undefined)[]): number | undefined {
  const known = lengths.filter((length) => length !== undefined);
  return known.length > 0 ? Math.min(...known) : undefined;
}

async function readTrack(track: InputTrack, seconds: number | undefined): Promise<Track> {
  const [codec, language, title, tag, disposition] = await Promise.all([
    track.getCodec(),
    track.getLanguageCode(),
    track.getName(),
    track.getInternalCodecId(),
    track.getDisposition(),
  ]);
  const facts = {
    codec: codec === null ? undefined : ffmpegCodec(codec),
    codecTag: typeof tag === 'string' && tag.length === 4 ? tag : undefined,
    language,
    title: title ?? undefined,
    isDefault: disposition.default,
    seconds,
  };
  if (track.isAudioTrack()) {
    return {
      kind: 'audio',
      ...facts,
      channels: positive(await track.getNumberOfChannels()),
      sampleRate: positive(await track.getSampleRate()),
    };
  }
  if (track.isVideoTrack()) {
    const [width, height, codedWidth, codedHeight] = await Promise.all([
      track.getDisplayWidth(),
      track.getDisplayHeight(),
      track.getCodedWidth(),
      track.getCodedHeight(),
    ]);
    const squareWidth = await track.getSquarePixelWidth();
    const color = await track.getColorSpace();
    return {
      kind: 'video',
      ...facts,
      width: positive(width),
      height: positive(height),
      codedWidth: positive(codedWidth),
      codedHeight: positive(codedHeight),
      pixelAspectRatio: squareWidth > 0 && codedWidth > 0 ? squareWidth / codedWidth : undefined,
      rotation: await track.getRotation(),
      colorTransfer: ffmpegColor(color.transfer),
      colorPrimaries: ffmpegColor(color.primaries),
      colorSpace: color.matrix === 'bt2020-ncl' ? 'bt2020nc' : ffmpegColor(color.matrix),
    };
  }
  return { kind: 'subtitle', ...facts };
}

/** `pcm-s16` is little endian. */
function ffmpegCodec(codec: string): string {
  const other = codecNames[codec];
  if (other !== undefined) return other;
  return codec.startsWith('pcm-') ? `${codec.replace('-', '_')}${codec.endsWith('be') ? '' : 'le'}` : codec;
}

function ffmpegColor(name: string | null | undefined): string | undefined {
  return name ? (colorNames[name] ?? name) : undefined;
}

function positive(value: number): number | undefined {
  return value > 0 ? value : undefined;
}

/** A playlist is longer only for weeks of video. */
const maxPlaylistBytes = 4 * 1024 * 1024;

/** Undefined for a playlist that was not finished; a list of playlists has no length itself. */
function readPlaylist(playlist: string): MediaInfo | undefined {
  const media = { format: 'hls', tracks: [], knows: [] };
  if (playlist.includes('#EXT-X-STREAM-INF')) return media;
  if (!playlist.includes('#EXT-X-ENDLIST')) return undefined;
  const lengths = [...playlist.matchAll(/^#EXTINF:([\d.]+)/gm)].map(([, length]) => Number(length));
  return { ...media, seconds: lengths.reduce((sum, length) => sum + length, 0) };
}
