import { ladder } from './hls';
import { coverOptions, tagOptions } from './metadata';
import type { OptionName } from './placeholders';
import { remuxStreams } from './remux';
import type { SourceFacts } from './sourceFacts';

/** Formats and codecs whose key frames can be relied on to be flagged. */
const keyFrameFormats = /(^|,)(mov|mp4|matroska|webm)\b/;
const keyFrameCodecs = new Set(['h264', 'hevc', 'av1', 'vp8', 'vp9', 'mpeg4']);

/** Seconds of a start that no picture has to be repeated for. */
const startTolerance = 0.01;

/** The options of a placeholder for a source; none if it needs none. They may name placeholders of values and filters. */
export function fillOption(name: OptionName, facts: SourceFacts): string[] {
  const { media } = facts;
  switch (name) {
    case 'keyFrames':
      return readsKeyFrames(facts) ? ['-skip_frame', 'nokey'] : [];
    case 'genpts':
      // AVI and MPEG program streams have no presentation times, without which nothing can be copied into MP4.
      return /(^|,)(avi|mpeg|vob|flv|asf)\b/.test(media?.format ?? '') ? ['-fflags', '+genpts'] : [];
    case 'timing':
      // At a constant rate, ffmpeg repeats the last picture of a source of variable rate.
      return isConstantRate(facts) ? [] : ['-vsync', 'vfr'];
    case 'cover':
      return coverOptions(facts);
    case 'tags':
      return tagOptions(facts);
    case 'streams':
      return remuxStreams(media);
    case 'ladder':
      return ladder(facts);
  }
}

/** Whether decoding key frames alone gives pictures, which is faster. */
export function readsKeyFrames({ media, video }: SourceFacts): boolean {
  return keyFrameFormats.test(media?.format ?? '') && keyFrameCodecs.has(video?.codec ?? '');
}

function isConstantRate({ video }: SourceFacts): boolean {
  return video?.isVariableFrameRate === false && (video.startSeconds ?? 1) <= startTolerance;
}
