import { type BigIntStats, constants } from 'node:fs';
import {
  access,
  type FileHandle,
  link,
  mkdir,
  open,
  rename,
  rm,
  stat,
  statfs,
  unlink,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorCode, UserError } from '../errors';
import { type FileStat, type Files, type OpenFile, type PartFile, partName } from './files';

const anyoneMayWrite = 0o222;

/**
 * Written at once. The kernel takes one long write into as long pages of its cache, for which it first has to find memory:
 * many times slower than these on a virtual machine that lends its free memory out (docs/performance.md).
 */
const writeBytes = 256 * 1024;

/** Written between two flushes of a file that grows. */
const flushBytes = 32 * 1024 * 1024;

/** Files on this machine's disks, by their `file:` URIs. */
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
    // Opening a pipe would wait for somebody to write to it.
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
    await rm(partPathOf(fileURLToPath(uri), version), { force: true });
  }

  async part(uri: string, version: string): Promise<PartFile> {
    const path = fileURLToPath(uri);
    const folder = dirname(path);
    const partPath = partPathOf(path, version);
    const handle = await openPart(partPath).catch((error) => {
      throw writeProblem(error, folder);
    });
    const { size } = await handle.stat();
    const flush = new RollingFlush(handle);
    return {
      resumeAt: size,
      async write(position, data) {
        try {
          await writeFully(handle, position, data);
          flush.wrote(data.length);
        } catch (error) {
          throw writeProblem(error, folder);
        }
      },
      read: (position, length, into) => readFully(handle, position, length, into),
      async commit({ overwrite }) {
        try {
          // Before the name, the content: after a power cut there is no empty file of that name.
          await flush.end();
          await handle.close();
          if (overwrite) await replace(partPath, path);
          else await giveFreeName(partPath, path);
        } catch (error) {
          throw writeProblem(error, folder);
        }
      },
      async close() {
        await flush.idle();
        await handle.close();
      },
      async discard() {
        await flush.idle();
        await handle.close();
        await rm(partPath, { force: true });
      },
    };
  }

  async freeBytes(uri: string): Promise<number | undefined> {
    const folder = await nearestFolder(dirname(fileURLToPath(uri)));
    try {
      await access(folder, constants.W_OK);
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

/** Brings what is written to the disk while more is fetched, so that the end has little to wait for. */
class RollingFlush {
  #written = 0;
  #flushing: Promise<void> | undefined;
  #failure: { error: unknown } | undefined;

  constructor(private readonly handle: FileHandle) {}

  wrote(bytes: number): void {
    this.#written += bytes;
    if (this.#written < flushBytes || this.#flushing) return;
    this.#written = 0;
    this.#flushing = this.handle
      .datasync()
      .catch((error) => {
        // A disk says only once that it could not keep what it was given.
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#flushing = undefined;
      });
  }

  /** Resolves when the handle may be closed. */
  async idle(): Promise<void> {
    await this.#flushing;
  }

  /** Resolves when all is on the disk. */
  async end(): Promise<void> {
    await this.#flushing;
    if (this.#failure) throw this.#failure.error;
    await this.handle.sync();
  }
}

/** With the folders it is to be in: an output of many files has its own. */
async function openPart(path: string): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_CREAT;
  try {
    return await open(path, flags, 0o666);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    await mkdir(dirname(path), { recursive: true });
    return open(path, flags, 0o666);
  }
}

/** The folder itself, or the one that it will be made in. */
async function nearestFolder(folder: string): Promise<string> {
  const there = await stat(folder).catch(() => undefined);
  const parent = dirname(folder);
  return there || parent === folder ? folder : nearestFolder(parent);
}

async function readFully(
  handle: FileHandle,
  position: number,
  length: number,
  into: Uint8Array = Buffer.allocUnsafe(length),
): Promise<Uint8Array> {
  const buffer = into.subarray(0, length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

/** A disk that is nearly full takes a part of what it is given, without an error. */
async function writeFully(handle: FileHandle, position: number, data: Uint8Array): Promise<void> {
  let done = 0;
  while (done < data.length) {
    const length = Math.min(writeBytes, data.length - done);
    done += (await handle.write(data, done, length, position + done)).bytesWritten;
  }
}

async function replace(partPath: string, path: string): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  // A rename asks the folder alone; a read-only file of that name is somebody's wish.
  if (there && ((there.mode & anyoneMayWrite) === 0 || !(await isWritable(path)))) throw denied(path);
  try {
    await rename(partPath, path);
  } catch (error) {
    // Windows refuses for a file that somebody has open.
    throw there ? denied(path) : error;
  }
}

function denied(file: string): UserError {
  return new UserError({ kind: 'fileDenied', file });
}

/** A link fails where the name is taken, which a rename would overwrite: no moment in which another's file is lost. */
async function giveFreeName(partPath: string, path: string): Promise<void> {
  try {
    await link(partPath, path);
  } catch (error) {
    const code = errorCode(error) ?? '';
    if (code === 'EEXIST') throw exists(path);
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(code)) throw error;
    return giveNameWithoutLinks(partPath, path);
  }
  await unlink(partPath);
}

/** On file systems without links (FAT, some network shares) an empty file holds the name until the rename. */
async function giveNameWithoutLinks(partPath: string, path: string): Promise<void> {
  const claim = await open(path, 'wx').catch((error) => {
    throw errorCode(error) === 'EEXIST' ? exists(path) : error;
  });
  await claim.close();
  try {
    await rename(partPath, path);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

function exists(file: string): UserError {
  return new UserError({ kind: 'outputExists', file });
}

async function isWritable(path: string): Promise<boolean> {
  return access(path, constants.W_OK).then(
    () => true,
    () => false,
  );
}

function partPathOf(path: string, version: string): string {
  return join(dirname(path), partName(basename(path), version));
}

function fileStat(stats: BigIntStats): FileStat {
  return { isFolder: stats.isDirectory(), size: Number(stats.size), modified: Number(stats.mtimeMs) };
}

function readProblem(error: unknown, file: string): unknown {
  switch (errorCode(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
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
    case 'ENOENT':
    case 'ENOTDIR':
      return new UserError({ kind: 'fileMissing', file: folder });
    case undefined:
      return error;
    default:
      return new UserError({ kind: 'fileFailed', file: folder, detail: errorCode(error) ?? '' });
  }
}
