import type { Problem } from '../errors';
import type { Bytes, Content } from '../files/bytes';
import type { Preset } from '../presets/preset';
import { audioOnlyOf } from './audioOnly';
import { readBoxes } from './boxes';
import type { MediaInfo } from './mediaInfo';
import { parseMedia } from './parser';
import { ReadAhead } from './readAhead';

const headBytes = 4096;

/** `._clip.mp4`: what macOS keeps beside a file on disks that are not its own. */
const appleDouble = 0x00051607;

/**
 * A few small reads of a file's tables, whatever its size. What the parser does not know, `probe` is asked for, if
 * there is one. Undefined for what nobody knows: such files go to ffmpeg all the same.
 */
export async function probeMedia(
  file: Content,
  signal: AbortSignal,
  probe?: () => Promise<MediaInfo | undefined>,
): Promise<MediaInfo | undefined> {
  const { size } = file;
  if (size === 0) return { tracks: [], knows: [] };
  const near = new ReadAhead(file);
  const instead = await insteadOfMedia(near, size);
  if (instead !== undefined) return { tracks: [], knows: [], instead };
  const look = await parseMedia(near, size, signal);
  if (look?.tracks.some(({ kind }) => kind === 'video')) {
    return { ...look, audioOnlyBytes: (await audioOnlyOf(near, size))?.size };
  }
  if (probe === undefined || (look && look.knows.length > 0)) return look;
  return (await probe()) ?? look;
}

/** Why a preset cannot work on a file, before anything is uploaded; undefined when it may. */
export function judge(
  preset: Preset,
  media: MediaInfo | undefined,
  { path: file, size }: { readonly path: string; readonly size: number },
): Problem | undefined {
  if (size === 0) return { kind: 'emptyFile', file };
  if (preset.inputs && !preset.inputs.includes(extensionOf(file))) {
    return { kind: 'presetNotFor', file, preset: preset.label, inputs: preset.inputs };
  }
  if (media === undefined) return undefined;
  switch (media.instead) {
    case 'lfsPointer':
      return { kind: 'lfsPointer', file };
    case 'cutOff':
      return { kind: 'cutOff', file };
    case 'sideFile':
      return { kind: 'notMedia', file };
    case 'text':
      // Subtitles are text, and what a preset of one's own reads may be.
      return preset.needs === 'audio' || preset.needs === 'video' ? { kind: 'notMedia', file } : undefined;
  }
  const { needs } = preset;
  if (needs === 'any' || !media.knows.includes(needs)) return undefined;
  if (media.tracks.some(({ kind }) => kind === needs)) return undefined;
  const missing = { audio: 'noAudioTrack', video: 'noVideoTrack', subtitle: 'noSubtitleTrack' } as const;
  return { kind: missing[needs], file };
}

export interface Expected {
  /** The source's path, for the problem. */
  readonly file: string;
  /** Length of the source's track, if it is known. */
  readonly seconds?: number;
  readonly proof: Preset['proof'];
}

/** Formats of outputs that can be read to prove them; others are taken as they come. */
const provable = new Set('mp4 m4a m4v m4b mov mkv mka webm mp3 wav flac ogg oga opus aac ts m3u8'.split(' '));

/** What proves an output of a preset complete. */
export function proofOf({ proof, extension }: Preset): Preset['proof'] {
  return provable.has(extension.toLowerCase()) ? proof : 'none';
}

/**
 * Whether an output is complete: readable and as long as its source's track. ffmpeg's exit code is no proof: inputs
 * that are cut in half or damaged give 0.
 */
export async function proveOutput(
  file: Content,
  { file: path, seconds: expected, proof }: Expected,
): Promise<{ problem?: Problem; seconds?: number }> {
  const { size } = file;
  if (size === 0) {
    return { problem: { kind: 'outputDamaged', file: path, expectedSeconds: expected, actualSeconds: 0 } };
  }
  if (proof === 'none') return {};
  const actual = await lengthOfOutput(new ReadAhead(file), size, proof);
  if (actual === undefined) return { problem: { kind: 'outputDamaged', file: path } };
  if (actual === 'several') return {};
  if (expected !== undefined && Math.abs(actual - expected) > tolerance(expected)) {
    return {
      problem: { kind: 'outputDamaged', file: path, expectedSeconds: expected, actualSeconds: actual },
    };
  }
  return { seconds: actual };
}

/**
 * Seconds by which an output may differ from its source. Encoders add up to a tenth of a second of silence, a picture
 * may be more or less, and tables of long files round.
 */
function tolerance(seconds: number): number {
  return 0.5 + seconds * 0.002;
}

/** Playlists are longer only for films of weeks. */
const longestPlaylist = 4 * 1024 * 1024;

async function lengthOfOutput(
  file: Bytes,
  size: number,
  proof: Preset['proof'],
): Promise<number | 'several' | undefined> {
  const head = Buffer.from(await file.read(0, Math.min(size, 16)));
  if (head.toString('latin1').startsWith('#EXTM3U')) {
    return playlistSeconds(Buffer.from(await file.read(0, Math.min(size, longestPlaylist))).toString('utf8'));
  }
  const look = await parseMedia(file, size);
  return look?.tracks.find(({ kind }) => kind === proof)?.seconds;
}

/** Undefined for a playlist that was not finished; `several` for a list of playlists, which has no length itself. */
function playlistSeconds(playlist: string): number | 'several' | undefined {
  if (playlist.includes('#EXT-X-STREAM-INF')) return 'several';
  if (!playlist.includes('#EXT-X-ENDLIST')) return undefined;
  const lengths = [...playlist.matchAll(/^#EXTINF:([\d.]+)/gm)].map(([, length]) => Number(length));
  return lengths.reduce((sum, length) => sum + length, 0);
}

async function insteadOfMedia(file: Bytes, size: number): Promise<MediaInfo['instead']> {
  const head = Buffer.from(await file.read(0, Math.min(headBytes, size)));
  if (head.length >= 4 && head.readUInt32BE(0) === appleDouble) return 'sideFile';
  if (isText(head)) {
    return head.toString('latin1').startsWith('version https://git-lfs.github.com/') ? 'lfsPointer' : 'text';
  }
  const boxes = await readBoxes(file, size);
  return boxes && !boxes.hasIndex ? 'cutOff' : undefined;
}

/** Text from its first byte on; playlists, which are text and media, begin with words of their own. */
function isText(head: Buffer): boolean {
  if (/^(#EXTM3U|ffconcat|v=0)/.test(head.toString('latin1', 0, 16))) return false;
  try {
    // A character cut in half at the end is no error while more may come.
    const text = new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true });
    return !/[^\P{Cc}\t\n\r\f]/u.test(text);
  } catch {
    return false;
  }
}

function extensionOf(file: string): string {
  return /\.([^./\\]+)$/.exec(file)?.[1]?.toLowerCase() ?? '';
}
