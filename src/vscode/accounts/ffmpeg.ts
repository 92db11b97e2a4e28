import { execFile } from 'node:child_process';
import { basename, isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import type { AccountRecord } from '../../core/azure/account';
import { UserError } from '../../core/errors';
import { firstProgram, pathsOnPath, programName } from '../../core/files/programs';
import { settings } from '../settings';

/** A program that takes longer than this to print its version is no ffmpeg. */
const maxVersionMs = 60_000;

/**
 * The path of the ffmpeg of the setting, which can also name its folder, or else of the first on the PATH. A relative path
 * finds none: it would depend on the working directory. Throws `noFfmpeg` when there is none, and `notFfmpeg` for a
 * program with another name: tasks find ffmpeg by its name.
 */
export async function findFfmpeg(): Promise<string> {
  const { ffmpegPath } = settings();
  const candidates = ffmpegPath
    ? [join(ffmpegPath, programName('ffmpeg')), ffmpegPath].filter((path) => isAbsolute(path))
    : pathsOnPath('ffmpeg');
  const found = await firstProgram(candidates);
  if (found === undefined) throw new UserError({ kind: 'noFfmpeg', path: ffmpegPath || undefined });
  if (!isNamedFfmpeg(found)) throw new UserError({ kind: 'notFfmpeg', path: found, fault: 'name' });
  return found;
}

/** An ffmpeg that can run. */
export interface Ffmpeg {
  readonly path: string;
  /** Such as `7.1` or `5.1.6-0+deb12u1`. */
  readonly version: string;
  /** `7` of `7.1`; undefined for a build that doesn't list its libraries. */
  readonly major?: number;
}

/**
 * Finds ffmpeg and runs it, because a file of this name may be another program, or one for another machine. Throws
 * `noFfmpeg` and `notFfmpeg`.
 */
export async function workingFfmpeg(): Promise<Ffmpeg> {
  const path = await findFfmpeg();
  let line: string | undefined;
  let major: number | undefined;
  try {
    const { stdout } = await promisify(execFile)(path, ['-version'], {
      timeout: maxVersionMs,
      windowsHide: true,
    });
    [line] = stdout.split(/\r?\n/);
    major = majorOf(stdout);
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    const detail = stderr?.trim().split('\n').at(-1) || message;
    throw new UserError({ kind: 'notFfmpeg', path, fault: 'version', detail }, { cause: error });
  }
  const [, version] = /^ffmpeg version (\S+)/.exec(line ?? '') ?? [];
  if (version === undefined) throw new UserError({ kind: 'notFfmpeg', path, fault: 'version', detail: line });
  return { path, version, ...(major !== undefined && { major }) };
}

/** Major version of the ffmpeg that runs tasks; undefined for nodes of Azure, whose ffmpeg is that of their image. */
export async function taskFfmpegMajor({
  signIn,
}: Pick<AccountRecord, 'signIn'>): Promise<number | undefined> {
  return signIn === 'local' ? (await workingFfmpeg()).major : undefined;
}

/**
 * Builds between releases have a number of their own (`N-118000-g…`), but all list the version of libavutil: 56 is that of
 * ffmpeg 4. https://ffmpeg.org/download.html#releases
 */
function majorOf(text: string): number | undefined {
  const library = /^libavutil\s+(\d+)\./m.exec(text)?.[1];
  return library === undefined ? undefined : Number(library) - 52;
}

/** On Windows, and on most disks of macOS, the case of a name doesn't matter. */
function isNamedFfmpeg(path: string): boolean {
  const [name, wanted] = [basename(path), programName('ffmpeg')];
  return process.platform === 'linux' ? name === wanted : name.toLowerCase() === wanted;
}
