import type { Bytes } from '../../files/bytes';
import type { MediaInfo, Track } from '../mediaInfo';
import { ByteView } from './byteView';
import { waveCodec } from './riff';

/*
 * ASF headers (WMV, WMA). https://learn.microsoft.com/windows/win32/wmformat/overview-of-the-asf-format
 */

const guid = (hex: string) => Buffer.from(hex, 'hex');
const headerObject = guid('3026b2758e66cf11a6d900aa0062ce6c');
const fileProperties = guid('a1dcab8c47a9cf118ee400c00c205365');
const streamProperties = guid('9107dcb7b7a9cf118ee600c00c205365');
const audioStream = guid('409e69f84d5bcf11a8fd00805f5c442b');
const videoStream = guid('c0ef19bc4d5bcf11a8fd00805f5c442b');
const encryption = [guid('fbb3112223bdd211b4b700a0c955fc6e'), guid('148ae6292226174cb935dae07ee9289c')];

/** Covers are in the header, too. */
const maxHeaderBytes = 16 * 1024 * 1024;

/** Undefined for a file of another format. Throws a RangeError for a header that is cut off. */
export async function readAsf(file: Bytes): Promise<MediaInfo | undefined> {
  const first = new ByteView(await file.read(0, 30));
  if (first.find(headerObject) !== 0) return undefined;
  const bytes = Math.min(first.u64le(16), maxHeaderBytes);
  const view = new ByteView(await file.read(0, bytes));
  if (encryption.some((object) => view.find(object) >= 0))
    return { tracks: [], knows: [], isProtected: true };
  const seconds = playSeconds(view);
  const tracks: Track[] = [];
  // In the header itself, and inside of extended stream properties.
  for (let at = view.find(streamProperties); at >= 0; at = view.find(streamProperties, at + 16)) {
    const track = readStream(view, at + 24);
    if (track) tracks.push({ ...track, seconds });
  }
  return {
    format: 'asf',
    tracks,
    seconds,
    knows: view.length === first.u64le(16) && tracks.length > 0 ? ['audio', 'video', 'subtitle'] : [],
  };
}

/** The play duration of the file properties, in units of 100 ns, includes the preroll, which is in milliseconds. */
function playSeconds(view: ByteView): number | undefined {
  const object = view.find(fileProperties);
  if (object < 0) return undefined;
  const at = object + 24;
  const isBroadcast = (view.u32le(at + 64) & 1) === 1;
  const seconds = view.u64le(at + 40) / 1e7 - view.u64le(at + 56) / 1e3;
  return isBroadcast || seconds <= 0 ? undefined : seconds;
}

function readStream(view: ByteView, at: number): Track | undefined {
  const format = at + 54;
  if (view.find(audioStream, at) === at) {
    const bits = view.u16le(format + 14);
    return {
      kind: 'audio',
      isDefault: false,
      codec: waveCodec(view.u16le(format), bits),
      channels: view.u16le(format + 2),
      sampleRate: view.u32le(format + 4),
    };
  }
  if (view.find(videoStream, at) !== at) return undefined;
  const [width, height] = [view.u32le(format), view.u32le(format + 4)];
  return {
    kind: 'video',
    isDefault: false,
    codecTag: view.text(format + 27, 4),
    width,
    height,
    codedWidth: width,
    codedHeight: height,
  };
}
