import type { Bytes } from '../../files/bytes';
import type { MediaInfo, Track } from '../mediaInfo';
import { ByteView } from './byteView';

/* Headers of audio formats that hold a single track, and of Ogg. */

const headBytes = 64 * 1024;

/** Undefined for a file of another format. Throws a RangeError for a header that is cut off. */
export async function readAudioHeader(file: Bytes): Promise<MediaInfo | undefined> {
  const view = new ByteView(await file.read(0, headBytes));
  switch (view.text(0, 4)) {
    case 'FORM':
      return readAiff(view);
    case '.snd':
      return readAu(view);
    case 'caff':
      return readCaf(view);
    case 'TTA1':
      return single('tta', {
        codec: 'tta',
        channels: view.u16le(6),
        bitsPerSample: view.u16le(8),
        sampleRate: view.u32le(10),
        samples: view.u32le(14),
      });
    case 'wvpk':
      return readWavPack(view);
    case '#!AM': {
      const isWide = view.text(0, 9) === '#!AMR-WB\n';
      if (!isWide && view.text(0, 6) !== '#!AMR\n') return undefined;
      const codec = isWide ? 'amr_wb' : 'amr_nb';
      return single('amr', { codec, channels: 1, sampleRate: isWide ? 16_000 : 8_000 });
    }
    case 'OggS':
      return readOgg(view);
    default:
      return undefined;
  }
}

interface AudioHeader {
  readonly codec?: string;
  readonly channels?: number;
  readonly sampleRate: number;
  readonly bitsPerSample?: number;
  /** Of one channel. */
  readonly samples?: number;
}

function single(format: string, { samples, sampleRate, ...facts }: AudioHeader): MediaInfo {
  const seconds = samples && sampleRate > 0 ? samples / sampleRate : undefined;
  const track: Track = { kind: 'audio', isDefault: false, ...facts, sampleRate, seconds };
  return { format, tracks: [track], seconds, knows: ['audio', 'video', 'subtitle'] };
}

/** Audio Interchange File Format, Apple 1989 and 1991. */
function readAiff(view: ByteView): MediaInfo | undefined {
  if (!/^AIF[FC]$/.test(view.text(8, 4))) return undefined;
  for (let at = 12; at + 8 <= view.length; ) {
    const size = view.u32be(at + 4);
    if (view.text(at, 4) === 'COMM') {
      const start = at + 8;
      return single('aiff', {
        channels: view.u16be(start),
        samples: view.u32be(start + 2),
        bitsPerSample: view.u16be(start + 6),
        sampleRate: extended(view, start + 8),
      });
    }
    at += 8 + size + (size % 2);
  }
  return undefined;
}

/** An 80-bit extended number, as far as sample rates go. */
function extended(view: ByteView, at: number): number {
  const exponent = (view.u16be(at) & 0x7fff) - 16_383;
  return view.u32be(at + 2) * 2 ** (exponent - 31);
}

/** Bytes of a sample by the encoding of an AU header. */
const auBytes: Readonly<Record<number, number>> = { 1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1 };

function readAu(view: ByteView): MediaInfo {
  const [size, encoding] = [view.u32be(8), view.u32be(12)];
  const [sampleRate, channels] = [view.u32be(16), view.u32be(20)];
  const frame = (auBytes[encoding] ?? 0) * channels;
  const samples = size === 0xffffffff || frame === 0 ? undefined : size / frame;
  return single('au', { channels, sampleRate, samples });
}

/** https://developer.apple.com/library/archive/documentation/MusicAudio/Reference/CAFSpec */
function readCaf(view: ByteView): MediaInfo | undefined {
  let header: AudioHeader | undefined;
  let samplesPerByte = 0;
  let samples: number | undefined;
  for (let at = 8; at + 12 <= view.length; ) {
    const type = view.text(at, 4);
    const size = view.s64be(at + 4);
    const start = at + 12;
    if (type === 'desc') {
      const [bytesPerPacket, framesPerPacket] = [view.u32be(start + 16), view.u32be(start + 20)];
      samplesPerByte = bytesPerPacket > 0 ? framesPerPacket / bytesPerPacket : 0;
      header = { sampleRate: view.f64be(start), channels: view.u32be(start + 24) };
    }
    if (type === 'pakt') samples = view.s64be(start + 8);
    // The data begins with a count of edits. A size of -1 reaches to the end of the file.
    if (type === 'data' && size > 4 && samplesPerByte > 0) samples = (size - 4) * samplesPerByte;
    if (size < 0) break;
    at = start + size;
  }
  return header && single('caf', { ...header, samples });
}

/** https://www.wavpack.com/WavPack5FileFormat.pdf */
const wavPackRates = [
  ...[6000, 8000, 9600, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 192000],
];

/** A block that is the first and the last of its samples; more than two channels have several blocks. */
const wavPackWhole = 0x1800;

function readWavPack(view: ByteView): MediaInfo {
  const [total, flags] = [view.u32le(12), view.u32le(24)];
  const isWhole = (flags & wavPackWhole) === wavPackWhole;
  return single('wv', {
    codec: 'wavpack',
    channels: isWhole ? (flags & 4 ? 1 : 2) : undefined,
    sampleRate: wavPackRates[(flags >> 23) & 15] ?? 0,
    samples: total === 0xffffffff ? undefined : total,
  });
}

/** First bytes of a logical stream of Ogg, and what it holds. */
const oggStreams: readonly (readonly [magic: string, kind: Track['kind'] | 'none', codec: string])[] = [
  ['\x01vorbis', 'audio', 'vorbis'],
  ['OpusHead', 'audio', 'opus'],
  ['\x7fFLAC', 'audio', 'flac'],
  ['Speex   ', 'audio', 'speex'],
  ['\x80theora', 'video', 'theora'],
  ['BBCD\0', 'video', 'dirac'],
  ['OVP80', 'video', 'vp8'],
  ['\x80kate', 'subtitle', 'kate'],
  ['fishead\0', 'none', ''],
];

/** The streams of an Ogg file: each begins with a page of its own, before all other pages. */
function readOgg(view: ByteView): MediaInfo {
  const tracks: Track[] = [];
  let isKnown = true;
  for (let at = 0; at + 27 <= view.length && view.text(at, 4) === 'OggS' && (view.u8(at + 5) & 2) !== 0; ) {
    const segments = view.u8(at + 26);
    const start = at + 27 + segments;
    const found = oggStreams.find(([magic]) => view.text(start, magic.length) === magic);
    if (found === undefined) isKnown = false;
    else if (found[1] !== 'none') tracks.push({ kind: found[1], codec: found[2], isDefault: false });
    at = start;
    for (let index = 0; index < segments; index++) at += view.u8(start - segments + index);
  }
  return { format: 'ogg', tracks, knows: isKnown && tracks.length > 0 ? ['audio', 'video', 'subtitle'] : [] };
}
