import type { MediaInfo, Track } from '../../media/mediaInfo';
import { chain } from './filterChain';

/** Codecs whose frames are never interlaced. */
const progressiveCodecs = new Set(
  'vp8 vp9 av1 gif png apng bmp webp theora h261 h263 flv1 flashsv flashsv2 msmpeg4v2 msmpeg4v3 wmv1 wmv2 screenpresso'.split(
    ' ',
  ),
);

/** Codecs and containers of broadcasts and discs, in which interlaced parts follow progressive ones. */
const broadcastCodecs = new Set(['mpeg1video', 'mpeg2video', 'dvvideo']);
const broadcastFormats = /^(mpegts|mpeg|mxf|dv|vob)\b/;

/** Codecs whose pictures change in size within a stream, as after a break of a broadcast or where files were joined. */
const resizableCodecs = new Set(['h264', 'hevc', 'mpeg1video', 'mpeg2video', 'mpeg4', 'vp8', 'vp9', 'av1']);

/** Frames per second that hardware decoders of phones and televisions support. */
const maxFrameRate = 60;

/** Sides from which on players take a picture for high definition. */
const hdWidth = 1280;
const hdHeight = 720;

/** Formats and codecs whose key frames can be relied on to be flagged. */
const keyFrameFormats = /(^|,)(mov|mp4|matroska|webm)\b/;
const keyFrameCodecs = new Set(['h264', 'hevc', 'av1', 'vp8', 'vp9', 'mpeg4']);

export function isHdr(video: Track | undefined): boolean {
  return video?.colorTransfer === 'smpte2084' || video?.colorTransfer === 'arib-std-b67';
}

/**
 * Makes whole pictures of frames that are flagged interlaced and leaves the others alone; empty for a source that has
 * none. `isolated`: the frames are not neighbours in time, so that each must do with its own fields.
 */
export function deinterlace(
  media: MediaInfo | undefined,
  video: Track | undefined,
  isolated: boolean,
): string {
  const { codec = '', fieldOrder } = video ?? {};
  if (progressiveCodecs.has(codec)) return '';
  const mayChange = broadcastCodecs.has(codec) || broadcastFormats.test(media?.format ?? '');
  if (fieldOrder === 'progressive' && !mayChange) return '';
  return isolated ? 'estdif=mode=frame:deint=interlaced' : 'bwdif=mode=send_frame:deint=interlaced';
}

/**
 * BT.709 in 8 bits of PQ and HLG pictures; empty for others. White is at 203 cd/m² (ITU-R BT.2408), what is brighter
 * than 1,000 is cut off.
 */
export function tonemap(video: Track | undefined): string {
  if (video === undefined || !isHdr(video)) return '';
  const matrix = video.colorSpace === 'bt2020c' ? 'bt2020c' : 'bt2020nc';
  const range = video.colorRange === 'pc' ? 'pc' : 'tv';
  const isLabelled = video.colorSpace !== undefined && video.colorPrimaries !== undefined;
  return chain(
    // Pictures that name their transfer function alone have the others of ITU-R BT.2100. zscale needs them in the frame.
    isLabelled ? '' : `setparams=color_primaries=bt2020:colorspace=${matrix}`,
    `zscale=tin=${video.colorTransfer}:min=${matrix}:pin=bt2020:rin=${range}:t=linear:npl=203`,
    'format=gbrpf32le',
    'zscale=p=bt709',
    'tonemap=tonemap=mobius:desat=0:peak=5',
    'zscale=t=bt709:m=bt709:r=tv',
    'format=yuv420p',
  );
}

/** Every other picture (or every third, fourth) of a source with more than 60 pictures a second. */
export function limitFrameRate(video: Track | undefined): string {
  const rate = video?.framesPerSecond ?? 0;
  if (rate <= maxFrameRate * 1.01 || video?.isVariableFrameRate !== false) return '';
  return `framestep=${Math.ceil(rate / (maxFrameRate * 1.01))}`;
}

/**
 * Limits the shorter side: 1080p is 1920 by 1080 in landscape and 1080 by 1920 in portrait. Never enlarges, makes
 * pixels square and both sides even, as encoders require. ffmpeg has turned a rotated source upright before.
 */
export function fit(limit: number, video: Track | undefined): string {
  const size = displaySize(video);
  const isSquare = video?.pixelAspectRatio === 1;
  const label = limit <= hdHeight ? labelAsBt709(video) : '';
  if (size === undefined || (isSquare && !isDecoded(video))) {
    // ffmpeg would keep what is lost by rounding the sides as a shape of the pixels.
    const scale = fitByExpression(limit, isSquare) + toLimitedRange(video);
    return chain(label, scale, 'setsar=1', rgbToBt709(video));
  }
  const scale = limit / Math.min(size.width, size.height);
  const side = (length: number) => (scale < 1 ? nearestEven(length * scale) : evenWithin(length));
  const options = { range: toLimitedRange(video) };
  return chain(label, box(side(size.width), side(size.height), options), rgbToBt709(video));
}

/** Scales to this width, in pixels, and keeps the aspect ratio. */
export function fitWidth(width: number, video: Track | undefined): string {
  const size = displaySize(video);
  const isSquare = video?.pixelAspectRatio === 1;
  const label = labelAsBt709(video);
  if (isSquare && (size === undefined || !isDecoded(video))) {
    return chain(label, `scale=${width}:-2${toLimitedRange(video)}`, 'setsar=1');
  }
  if (size === undefined) return `scale=w=${width}:h='max(2,round(${width / 2}/dar)*2)',setsar=1`;
  const height = nearestEven((width * size.height) / size.width);
  return chain(label, box(width, height, { range: toLimitedRange(video) }));
}

