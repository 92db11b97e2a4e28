import type { FileHandle } from 'node:fs/promises';
import { errorCode, UserError } from '../errors';
import { writeBytes } from './writeBytes';

/** Reads at most so many bytes, fewer only at the end of the file. */
export async function readFully(
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
export async function writeFully(handle: FileHandle, position: number, data: Uint8Array): Promise<void> {
  let done = 0;
  while (done < data.length) {
    const length = Math.min(writeBytes, data.length - done);
    done += (await handle.write(data, done, length, position + done)).bytesWritten;
  }
}

/** What kept a file from being read, or the error itself if no system call failed. */
export function readProblem(error: unknown, file: string): unknown {
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

/** What kept a file of this folder from being written, or the error itself if no system call failed. */
export function writeProblem(error: unknown, folder: string): unknown {
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
