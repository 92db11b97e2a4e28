import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { UserError } from '../../core/errors';
import { settings } from '../settings';

/** The path of the ffmpeg of the setting, or else of the first on the PATH. Throws `noFfmpeg` when there is none. */
export async function findFfmpeg(): Promise<string> {
  const { ffmpegPath } = settings();
  const name = process.platform === 'win32' ? 'ffmpeg.exe' : 'ffmpeg';
  const candidates = ffmpegPath
    ? [join(ffmpegPath, name), ffmpegPath]
    : (process.env.PATH ?? '')
        .split(delimiter)
        .filter(Boolean)
        .map((folder) => join(folder, name));
  for (const candidate of candidates) {
    const isExecutable = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isExecutable) return candidate;
  }
  throw new UserError({ kind: 'noFfmpeg' });
}
