import type { Track } from '../media/mediaInfo';
import { longProbe } from '../media/transportStream';
import { mayChangeSize, readsKeyFrames } from './filters/videoFilters';
import { ladder } from './hls';
import type { OptionName } from './placeholders';
import { remuxStreams } from './remux';
import type { SourceFacts } from './sourceFacts';
import { variableRate } from './variableRate';

/** Codecs of covers that ID3, MP4 and FLAC hold as they are. */
const coverCodecs = new Set(['mjpeg', 'png']);

/** A start that is later by at most this many seconds needs no repeated picture. */
const startTolerance = 0.01;

/** Audio that begins by more than this later than its file may lie beyond what ffmpeg reads at first. */
const lateSeconds = 0.5;

/** Pictures a second from which on each is shown at its exact time. */
const minExactRate = 4;

/** The options of a placeholder for a source; none if it needs none. They may name placeholders of values and filters. */
export function fillOption(name: OptionName, facts: SourceFacts): string[] {
  const { media } = facts;
  switch (name) {
    case 'keyFrames':
      return readsKeyFrames(facts.media, facts.video) ? ['-skip_frame', 'nokey'] : [];
    case 'keepFilters':
      // ffmpeg would make the filters anew when the size changes, without the pictures that they have collected.
      return mayChangeSize(facts.video) ? ['-reinit_filter', '0'] : [];
    case 'genpts':
      // AVI and MPEG program streams have no presentation times, without which nothing can be copied into MP4.
      if (/(^|,)(avi|mpeg|vob|flv|asf)\b/.test(media?.format ?? '')) return ['-fflags', '+genpts'];
      return media?.format === 'mpegts' && media.tracks.some(isLate) ? longProbe.slice() : [];
    case 'timing':
      return isConstantRate(facts) ? [] : timingOptions(facts);
    case 'hdr10':
      return hdr10Options(facts);
    case 'cover':
      return coverOptions(facts);
    case 'tags':
      return tagOptions(facts);
    case 'streams':
      return remuxStreams(media, facts.ffmpegMajor);
    case 'ladder':
      return ladder(facts);
  }
}

/** Without its sample rate, which ffmpeg finds where the audio begins, audio can't be copied into MP4. */
function isLate({ kind, startSeconds = 0 }: Track): boolean {
  return kind === 'audio' && startSeconds > lateSeconds;
}

/** Static HDR metadata, which x265 takes no other way before ffmpeg 7.1. */
function hdr10Options({ video }: SourceFacts): string[] {
  if (video?.colorTransfer !== 'smpte2084') return [];
  const { masteringDisplay: display, contentLight: light } = video;
  const parameters = [
    ...(display ? [`master-display=${display}`] : []),
    ...(light ? [`max-cll=${light}`] : []),
  ];
  return parameters.length > 0 ? ['-x265-params', ['hdr10=1', ...parameters].join(':')] : [];
}

/**
 * At a constant rate, ffmpeg repeats the last picture of a source of variable rate. In the time base that it chooses, it
 * moves pictures to multiples of their mean duration, which is out of step with the audio. In the finer one, ffmpeg 4.4
 * does not know how long the last picture lasts, which is much where pictures are slow.
 */
function timingOptions({ video, ffmpegMajor }: SourceFacts): string[] {
  const isSlow = (video?.framesPerSecond ?? 0) < minExactRate;
  return [...variableRate(ffmpegMajor), ...(isSlow ? [] : ['-enc_time_base:v', '1/90000'])];
}

function isConstantRate({ video }: SourceFacts): boolean {
  return video?.isVariableFrameRate === false && (video.startSeconds ?? 1) <= startTolerance;
}

/** The source's covers: what is video to ffmpeg (`v`) without the real video tracks (`V`). A damaged one would end ffmpeg. */
function coverOptions({ media }: SourceFacts): string[] {
  const covers = media?.tracks.filter(({ isAttachedPicture }) => isAttachedPicture) ?? [];
  if (covers.length === 0 || covers.some(({ isEmpty }) => isEmpty)) return [];
  const codec = covers.every((cover) => coverCodecs.has(cover.codec ?? '')) ? 'copy' : 'mjpeg';
  return ['-map', '0:v?', '-map', '-0:V', '-c:v', codec, '-disposition:v', 'attached_pic'];
}

/** Ogg keeps title and artist with the track, where other formats do not look for them. */
function tagOptions({ media, selection }: SourceFacts): string[] {
  if (!/(^|,)ogg\b/.test(media?.format ?? '')) return [];
  const index = selection.kind === 'track' ? selection.index : 0;
  return ['-map_metadata', '0', '-map_metadata', `0:s:a:${index}`];
}
