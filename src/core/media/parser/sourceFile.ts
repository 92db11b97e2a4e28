import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { DiskFile } from '../../files/files';

/**
 * A file of a disk, read by the parser process itself: bytes that the extension host reads and sends in messages cost both
 * processes several times as much.
 */
export class SourceFile {
  private constructor(
    private readonly fd: number,
    private readonly size: number,
  ) {}

  /** Undefined if the file can't be opened here, or is another one than the extension host has opened. */
  static open(wanted: DiskFile): SourceFile | undefined {
    let fd: number;
    try {
      // Without O_NONBLOCK, opening a pipe waits for a writer.
      fd = openSync(wanted.path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    } catch {
      return undefined;
    }
    if (isSame(fd, wanted)) return new SourceFile(fd, Number(wanted.size));
    closeSync(fd);
    return undefined;
  }

  /** Reads at most `length` bytes from `position`, fewer only at the end of the file. Throws if the disk fails. */
  read(position: number, length: number): Uint8Array {
    const wanted = Math.max(0, Math.min(length, this.size - position));
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

function isSame(fd: number, { device, inode, size, modified }: DiskFile): boolean {
  try {
    const found = fstatSync(fd, { bigint: true });
    return found.dev === device && found.ino === inode && found.size === size && found.mtimeNs === modified;
  } catch {
    return false;
  }
}