/** Whether the size is that of decoded pictures, and not only what the tables of the file say. */
function isDecoded(video: Track | undefined): boolean {
  return video?.pixelFormat !== undefined;
}

/** Whether the size of the pictures is known, and may change within the source. */
export function mayChangeSize(video: Track | undefined): boolean {
  const { codec = '', pixelFormat = '', rotation = 0 } = video ?? {};
  // Before all other filters, ffmpeg adds those that turn pictures, which cannot bear another size.
  const isUpright = rotation === 0;
  return (
    displaySize(video) !== undefined &&
    isUpright &&
    resizableCodecs.has(codec) &&
    /^(yuv|nv|p0)/.test(pixelFormat)
  );
}

/**
 * Brings pictures that are larger or smaller than the first into its size; others are not touched. For a chain that goes on when
 * the size changes: the first filter, because others cannot bear another size.
 */
export function oneSize(video: Track | undefined): string {
  const size = displaySize(video);
  if (size === undefined || !mayChangeSize(video)) return '';
  // `pad` makes the sides of most formats even, and none smaller than the picture.
  return box(evenWithin(size.width), evenWithin(size.height), { isOngoing: true });
}

/** Sides of the picture as it is shown, in square pixels; undefined if they are not known. */
export function displaySize(video: Track | undefined): { width: number; height: number } | undefined {
  const { width, height } = video ?? {};
  return width && height ? { width, height } : undefined;
}

/** An even number, as encoders require, for a side that is not scaled: never larger. */
function evenWithin(side: number): number {
  return Math.max(2, Math.floor(side / 2 + 0.01) * 2);
}

/** An even number, as encoders require, for a scaled side: 16:9 at 480 is 854 wide. */
function nearestEven(side: number): number {
  return Math.max(2, Math.round(side / 2) * 2);
}

function fitByExpression(limit: number, isSquare: boolean): string {
  const [width, height] = isSquare ? ['iw', 'ih'] : ['iw*sar', 'ih'];
  const shorter = `min(${width},${height})`;
  const side = (name: string) =>
    `'max(2,if(gt(${shorter},${limit}),round(${name}*${limit}/${shorter}/2),trunc(${name}/2+0.01))*2)'`;
  return `scale=w=${side(width)}:h=${side(height)}`;
}

/**
 * Scales every picture into a frame of this size, keeps its aspect ratio, and adds black bars. Otherwise a stream whose
 * pictures change in size would end the encoder or be distorted. `dar` is the aspect ratio of the current picture.
 * `isOngoing`: ffmpeg does not make the filters anew when the size changes.
 */
function box(
  width: number,
  height: number,
  { range = '', isOngoing = false }: { readonly range?: string; readonly isOngoing?: boolean },
): string {
  const w = `if(gt(${height}*dar,${width - 2}),${width},max(2,trunc(${height}*dar/2)*2))`;
  const h = `if(gt(${width}/dar,${height - 2}),${height},max(2,trunc(${width}/dar/2)*2))`;
  const [scaled, padded] = isOngoing ? [':eval=frame:interl=-1', ':eval=frame'] : ['', ''];
  return `scale=w='${w}':h='${h}'${scaled}${range},setsar=1,pad=${width}:${height}:-1:-1${padded}`;
}

/**
 * Options of a scale filter that convert full range to the limited one, which all players show right: ffmpeg keeps full
 * range from 7.1 on, and 4.4 loses its label in more than 8 bits. HDR is converted with its tones, or kept.
 */
function toLimitedRange(video: Track | undefined): string {
  const { pixelFormat = '', colorRange } = video ?? {};
  const isFull = /^yuvj/.test(pixelFormat) || (/^(yuv|nv|p\d)/.test(pixelFormat) && colorRange === 'pc');
  return isFull && !isHdr(video) ? ':in_range=pc:out_range=tv' : '';
}

/**
 * Labels a large picture without a label as BT.709, which players take it for. They take a small one for BT.601, so that
 * its colors would change with its size. The label comes before a filter that scales, which may convert to RGB as well.
 */
function labelAsBt709(video: Track | undefined): string {
  const { width = 0, height = 0, pixelFormat = '', colorSpace, colorPrimaries, colorTransfer } = video ?? {};
  const isLarge = Math.max(width, height) >= hdWidth || Math.min(width, height) >= hdHeight;
  const isOther = colorSpace !== undefined || isHdr(video) || (colorPrimaries ?? 'bt709') !== 'bt709';
  if (!isLarge || isOther || !/^(yuv|nv|p\d)/.test(pixelFormat)) return '';
  const transfer = colorTransfer === undefined ? ':color_trc=bt709' : '';
  return `setparams=color_primaries=bt709:colorspace=bt709${transfer}`;
}

/** Converts RGB to BT.709 and labels it so, which players assume for large pictures without a label. */
function rgbToBt709(video: Track | undefined): string {
  if (!/^(x?rgb|x?bgr|gbr|argb|abgr|0rgb|0bgr|pal8)/.test(video?.pixelFormat ?? '')) return '';
  return chain(
    'scale=out_color_matrix=bt709:out_range=tv',
    'format=yuv420p',
    'setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709',
  );
}

/** Whether decoding key frames alone gives pictures, which is faster. */
export function readsKeyFrames(media: MediaInfo | undefined, video: Track | undefined): boolean {
  return keyFrameFormats.test(media?.format ?? '') && keyFrameCodecs.has(video?.codec ?? '');
}
