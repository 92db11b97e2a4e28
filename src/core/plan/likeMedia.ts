import type { MediaInfo, Track } from '../media/mediaInfo';

/** Maximum number of other media that one is compared with. */
const maxCompared = 8;

/** Members that the comparison ignores. */
const lengths = new Set(['seconds', 'audioOnlyBytes']);

/**
 * Most files of a large selection come from the same camera or program and differ in their lengths only. What is derived of
 * media without lengths is made once for all files that are alike.
 */
export class LikeMedia {
  readonly #known = new Map<string, MediaInfo[]>();

  /** The media without lengths: the same object for all that are equal otherwise, as far as that is found out quickly. */
  withoutLengths(media: MediaInfo): MediaInfo {
    const [first] = media.tracks;
    const key = `${media.format} ${media.tracks.length} ${first?.codec} ${first?.width} ${first?.sampleRate}`;
    const known = this.#known.get(key) ?? [];
    const like = known.find((other) => isLike(media, other));
    if (like) return like;
    const { seconds, audioOnlyBytes, ...facts } = media;
    const found = { ...facts, tracks: media.tracks.map(({ seconds, ...track }): Track => track) };
    if (known.length < maxCompared) known.push(found);
    this.#known.set(key, known);
    return found;
  }
}

/** Whether two values are equal except for lengths. A member that is undefined counts as one that is missing. */
function isLike(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  return hasLike(one, other) && hasLike(other, one);
}

/** Whether all members of an object or an array are like those of another one. Copies nothing: it is called for each file. */
function hasLike(one: object, other: object): boolean {
  for (const key in one) {
    if (lengths.has(key)) continue;
    if (!isLike(one[key as keyof typeof one], other[key as keyof typeof other])) return false;
  }
  return true;
}
