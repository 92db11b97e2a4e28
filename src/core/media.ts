import { ALL_FORMATS, CustomSource, Input, type InputTrack } from 'mediabunny';
import type { Problem } from './errors';
import type { OpenFile } from './files';
import type { Preset } from './preset';

/** What a look at a media file tells. */
export interface MediaLook {
  readonly tracks: readonly Track[];
  /** Length of the longest track. */
  readonly seconds?: number;
  /** Not a media file at all, but text. */
  readonly isText?: boolean;
}

export interface Track {
  readonly kind: 'audio' | 'video' | 'subtitle';
  readonly codec?: string;
  /** Language code as the file has it: `eng`, `und`. */
  readonly language?: string;
  readonly isDefault: boolean;
  readonly seconds?: number;
}

/** Where a length stands nowhere, packets are read to find it: only in files that are read quickly. */
const measuredBytes = 64 * 1024 * 1024;

const headBytes = 4096;

/**
 * A few small reads of a file's tables, whatever its size. Undefined for what the parser does not know: such files go to
 * ffmpeg all the same.
 */
export async function lookAt(file: OpenFile, signal: AbortSignal): Promise<MediaLook | undefined> {
  const { size } = await file.stat();
  if (size === 0) return { tracks: [] };
  const head = await file.read(0, Math.min(headBytes, size));
  if (isText(head)) return { tracks: [], isText: true };
  return withInput(file, size, async (input) => {
    signal.throwIfAborted();
    const tracks = await Promise.all((await input.getTracks()).map((track) => lookAtTrack(track, size)));
    // A container whose tables are missing says nothing of what is in it.
    if (tracks.length === 0) return undefined;
    const lengths = tracks.flatMap(({ seconds }) => seconds ?? []);
    return { tracks, seconds: lengths.length > 0 ? Math.max(...lengths) : undefined };
  });
}

/** Why a preset cannot work on a file, before anything is uploaded; undefined when it may. */
export function judge(
  preset: Preset,
  media: MediaLook | undefined,
  { path: file, size }: { readonly path: string; readonly size: number },
): Problem | undefined {
  if (size === 0) return { kind: 'emptyFile', file };
  if (media === undefined) return undefined;
  if (media.isText) return { kind: 'notMedia', file };
  const has = (kind: Track['kind']) => media.tracks.some((track) => track.kind === kind);
  if (preset.needs === 'audio' && !has('audio')) return { kind: 'noAudioTrack', file };
  if (preset.needs === 'video' && !has('video')) return { kind: 'noVideoTrack', file };
  return undefined;
}

export interface Expected {
  /** The source's path, for the problem. */
  readonly file: string;
  /** Length of the source's track, if it is known. */
  readonly seconds?: number;
  readonly proof: 'audio' | 'video' | 'none';
}

/**
 * Whether an output is complete: readable and as long as its source's track. ffmpeg's exit code is no proof: inputs
 * that are cut in half or damaged give 0. Encoders add up to a tenth of a second of silence and a picture more or less;
 * two per cent are left for sources whose tables round.
 */
export async function proveOutput(
  file: OpenFile,
  { file: path, seconds: expected, proof }: Expected,
): Promise<{ problem?: Problem; seconds?: number }> {
  const { size } = await file.stat();
  if (size === 0)
    return { problem: { kind: 'outputDamaged', file: path, expectedSeconds: expected, actualSeconds: 0 } };
  if (proof === 'none') return {};
  const actual = await withInput(file, size, async (input) => {
    const tracks = await (proof === 'audio' ? input.getAudioTracks() : input.getVideoTracks());
    const [track] = tracks;
    return track ? (await track.computeDuration()) - Math.max(await track.getFirstTimestamp(), 0) : 0;
  });
  if (actual === undefined) return { problem: { kind: 'outputDamaged', file: path } };
  if (expected !== undefined && Math.abs(actual - expected) > Math.max(0.5, expected * 0.02)) {
    return {
      problem: { kind: 'outputDamaged', file: path, expectedSeconds: expected, actualSeconds: actual },
    };
  }
  return { seconds: actual };
}

async function lookAtTrack(track: InputTrack, size: number): Promise<Track> {
  const [codec, language, disposition] = await Promise.all([
    track.getCodec(),
    track.getLanguageCode(),
    track.getDisposition(),
  ]);
  return {
    kind: track.isAudioTrack() ? 'audio' : track.isVideoTrack() ? 'video' : 'subtitle',
    codec: codec ?? undefined,
    language,
    isDefault: disposition.default,
    seconds: await lengthOf(track, size),
  };
}

async function lengthOf(track: InputTrack, size: number): Promise<number | undefined> {
  try {
    const stated = await track.getDurationFromMetadata();
    if (stated !== null && stated > 0) return stated;
    return size <= measuredBytes ? await track.computeDuration() : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined when the parser does not know the format or gives up on the file. */
async function withInput<T>(
  file: OpenFile,
  size: number,
  work: (input: Input) => Promise<T>,
): Promise<T | undefined> {
  const source = new CustomSource({
    getSize: () => size,
    read: async (start, end) => file.read(start, end - start),
  });
  const input = new Input({ source, formats: ALL_FORMATS });
  try {
    if (!(await input.canRead())) return undefined;
    return await work(input);
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') throw error;
    return undefined;
  } finally {
    input.dispose();
  }
}

/** Text from its first byte on; a playlist or subtitles, which are text and media, begin with their own words. */
function isText(head: Uint8Array): boolean {
  const bytes = Buffer.from(head);
  if (/^(#EXTM3U|WEBVTT|\d+\r?\n\d\d:)/.test(bytes.toString('latin1', 0, 32))) return false;
  return bytes.every((byte) => byte >= 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d);
}
