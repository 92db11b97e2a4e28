import type { OpenFile } from './files';

/** Bytes that can be read from any position: of a file, or of a part of it in memory. */
export type Bytes = Pick<OpenFile, 'read'>;

/** Bytes of known size. */
export interface Content extends Bytes {
  readonly size: number;
}

/** The whole content of a file, as it was when it was opened. */
export function wholeOf(file: OpenFile): Content {
  return { size: file.opened.size, read: (position, length, into) => file.read(position, length, into) };
}
