import type { Problem } from '../errors';
import { isUsableAudio, undecodableAudio } from '../media/audioTracks';
import type { MediaInfo, Track } from '../media/mediaInfo';
import type { Preset } from '../presets/preset';
import { isTextSubtitle } from '../presets/subtitles';

/** Names that say that the file makes ffmpeg open other files or addresses. */
const playlistExtensions = new Set(['m3u8', 'm3u', 'ffconcat', 'mpd', 'sdp']);

/** Why a preset cannot work on a file, before anything is uploaded; undefined if it may. */
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
  if (media.isProtected) return { kind: 'protectedContent', file };
  switch (media.instead) {
    case 'lfsPointer':
      return { kind: 'lfsPointer', file };
    case 'cutOff':
      return { kind: 'cutOff', file };
    case 'animatedWebp':
      return { kind: 'animatedWebp', file };
    case 'sideFile':
      return { kind: 'notMedia', file };
    case 'reference':
      return { kind: 'referenceMovie', file };
    case 'playlist':
      if (!playlistExtensions.has(extensionOf(file))) return { kind: 'notMedia', file };
      return opensOtherFiles(preset) ? undefined : { kind: 'playlist', file };
    case 'text':
      return readsText(preset) ? undefined : { kind: 'notMedia', file };
  }
  if (preset.needs === 'video' && media.tracks.some(needsDolbyVision))
    return { kind: 'dolbyVisionOnly', file };
  return missingTrack(preset, media, file) ?? undecodableTracks(preset, media, file);
}

/** The preset uses audio, and all of it that is not empty is in codecs that ffmpeg can't decode. */
function undecodableTracks(preset: Preset, { tracks }: MediaInfo, file: string): Problem | undefined {
  const track = tracks.find((one) => undecodableAudio(one) !== undefined);
  const codec = track && undecodableAudio(track);
  if (codec === undefined || tracks.some((one) => one.kind === 'audio' && isUsableAudio(one)))
    return undefined;
  const usesAudio = preset.arguments.some((arg) => /\$\{(audio|ladder|streams)\}/.test(arg));
  return usesAudio ? { kind: 'audioUndecodable', file, codec } : undefined;
}

/** Profile 5 has no base layer that other decoders show in the right colors. Its tag is used where there is no profile. */
function needsDolbyVision({ dolbyVisionProfile: profile, codecTag }: Track): boolean {
  return profile === 5 || (profile === undefined && /^dv(h1|he)$/.test(codecTag ?? ''));
}

/** Whether a preset says that ffmpeg may open what its input names. A node has no other file of the selection. */
function opensOtherFiles({ arguments: args }: Preset): boolean {
  return args.some((arg) => arg === '-protocol_whitelist' || arg === '-safe');
}

/** Subtitles are text, and an own preset may read any text. */
function readsText({ needs, arguments: args }: Preset): boolean {
  return needs === 'subtitle' || (needs === 'any' && !args.includes('${streams}'));
}

function missingTrack({ needs }: Preset, { tracks, knows }: MediaInfo, file: string): Problem | undefined {
  if (needs === 'any' || !knows.includes(needs)) return undefined;
  // A cover is no video.
  const found = tracks.filter((track) => track.kind === needs && !track.isAttachedPicture && !track.isEmpty);
  if (needs === 'subtitle' && found.length > 0) {
    const isText = found.some(isTextSubtitle);
    return isText ? undefined : { kind: 'pictureSubtitles', file, codec: found[0]?.codec ?? '' };
  }
  if (found.length > 0) return undefined;
  const missing = { audio: 'noAudioTrack', video: 'noVideoTrack', subtitle: 'noSubtitleTrack' } as const;
  return { kind: missing[needs], file };
}

function extensionOf(file: string): string {
  return /\.([^./\\]+)$/.exec(file)?.[1]?.toLowerCase() ?? '';
}
