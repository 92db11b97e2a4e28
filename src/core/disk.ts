import { type BigIntStats, constants } from 'node:fs';
import { access, type FileHandle, link, open, rename, rm, stat, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorCode, UserError } from './errors';
import type { FileStat, Files, OpenFile, PartFile } from './files';

/** Longest name that common file systems take, in bytes. */
const longestName = 255;

/** Files on this machine's disks, by their `file:` URIs. */
export class DiskFiles implements Files {
  async stat(uri: string): Promise<FileStat | undefined> {
    try {
      return fileStat(await stat(fileURLToPath(uri), { bigint: true }));
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined;
      throw readProblem(error, fileURLToPath(uri));
    }
  }

  async open(uri: string): Promise<OpenFile> {
    const path = fileURLToPath(uri);
    let handle: FileHandle;
    try {
      handle = await open(path, constants.O_RDONLY);
    } catch (error) {
      throw readProblem(error, path);
    }
    const opened = await handle.stat({ bigint: true });
    if (opened.isDirectory()) {
      await handle.close();
      throw new UserError({ kind: 'fileFailed', file: path, detail: 'EISDIR' });
    }
    return {
      async read(position, length) {
        const buffer = Buffer.allocUnsafe(length);
        let filled = 0;
        while (filled < length) {
          const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
        return buffer.subarray(0, filled);
      },
      async stat() {
        const now = await stat(path, { bigint: true }).catch((error) => {
          throw readProblem(error, path);
        });
        // Another file under the same name shows as a change even where size and time agree.
        const isSame = now.ino === opened.ino && now.dev === opened.dev;
        return isSame ? fileStat(await handle.stat({ bigint: true })) : { ...fileStat(now), modified: -1 };
      },
      close: () => handle.close(),
    };
  }

  async part(uri: string): Promise<PartFile> {
    const path = fileURLToPath(uri);
    const folder = dirname(path);
    await mustBeWritable(folder);
    const partPath = join(folder, partName(basename(path)));
    const handle = await open(partPath, constants.O_RDWR | constants.O_CREAT, 0o666).catch((error) => {
      throw writeProblem(error, folder);
    });
    const { size } = await handle.stat();
    return {
      resumeAt: size,
      async write(position, data) {
        try {
          await handle.write(data, 0, data.length, position);
        } catch (error) {
          throw writeProblem(error, folder);
        }
      },
      async read(position, length) {
        const buffer = Buffer.allocUnsafe(length);
        const { bytesRead } = await handle.read(buffer, 0, length, position);
        return buffer.subarray(0, bytesRead);
      },
      async commit({ overwrite }) {
        await handle.sync().catch((error) => {
          throw writeProblem(error, folder);
        });
        await handle.close();
        try {
          await giveName(partPath, path, overwrite);
        } catch (error) {
          throw error instanceof UserError ? error : writeProblem(error, folder);
        }
      },
      close: () => handle.close(),
      async discard() {
        await handle.close().catch(() => undefined);
        await rm(partPath, { force: true });
      },
    };
  }

  async freeBytes(uri: string): Promise<number | undefined> {
    try {
      const { bavail, bsize } = await statfs(dirname(fileURLToPath(uri)));
      return bavail * bsize;
    } catch {
      return undefined;
    }
  }
}

/** A link fails where the name is taken, which a rename would overwrite: no moment in which another's file is lost. */
async function giveName(partPath: string, path: string, overwrite: boolean): Promise<void> {
  if (overwrite) {
    // A read-only file of that name is somebody's wish.
    await access(path, constants.W_OK).catch((error) => {
      if (errorCode(error) !== 'ENOENT') throw new UserError({ kind: 'fileDenied', file: path });
    });
    return rename(partPath, path);
  }
  try {
    await link(partPath, path);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EEXIST') throw new UserError({ kind: 'outputExists', file: path });
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP' && code !== 'ENOSYS') throw error;
    // File systems without links (FAT, some network shares).
    const taken = await stat(path).then(
      () => true,
      () => false,
    );
    if (taken) throw new UserError({ kind: 'outputExists', file: path });
    return rename(partPath, path);
  }
  await rm(partPath);
}

/** Hidden, beside the file, so that renaming never crosses file systems; never longer than a name may be. */
function partName(name: string): string {
  const suffix = '.transcode-part';
  let kept = name;
  while (Buffer.byteLength(`.${kept}${suffix}`) > longestName) kept = Array.from(kept).slice(0, -1).join('');
  return `.${kept}${suffix}`;
}

async function mustBeWritable(folder: string): Promise<void> {
  try {
    await access(folder, constants.W_OK);
  } catch (error) {
    throw errorCode(error) === 'ENOENT'
      ? new UserError({ kind: 'fileMissing', file: folder })
      : new UserError({ kind: 'folderReadOnly', folder });
  }
}

function fileStat(stats: BigIntStats): FileStat {
  return { isFolder: stats.isDirectory(), size: Number(stats.size), modified: Number(stats.mtimeMs) };
}

function readProblem(error: unknown, file: string): unknown {
  switch (errorCode(error)) {
    case 'ENOENT':
      return new UserError({ kind: 'fileMissing', file });
    case 'EACCES':
    case 'EPERM':
      return new UserError({ kind: 'fileDenied', file });
    case undefined:
      return error;
    default:
      return new UserError({ kind: 'fileFailed', file, detail: errorCode(error) ?? '' });
  }
}

function writeProblem(error: unknown, folder: string): unknown {
  switch (errorCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new UserError({ kind: 'diskFull', folder });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new UserError({ kind: 'folderReadOnly', folder });
    case undefined:
      return error;
    default:
      return new UserError({ kind: 'fileFailed', file: folder, detail: errorCode(error) ?? '' });
  }
}
