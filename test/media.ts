import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A folder that is removed after the tests. */
export async function temporaryFolder(name: string): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), `${name}-`));
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) };
}

/** Returns what a program prints. */
export async function printed(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(program, args, { maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}

/** Runs ffmpeg with these arguments. Returns the last one, the path of the output. */
export async function ffmpeg(...args: string[]): Promise<string> {
  await run('ffmpeg', ['-v', 'error', '-nostdin', '-y', ...args]);
  return args.at(-1) ?? '';
}

/** Creates a video with a test pattern and a tone. Returns its path. */
export function clip(path: string, seconds = 1, size = '160x120'): Promise<string> {
  return ffmpeg(
    ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=25`, '-f', 'lavfi', '-i', 'sine=frequency=440'],
    ...[
      '-t',
      String(seconds),
      '-c:v',
      'libx264',
      '-preset',
      'ultrafast',
      '-pix_fmt',
      'yuv420p',
      '-c:a',
      'aac',
      path,
    ],
  );
}

export interface Probed {
  readonly seconds: number;
  readonly streams: {
    codec_type: string;
    codec_name: string;
    width?: number;
    height?: number;
    channels?: number;
  }[];
}

/** Returns what ffprobe reads from a file. */
export async function probe(path: string): Promise<Probed> {
  const { stdout } = await run('ffprobe', [
    '-v',
    'error',
    '-of',
    'json',
    '-show_streams',
    '-show_format',
    path,
  ]);
  const { streams, format } = JSON.parse(stdout) as {
    streams: Probed['streams'];
    format: { duration?: string };
  };
  return { streams, seconds: Number(format.duration) };
}
