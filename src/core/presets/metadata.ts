import type { SourceFacts } from './sourceFacts';

/** Codecs of covers that ID3, MP4 and FLAC hold as they are. */
const coverCodecs = new Set(['mjpeg', 'png']);

/** The source's covers: what is video to ffmpeg (`v`) without the real video tracks (`V`). */
export function coverOptions({ media }: SourceFacts): string[] {
  const covers = media?.tracks.filter(({ isAttachedPicture }) => isAttachedPicture) ?? [];
  if (covers.length === 0) return [];
  const codec = covers.every((cover) => coverCodecs.has(cover.codec ?? '')) ? 'copy' : 'mjpeg';
  return ['-map', '0:v?', '-map', '-0:V', '-c:v', codec, '-disposition:v', 'attached_pic'];
}

/** Ogg keeps title and artist with the track, where other formats do not look for them. */
export function tagOptions({ media, selection }: SourceFacts): string[] {
  if (!/(^|,)ogg\b/.test(media?.format ?? '')) return [];
  const index = selection.kind === 'track' ? selection.index : 0;
  return ['-map_metadata', '0', '-map_metadata', `0:s:a:${index}`];
}
