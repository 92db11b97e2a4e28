import type { DiskFile, OpenFile } from './files';

/** Bytes that can be read from any position: of a file, or of a part of it in memory. */
export type Bytes = Pick<OpenFile, 'read'>;

/** Bytes of known size. */
export interface Content extends Bytes {
  readonly size: number;
  /** The file that it is the whole content of, if that is on a disk of this machine. */
  readonly onDisk?: DiskFile;
}

/** The whole content of a file, as it was when it was opened. */
export function wholeOf(file: OpenFile): Content {
  const { opened, onDisk } = file;
  return { size: opened.size, onDisk, read: (position, length, into) => file.read(position, length, into) };
}
