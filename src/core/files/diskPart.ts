import { constants } from 'node:fs';
import { access, type FileHandle, link, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorCode, UserError } from '../errors';
import { pause } from '../wait';
import { readFully, readProblem, writeFully, writeProblem } from './diskAccess';
import { type PartFile, partName } from './files';
import { bytesBeforeGap } from './gaps';

const anyoneMayWrite = 0o222;

/** Bytes between two flushes of a file that is being written. */
const flushBytes = 32 * 1024 * 1024;

/** Paths of the part files that this process has open. */
const openParts = new Set<string>();

/**
 * Starts to write a file under a temporary name beside it, or continues a part file of the same version. `bytes` is the size
 * that the file will have, if it is known.
 */
export async function diskPart(path: string, version: string, bytes: number | undefined): Promise<PartFile> {
  const folder = dirname(path);
  const { partPath, isFirst } = takePartPath(path, version);
  const { handle, resumeAt } = await openPart(partPath, bytes).catch((error) => {
    openParts.delete(partPath);
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
  const end = async ({ keep }: { keep: boolean }) => {
    await flush.idle();
    await handle.close().catch(() => undefined);
    if (!keep) await removeQuietly(partPath);
    openParts.delete(partPath);
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
    async read(position, length, into) {
      try {
        return await readFully(handle, position, length, into);
      } catch (error) {
        throw readProblem(error, partPath);
      }
    },
    async commit({ overwrite }) {
      try {
        // The content is flushed before the rename, so that a power failure leaves no empty file of that name.
        await flush.end();
        await handle.close();
        if (overwrite) await replace(partPath, path);
        else await giveFreeName(partPath, path);
        openParts.delete(partPath);
      } catch (error) {
        throw writeProblem(error, folder);
      }
    },
    // Another download finds the first part file only.
    close: () => end({ keep: isFirst }),
    discard: () => end({ keep: false }),
  };
}

/** Removes the part file of this version, if it exists. */
export async function dropDiskPart(path: string, version: string): Promise<void> {
  await rm(partPathOf(path, version), { force: true });
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

/**
 * Renames a file to a name that must be free, with its content in place. Throws `outputExists`. A link fails if the name is
 * taken, where a rename would overwrite the file.
 */
export async function giveFreeName(partPath: string, path: string): Promise<void> {
  try {
    await link(partPath, path);
  } catch (error) {
    const code = errorCode(error) ?? '';
    if (code === 'EEXIST') throw exists(path);
    if (['ENOENT', 'ENOSPC', 'EDQUOT', 'EROFS'].includes(code)) throw error;
    return giveNameWithoutLinks(partPath, path);
  }
  // The output is complete under its name.
  await removeQuietly(partPath);
}

/** Removes a file that nobody needs any more. One that a virus scanner holds stays. */
async function removeQuietly(path: string): Promise<void> {
  await rm(path, { force: true, maxRetries: 3, retryDelay: 50 }).catch(() => undefined);
}

/**
 * For file systems without links (FAT, exFAT, some network shares): an empty file reserves the name until the rename. Systems
 * report a missing link in many ways; Windows as EISDIR (https://github.com/nodejs/node/issues/65817).
 */
async function giveNameWithoutLinks(partPath: string, path: string): Promise<void> {
  const claim = await open(path, 'wx').catch((error) => {
    throw errorCode(error) === 'EEXIST' ? exists(path) : error;
  });
  await claim.close();
  try {
    await rename(partPath, path);
  } catch (error) {
    const reserved = await stat(path).catch(() => undefined);
    // Another program can have written there since.
    if (reserved?.size === 0) await removeQuietly(path);
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

/**
 * The path of a part file that this process has not opened: two downloads of one version to one name must not write into one
 * file.
 */
function takePartPath(path: string, version: string): { partPath: string; isFirst: boolean } {
  for (let copy = 1; ; copy++) {
    const partPath = partPathOf(path, copy === 1 ? version : `${version}-${copy}`);
    if (openParts.has(partPath)) continue;
    openParts.add(partPath);
    return { partPath, isFirst: copy === 1 };
  }
}

function partPathOf(path: string, version: string): string {
  return join(dirname(path), partName(basename(path), version));
}

/**
 * For how many milliseconds a rename of a folder is tried again. Windows refuses it while a program, such as a virus scanner
 * or an indexer, has any file of the folder open.
 */
const renameWaitMs = process.platform === 'win32' ? 30_000 : 400;
const minRenamePauseMs = 100;
const maxRenamePauseMs = 2000;

/**
 * Gives a folder another name, which must be free. Returns false if it is taken by anything but an empty folder. Rejects
 * with the signal's reason if the signal aborts while the folder is busy.
 */
export async function renameDiskFolder(from: string, to: string, signal: AbortSignal): Promise<boolean> {
  let waitedMs = 0;
  for (let pauseMs = minRenamePauseMs; ; pauseMs = Math.min(pauseMs * 2, maxRenamePauseMs)) {
    try {
      await rename(from, to);
      return true;
    } catch (error) {
      // Systems report a taken name in many ways.
      if (await stat(to).catch(() => undefined)) return false;
      const isBusy = ['EPERM', 'EACCES', 'EBUSY'].includes(errorCode(error) ?? '');
      if (!isBusy || waitedMs >= renameWaitMs) throw writeProblem(error, dirname(to));
    }
    await pause(pauseMs, signal);
    waitedMs += pauseMs;
  }
}
