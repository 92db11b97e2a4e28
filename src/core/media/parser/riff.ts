import type { Bytes } from '../../files/bytes';
import type { MediaInfo, Track } from '../mediaInfo';
import { ByteView, headAfterMark } from './byteView';

/*
 * AVI and WAV headers. ffprobe estimates the length of such a file from its size, so that half a file looks like a whole
 * one; the header keeps what was recorded.
 * https://learn.microsoft.com/windows/win32/directshow/avi-riff-file-reference
 */

/** AVI headers and WAV chunks before the data fit in. */
const headBytes = 256 * 1024;

/** ffmpeg's names by WAVE format tag. */
const audioCodecs: Readonly<Record<number, string>> = {
  2: 'adpcm_ms',
  6: 'pcm_alaw',
  7: 'pcm_mulaw',
  80: 'mp2',
  85: 'mp3',
  255: 'aac',
  352: 'wmav1',
  353: 'wmav2',
  354: 'wmapro',
  8192: 'ac3',
  8193: 'dts',
};

/** A size that was not known when the header was written. */
const unknownSize = 0xffffffff;

interface Chunk {
  readonly id: string;
  readonly start: number;
  readonly end: number;
}

function* chunks(view: ByteView, from: number, to = view.length): Generator<Chunk> {
  for (let at = from; at + 8 <= Math.min(to, view.length); ) {
    const size = view.u32le(at + 4);
    yield { id: view.text(at, 4), start: at + 8, end: at + 8 + size };
    at += 8 + size + (size % 2);
  }
}

/** ffmpeg's name of the codec of a WAVEFORMATEX structure. */
export function waveCodec(tag: number, bits: number): string | undefined {
  if (tag === 1 || tag === 0xfffe) return bits === 8 ? 'pcm_u8' : `pcm_s${bits}le`;
  if (tag === 3) return `pcm_f${bits}le`;
  return audioCodecs[tag];
}

function waveTrack(view: ByteView, at: number): Track {
  const bits = view.u16le(at + 14);
  return {
    kind: 'audio',
    isDefault: false,
    codec: waveCodec(view.u16le(at), bits),
    channels: view.u16le(at + 2),
    sampleRate: view.u32le(at + 4),
    bitsPerSample: bits || undefined,
  };
}

/** Undefined for any other file. Throws a RangeError for a header that is cut off. */
export async function readAvi(file: Bytes, size: number): Promise<MediaInfo | undefined> {
  const view = await headAfterMark(file, ['RIFF'], headBytes);
  if (view === undefined || view.length < 12 || view.text(8, 4) !== 'AVI ') return undefined;
  const header = [...chunks(view, 12)].find(
    ({ id, start }) => id === 'LIST' && view.text(start, 4) === 'hdrl',
  );
  if (header === undefined) return undefined;
  const tracks: Track[] = [];
  let isComplete = header.end <= view.length;
  for (const { id, start, end } of chunks(view, header.start + 4, header.end)) {
    if (id !== 'LIST' || view.text(start, 4) !== 'strl') continue;
    const track = aviTrack(view, start + 4, end);
    if (track === 'other') continue;
    if (track) tracks.push(track);
    else isComplete = false;
  }
  // The length of audio counts chunks without content, which programs write before audio that begins late.
  const isWhole = await hasWholeChunks(file, size);
  const isCertain = ({ kind }: Track) => kind !== 'audio' || !isWhole;
  return {
    format: 'avi',
    tracks: tracks.map((track) => (isCertain(track) ? track : { ...track, seconds: undefined })),
    seconds: longest(tracks),
    knows: isComplete && tracks.length > 0 ? ['audio', 'video', 'subtitle'] : [],
  };
}

/** Whether the RIFF chunks of a file, of which a long AVI has several, end before the file does: it was not cut. */
async function hasWholeChunks(file: Bytes, size: number): Promise<boolean> {
  let at = 0;
  while (at + 8 <= size) {
    const view = new ByteView(await file.read(at, 8));
    if (view.text(0, 4) !== 'RIFF') break;
    const length = view.u32le(4);
    if (length === 0) return false;
    at += 8 + length + (length % 2);
  }
  return at <= size + 1;
}

