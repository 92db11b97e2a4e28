import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { DiskFile, FileStat } from '../../files/files';
import { diskFile, fileStat } from '../../files/localFiles';

/**
 * A file of a disk, read by the parser process itself: bytes that the extension host reads and sends in messages cost both
 * processes several times as much.
 */
export class SourceFile {
  private constructor(
    private readonly fd: number,
    /** The file as it was when it was opened. */
    readonly opened: FileStat,
  ) {}

  /** Undefined if the file can't be opened here, or is another one than the extension host has opened. */
  static open(wanted: DiskFile): SourceFile | undefined {
    return openIf(wanted.path, (stats) => isSame(diskFile(wanted.path, stats), wanted));
  }

  /** Opens whatever file has this path now. Undefined if it can't be opened, or isn't a regular file. */
  static openPath(path: string): SourceFile | undefined {
    return openIf(path, (stats) => stats.isFile());
  }

  /** Takes ownership of an open file. */
  static of(fd: number, stats: BigIntStats): SourceFile {
    return new SourceFile(fd, fileStat(stats));
  }

  /** Reads at most `length` bytes from `position`, fewer only at the end of the file. Throws if the disk fails. */
  read(position: number, length: number): Uint8Array {
    const wanted = Math.max(0, Math.min(length, this.opened.size - position));
    const buffer = Buffer.allocUnsafe(wanted);
    let filled = 0;
    while (filled < wanted) {
      const bytes = readSync(this.fd, buffer, filled, wanted - filled, position + filled);
      if (bytes === 0) break;
      filled += bytes;
    }
    return buffer.subarray(0, filled);
  }

  close(): void {
    closeSync(this.fd);
  }
}

function openIf(path: string, isWanted: (stats: BigIntStats) => boolean): SourceFile | undefined {
  let fd: number | undefined;
  try {
    // Without O_NONBLOCK, opening a pipe waits for a writer.
    fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const stats = fstatSync(fd, { bigint: true });
    if (isWanted(stats)) return SourceFile.of(fd, stats);
  } catch {
    // The extension host opens it as well, and reports the reason.
  }
  if (fd !== undefined) closeSync(fd);
  return undefined;
}

function isSame(found: DiskFile, { device, inode, size, modified }: DiskFile): boolean {
  return (
    found.device === device && found.inode === inode && found.size === size && found.modified === modified
  );
}
