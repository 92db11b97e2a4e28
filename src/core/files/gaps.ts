import type { FileHandle } from 'node:fs/promises';
import { maxAheadBytes, pageBytes } from './files';

/** Bytes that are read at a time. */
const readBytes = 1024 * 1024;

const zeros = Buffer.alloc(pageBytes);

/**
 * Returns how many bytes from its beginning a part file has without a gap: whole pages, or all `wholeBytes` of the file. A
 * gap reads as zeros on every file system, and a process that is killed during a write leaves whole pages of it. So the
 * first page of zeros may be a gap. A page of zeros in the content looks the same, and costs no more than downloading what
 * follows it again.
 */
export async function bytesBeforeGap(
  handle: FileHandle,
  { size, wholeBytes }: { size: number; wholeBytes?: number },
): Promise<number> {
  const buffer = Buffer.allocUnsafe(readBytes);
  const from = Math.max(0, Math.floor((size - maxAheadBytes) / pageBytes) * pageBytes);
  for (let position = from; position < size; ) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(readBytes, size - position), position);
    if (bytesRead === 0) return position;
    for (let page = 0; page < bytesRead; page += pageBytes) {
      const end = Math.min(page + pageBytes, bytesRead);
      if (buffer.subarray(page, end).equals(zeros.subarray(0, end - page))) return position + page;
    }
    position += bytesRead;
  }
  return size === wholeBytes ? size : size - (size % pageBytes);
}
