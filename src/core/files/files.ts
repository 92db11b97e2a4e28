import { fileURLToPath } from 'node:url';
import type { RunningHash } from './runningHash';

/**
 * The files that a run reads and writes, on local disks (`DiskFiles`) or in a virtual workspace (`WorkspaceFiles`). A file
 * is named by its URI as a string (`file:///home/me/clip.mp4`).
 */
export interface Files {
  /** Undefined if the file does not exist. Follows links. */
  stat(uri: string): Promise<FileStat | undefined>;
  /** Opens a file for all reads of one upload, so that a file that is replaced meanwhile is noticed and not mixed. */
  open(uri: string): Promise<OpenFile>;
  /**
   * Starts to write `uri` under a temporary name in the same folder, or continues a part file of the same `version`.
   * `bytes` is the size that the file will have, if it is known. The signal ends a wait for memory.
   */
  part(uri: string, version: string, options?: { bytes?: number; signal?: AbortSignal }): Promise<PartFile>;
  /** Whether `part` waits for the memory of a whole file. A caller that holds memory must not wait for more. */
  isInMemory(uri: string): boolean;
  /** Removes the part file of this `version`, if it exists. */
  dropPart(uri: string, version: string): Promise<void>;
  /**
   * Gives a folder a name in the same folder. Returns false if that name is taken by anything but an empty folder. The
   * signal ends the wait for programs that have files of the folder open.
   */
  renameFolder(from: string, to: string, signal: AbortSignal): Promise<boolean>;
  /** Removes a folder that has a temporary name (`partName`), and all in it. Never rejects: one that cannot be removed stays. */
  dropPartFolder(uri: string): Promise<void>;
  /** Free bytes where `uri` will be written, or undefined if unknown. Throws if the folder cannot be written to. */
  freeBytes(uri: string): Promise<number | undefined>;
}

export interface FileStat {
  readonly isFolder: boolean;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
}

/** An open file of a disk of this machine, by which another process can open the same file, or see that it is another one. */
export interface DiskFile {
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
  readonly size: bigint;
  /** Nanoseconds since 1970. */
  readonly modified: bigint;
}

export interface OpenFile {
  /** The file as it was when it was opened. */
  readonly opened: FileStat;
  /** Where it is, if it is on a disk of this machine. */
  readonly onDisk?: DiskFile;
  /** Reads at most `length` bytes from `position`, fewer only at the end of the file. Uses the memory of `into` if it can. */
  read(position: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  /** The open file as it is now; or, if another file has its name now, that one. */
  stat(): Promise<FileStat>;
  close(): Promise<void>;
}

/**
 * How far beyond its first gap a part file may be written, in bytes: only so much at the end of the file can have gaps that
 * a killed process has left.
 */
export const maxAheadBytes = 128 * 1024 * 1024;

/** Gaps of a part file begin at multiples of this, in bytes. */
export const pageBytes = 4096;

/** A file being written that does not have its final name yet. */
export interface PartFile {
  /** Bytes from the beginning that an earlier attempt wrote, without a gap; 0 for a new file. */
  readonly resumeAt: number;
  /** Writes data, at most `maxAheadBytes` beyond the first gap. After a gap, positions are multiples of `pageBytes`. */
  write(position: number, data: Uint8Array): Promise<void>;
  /**
   * Writes data like `write`, and hashes it when everything before it has been hashed. Undefined where reading the file
   * once more is as fast.
   */
  readonly writeAndHash?: (position: number, data: Uint8Array, hash: RunningHash) => Promise<void>;
  read(position: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  /**
   * Gives the file its final name. Without `overwrite` an existing file stays and `outputExists` is thrown; a read-only
   * file always stays.
   */
  commit(options: { overwrite: boolean }): Promise<void>;
  /** Closes the file and keeps it for the next attempt. Never rejects: it ends work that may have failed. */
  close(): Promise<void>;
  /** Removes the file, also after a commit that failed. Never rejects: a file that cannot be removed stays. */
  discard(): Promise<void>;
}

const partSuffix = '.transcode-part';

/** Limit of common file systems, in bytes. */
const maxNameBytes = 255;

/**
 * The temporary name of a file while it is written: hidden, in the same folder so that renaming never crosses file
 * systems, and never longer than file systems allow.
 */
export function partName(name: string, version: string): string {
  const suffix = `.${version}${partSuffix}`;
  let kept = Array.from(name);
  while (Buffer.byteLength(`.${kept.join('')}${suffix}`) > maxNameBytes) kept = kept.slice(0, -1);
  return `.${kept.join('')}${suffix}`;
}

/** Whether a file or folder has a temporary name, which `partName` makes. */
export function isPartName(name: string): boolean {
  return name.startsWith('.') && name.endsWith(partSuffix);
}

/**
 * Whether a relative path with slashes stays below its folder on this system. Names of blobs come from nodes: a segment can
 * be `..`, and Windows reads a backslash as a slash. Elsewhere a backslash is a character like any other.
 */
export function staysBelow(path: string, isWindows = process.platform === 'win32'): boolean {
  const names = path.split(isWindows ? /[\\/]/ : '/');
  return names.every((name) => !['', '.', '..'].includes(name) && !name.includes('\0'));
}

/** The last segment of a URI, decoded. */
export function nameOf(uri: string): string {
  return decodeURIComponent(uri.slice(uri.lastIndexOf('/') + 1));
}

/** The folder of a URI, as users read it: a path if it is on a disk. */
export function folderOf(uri: string): string {
  const folder = uri.slice(0, uri.lastIndexOf('/') + 1);
  return folder.startsWith('file:') ? fileURLToPath(folder) : decodeURIComponent(folder);
}

/** The name of a copy: `clip.mp3`, `clip (2).mp3`, … */
export function numbered(name: string, copy: number): string {
  if (copy === 1) return name;
  const dot = name.lastIndexOf('.');
  return dot > 0 ? `${name.slice(0, dot)} (${copy})${name.slice(dot)}` : `${name} (${copy})`;
}
