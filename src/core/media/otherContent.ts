import type { Bytes } from '../files/bytes';
import type { MediaInfo } from './mediaInfo';

const headBytes = 4096;

/** `._clip.mp4`: what macOS keeps beside a file on disks that are not its own. */
const appleDouble = 0x00051607;

/** What a file is if it is no media file. A file that was cut off is recognized by its boxes. */
export async function otherContent(file: Bytes, size: number): Promise<MediaInfo['instead']> {
  const head = Buffer.from(await file.read(0, Math.min(headBytes, size)));
  if (head.length >= 4 && head.readUInt32BE(0) === appleDouble) return 'sideFile';
  if (isAnimatedWebp(head)) return 'animatedWebp';
  const tagged = id3Length(head);
  if (tagged > 0) return tagged < size ? scriptIn(await content(file, size, tagged)) : undefined;
  return scriptIn(head) ?? textIn(head);
}

async function content(file: Bytes, size: number, at: number): Promise<Buffer> {
  return Buffer.from(await file.read(at, Math.min(headBytes, size - at)));
}

/**
 * Length of an ID3 tag at the beginning of a file; 0 if there is none. ffmpeg recognizes a format, any format, by what
 * follows the tag. The size has seven bits in a byte. https://id3.org/id3v2.4.0-structure
 */
export function id3Length(head: Buffer): number {
  if (head.length < 10 || head.toString('latin1', 0, 3) !== 'ID3') return 0;
  const size = head.subarray(6, 10).reduce((sum, byte) => sum * 128 + (byte & 127), 0);
  const hasFooter = ((head[5] ?? 0) & 0x10) !== 0;
  return 10 + size + (hasFooter ? 10 : 0);
}

/** The extended header of a WebP says whether it is animated. https://developers.google.com/speed/webp/docs/riff_container */
function isAnimatedWebp(head: Buffer): boolean {
  const mark = head.toString('latin1', 0, 4) + head.toString('latin1', 8, 16);
  return mark === 'RIFFWEBPVP8X' && ((head[20] ?? 0) & 2) !== 0;
}

/**
 * Recognizes what makes ffmpeg open other files, whatever the name of the file: HLS, concat, and DASH playlists, session
 * descriptions, and composition playlists of IMF. XML in another encoding than UTF-8 counts as text.
 */
function scriptIn(head: Buffer): 'playlist' | 'text' | undefined {
  const [text = ''] = head.toString('latin1').split('\0', 1);
  if (/^(#EXTM3U|ffconcat|v=0)/.test(text) || /^c=IN IP/m.test(text)) return 'playlist';
  if (!/^(\xef\xbb\xbf)?\s*<[?!a-z]/i.test(text)) return undefined;
  return /<([\w.-]+:)?(MPD|CompositionPlaylist)[\s>]/i.test(text) ? 'playlist' : 'text';
}

/** Text from its first byte on. */
function textIn(head: Buffer): 'text' | 'lfsPointer' | undefined {
  try {
    // A character cut in half at the end is no error while more may come.
    const text = new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true });
    if (/[^\P{Cc}\t\n\r\f]/u.test(text)) return undefined;
    return text.startsWith('version https://git-lfs.github.com/') ? 'lfsPointer' : 'text';
  } catch {
    return undefined;
  }
}
