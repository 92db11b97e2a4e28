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
import type { Bytes } from '../files/bytes';
import { isCutMatroska, readBoxes } from './boxes';
import type { MediaInfo, Track } from './mediaInfo';

/** Without playlists: looking at one would fetch what it names. */
const formats: InputFormat[] = [MP4, QTFF, MATROSKA, WEBM, WAVE, OGG, FLAC, MP3, ADTS, MPEG_TS];

/** Formats whose tables tell how long each track is. */
const tabled = new Set<InputFormat>([MP4, QTFF, WAVE, FLAC]);

/** Formats in which the parser skips tracks of codecs that it does not know. */
const partlyRead = new Set<InputFormat>([OGG, MPEG_TS]);

/** Where no table tells a length, packets are read to find it, up to this much of a file. */
const mostBytes = 64 * 1024 * 1024;

/** What a read costs at least, so that a file of tiny frames is not walked frame by frame. */
const leastBytes = 16 * 1024;

/** A last picture may stand for minutes, but encoders do not keep how long. */
const longestPicture = 0.5;

Logging.level = LogLevel.Silent;

/**
 * Reads a file's tables, and its last packets where the tables do not say how long its tracks are. Undefined for
 * what the parser does not know or gives up on.
 */
export async function parseMedia(
  file: Bytes,
  size: number,
  signal?: AbortSignal,
): Promise<MediaInfo | undefined> {
  let failure: unknown;
  let budget = mostBytes;
  const source = new CustomSource({
    getSize: () => size,
    prefetchProfile: 'fileSystem',
    // A prefetch nobody waited for; what somebody waits for fails there as well.
    handleUnhandledError: () => undefined,
    read: async (start, end) => {
      budget -= Math.max(end - start, leastBytes);
      if (budget < 0) throw new Error('Too much to read.');
      try {
        signal?.throwIfAborted();
        return await file.read(start, end - start);
      } catch (error) {
        failure ??= error;
        throw error;
      }
    },
  });
  const input = new Input({ source, formats });
  const look = await readInput(input, file, size).catch(() => undefined);
  input.dispose();
  // The file's own trouble is not the parser's.
  if (failure !== undefined) throw failure;
  return look;
}

async function readInput(input: Input, file: Bytes, size: number): Promise<MediaInfo | undefined> {
  if (!(await input.canRead())) return undefined;
  const format = await input.getFormat();
  const found = await input.getTracks();
  // A container whose tables are missing says nothing of what is in it.
  if (found.length === 0) return undefined;
  const edited = tabled.has(format) ? (await readBoxes(file, size))?.editedSeconds : undefined;
  const lengths: Length[] = [];
  for (const track of found) lengths.push(await lengthOf(track, format));
  const exact = await exactLengths(lengths, format, file, size);
  const tracks = await Promise.all(
    found.map((track, index) => readTrack(track, shortest(exact[index], edited?.get(track.id)))),
  );
  const ends = lengths.flatMap(({ stated, measured }) => measured?.end ?? stated ?? []);
  return {
    tracks,
    seconds: ends.length > 0 ? Math.max(...ends) : undefined,
    knows: partlyRead.has(format) ? [] : ['audio', 'video'],
  };
}

interface Length {
  readonly first: number;
  /** Where the tables say that the track ends. */
  readonly stated?: number;
  /** Where its last packet ends, a last picture cut short. */
  readonly measured?: { readonly end: number; readonly shown: number };
}

async function lengthOf(track: InputTrack, format: InputFormat): Promise<Length> {
  const first = Math.max(await track.getFirstTimestamp(), 0);
  const stated = (await track.getDurationFromMetadata()) ?? undefined;
  const isTold = stated !== undefined && stated > 0;
  // Frame by frame to the end takes a minute for an hour of MP3; its header and FLAC's are as good.
  if (format === MP3 || (isTold && tabled.has(format) && !track.isVideoTrack())) return { first, stated };
  const last = await new EncodedPacketSink(track)
    .getPacket(Number.POSITIVE_INFINITY, { metadataOnly: true })
    .catch(() => null);
  if (last === null) return { first, stated };
  const shown = track.isVideoTrack() ? Math.min(last.duration, longestPicture) : last.duration;
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
  size: number,
): Promise<(number | undefined)[]> {
  if (format === MATROSKA || format === WEBM) {
    // The one length that is stated is the longest track's, and of a cut file there is no better one.
    const isCut = await isCutMatroska(file, size);
    return lengths.map(({ first, stated, measured }) => {
      const end = isCut ? stated : measured?.shown;
      return end && end - first;
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
  const head = Buffer.from(await file.read(0, 10));
  // https://id3.org/id3v2.4.0-structure: the size of the tag has seven bits in a byte.
  const tag =
    head.toString('latin1', 0, 3) === 'ID3'
      ? 10 + head.subarray(6, 10).reduce((sum, byte) => sum * 128 + (byte & 127), 0)
      : 0;
  const frame = Buffer.from(await file.read(tag, 512)).toString('latin1');
  return /Xing|Info|VBRI/.test(frame);
}

function shortest(...lengths: (number | undefined)[]): number | undefined {
  const known = lengths.filter((length) => length !== undefined);
  return known.length > 0 ? Math.min(...known) : undefined;
}

async function readTrack(track: InputTrack, seconds: number | undefined): Promise<Track> {
  const [codec, language, disposition] = await Promise.all([
    track.getCodec(),
    track.getLanguageCode(),
    track.getDisposition(),
  ]);
  const facts = { codec: codec ?? undefined, language, isDefault: disposition.default, seconds };
  if (track.isAudioTrack()) {
    return { kind: 'audio', ...facts, channels: positive(await track.getNumberOfChannels()) };
  }
  if (track.isVideoTrack()) {
    return {
      kind: 'video',
      ...facts,
      width: positive(await track.getDisplayWidth()),
      height: positive(await track.getDisplayHeight()),
      rotation: await track.getRotation(),
    };
  }
  return { kind: 'subtitle', ...facts };
}

function positive(value: number): number | undefined {
  return value > 0 ? value : undefined;
}
