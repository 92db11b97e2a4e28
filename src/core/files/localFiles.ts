import { type BigIntStats, constants } from 'node:fs';
import { access, open, rm, stat, statfs } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorCode, UserError } from '../errors';
import { readFully, readProblem, writeProblem } from './diskAccess';
import { diskPart, dropDiskPart, renameDiskFolder } from './diskPart';
import { type DiskFile, type FileStat, type Files, isPartName, type OpenFile, type PartFile } from './files';

/** Files on the disks of this machine, by their `file:` URIs. */
export class DiskFiles implements Files {
  async stat(uri: string): Promise<FileStat | undefined> {
    const path = fileURLToPath(uri);
    try {
      return fileStat(await stat(path, { bigint: true }));
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined;
      throw readProblem(error, path);
    }
  }

  async open(uri: string): Promise<OpenFile> {
    const path = fileURLToPath(uri);
    // Without O_NONBLOCK, opening a pipe waits for a writer.
    const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((error) => {
      throw readProblem(error, path);
    });
    const opened = await handle.stat({ bigint: true });
    if (!opened.isFile()) {
      await handle.close();
      const detail = opened.isDirectory() ? 'EISDIR' : 'ENOTSUP';
      throw new UserError({ kind: 'fileFailed', file: path, detail });
    }
    return {
      opened: fileStat(opened),
      onDisk: diskFile(path, opened),
      async read(position, length, into) {
        try {
          return await readFully(handle, position, length, into);
        } catch (error) {
          throw readProblem(error, path);
        }
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

  async dropPart(uri: string, version: string): Promise<void> {
    await dropDiskPart(fileURLToPath(uri), version);
  }

  renameFolder(from: string, to: string, signal: AbortSignal): Promise<boolean> {
    return renameDiskFolder(fileURLToPath(from), fileURLToPath(to), signal);
  }

  async dropPartFolder(uri: string): Promise<void> {
    const path = fileURLToPath(uri);
    if (isPartName(basename(path))) await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }

  isInMemory(): boolean {
    return false;
  }

  part(uri: string, version: string, { bytes }: { bytes?: number } = {}): Promise<PartFile> {
    return diskPart(fileURLToPath(uri), version, bytes);
  }

  async freeBytes(uri: string): Promise<number | undefined> {
    let folder = dirname(fileURLToPath(uri));
    try {
      await access(folder, constants.W_OK).catch(async (error) => {
        if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') throw error;
        folder = await nearestFolder(dirname(folder));
        await access(folder, constants.W_OK);
      });
    } catch (error) {
      throw writeProblem(error, folder);
    }
    try {
      const { bavail, bsize } = await statfs(folder);
      return bavail * bsize;
    } catch {
      return undefined;
    }
  }
}

/** The folder, or the nearest parent that exists. */
async function nearestFolder(folder: string): Promise<string> {
  const existing = await stat(folder).catch(() => undefined);
  const parent = dirname(folder);
  return existing || parent === folder ? folder : nearestFolder(parent);
}

/** What a run knows a file by. */
export function fileStat(stats: BigIntStats): FileStat {
  return { isFolder: stats.isDirectory(), size: Number(stats.size), modified: Number(stats.mtimeMs) };
}

/** The identity of a file: another file under the same name, or the same one after a change, has another. */
export function diskFile(path: string, { dev, ino, size, mtimeNs }: BigIntStats): DiskFile {
  return { path, device: dev, inode: ino, size, modified: mtimeNs };
}
