import type { Bytes } from '../../files/bytes';
import type { MediaInfo, Track } from '../mediaInfo';
import { ByteView, headAfterMark } from './byteView';

/* FLV headers: Adobe Flash Video File Format Specification 10.1, annex E. */

/** Tags that are read to find the tracks: a second of a slow stream. */
const headBytes = 256 * 1024;

const tagTypes = { audio: 8, video: 9, script: 18 } as const;

const videoCodecs: Readonly<Record<number, string>> = { 2: 'flv1', 4: 'vp6f', 5: 'vp6a', 7: 'h264' };
const audioCodecs: Readonly<Record<number, string>> = {
  0: 'pcm_s16be',
  1: 'adpcm_swf',
  2: 'mp3',
  3: 'pcm_s16le',
  6: 'nellymoser',
  7: 'pcm_alaw',
  8: 'pcm_mulaw',
  10: 'aac',
  11: 'speex',
  14: 'mp3',
};

/** H.264, and H.265 and AV1 as they are often written: the byte after the codec says what a tag has. */
const configuredVideo = new Set([7, 12, 13]);

/** Tags at the end that are read to find the last of each track: some seconds of a slow one. */
const lastTags = 64;
const tagHeader = 11;

/** Undefined for a file of another format. `size` is the file's, in bytes. */
export async function readFlv(file: Bytes, size: number): Promise<MediaInfo | undefined> {
  const view = await headAfterMark(file, ['FLV'], headBytes);
  if (view === undefined || view.length < 13) return undefined;
  const flags = view.u8(4);
  let stated: number | undefined;
  const first = new Map<number, number>();
  const seen = new Set<number>();
  let audio: string | undefined;
  let video: string | undefined;
  for (let at = view.u32be(5) + 4; at + 12 <= view.length; ) {
    const [type, length] = [view.u8(at) & 0x1f, view.u24be(at + 1)];
    const data = at + tagHeader;
    seen.add(type);
    if (!first.has(type) && !isConfiguration(type, view.part(data, data + length)))
      first.set(type, tagSeconds(view, at));
    if (type === tagTypes.script) stated ??= durationIn(view.part(data, data + length));
    if (type === tagTypes.audio) audio ??= audioCodecs[view.u8(data) >> 4];
    if (type === tagTypes.video) video ??= videoCodecs[view.u8(data) & 15];
    at = data + length + 4;
  }
  const tracks: Track[] = [];
  // The flags are often wrong, in both ways.
  const hasVideo = seen.has(tagTypes.video) || (flags & 1) !== 0;
  const hasAudio = seen.has(tagTypes.audio) || (flags & 4) !== 0;
  const last = await lastTimes(file, size);
  // A recorder that ended early has left a wrong length; a file that ends with a whole tag was not cut.
  const lengthOf = (type: number) => {
    const [begin, end] = [first.get(type), last?.get(type)];
    return begin !== undefined && end !== undefined && end > begin ? end - begin : stated;
  };
  if (hasVideo)
    tracks.push({ kind: 'video', isDefault: false, codec: video, seconds: lengthOf(tagTypes.video) });
  if (hasAudio)
    tracks.push({ kind: 'audio', isDefault: false, codec: audio, seconds: lengthOf(tagTypes.audio) });
  const seconds = Math.max(0, ...tracks.map((track) => track.seconds ?? 0)) || stated;
  return { format: 'flv', tracks, seconds, knows: tracks.length > 0 ? ['audio', 'video', 'subtitle'] : [] };
}

/**
 * Whether a tag has the configuration of a decoder and no media. In recordings of streams, its timestamp is often 0 while
 * those of the media go on from the beginning of the stream. Enhanced RTMP has its own codes for video and audio.
 */
function isConfiguration(type: number, data: ByteView): boolean {
  if (data.length < 2) return false;
  const [codes, packetType] = [data.u8(0), data.u8(1)];
  const [high, low] = [codes >> 4, codes & 15];
  if (type === tagTypes.audio) return high === 10 ? packetType === 0 : high === 9 && low === 0;
  if (type !== tagTypes.video) return false;
  return high >= 8 ? low === 0 : configuredVideo.has(low) && packetType === 0;
}

/** Seconds of a tag's timestamp, whose highest byte comes last. */
function tagSeconds(view: ByteView, at: number): number {
  return (view.u24be(at + 4) + view.u8(at + 7) * 2 ** 24) / 1000;
}

/** Seconds of the last audio and video tag by their type; undefined for a file that does not end with a whole tag. */
async function lastTimes(file: Bytes, size: number): Promise<Map<number, number> | undefined> {
  const times = new Map<number, number>();
  let end = size;
  for (let count = 0; count < lastTags && times.size < 2 && end > tagHeader + 4; count++) {
    const length = new ByteView(await file.read(end - 4, 4)).u32be(0);
    const at = end - 4 - length;
    if (length < tagHeader || at < 0) break;
    const tag = new ByteView(await file.read(at, tagHeader));
    const type = tag.u8(0) & 0x1f;
    const isTag = Object.values<number>(tagTypes).includes(type) && tag.u24be(1) === length - tagHeader;
    if (!isTag) break;
    if (type !== tagTypes.script && !times.has(type)) times.set(type, tagSeconds(tag, 0));
    end = at;
  }
  return times.size > 0 ? times : undefined;
}

/** The `duration` of an onMetaData tag: a property name, a type byte of 0 and a double. */
function durationIn(tag: ByteView): number | undefined {
  const at = tag.find('\0\x08duration\0');
  if (at < 0 || at + 19 > tag.length) return undefined;
  const seconds = tag.f64be(at + 11);
  return Number.isFinite(seconds) && seconds > 0 ? seconds : undefined;
}
