import type { MediaInfo } from '../media/mediaInfo';
import { mergedTracks } from '../media/transportStream';

/** ffmpeg's demuxers of text: subtitles, metadata, drawings and pictures. None of them opens another file. */
const textFormats = [
  'srt,ass,webvtt,sami,microdvd,subviewer,subviewer1,jacosub,mpl2,mpsub,pjs,realtext,stl,vplayer,lrc,scc,aqtitle',
  'tedcaptions,ffmetadata,svg_pipe,tty,xpm_pipe,xbm_pipe,pbm_pipe,pgm_pipe,ppm_pipe',
].join(',');

/** Options with which a preset itself chooses how ffmpeg reads its input. */
const formatOptions = /^-(f|format_whitelist|protocol_whitelist|safe)$/;

/**
 * The arguments of a preset with the options that a source needs before `-i`. Text may be a playlist that the probe did not
 * recognize: ffmpeg reads it as one of `textFormats`, and opens nothing else. The audio of a transport stream goes on
 * when its packet ids change.
 */
export function withInputOptions(args: readonly string[], media: MediaInfo | undefined): readonly string[] {
  const options = [...inputOptions(media), ...(args.includes('${cover}') ? coverDecoder(media) : [])];
  const at = args.findIndex((arg, index) => arg === '-i' && args[index + 1] === '${input}');
  if (options.length === 0 || at < 0) return args;
  const before = args.slice(0, at);
  const own = before.slice(before.lastIndexOf('-i') + 1);
  if (own.some((arg) => formatOptions.test(arg))) return args;
  return [...before, ...options, ...args.slice(at)];
}

/** Selects the decoder of covers whose tags state a wrong type: ffmpeg would use that type and find no picture size. */
function coverDecoder(media: MediaInfo | undefined): readonly string[] {
  const pictures = media?.tracks.filter(({ kind }) => kind === 'video') ?? [];
  const [codec = '', ...others] = new Set(pictures.map((picture) => picture.codec));
  return pictures.some(({ isMislabeled }) => isMislabeled) && others.length === 0 ? ['-c:v', codec] : [];
}

function inputOptions(media: MediaInfo | undefined): readonly string[] {
  if (media?.instead === 'text') return ['-format_whitelist', textFormats];
  return media?.hasOtherAudioIds ? mergedTracks : [];
}
