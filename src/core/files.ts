/**
 * The files a run reads and writes, wherever they are: local disks (`disk.ts`) or a virtual workspace
 * (`vscode/workspaceFiles.ts`). A file is named by its URI as a string (`file:///home/me/clip.mp4`).
 */
export interface Files {
  /** Undefined when there is nothing of that name. Follows links. */
  stat(uri: string): Promise<FileStat | undefined>;
  /** Opens a file once for all reads of one upload, so that a file replaced meanwhile is noticed, not mixed. */
  open(uri: string): Promise<OpenFile>;
  /** Starts or resumes writing `uri` under a temporary name in the same folder. */
  part(uri: string): Promise<PartFile>;
  /** Bytes free where `uri` is, or undefined where that cannot be known. */
  freeBytes(uri: string): Promise<number | undefined>;
}

export interface FileStat {
  readonly isFolder: boolean;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
}

export interface OpenFile {
  /** At most `length` bytes from `position`; fewer only at the end of the file. */
  read(position: number, length: number): Promise<Uint8Array>;
  /** Of the open file and, where the two differ, of what has the name now. */
  stat(): Promise<FileStat>;
  close(): Promise<void>;
}

/** A file being written that does not have its final name yet. */
export interface PartFile {
  /** Bytes an earlier attempt left, all of them written in order: 0 for a fresh file. */
  readonly resumeAt: number;
  write(position: number, data: Uint8Array): Promise<void>;
  read(position: number, length: number): Promise<Uint8Array>;
  /** Gives it its final name; without `overwrite` an existing file is left whole and `outputExists` is thrown. */
  commit(options: { overwrite: boolean }): Promise<void>;
  /** Keeps what was written for the next attempt. */
  close(): Promise<void>;
  discard(): Promise<void>;
}
