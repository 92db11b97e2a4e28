import { type AudioSelection, undecodableAudio } from '../media/audioTracks';
import type { MediaInfo } from '../media/mediaInfo';
import { isHdr } from './filters/videoFilters';
import type { Preset } from './preset';
import { remuxPlan } from './remux';
import { sourceFacts } from './sourceFacts';
import { isTextSubtitle } from './subtitles';

/** Something that a preset changes or leaves out because its format, or players of it, cannot have it. */
export type Adaptation =
  | { readonly kind: 'toneMapped' }
  /** The output has the picture of the base layer, without what Dolby Vision adds to it. */
  | { readonly kind: 'dolbyVisionLost' }
  /** The output is HDR10, without the dynamic metadata of HDR10+. */
  | { readonly kind: 'hdr10PlusLost' }
  /** The first of several video tracks is used. */
  | { readonly kind: 'videoChosen'; readonly tracks: number }
  /** More than eight channels become two. */
  | { readonly kind: 'downmixed'; readonly channels: number }
  /** Tracks of these codecs do not fit into the format without re-encoding. */
  | { readonly kind: 'reencoded'; readonly codecs: readonly string[] }
  /** Tracks whose edit list leaves out or repeats parts are re-encoded. */
  | { readonly kind: 'editsApplied' }
  /** Codecs of subtitles, or names of data tracks, that the output does not have. */
  | { readonly kind: 'leftOut'; readonly tracks: readonly string[] }
  | { readonly kind: 'chaptersLost'; readonly chapters: number };

/** Formats that have no chapters. */
const withoutChapters = new Set(['flac', 'wav']);

/** What a preset changes of a source beyond what its name says. */
export function adaptationsOf(
  preset: Preset,
  media: MediaInfo | undefined,
  selection: AudioSelection,
): Adaptation[] {
  if (media === undefined) return [];
  const { video, audio } = sourceFacts(preset, media, selection);
  const uses = (placeholders: RegExp) => preset.arguments.some((arg) => placeholders.test(arg));
  const found: Adaptation[] = [];
  if (isHdr(video) && uses(/\$\{(tonemap|ladder)\}/)) found.push({ kind: 'toneMapped' });
  if (video?.dolbyVisionProfile !== undefined && uses(/\$\{pixelFormat\}/))
    found.push({ kind: 'dolbyVisionLost' });
  else if (video?.isHdr10Plus && uses(/\$\{pixelFormat\}/)) found.push({ kind: 'hdr10PlusLost' });
  const videos = media.tracks.filter(({ kind, isAttachedPicture }) => kind === 'video' && !isAttachedPicture);
  if (preset.needs === 'video' && videos.length > 1)
    found.push({ kind: 'videoChosen', tracks: videos.length });
  const channels = Math.max(0, ...audio.map((track) => track.channels ?? 0));
  if (channels > 8 && uses(/\$\{(audioLayout|mono|ladder)\}/)) found.push({ kind: 'downmixed', channels });
  if (uses(/\$\{streams\}/)) found.push(...remuxAdaptations(media));
  else if (selection.kind === 'all' || selection.kind === 'mix') {
    const undecodable = media.tracks.flatMap((track) => undecodableAudio(track) ?? []);
    if (undecodable.length > 0) found.push({ kind: 'leftOut', tracks: [...new Set(undecodable)] });
  }
  if (uses(/\$\{subtitle\}/)) {
    const left = pictureSubtitles(media);
    if (left.length > 0) found.push({ kind: 'leftOut', tracks: left });
  }
  const { chapters = 0 } = media;
  if (chapters > 0 && withoutChapters.has(preset.extension)) found.push({ kind: 'chaptersLost', chapters });
  return found;
}

function remuxAdaptations(media: MediaInfo): Adaptation[] {
  const { video, audio, left: tracks } = remuxPlan(media);
  const encoded = [...video, ...audio].flatMap(({ track, copy }) => (copy ? [] : track));
  const codecs = encoded.flatMap(({ codec, isSpliced }) => (isSpliced ? [] : (codec ?? [])));
  // ffmpeg writes a track of timecodes anew.
  const others = (media.otherTracks ?? []).filter((name) => name !== 'tmcd');
  const left = [...tracks.flatMap((track) => undecodableAudio(track) ?? track.codec ?? []), ...others];
  return [
    ...(encoded.some(({ isSpliced }) => isSpliced) ? [{ kind: 'editsApplied' as const }] : []),
    ...(codecs.length > 0 ? [{ kind: 'reencoded' as const, codecs: [...new Set(codecs)] }] : []),
    ...(left.length > 0 ? [{ kind: 'leftOut' as const, tracks: [...new Set(left)] }] : []),
  ];
}

function pictureSubtitles({ tracks }: MediaInfo): string[] {
  return tracks.flatMap((track) =>
    track.kind === 'subtitle' && !isTextSubtitle(track) ? (track.codec ?? []) : [],
  );
}
