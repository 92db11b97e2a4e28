import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { AudioSelection } from '../../src/core/media/audioTracks';
import type { MediaInfo } from '../../src/core/media/mediaInfo';
import { findFfprobe } from '../../src/core/media/probe/ffprobe';
import { probeMedia } from '../../src/core/media/probe/probeMedia';
import { commandOf } from '../../src/core/presets/ffmpegCommand';
import type { Preset } from '../../src/core/presets/preset';
import { ffmpeg } from '../media';
import type { Source } from './sources';

const run = promisify(execFile);
const never = new AbortController().signal;

/** The members of ffprobe's output that the tests read. */
export interface OutputStream {
  readonly codec_type: string;
  readonly codec_name: string;
  readonly codec_tag_string: string;
  readonly width?: number;
  readonly height?: number;
  readonly sample_aspect_ratio?: string;
  readonly pix_fmt?: string;
  readonly field_order?: string;
  readonly color_transfer?: string;
  readonly color_primaries?: string;
  readonly color_space?: string;
  readonly channels?: number;
  readonly channel_layout?: string;
  readonly sample_rate?: string;
  readonly start_time?: string;
  readonly duration?: string;
  readonly avg_frame_rate?: string;
  readonly nb_read_packets?: string;
  readonly disposition: Readonly<Record<string, number>>;
  readonly tags?: Readonly<Record<string, string>>;
}

export interface Output {
  readonly streams: readonly OutputStream[];
  readonly chapters: readonly unknown[];
  readonly format: {
    readonly duration?: string;
    readonly start_time?: string;
    readonly tags?: Readonly<Record<string, string>>;
  };
}

/** A folder with sources, which are made when they are first needed, and with the outputs of presets. */
export class Matrix {
  readonly #made = new Map<string, Promise<string>>();

  constructor(readonly folder: string) {}

  path(name: string): string {
    return join(this.folder, name);
  }

  /** The path of a source. */
  source(source: Source): Promise<string> {
    const made = this.#made.get(source.name) ?? this.#makeSource(source);
    this.#made.set(source.name, made);
    return made;
  }

