/** A part of a video that can be decoded without the other parts. */
export interface VideoPart {
  /** Seconds from the first frame of the video to the first frame of the part. */
  readonly startSeconds: number;
  /** Seconds to the first frame of the next part, or to the end of the track. */
  readonly endSeconds: number;
  /** Bytes to upload. */
  readonly bytes: number;
}

/** Why a video is transcoded as a whole. */
export type WholeReason =
  /** It's shorter than two parts. */
  | 'short'
  /** Its format can't be cut without re-encoding. */
  | 'format'
  /** Its tables are missing, damaged, or too large. */
  | 'index'
  /** It has no key frames at which it could be cut. */
  | 'keyFrames'
  /** Frames after its key frames refer to frames before them. */
  | 'openGop'
  /** An edit list joins, repeats or slows down parts. */
  | 'edits'
  /** Its time stamps jump or start again. */
  | 'clock'
  | 'encrypted';

/** How a video is cut. Plain data. */
export interface VideoCuts {
  readonly parts: readonly VideoPart[];
  /**
   * Seconds from the beginning of the file to the first frame of the video. The beginning of the file is the earliest start
   * of its tracks, from which ffmpeg counts time.
   */
  readonly videoStartSeconds: number;
  /** Seconds from the beginning of the file to the start of each audio track, in the order of the tracks. */
  readonly audioStartSeconds: readonly number[];
  /**
   * What ffmpeg counts time from when it reads the uploaded audio: the beginning of the file, the first audio track, or the
   * first of the tracks that it uses.
   */
  readonly audioBegins: 'withFile' | 'withFirstTrack' | 'withUsedTrack';
  /**
   * Bytes of the file's head, which each part needs before it; then head and parts together are the whole file, audio
   * included. 0 if each part is a file of its own, with video only.
   */
  readonly headBytes: number;
}

/** The bytes of a file that is made from another: a head in memory, then ranges of the source. */
export interface PartLayout {
  readonly head: Uint8Array;
  /** Pairs of positions in the source, from and to, in ascending order. */
  readonly ranges: Float64Array;
  /** Bytes of the head and the ranges together. */
  readonly size: number;
}

/** A video that can be cut. */
export interface CutVideo {
  readonly cuts: VideoCuts;
  /** The head, if the parts need one. */
  readonly head?: Uint8Array;
  /** One for each part. */
  readonly layouts: readonly PartLayout[];
  /** The audio, if it is known without a second look at the tables. */
  readonly audio?: PartLayout;
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

/** The layout of a head and ranges of the source. */
export function layoutOf(head: Uint8Array, ranges: readonly Range[]): PartLayout {
  const size = ranges.reduce((sum, { from, to }) => sum + to - from, head.length);
  return { head, ranges: Float64Array.from(ranges.flatMap(({ from, to }) => [from, to])), size };
}

/**
 * Chooses cuts about every `seconds` among the frames at which a video can be cut. `points` are the seconds of these
 * frames, ascending, the first being the start of the video. Returns indices of `points`, without the first. No part is
 * shorter than half of `seconds`.
 */
export function chooseCuts(points: ArrayLike<number>, endSeconds: number, seconds: number): number[] {
  const cuts: number[] = [];
  let last = points[0] ?? 0;
  for (let index = 1; index < points.length; index++) {
    const point = points[index] as number;
    const next = points[index + 1] ?? Number.POSITIVE_INFINITY;
    // The point nearest to the wanted length: this one, unless the next is nearer.
    const isNearest = Math.abs(point - last - seconds) <= Math.abs(next - last - seconds);
    if (!isNearest || point - last < seconds / 2) continue;
    if (endSeconds - point < seconds / 2) break;
    cuts.push(index);
    last = point;
  }
  return cuts;
}
