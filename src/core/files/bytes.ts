import type { OpenFile } from './files';

/** Bytes that can be read from anywhere: a file's, or a part of it in memory. */
export type Bytes = Pick<OpenFile, 'read'>;

/** Such bytes, and how many there are. */
export interface Content extends Bytes {
  readonly size: number;
}

/** All of a file, as it was when it was opened. */
export function wholeOf(file: OpenFile): Content {
  return { size: file.opened.size, read: (position, length, into) => file.read(position, length, into) };
}