  async #makeSource({ name, make, turn }: Source): Promise<string> {
    const path = this.path(name);
    const args = make.map((arg) => arg.replaceAll('IN/', `${this.folder}/`));
    if (turn === undefined) return ffmpeg(...args, path);
    const straight = await ffmpeg(...args, this.path(`straight ${name}`));
    // Counterclockwise both: an option of ffmpeg 6.1 and later, a tag of older ones.
    return ffmpeg('-display_rotation', String(-turn), '-i', straight, '-c', 'copy', path).catch(() =>
      ffmpeg('-i', straight, '-c', 'copy', '-metadata:s:v', `rotate=${360 - turn}`, path),
    );
  }

  /** What the extension's probe knows of a file. */
  async media(path: string, withFfprobe = true): Promise<MediaInfo> {
    const program = await findFfprobe('');
    if (program === undefined) throw new Error('ffprobe is not on the PATH.');
    const content = await readFile(path);
    const file = {
      size: content.length,
      read: async (position: number, length: number) => content.subarray(position, position + length),
    };
    const probed = await probeMedia(file, {
      signal: never,
      ...(withFfprobe && { ffprobe: { program, path } }),
      wantsDetails: true,
    });
    if (probed.media === undefined) throw new Error(`${path} cannot be probed: ${probed.invalid}`);
    return probed.media;
  }

  /** Runs a preset's own command on a file, with the encoder's fastest setting; gives the path of the output. */
  async make(
    preset: Preset,
    path: string,
    media: MediaInfo | undefined,
    audio: AudioSelection = { kind: 'track', index: 0 },
    name = 'output',
  ): Promise<string> {
    const outputName = preset.folder ? name : `${name}.${preset.extension}`;
    const [, ...args] = commandOf(preset, {
      nodeInput: path,
      outputs: [{ name: outputName, audio }],
      media,
    });
    const fast = args.map((arg, index) =>
      args[index - 1] === '-preset' || args[index - 1]?.startsWith('-preset:') ? 'ultrafast' : arg,
    );
    const folder = join(this.folder, `out of ${name}`, preset.id);
    await mkdir(folder, { recursive: true });
    await run('ffmpeg', fast, { cwd: folder, maxBuffer: 64 * 1024 * 1024 }).catch((error: Error) => {
      const telling = error.message.split('\n').slice(-6).join('\n');
      throw new Error(`${preset.id} fails: ${fast.join(' ')}\n${telling}`);
    });
    const output = join(folder, outputName);
    if (!existsSync(output)) throw new Error(`${preset.id} makes no output: ${fast.join(' ')}`);
    return output;
  }

  async output(path: string): Promise<Output> {
    const { stdout } = await run('ffprobe', [
      ...['-v', 'error', '-of', 'json', '-show_streams', '-show_format', '-show_chapters', '-count_packets'],
      path,
    ]);
    return JSON.parse(stdout) as Output;
  }

  /** SSIM, from 0 to 1, of the pictures of a file with those of a filter source, which is scaled to their size. */
  async likeness(path: string, expected: string, filters = 'null'): Promise<number> {
    const { stderr } = await run('ffmpeg', [
      ...['-nostdin', '-hide_banner', '-i', path, '-f', 'lavfi', '-i', expected],
      ...[
        '-filter_complex',
        `[0:v]${filters},format=yuv420p[o];[1:v]format=yuv420p[e];[e][o]scale2ref[e2][o2];[e2]setsar=1[e3];[o2]setsar=1[o3];[o3][e3]ssim=shortest=1`,
      ],
      ...['-f', 'null', '-'],
    ]);
    return Number(/SSIM.*All:([\d.]+)/.exec(stderr)?.[1] ?? 0);
  }

  /** Mean and maximal level of the audio of a file, dBFS. */
  async level(path: string, filters = 'anull'): Promise<{ mean: number; max: number }> {
    const { stderr } = await run('ffmpeg', [
      ...['-nostdin', '-hide_banner', '-i', path, '-map', '0:a:0', '-af', `${filters},volumedetect`],
      ...['-f', 'null', '-'],
    ]);
    const value = (name: string) => Number(new RegExp(`${name}_volume: (-?[\\d.]+|-inf)`).exec(stderr)?.[1]);
    return { mean: value('mean'), max: value('max') };
  }

  /** Checksum of the samples of a file's audio. */
  async hash(path: string, encoder: string): Promise<string> {
    const { stdout } = await run('ffmpeg', [
      ...['-nostdin', '-v', 'error', '-i', path, '-map', '0:a:0', '-c:a', encoder, '-f', 'md5', '-'],
    ]);
    return stdout.trim();
  }

  /** Integrated loudness (LUFS) and true peak (dBFS) of the audio of a file. */
  async loudness(path: string): Promise<{ integrated: number; peak: number }> {
    const { stderr } = await run('ffmpeg', [
      ...['-nostdin', '-hide_banner', '-i', path, '-map', '0:a:0', '-af', 'ebur128=peak=true'],
      ...['-f', 'null', '-'],
    ]);
    const last = (pattern: RegExp) => Number([...stderr.matchAll(pattern)].at(-1)?.[1] ?? Number.NaN);
    return { integrated: last(/I:\s+(-?[\d.]+) LUFS/g), peak: last(/Peak:\s+(-?[\d.]+|-inf) dBFS/g) };
  }
}

/** The playlists of an HLS output with what its master says of each. */
export async function rungsOf(folder: string): Promise<{ path: string; info: string; seconds: number }[]> {
  const lines = (await readFile(join(folder, 'master.m3u8'), 'utf8')).split('\n');
  const rungs: { path: string; info: string; seconds: number }[] = [];
  for (const [index, line] of lines.entries()) {
    if (!line.endsWith('.m3u8')) continue;
    const path = join(folder, line);
    const playlist = await readFile(path, 'utf8');
    const seconds = [...playlist.matchAll(/#EXTINF:([\d.]+)/g)].reduce(
      (sum, [, one]) => sum + Number(one),
      0,
    );
    rungs.push({ path, info: lines[index - 1] ?? '', seconds });
  }
  return rungs;
}

/** Names in a folder, in their order. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder)).sort();
}
