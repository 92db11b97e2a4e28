import { fileURLToPath } from 'node:url';

/**
 * The files a run reads and writes, wherever they are: local disks (`disk.ts`) or a virtual workspace
 * (`vscode/workspaceFiles.ts`). A file is named by its URI as a string (`file:///home/me/clip.mp4`).
 */
export interface Files {
  /** Undefined when there is nothing of that name. Follows links. */
  stat(uri: string): Promise<FileStat | undefined>;
  /** Opens a file once for all reads of one upload, so that a file replaced meanwhile is noticed, not mixed. */
  open(uri: string): Promise<OpenFile>;
  /**
   * Starts writing `uri` under a temporary name in the same folder, or goes on with what was written of the same
   * `version`.
   */
  part(uri: string, version: string): Promise<PartFile>;
  /** Removes what was written of this `version` under its temporary name, if anything was. */
  dropPart(uri: string, version: string): Promise<void>;
  /** Bytes free where `uri` is to be, or undefined where that cannot be known. Throws where nothing can be written. */
  freeBytes(uri: string): Promise<number | undefined>;
}

export interface FileStat {
  readonly isFolder: boolean;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
}

export interface OpenFile {
  /** What it was when it was opened. */
  readonly opened: FileStat;
  /** At most `length` bytes from `position`, fewer only at the end of the file; in the memory of `into` where that serves. */
  read(position: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  /** Of the open file and, where the two differ, of what has the name now. */
  stat(): Promise<FileStat>;
  close(): Promise<void>;
}

/** A file being written that does not have its final name yet. */
export interface PartFile {
  /** Bytes an earlier attempt left, all of them written in order: 0 for a fresh file. */
  readonly resumeAt: number;
  write(position: number, data: Uint8Array): Promise<void>;
  read(position: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  /**
   * Gives it its final name. Without `overwrite` an existing file is left whole and `outputExists` is thrown; a
   * read-only one is left whole in any case.
   */
  commit(options: { overwrite: boolean }): Promise<void>;
  /** Keeps what was written for the next attempt. */
  close(): Promise<void>;
  /** Removes what was written, also after a commit that failed. */
  discard(): Promise<void>;
}

/** Longest name that common file systems take, in bytes. */
const longestName = 255;

/**
 * The temporary name of a file while it is written. Hidden, beside the file, so that renaming never crosses file systems;
 * never longer than a name may be.
 */
export function partName(name: string, version: string): string {
  const suffix = `.${version}.transcode-part`;
  let kept = Array.from(name);
  while (Buffer.byteLength(`.${kept.join('')}${suffix}`) > longestName) kept = kept.slice(0, -1);
  return `.${kept.join('')}${suffix}`;
}

/** The last part of a URI, as a person reads it. */
export function nameOf(uri: string): string {
  return decodeURIComponent(uri.slice(uri.lastIndexOf('/') + 1));
}

/** The folder of a URI as a person reads it: a path where it is on a disk. */
export function folderOf(uri: string): string {
  const folder = uri.slice(0, uri.lastIndexOf('/') + 1);
  return folder.startsWith('file:') ? fileURLToPath(folder) : decodeURIComponent(folder);
}
