import type { Bytes } from '../../files/bytes';
import { ByteView } from './byteView';

/**
 * The first `length` bytes of a file that begins with one of these marks (Latin-1). Undefined for any other file, of which
 * only these few bytes are read: each format asks every file.
 */
export async function headAfterMark(
  file: Bytes,
  marks: readonly string[],
  length: number,
): Promise<ByteView | undefined> {
  const longest = Math.max(...marks.map((mark) => mark.length));
  const start = new ByteView(await file.read(0, longest));
  if (!marks.some((mark) => start.text(0, mark.length) === mark)) return undefined;
  return new ByteView(await file.read(0, length));
}
