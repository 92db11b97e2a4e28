import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import pLimit from 'p-limit';
import { firstProgram, pathsOnPath, programName } from '../../files/programs';
import type { MediaInfo } from '../mediaInfo';
import { longProbe } from '../transportStream';
import { parseFfprobe, parseFirstFrame } from './ffprobeOutput';

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
  'mov matroska webm avi flv live_flv asf asf_o mxf gxf lxf mpeg mpegts mpegtsraw mpegvideo ogg rm',
  'ivr dv amr amrnb amrwb caf wav w64 aiff au flac mp3 aac loas ac3 eac3 dts dtshd truehd mlp tta',
  'wv ape tak mpc mpc8 ofr oma voc dsf iff sln spdif shn qcp gsm nut nuv nsv wtv wtvchan ivf',
  'yuv4mpegpipe gif apng mjpeg mpjpeg h261 h263 h264 hevc m4v vc1 vc1test obu av1 cavsvideo dirac',
  'dnxhd smk bink roq swf vivo srt ass webvtt sup vobsub microdvd subviewer sami scc stl mpl2',
  'jacosub pmp pva ty dhav r3d lvf film_cpk flic cdxl xwma image2pipe jpeg_pipe png_pipe bmp_pipe',
  'webp_pipe tiff_pipe adx ast sox',
]
  .join(' ')
  .replaceAll(' ', ',');

export type FfprobeResult =
  | { readonly kind: 'known'; readonly media: MediaInfo }
  /** ffprobe read the file and cannot open it; `line` is what it said. */
  | { readonly kind: 'invalid'; readonly line: string }
  /** ffprobe is not there, took too long, or may not read the format. */
  | { readonly kind: 'unknown' };

/** ffprobe beside a configured ffmpeg, or the first on the PATH; undefined if there is none. `ffmpegPath` may be empty. */
export async function findFfprobe(ffmpegPath: string): Promise<string | undefined> {
  const name = programName('ffprobe');
  return firstProgram(
    ffmpegPath ? [join(dirname(ffmpegPath), name), join(ffmpegPath, name)] : pathsOnPath('ffprobe'),
  );
}

export interface ProbedPath {
  readonly program: string;
  readonly path: string;
}

/**
 * Returns what ffprobe reads from a file on this machine's disks. `options` come before the input. Throws the signal's reason
 * when it aborts.
 */
export function probeWithFfprobe(
  source: ProbedPath,
  options: readonly string[],
  signal: AbortSignal,
): Promise<FfprobeResult> {
  const { program, path } = source;
  return limit(async () => {
    signal.throwIfAborted();
    const { code, stdout, stderr } = await run(program, [...options, ...argumentsFor(path)], signal);
    signal.throwIfAborted();
    const found = code === 0 ? parseFfprobe(stdout) : undefined;
    if (found !== undefined) {
      const media = await withLateTracks(source, options, found, signal);
      return { kind: 'known', media: await withFrameMetadata(program, path, media, signal) };
    }
    const line =
      stderr
        .trim()
        .split(/[\r\n]+/)
        .at(-1) ?? '';
    const isInvalid = code !== undefined && /Invalid data found|moov atom not found/.test(stderr);
    return isInvalid && !/whitelist/i.test(stderr) ? { kind: 'invalid', line } : { kind: 'unknown' };
  });
}

/**
 * By default, ffprobe reads at most 5 MB or some seconds. A track of which it found nothing there may begin later: only one
 * of which there is nothing in much more of the file counts as empty.
 */
async function withLateTracks(
  { program, path }: ProbedPath,
  options: readonly string[],
  media: MediaInfo,
  signal: AbortSignal,
): Promise<MediaInfo> {
  if (!media.tracks.some(({ isEmpty }) => isEmpty)) return media;
  const { code, stdout } = await run(program, [...longProbe, ...options, ...argumentsFor(path)], signal);
  signal.throwIfAborted();
  const found = code === 0 ? parseFfprobe(stdout) : undefined;
  return found ?? { ...media, tracks: media.tracks.map(({ isEmpty, ...track }) => track) };
}

/** Many files have the static metadata of HDR10 in their frames only, and all have HDR10+ there. */
async function withFrameMetadata(
  program: string,
  path: string,
  media: MediaInfo,
  signal: AbortSignal,
): Promise<MediaInfo> {
  const first = media.tracks.find(({ kind, isAttachedPicture }) => kind === 'video' && !isAttachedPicture);
  if (first?.colorTransfer !== 'smpte2084') return media;
  const { stdout } = await run(program, argumentsFor(path, firstFrame), signal);
  signal.throwIfAborted();
  const found = parseFirstFrame(stdout);
  return {
    ...media,
    tracks: media.tracks.map((track) => (track === first ? { ...found, ...track } : track)),
  };
}

const everything = ['-show_format', '-show_streams', '-show_chapters'];
const firstFrame = ['-select_streams', 'V:0', '-show_frames', '-read_intervals', '%+#1'];

function argumentsFor(path: string, wanted = everything): string[] {
  return [
    ...['-hide_banner', '-v', 'error', '-protocol_whitelist', 'file', '-format_whitelist', demuxers],
    ...[...wanted, '-of', 'json'],
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
