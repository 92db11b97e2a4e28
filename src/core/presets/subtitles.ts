import { isLanguage } from '../media/audioTracks';
import type { MediaInfo, Track } from '../media/mediaInfo';

/** ffmpeg's names of codecs whose subtitles are pictures, or need a library that few builds have. */
const pictureCodecs = new Set(['hdmv_pgs_subtitle', 'dvd_subtitle', 'dvb_subtitle', 'xsub', 'dvb_teletext']);

/** Whether a track has text, which every text format can be made of; one of an unknown codec is taken for text. */
export function isTextSubtitle({ kind, codec = '' }: Track): boolean {
  return kind === 'subtitle' && !pictureCodecs.has(codec);
}

/** ffmpeg's demuxers of text: subtitles, metadata, drawings and pictures. None of them opens another file. */
const textFormats = [
  'srt,ass,webvtt,sami,microdvd,subviewer,subviewer1,jacosub,mpl2,mpsub,pjs,realtext,stl,vplayer,lrc,scc,aqtitle',
  'tedcaptions,ffmetadata,svg_pipe,tty,xpm_pipe,xbm_pipe,pbm_pipe,pgm_pipe,ppm_pipe',
].join(',');

/** Options with which a preset itself chooses how ffmpeg reads its input. */
const formatOptions = /^-(f|format_whitelist|protocol_whitelist|safe)$/;

/**
 * The arguments of a preset for a file that is text. Text may be a playlist that the probe did not recognize: ffmpeg reads
 * it as one of `textFormats`, and opens nothing else.
 */
export function readsTextOnly(args: readonly string[]): readonly string[] {
  const at = args.findIndex((arg, index) => arg === '-i' && args[index + 1] === '${input}');
  if (at < 0) return args;
  const before = args.slice(0, at);
  const own = before.slice(before.lastIndexOf('-i') + 1);
  if (own.some((arg) => formatOptions.test(arg))) return args;
  return [...before, '-format_whitelist', textFormats, ...args.slice(at)];
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
