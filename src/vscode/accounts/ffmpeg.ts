import { isAbsolute, join } from 'node:path';
import { UserError } from '../../core/errors';
import { firstProgram, pathsOnPath, programName } from '../../core/files/programs';
import { settings } from '../settings';

/**
 * The path of the ffmpeg of the setting, which can also name its folder, or else of the first on the PATH. A relative path
 * finds none: it would depend on the working directory. Throws `noFfmpeg` when there is none.
 */
export async function findFfmpeg(): Promise<string> {
  const { ffmpegPath } = settings();
  const candidates = ffmpegPath
    ? [join(ffmpegPath, programName('ffmpeg')), ffmpegPath].filter((path) => isAbsolute(path))
    : pathsOnPath('ffmpeg');
  const found = await firstProgram(candidates);
  if (found === undefined) throw new UserError({ kind: 'noFfmpeg', path: ffmpegPath || undefined });
  return found;
}
