import type { MediaInfo, Track } from '../mediaInfo';
import { hdrMetadata, type SideData } from './hdrMetadata';

/** Formats whose length is that of their header, and neither estimated from bitrates nor from the size of the file. */
const statedLengths = new Set([
  'aiff',
  'au',
  'tta',
  'wv',
  'ape',
  'tak',
  'mpc',
  'mpc8',
  'mxf',
  'gxf',
  'rm',
  'dsf',
  'flac',
]);

/** What ffprobe wrote as JSON; undefined if its output was cut off. */
export function parseFfprobe(json: string): MediaInfo | undefined {
  try {
    return mediaOf(JSON.parse(json) as Output);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Static HDR metadata of the first frame, from ffprobe's JSON about it. */
export function parseFirstFrame(json: string): ReturnType<typeof hdrMetadata> {
  try {
    const { frames = [] } = JSON.parse(json) as { frames?: readonly Pick<Stream, 'side_data_list'>[] };
    return hdrMetadata(frames[0]?.side_data_list ?? []);
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

interface Output {
  readonly streams?: readonly Stream[];
  readonly format?: {
    readonly format_name?: string;
    readonly duration?: string;
    readonly start_time?: string;
  };
  readonly chapters?: readonly unknown[];
}

/** The members of ffprobe's JSON that are used: numbers are often texts there. */
interface Stream {
  readonly index: number;
  readonly id?: string;
  readonly codec_type?: string;
  readonly codec_name?: string;
  readonly codec_tag_string?: string;
  readonly profile?: string;
  readonly width?: number;
  readonly height?: number;
  readonly coded_width?: number;
  readonly coded_height?: number;
  readonly sample_aspect_ratio?: string;
  readonly pix_fmt?: string;
  readonly field_order?: string;
  readonly color_range?: string;
  readonly color_space?: string;
  readonly color_transfer?: string;
  readonly color_primaries?: string;
  readonly r_frame_rate?: string;
  readonly avg_frame_rate?: string;
  readonly start_time?: string;
  readonly duration?: string;
  readonly sample_fmt?: string;
  readonly sample_rate?: string;
  readonly channels?: number;
  readonly channel_layout?: string;
  readonly bits_per_sample?: number;
  readonly bits_per_raw_sample?: string;
  readonly disposition?: Readonly<Record<string, number>>;
  readonly tags?: Readonly<Record<string, string>>;
  readonly side_data_list?: readonly SideData[];
}

function mediaOf({ streams = [], format = {}, chapters = [] }: Output): MediaInfo {
  const names = format.format_name?.split(',') ?? [];
  const seconds = number(format.duration);
  const isStated = names.some((name) => statedLengths.has(name));
  const start = number(format.start_time) ?? 0;
  const tracks = streams.flatMap((stream) => trackOf(stream, start, isStated ? seconds : undefined) ?? []);
  return {
    format: format.format_name,
    tracks,
    seconds,
    knows: ['audio', 'video', 'subtitle'],
    chapters: chapters.length,
    otherTracks: streams.flatMap(({ codec_type: type, codec_tag_string: tag = '', codec_name: codec }) =>
      type === 'data' || type === 'attachment' ? [/^\w{4}$/.test(tag) ? tag : (codec ?? type)] : [],
    ),
    isProtected: streams.some(({ codec_tag_string: tag = '' }) => /^(enc[vats]|drm[ist])$/.test(tag)),
  };
}

function trackOf(stream: Stream, fileStart: number, seconds: number | undefined): Track | undefined {
  const kind = (['audio', 'video', 'subtitle'] as const).find((name) => name === stream.codec_type);
  if (kind === undefined) return undefined;
  const { disposition = {}, tags = {} } = stream;
  const start = number(stream.start_time);
  return {
    kind,
    index: stream.index,
    ...(isPacketId(stream.id) && { packetId: Number(stream.id) }),
    codec: stream.codec_name,
    codecTag: /^[ -~]{4}$/.test(stream.codec_tag_string ?? '') ? stream.codec_tag_string : undefined,
    language: tags.language,
    title: tags.title,
    isDefault: disposition.default === 1,
    isForced: disposition.forced === 1,
    isHearingImpaired: disposition.hearing_impaired === 1,
    isAttachedPicture: disposition.attached_pic === 1,
    startSeconds: start === undefined ? undefined : start - fileStart,
    seconds: seconds === undefined ? undefined : (number(stream.duration) ?? seconds),
    ...(kind === 'audio' ? audioFacts(stream) : kind === 'video' ? videoFacts(stream) : {}),
  };
}

/** `0x101`: other formats have ids of their own, without which nothing is missing. */
function isPacketId(id: string | undefined): boolean {
  return /^0x[0-9a-f]{1,4}$/.test(id ?? '');
}

function audioFacts(stream: Stream): Partial<Track> {
  const { channels, channel_layout: layout } = stream;
  const isEmpty = !channels && !number(stream.sample_rate);
  return {
    ...(isEmpty && { isEmpty }),
    channels: channels || undefined,
    channelLayout: layout && layout !== 'unknown' ? layout : undefined,
    sampleRate: number(stream.sample_rate) || undefined,
    sampleFormat: stream.sample_fmt,
    bitsPerSample: number(stream.bits_per_raw_sample) || stream.bits_per_sample || undefined,
  };
}

const fieldOrders = ['progressive', 'tt', 'bb', 'tb', 'bt'] as const;

function videoFacts(stream: Stream): Partial<Track> {
  const [codedWidth, codedHeight] = [stream.width || undefined, stream.height || undefined];
  const pixelAspectRatio = ratio(stream.sample_aspect_ratio, ':') ?? 1;
  const rotation = rotationOf(stream);
  const wide = codedWidth && Math.round(codedWidth * pixelAspectRatio);
  // Other angles, and no angle at all, leave the frame as large as it is.
  const isTurned = rotation % 180 === 90;
  const isEmpty = stream.codec_name !== undefined && !codedWidth;
  const [rate, average] = [ratio(stream.r_frame_rate, '/'), ratio(stream.avg_frame_rate, '/')];
  return {
    ...(isEmpty && { isEmpty }),
    width: isTurned ? codedHeight : wide,
    height: isTurned ? wide : codedHeight,
    codedWidth,
    codedHeight,
    rotation,
    pixelAspectRatio,
    framesPerSecond: average ?? rate,
    isVariableFrameRate: rate && average ? Math.abs(rate - average) > 0.01 * average : undefined,
    fieldOrder: fieldOrders.find((order) => order === stream.field_order),
    pixelFormat: stream.pix_fmt,
    colorTransfer: color(stream.color_transfer),
    colorPrimaries: color(stream.color_primaries),
    colorSpace: color(stream.color_space),
    colorRange: color(stream.color_range),
    bitsPerSample: number(stream.bits_per_raw_sample) || undefined,
    dolbyVisionProfile: sideNumber(stream, 'dv_profile'),
    timecode: timecodeOf(stream),
    ...hdrMetadata(stream.side_data_list ?? []),
  };
}

function timecodeOf({ tags = {} }: Stream): string | undefined {
  const { timecode = '' } = tags;
  return /^\d\d:\d\d:\d\d[:;.]\d\d$/.test(timecode) ? timecode : undefined;
}

/** ffprobe counts counterclockwise; older versions have a tag, which is clockwise. */
function rotationOf(stream: Stream): number {
  const side = sideNumber(stream, 'rotation');
  const degrees = side === undefined ? (number(stream.tags?.rotate) ?? 0) : -side;
  return ((Math.round(degrees) % 360) + 360) % 360;
}

function sideNumber({ side_data_list: list = [] }: Stream, name: string): number | undefined {
  const value = list.find((entry) => entry[name] !== undefined)?.[name];
  return typeof value === 'number' ? value : undefined;
}

function color(name: string | undefined): string | undefined {
  return name && name !== 'unknown' && name !== 'reserved' ? name : undefined;
}

function ratio(text: string | undefined, between: ':' | '/'): number | undefined {
  const [over, under] = (text ?? '').split(between).map(Number);
  return over && under ? over / under : undefined;
}

function number(text: string | undefined): number | undefined {
  const value = Number(text ?? Number.NaN);
  return Number.isFinite(value) ? value : undefined;
}
