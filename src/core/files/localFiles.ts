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
import { type DiskFile, type FileStat, type Files, type OpenFile, type PartFile, partName } from './files';
import { bytesBeforeGap } from './gaps';
import { writeBytes } from './writeBytes';

const anyoneMayWrite = 0o222;

/** Bytes between two flushes of a file that is being written. */
const flushBytes = 32 * 1024 * 1024;

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
    await rm(partPathOf(fileURLToPath(uri), version), { force: true });
  }

  async part(uri: string, version: string, bytes?: number): Promise<PartFile> {
    const path = fileURLToPath(uri);
    const folder = dirname(path);
    const partPath = partPathOf(path, version);
    const { handle, resumeAt } = await openPart(partPath, bytes).catch((error) => {
      throw writeProblem(error, folder);
    });
    const flush = new RollingFlush(handle);
    const written = async (writing: Promise<unknown>, bytes: number) => {
      try {
        await writing;
        flush.wrote(bytes);
      } catch (error) {
        throw writeProblem(error, folder);
      }
    };
    return {
      resumeAt,
      write: (position, data) => written(writeFully(handle, position, data), data.length),
      writeAndHash(position, data, hash) {
        const both = hash.updateAndWrite
          ? hash.updateAndWrite(data, { fd: handle.fd, position })
          : Promise.all([writeFully(handle, position, data), hash.update(data)]);
        return written(both, data.length);
      },
      read: (position, length, into) => readFully(handle, position, length, into),
      async commit({ overwrite }) {
        try {
          // The content is flushed before the rename, so that a power failure leaves no empty file of that name.
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

/** Flushes a file to the disk while it is being written, so that the last flush is short. */
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
        // The system reports a failed flush only once.
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#flushing = undefined;
      });
  }

  /** Resolves when the handle can be closed. */
  async idle(): Promise<void> {
    await this.#flushing;
  }

  /** Resolves when everything is on the disk. Throws the error of an earlier flush. */
  async end(): Promise<void> {
    await this.#flushing;
    if (this.#failure) throw this.#failure.error;
    await this.handle.sync();
  }
}

/** Opens a part file up to its first gap, and creates its folders: an output of several files has a folder of its own. */
async function openPart(
  path: string,
  wholeBytes: number | undefined,
): Promise<{ handle: FileHandle; resumeAt: number }> {
  const flags = constants.O_RDWR | constants.O_CREAT;
  try {
    // Most part files are new: then nothing has to be asked about them.
    return { handle: await open(path, flags | constants.O_EXCL, 0o666), resumeAt: 0 };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') await mkdir(dirname(path), { recursive: true });
    else if (errorCode(error) !== 'EEXIST') throw error;
  }
  const handle = await open(path, flags, 0o666);
  try {
    const { size } = await handle.stat();
    const resumeAt = await bytesBeforeGap(handle, { size, wholeBytes });
    if (resumeAt < size) await handle.truncate(resumeAt);
    return { handle, resumeAt };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The folder, or the nearest parent that exists. */
async function nearestFolder(folder: string): Promise<string> {
  const existing = await stat(folder).catch(() => undefined);
  const parent = dirname(folder);
  return existing || parent === folder ? folder : nearestFolder(parent);
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

/** Writes all data: on a disk that is nearly full one write can be short without an error. */
async function writeFully(handle: FileHandle, position: number, data: Uint8Array): Promise<void> {
  let done = 0;
  while (done < data.length) {
    const length = Math.min(writeBytes, data.length - done);
    done += (await handle.write(data, done, length, position + done)).bytesWritten;
  }
}

async function replace(partPath: string, path: string): Promise<void> {
  const existing = await stat(path).catch(() => undefined);
  // A rename needs permission for the folder only, but a user who made the file read-only wants to keep it.
  if (existing && ((existing.mode & anyoneMayWrite) === 0 || !(await isWritable(path)))) throw denied(path);
  try {
    await rename(partPath, path);
  } catch (error) {
    // Windows refuses to replace a file that is open.
    throw existing ? denied(path) : error;
  }
}

function denied(file: string): UserError {
  return new UserError({ kind: 'fileDenied', file });
}

/** Gives a name that must be free. A link fails if the name is taken, where a rename would overwrite the file. */
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

/** For file systems without links (FAT, some network shares): an empty file reserves the name until the rename. */
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

/** The identity of a file: another file under the same name, or the same one after a change, has another. */
export function diskFile(path: string, { dev, ino, size, mtimeNs }: BigIntStats): DiskFile {
  return { path, device: dev, inode: ino, size, modified: mtimeNs };
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
      return new UserError({ kind: 'folderMissing', folder });
    case undefined:
      return error;
    default:
      return new UserError({ kind: 'fileFailed', file: folder, detail: errorCode(error) ?? '' });
  }
}
