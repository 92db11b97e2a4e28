import { spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import pLimit from 'p-limit';
import type { MediaInfo, Track } from '../mediaInfo';

/** Time and output that ffprobe may use for one file. */
const timeoutMs = 20_000;
const maxOutputBytes = 8 * 1024 * 1024;

/** Processes at a time, whatever the number of files. */
const limit = pLimit(2);

/**
 * The demuxers that ffprobe may use. Playlists (hls, dash, concat, imf, sdp) are not among them: they make ffmpeg open
 * what they name. Neither are devices and virtual inputs.
 */
const demuxers = [
  ...[
    'mov',
    'matroska',
    'webm',
    'avi',
    'flv',
    'live_flv',
    'asf',
    'asf_o',
    'mxf',
    'gxf',
    'lxf',
    'mpeg',
    'mpegts',
  ],
  ...[
    'mpegtsraw',
    'mpegvideo',
    'ogg',
    'rm',
    'ivr',
    'dv',
    'amr',
    'amrnb',
    'amrwb',
    'caf',
    'wav',
    'w64',
    'aiff',
  ],
  ...[
    'au',
    'flac',
    'mp3',
    'aac',
    'loas',
    'ac3',
    'eac3',
    'dts',
    'dtshd',
    'truehd',
    'mlp',
    'tta',
    'wv',
    'ape',
    'tak',
  ],
  ...[
    'mpc',
    'mpc8',
    'ofr',
    'oma',
    'voc',
    'dsf',
    'iff',
    'sln',
    'spdif',
    'shn',
    'qcp',
    'gsm',
    'nut',
    'nuv',
    'nsv',
  ],
  ...[
    'wtv',
    'wtvchan',
    'ivf',
    'yuv4mpegpipe',
    'gif',
    'apng',
    'mjpeg',
    'mpjpeg',
    'h261',
    'h263',
    'h264',
    'hevc',
  ],
  ...[
    'm4v',
    'vc1',
    'vc1test',
    'obu',
    'av1',
    'cavsvideo',
    'dirac',
    'dnxhd',
    'smk',
    'bink',
    'roq',
    'swf',
    'vivo',
  ],
  ...[
    'srt',
    'ass',
    'webvtt',
    'sup',
    'vobsub',
    'microdvd',
    'subviewer',
    'sami',
    'scc',
    'stl',
    'mpl2',
    'jacosub',
  ],
  ...[
    'pmp',
    'pva',
    'ty',
    'dhav',
    'r3d',
    'lvf',
    'film_cpk',
    'flic',
    'cdxl',
    'xwma',
    'image2pipe',
    'jpeg_pipe',
  ],
  ...['png_pipe', 'bmp_pipe', 'webp_pipe', 'tiff_pipe'],
];

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

export type FfprobeResult =
  | { readonly kind: 'known'; readonly media: MediaInfo }
  /** ffprobe read the file and cannot open it; `line` is what it said. */
  | { readonly kind: 'invalid'; readonly line: string }
  /** ffprobe is not there, took too long, or may not read the format. */
  | { readonly kind: 'unknown' };

/** ffprobe beside a configured ffmpeg, or the first on the PATH; undefined if there is none. `ffmpegPath` may be empty. */
export async function findFfprobe(ffmpegPath: string): Promise<string | undefined> {
  const name = process.platform === 'win32' ? 'ffprobe.exe' : 'ffprobe';
  const candidates = ffmpegPath
    ? [join(dirname(ffmpegPath), name), join(ffmpegPath, name)]
    : (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, name));
  for (const path of candidates) {
    if (
      await stat(path).then(
        (found) => found.isFile(),
        () => false,
      )
    )
      return path;
  }
  return undefined;
}

/** What ffprobe reads in a file on this machine's disks. Throws the reason of the signal if it aborts. */
export function probeWithFfprobe(program: string, path: string, signal: AbortSignal): Promise<FfprobeResult> {
  return limit(async () => {
    signal.throwIfAborted();
    const { code, stdout, stderr } = await run(program, argumentsFor(path), signal);
    signal.throwIfAborted();
    if (code === 0) return parseOutput(stdout);
    const line =
      stderr
        .trim()
        .split(/[\r\n]+/)
        .at(-1) ?? '';
    const isInvalid = code !== undefined && /Invalid data found|moov atom not found/.test(stderr);
    return isInvalid && !/whitelist/i.test(stderr) ? { kind: 'invalid', line } : { kind: 'unknown' };
  });
}

function argumentsFor(path: string): string[] {
  return [
    ...[
      '-hide_banner',
      '-v',
      'error',
      '-protocol_whitelist',
      'file',
      '-format_whitelist',
      demuxers.join(','),
    ],
    ...['-show_format', '-show_streams', '-show_chapters', '-of', 'json'],
    // With its protocol, a name is never an option, a URL or a pattern.
    ...['-i', `file:${path}`],
  ];
}

interface Ended {
  /** Undefined if it was ended, or did not start. */
  readonly code?: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, args: readonly string[], signal: AbortSignal): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true });
    const end = () => child.kill('SIGKILL');
    const timer = setTimeout(end, timeoutMs);
    signal.addEventListener('abort', end, { once: true });
    const streams = [child.stdout, child.stderr].map((stream) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      stream.on('data', (data: Buffer) => {
        bytes += data.length;
        if (bytes > maxOutputBytes) end();
        else parts.push(data);
      });
      return () => Buffer.concat(parts).toString('utf8');
    });
    const settle = (code: number | null) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve({ code: code ?? undefined, stdout: streams[0]?.() ?? '', stderr: streams[1]?.() ?? '' });
    };
    child.once('error', () => settle(null));
    child.once('close', settle);
  });
}

function parseOutput(json: string): FfprobeResult {
  try {
    const media = mediaOf(JSON.parse(json) as Output);
    return media.tracks.length > 0 ? { kind: 'known', media } : { kind: 'unknown' };
  } catch {
    return { kind: 'unknown' };
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
  readonly side_data_list?: readonly Readonly<Record<string, unknown>>[];
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

function audioFacts(stream: Stream): Partial<Track> {
  const { channels, channel_layout: layout } = stream;
  return {
    channels: channels || undefined,
    channelLayout: layout && layout !== 'unknown' ? layout : undefined,
    sampleRate: number(stream.sample_rate),
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
  const isTurned = rotation % 180 !== 0;
  const [rate, average] = [ratio(stream.r_frame_rate, '/'), ratio(stream.avg_frame_rate, '/')];
  return {
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
  };
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
