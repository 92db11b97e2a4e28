import { undecodableAudio } from '../media/audioTracks';
import type { MediaInfo, Track } from '../media/mediaInfo';
import { aacLayout, fillFromStart } from './filters/audioFilters';
import { chain } from './filters/filterChain';
import { isHdr } from './filters/videoFilters';
import { isTextSubtitle } from './subtitles';
import { variableRate } from './variableRate';

/** Codecs that MP4 can contain and players support. PCM, Vorbis, TrueHD, WMA and others are re-encoded. */
const audioCodecs = new Set(['aac', 'mp3', 'mp2', 'ac3', 'eac3', 'dts', 'alac', 'opus', 'flac']);
const videoCodecs = new Set(['h264', 'hevc', 'av1', 'vp9', 'mpeg4', 'mpeg2video', 'mpeg1video', 'mjpeg']);

/** MP4 has no code for MP3 of a lower sample rate (MPEG-2.5). */
const minMp3Rate = 16_000;

/**
 * Tracks whose codec is not known are copied: the muxer knows more codecs than any list. A copy would contain what the edit
 * list of a spliced track leaves out.
 */
function fits(track: Track, codecs: ReadonlySet<string>): boolean {
  const isSlowMp3 = track.codec === 'mp3' && (track.sampleRate ?? minMp3Rate) < minMp3Rate;
  return !track.isSpliced && !isSlowMp3 && (track.codec === undefined || codecs.has(track.codec));
}

/**
 * Whether a track lacks what MP4 needs to copy it: the sample rate, if the track begins late in a broadcast, or the header of
 * Opus, which Apple's recordings have in a different form.
 */
function lacksHeader({ codec, sampleRate }: Track, format: string | undefined): boolean {
  return (format === 'mpegts' && sampleRate === undefined) || (format === 'caf' && codec === 'opus');
}

/** What happens to the tracks of a source in an MP4 without re-encoding. */
export interface RemuxPlan {
  readonly video: readonly { readonly track: Track; readonly copy: boolean }[];
  readonly audio: readonly { readonly track: Track; readonly copy: boolean }[];
  /** Maps that leave out tracks that are empty, or for whose codec ffmpeg has no decoder and no tag. */
  readonly withoutTracks: readonly string[];
  /** Indexes, among the subtitle tracks, of those that are kept. */
  readonly subtitles: readonly number[];
  /** Tracks that are left out, though they are not empty. */
  readonly left: readonly Track[];
}

export function remuxPlan({ tracks, format }: MediaInfo): RemuxPlan {
  const of = (kind: Track['kind']) =>
    tracks.filter((track) => track.kind === kind && !track.isAttachedPicture);
  const subtitles = of('subtitle');
  return {
    video: of('video')
      .filter(({ isEmpty }) => !isEmpty)
      .map((track) => ({ track, copy: fits(track, videoCodecs) })),
    audio: of('audio')
      .filter((track) => !track.isEmpty && undecodableAudio(track) === undefined)
      .map((track) => ({ track, copy: fits(track, audioCodecs) && !lacksHeader(track, format) })),
    withoutTracks: [
      ...of('video').flatMap(({ isEmpty }, index) => (isEmpty ? ['-map', `-0:V:${index}`] : [])),
      ...of('audio').flatMap((track, index) =>
        track.isEmpty || undecodableAudio(track) ? ['-map', `-0:a:${index}`] : [],
      ),
    ],
    subtitles: subtitles.flatMap((track, index) => (isTextSubtitle(track) ? [index] : [])),
    left: tracks.filter((track) =>
      track.kind === 'subtitle' ? !isTextSubtitle(track) : undecodableAudio(track) !== undefined,
    ),
  };
}

/** The maps and codecs of `MP4 without re-encoding` for a source. */
export function remuxStreams(media: MediaInfo | undefined, ffmpegMajor?: number): string[] {
  const copyAll = ['-map', '0:V?', '-map', '0:a?', '-c', 'copy'];
  if (media === undefined) return copyAll;
  const { video, audio, subtitles, withoutTracks } = remuxPlan(media);
  return [
    ...copyAll.slice(0, 4),
    ...withoutTracks,
    ...subtitles.flatMap((index) => ['-map', `0:s:${index}`]),
    ...copyAll.slice(4),
    ...video.flatMap(({ track, copy }, index) =>
      copy ? copyOptions(track, index, media) : encodeOptions(track, index, ffmpegMajor),
    ),
    ...audio.flatMap(({ track, copy }, index) =>
      copy
        ? copyAudioOptions(track, index, media)
        : [
            ...[`-filter:a:${index}`, chain(fillFromStart(media), aacLayout(track))],
            ...[`-c:a:${index}`, 'aac', `-b:a:${index}`, '192k'],
          ],
    ),
    ...(subtitles.length > 0 ? ['-c:s', 'mov_text'] : []),
    // FLAC in MP4 counts as experimental in ffmpeg 4.4, and the configuration of Dolby Vision as unofficial.
    ...(isExperimental(remuxPlan(media)) ? ['-strict', '-2'] : []),
  ];
}

function isExperimental({ video, audio }: RemuxPlan): boolean {
  return (
    audio.some(({ track, copy }) => copy && track.codec === 'flac') ||
    video.some(({ track }) => track.dolbyVisionProfile !== undefined)
  );
}

function copyOptions({ codec }: Track, index: number, { format = '' }: MediaInfo): string[] {
  // Apple's players want this tag.
  if (codec === 'hevc') return [`-tag:v:${index}`, 'hvc1'];
  // AVI packs two pictures into one packet.
  if (codec === 'mpeg4' && /(^|,)avi\b/.test(format)) return [`-bsf:v:${index}`, 'mpeg4_unpack_bframes'];
  return [];
}

/**
 * The muxer adds this filter by itself, but ends at the first packet that it cannot read, as recordings with poor reception
 * have them (5.1, 7.1). As an option, it leaves out this packet only.
 */
function copyAudioOptions({ codec }: Track, index: number, { format }: MediaInfo): string[] {
  return codec === 'aac' && format === 'mpegts' ? [`-bsf:a:${index}`, 'aac_adtstoasc'] : [];
}

function encodeOptions(track: Track, index: number, ffmpegMajor: number | undefined): string[] {
  const filters = isHdr(track) ? '${deinterlace},${fit:2160},${tonemap}' : '${deinterlace},${fit:2160}';
  return [
    ...[`-filter:v:${index}`, filters, `-c:v:${index}`, 'libx264', `-preset:v:${index}`, 'medium'],
    ...[`-crf:v:${index}`, '20', `-pix_fmt:v:${index}`, 'yuv420p', ...variableRate(ffmpegMajor)],
  ];
}
