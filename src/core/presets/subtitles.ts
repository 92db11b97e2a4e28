import { isLanguage } from '../media/audioTracks';
import type { MediaInfo, Track } from '../media/mediaInfo';

/** ffmpeg's names of codecs whose subtitles are pictures, or need a library that few builds have. */
const pictureCodecs = new Set(['hdmv_pgs_subtitle', 'dvd_subtitle', 'dvb_subtitle', 'xsub', 'dvb_teletext']);

/** Whether a track has text, which every text format can be made of; one of an unknown codec is taken for text. */
export function isTextSubtitle({ kind, codec = '' }: Track): boolean {
  return kind === 'subtitle' && !pictureCodecs.has(codec);
}

export interface SubtitleFile {
  /** Place among the source's subtitle tracks, counted from 0. */
  readonly index: number;
  /** What tells the file from the others, as players expect it: `eng`, `eng.forced`, `deu.sdh`, `3`. */
  readonly name: string;
}

/** The text subtitles of a source; only those of a language, if there are any. */
export function subtitleFiles({ tracks }: MediaInfo, language?: string): SubtitleFile[] {
  const texts = tracks
    .filter(({ kind }) => kind === 'subtitle')
    .map((track, index) => ({ track, index }))
    .filter(({ track }) => isTextSubtitle(track));
  const wanted = language === undefined ? [] : texts.filter(({ track }) => isLanguage(track, language));
  const taken = new Map<string, number>();
  return (wanted.length > 0 ? wanted : texts).map(({ track, index }) => {
    const name = nameOf(track, index);
    const count = (taken.get(name) ?? 0) + 1;
    taken.set(name, count);
    return { index, name: count === 1 ? name : `${name}.${count}` };
  });
}

/** Names are our own, as those of the tracks could be anything; a title tells what flags often do not. */
function nameOf({ language = '', title = '', isForced, isHearingImpaired }: Track, index: number): string {
  const code = /^[A-Za-z]{2,3}$/.test(language) && language.toLowerCase() !== 'und' ? language : '';
  const base = code === '' ? String(index + 1) : code.toLowerCase();
  const forced = isForced || /\bforced\b/i.test(title) ? '.forced' : '';
  const sdh = isHearingImpaired || /\b(sdh|cc|hearing impaired)\b/i.test(title) ? '.sdh' : '';
  return `${base}${forced}${sdh}`;
}
