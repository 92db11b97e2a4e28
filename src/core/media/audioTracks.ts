import type { MediaInfo, Track } from './mediaInfo';

/** Which audio of a source goes into its output: the track flagged default, else the first; all; or a language's. */
export type AudioChoice = 'default' | 'all' | { readonly language: string };

/** `default`, `all`, or a language code (`eng`, `de`, `zh`). */
export function parseAudioChoice(text: string): AudioChoice {
  const choice = text.trim();
  if (choice === '' || choice === 'default') return 'default';
  return choice === 'all' ? 'all' : { language: choice };
}

/** The audio tracks of a source in ffmpeg's order; none where not every one of them is known. */
export function audioTracks(media: MediaInfo | undefined): readonly Track[] {
  return media?.knows.includes('audio') ? media.tracks.filter(({ kind }) => kind === 'audio') : [];
}

/** Index of the one track that a choice means, and whether the language that was asked for is there. */
export function chosenTrack(
  tracks: readonly Track[],
  choice: AudioChoice,
): { index: number; hasLanguage: boolean } {
  if (typeof choice === 'object') {
    const wanted = languageOf(choice.language);
    const index = tracks.findIndex(({ language }) => language && languageOf(language) === wanted);
    if (index >= 0) return { index, hasLanguage: true };
  }
  const index = tracks.findIndex(({ isDefault }) => isDefault);
  return { index: Math.max(index, 0), hasLanguage: typeof choice !== 'object' };
}

/** One code for all that mean the same language: `ger`, `deu`, `de` and `de-AT`. */
function languageOf(code: string): string {
  try {
    return new Intl.Locale(code).language;
  } catch {
    return code.toLowerCase();
  }
}