function aviTrack(view: ByteView, from: number, to: number): Track | 'other' | undefined {
  const parts = [...chunks(view, from, to)];
  const header = parts.find(({ id }) => id === 'strh')?.start;
  const format = parts.find(({ id }) => id === 'strf')?.start;
  if (header === undefined || format === undefined) return undefined;
  const [scale, rate, length] = [view.u32le(header + 20), view.u32le(header + 24), view.u32le(header + 32)];
  const seconds = rate > 0 && scale > 0 && length > 0 ? (length * scale) / rate : undefined;
  switch (view.text(header, 4)) {
    case 'auds':
      return { ...waveTrack(view, format), seconds };
    case 'vids': {
      const [width, height] = [view.u32le(format + 4), Math.abs(view.u32le(format + 8) | 0)];
      return {
        kind: 'video',
        isDefault: false,
        seconds,
        codecTag: view.text(format + 16, 4),
        width,
        height,
        codedWidth: width,
        codedHeight: height,
        framesPerSecond: scale > 0 ? rate / scale : undefined,
      };
    }
    case 'txts':
      return { kind: 'subtitle', isDefault: false };
    // DV with its audio inside of the picture.
    case 'iavs':
      return undefined;
    default:
      return 'other';
  }
}

/** Undefined for any other file, and for a WAV file whose header does not state its length. */
export async function readWave(file: Bytes): Promise<MediaInfo | undefined> {
  const view = await headAfterMark(file, ['RIFF', 'RF64', 'BW64'], headBytes);
  if (view === undefined || view.length < 12 || view.text(8, 4) !== 'WAVE') return undefined;
  let longSize: number | undefined;
  let track: Track | undefined;
  let bytesPerSecond = 0;
  for (const { id, start } of chunks(view, 12)) {
    if (id === 'ds64') longSize = view.u64le(start + 8);
    if (id === 'fmt ') {
      track = waveTrack(view, start);
      bytesPerSecond = exactRate(view, start);
    }
    if (id === 'data') return waveInfo('wav', track, longSize ?? view.u32le(start - 4), bytesPerSecond);
  }
  return undefined;
}

/** Beginnings of frames of AC-3 (IEC 61937) and DTS, with 16 and 14 bits in a sample. */
const codedFrames = ['72f81f4e', 'fe7f0180', '7ffe8001', 'ff1f00e8', '1fffe800'].map((hex) =>
  Buffer.from(hex, 'hex').toString('latin1'),
);

/** Whether a WAV file that states PCM may contain AC-3 or DTS, as on audio discs. ffmpeg then decodes AC-3 or DTS. */
export async function mayHoldCodedAudio(file: Bytes): Promise<boolean> {
  const view = await headAfterMark(file, ['RIFF', 'RF64', 'BW64'], headBytes);
  return view !== undefined && codedFrames.some((frame) => view.find(frame) >= 0);
}

const w64Riff = Buffer.from('726966662e91cf11a5d628db04c10000', 'hex').toString('latin1');

/** Sony Wave64. Undefined for another file. */
export async function readWave64(file: Bytes): Promise<MediaInfo | undefined> {
  const view = await headAfterMark(file, [w64Riff], headBytes);
  if (view === undefined) return undefined;
  let track: Track | undefined;
  let bytesPerSecond = 0;
  for (let at = 40; at + 24 <= view.length; ) {
    const id = view.text(at, 4);
    const size = view.u64le(at + 16);
    if (id === 'fmt ') {
      track = waveTrack(view, at + 24);
      bytesPerSecond = exactRate(view, at + 24);
    }
    if (id === 'data') return waveInfo('w64', track, size - 24, bytesPerSecond);
    if (size < 24) return undefined;
    at += Math.ceil(size / 8) * 8;
  }
  return undefined;
}

/** PCM, floating point, A-law, µ-law, and those of an extensible header. */
const exactTags = new Set([0x0001, 0x0003, 0x0006, 0x0007, 0xfffe]);

/** Bytes of a second; 0 for codecs such as ADPCM, whose headers state it roughly. */
function exactRate(view: ByteView, format: number): number {
  return exactTags.has(view.u16le(format)) ? view.u32le(format + 8) : 0;
}

function waveInfo(
  format: string,
  track: Track | undefined,
  dataBytes: number,
  bytesPerSecond: number,
): MediaInfo | undefined {
  if (track === undefined) return undefined;
  const isKnown = dataBytes > 0 && dataBytes < Number.MAX_SAFE_INTEGER && dataBytes !== unknownSize;
  const seconds = isKnown && bytesPerSecond > 0 ? dataBytes / bytesPerSecond : undefined;
  return { format, tracks: [{ ...track, seconds }], seconds, knows: ['audio', 'video', 'subtitle'] };
}

function longest(tracks: readonly Track[]): number | undefined {
  const lengths = tracks.flatMap(({ seconds }) => seconds ?? []);
  return lengths.length > 0 ? Math.max(...lengths) : undefined;
}
