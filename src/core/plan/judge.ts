import type { Problem } from '../errors';
import type { MediaInfo } from '../media/mediaInfo';
import type { Preset } from '../presets/preset';
import { isTextSubtitle } from '../presets/subtitles';

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
    case 'sideFile':
      return { kind: 'notMedia', file };
    case 'text':
      // Subtitles are text, and an own preset may read any text.
      return preset.needs === 'audio' || preset.needs === 'video' ? { kind: 'notMedia', file } : undefined;
  }
  return missingTrack(preset, media, file);
}

function missingTrack({ needs }: Preset, { tracks, knows }: MediaInfo, file: string): Problem | undefined {
  if (needs === 'any' || !knows.includes(needs)) return undefined;
  // A cover is no video.
  const found = tracks.filter(({ kind, isAttachedPicture }) => kind === needs && !isAttachedPicture);
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
