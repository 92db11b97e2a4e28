import { access, constants, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';

/** The file name of a program on this system: `ffmpeg`, or `ffmpeg.exe` on Windows. */
export function programName(name: string): string {
  return process.platform === 'win32' ? `${name}.exe` : name;
}

/** The paths at which PATH lets a program be. Relative folders are left out: they depend on the working directory. */
export function pathsOnPath(name: string, path = process.env.PATH ?? ''): string[] {
  return path
    .split(delimiter)
    .filter((folder) => isAbsolute(folder))
    .map((folder) => join(folder, programName(name)));
}

/** The first of these paths that is a file which this user can execute; undefined if there is none. */
export async function firstProgram(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await isProgram(path)) return path;
  return undefined;
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    // Folders can be "executed", too.
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
