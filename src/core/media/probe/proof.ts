import type { Problem } from '../../errors';
import type { Content } from '../../files/bytes';
import { ParserError, type ParserPool, parserPool } from '../parser/pool';

/** The track whose length shows that an output is complete; `none`: being there and readable is enough. */
export type ProofTrack = 'audio' | 'video' | 'none';

export interface Expected {
  /** The source's path, for the problem. */
  readonly file: string;
  /** Length of the source's track, if it is known. */
  readonly seconds?: number;
  readonly proof: ProofTrack;
}

/** Formats of outputs that can be read to prove them; others are taken as they come. */
const provable = new Set('mp4 m4a m4v m4b mov mkv mka webm mp3 wav flac ogg oga opus aac ts m3u8'.split(' '));

/** What proves an output of a preset complete. */
export function proofOf({
  proof,
  extension,
}: {
  readonly proof: ProofTrack;
  readonly extension: string;
}): ProofTrack {
  return provable.has(extension.toLowerCase()) ? proof : 'none';
}

/**
 * Whether an output is complete: readable and at least as long as its source's track. ffmpeg's exit code is no proof:
 * inputs that are cut in half or damaged give 0. An output that is longer than its source claims is complete: headers of
 * joined MP3 files and streams state too little.
 */
export async function proveOutput(
  file: Content,
  { file: path, seconds: expected, proof }: Expected,
  { signal, parser = parserPool }: { readonly signal?: AbortSignal; readonly parser?: ParserPool } = {},
): Promise<{ problem?: Problem; seconds?: number }> {
  const damaged: Problem = { kind: 'outputDamaged', file: path };
  if (file.size === 0) return { problem: damaged };
  if (proof === 'none') return {};
  const { media } = await parser.parse('output', file, signal).catch((error) => {
    if (error instanceof ParserError) return { media: undefined };
    throw error;
  });
  if (media === undefined) return { problem: damaged };
  if (media.format === 'hls' && media.seconds === undefined) return {};
  const track = media.tracks.find(({ kind }) => kind === proof);
  const seconds = media.format === 'hls' ? media.seconds : track?.seconds;
  if (seconds === undefined) return { problem: damaged };
  if (expected !== undefined && seconds < expected - tolerance(expected)) {
    return {
      problem: { kind: 'outputDamaged', file: path, expectedSeconds: expected, actualSeconds: seconds },
      seconds,
    };
  }
  return { seconds };
}

/**
 * Seconds by which an output may be shorter than its source: a picture may be missing, encoders trim up to a tenth of a
 * second, and tables of long files round.
 */
function tolerance(seconds: number): number {
  return 0.5 + seconds * 0.002;
}
