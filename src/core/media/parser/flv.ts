import type { Bytes } from '../../files/bytes';
import type { MediaInfo, Track } from '../mediaInfo';
import { type ByteView, headAfterMark } from './byteView';

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

/** Undefined for a file of another format. */
export async function readFlv(file: Bytes): Promise<MediaInfo | undefined> {
  const view = await headAfterMark(file, ['FLV'], headBytes);
  if (view === undefined || view.length < 13) return undefined;
  const flags = view.u8(4);
  let seconds: number | undefined;
  let audio: string | undefined;
  let video: string | undefined;
  const seen = new Set<number>();
  for (let at = view.u32be(5) + 4; at + 12 <= view.length; ) {
    const [type, size] = [view.u8(at) & 0x1f, view.u24be(at + 1)];
    const data = at + 11;
    seen.add(type);
    if (type === tagTypes.script) seconds ??= durationIn(view.part(data, data + size));
    if (type === tagTypes.audio) audio ??= audioCodecs[view.u8(data) >> 4];
    if (type === tagTypes.video) video ??= videoCodecs[view.u8(data) & 15];
    at = data + size + 4;
  }
  const tracks: Track[] = [];
  // The flags are often wrong, in both ways.
  const hasVideo = seen.has(tagTypes.video) || (flags & 1) !== 0;
  const hasAudio = seen.has(tagTypes.audio) || (flags & 4) !== 0;
  if (hasVideo) tracks.push({ kind: 'video', isDefault: false, codec: video, seconds });
  if (hasAudio) tracks.push({ kind: 'audio', isDefault: false, codec: audio, seconds });
  return { format: 'flv', tracks, seconds, knows: tracks.length > 0 ? ['audio', 'video', 'subtitle'] : [] };
}

/** The `duration` of an onMetaData tag: a property name, a type byte of 0 and a double. */
function durationIn(tag: ByteView): number | undefined {
  const at = tag.find('\0\x08duration\0');
  if (at < 0 || at + 19 > tag.length) return undefined;
  const seconds = tag.f64be(at + 11);
  return Number.isFinite(seconds) && seconds > 0 ? seconds : undefined;
}
