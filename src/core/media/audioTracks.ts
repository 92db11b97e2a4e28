import type { MediaInfo, Track } from './mediaInfo';

/**
 * Which audio of a source goes into its output. `default`: the track that is flagged default, else the first; two mono
 * tracks that are the left and right channel of one recording count as one stereo track. `all`: every track by itself.
 * `mix`: every track, mixed into one.
 */
export type AudioChoice = 'default' | 'all' | 'mix' | { readonly language: string };

/** The audio tracks of one output, by their place among the source's audio tracks, counted from 0. */
export type AudioSelection =
  | { readonly kind: 'track'; readonly index: number }
  /** Only these of all, if there are tracks that cannot be decoded. */
  | { readonly kind: 'all'; readonly indexes?: readonly number[] }
  /** Two mono tracks, left and right. */
  | { readonly kind: 'pair'; readonly indexes: readonly [number, number] }
  | { readonly kind: 'mix'; readonly indexes: readonly number[] };

/** Seconds by which the two tracks of a stereo pair may differ in length and start. */
const pairTolerance = 0.05;

/** Parses the setting `batchTranscode.audio`: `default`, `all`, `mix`, or a language code (`eng`, `de`, `zh`). */
export function parseAudioChoice(text: string): AudioChoice {
  const choice = text.trim();
  switch (choice) {
    case '':
    case 'default':
      return 'default';
    case 'all':
    case 'mix':
      return choice;
    default:
      return { language: choice };
  }
}

/**
 * Codecs that no ffmpeg of a node decodes, by ffmpeg's names of them and, for versions that have no name, the four
 * characters of MP4.
 */
const undecodable = [
  { name: 'AC-4', pattern: /^ac-?4$/ },
  { name: 'MPEG-H 3D Audio', pattern: /^(mpegh_3d_audio|mh[am][12])$/ },
] as const;

/** The usual name of the codec of an audio track that ffmpeg can't decode; undefined for one that it may. */
export function undecodableAudio({ kind, codec, codecTag }: Track): string | undefined {
  if (kind !== 'audio') return undefined;
  return undecodable.find(({ pattern }) => pattern.test(codec ?? codecTag ?? ''))?.name;
}

/** The audio tracks of a source in ffmpeg's order; empty unless every one of them is known. */
export function audioTracks(media: MediaInfo | undefined): readonly Track[] {
  return media?.knows.includes('audio') ? media.tracks.filter(({ kind }) => kind === 'audio') : [];
}

/**
 * Index of the one track that a choice means, of those that can be decoded, and whether the requested language is there. The
 * number of tracks if there is none.
 */
export function chosenTrack(
  tracks: readonly Track[],
  choice: AudioChoice,
): { index: number; hasLanguage: boolean } {
  if (typeof choice === 'object') {
    const index = tracks.findIndex((track) => isUsableAudio(track) && isLanguage(track, choice.language));
    if (index >= 0) return { index, hasLanguage: true };
  }
  const preferred = tracks.findIndex((track) => isUsableAudio(track) && track.isDefault);
  const index = preferred >= 0 ? preferred : tracks.findIndex(isUsableAudio);
  // Beyond the last track, a map that is optional leaves the output without audio.
  return { index: index >= 0 ? index : tracks.length, hasLanguage: typeof choice !== 'object' };
}

/** Whether ffmpeg can decode a track. */
export function isUsableAudio(track: Track): boolean {
  return !track.isEmpty && undecodableAudio(track) === undefined;
}

/**
 * Index of the left track of a stereo pair, the right one follows it; undefined if the tracks are not pairs. MXF and
 * QuickTime files of cameras and editors have one mono track for each channel: all alike, and none has a name or a
 * language of its own. Where there are more than two, the first two are the main stereo (EBU R 123).
 */
export function stereoPair(tracks: readonly Track[]): readonly [number, number] | undefined {
  const [left, right] = tracks;
  if (left === undefined || right === undefined || tracks.length % 2 !== 0) return undefined;
  const isDefaultElsewhere = tracks.findIndex(({ isDefault }) => isDefault) > 0;
  if (isDefaultElsewhere || !tracks.every((track) => isChannelLike(track, left))) return undefined;
  return [0, 1];
}

/** Whether a track's language is the one that a code means, in any of the spellings of both. */
export function isLanguage({ language }: Track, code: string): boolean {
  return language !== undefined && language !== '' && languageOf(language) === languageOf(code);
}

function isChannelLike(track: Track, other: Track): boolean {
  return (
    track.channels === 1 &&
    track.codec === other.codec &&
    track.sampleRate === other.sampleRate &&
    isNameless(track) &&
    isNear(track.seconds, other.seconds) &&
    isNear(track.startSeconds ?? 0, other.startSeconds ?? 0)
  );
}

/** Editors name the tracks of channels too: `Left`, `Audio 2`, `Channel 1`, `Stereo`. */
function isNameless({ language, title }: Track): boolean {
  const hasLanguage = language !== undefined && !['', 'und', 'mis', 'zxx'].includes(language.toLowerCase());
  return !hasLanguage && (!title || /^(left|right|stereo|(audio|channel|ch|track|a)\s?\d+)$/i.test(title));
}

function isNear(seconds: number | undefined, other: number | undefined): boolean {
  if (seconds === undefined || other === undefined) return seconds === other;
  return Math.abs(seconds - other) <= pairTolerance;
}

/** One code for all that mean the same language: `ger`, `deu`, `de` and `de-AT`. */
function languageOf(code: string): string {
  try {
    return new Intl.Locale(code).language;
  } catch {
    return code.toLowerCase();
  }
}
