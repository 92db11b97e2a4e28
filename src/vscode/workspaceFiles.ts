import { realpath } from 'node:fs/promises';
import { posix } from 'node:path';
import { FileSystemError, FileType, Uri, workspace } from 'vscode';
import { UserError } from '../core/errors';
import { FileMemory } from '../core/files/fileMemory';
import {
  type FileStat,
  type Files,
  isPartName,
  type OpenFile,
  type PartFile,
  partName,
} from '../core/files/files';
import type { FileResult, ManifestFile } from '../core/plan/manifest';
import { savedName } from '../core/plan/outputNames';

/** All runs of this window share it. One file can be larger; then it is alone in memory. */
const memory = new FileMemory(256 * 1024 * 1024);

/** URIs of part files, whose memory others can wait for. */
const writing = new Set<string>();

/**
 * Files of virtual workspaces, through `workspace.fs`, which reads and writes whole files only. They are held in memory
 * during a transfer, within the limit of `memory`.
 */
export class WorkspaceFiles implements Files {
  /** `disk` reads and writes the files of disks, which need no memory. */
  constructor(private readonly disk: Files) {}

  async stat(uri: string): Promise<FileStat | undefined> {
    if (isOnDisk(uri)) return this.disk.stat(uri);
    return statOf(uri).catch((problem: UserError) => {
      if (problem.problem.kind === 'fileMissing') return undefined;
      throw problem;
    });
  }

  async open(uri: string): Promise<OpenFile> {
    if (isOnDisk(uri)) return this.disk.open(uri);
    const opened = await statOf(uri);
    const { size, modified } = opened;
    // Some file systems know no time of change; then a file of the same size can have changed.
    const version = modified > 0 ? `${uri} ${size} ${modified}` : undefined;
    const { data, release } = await memory.open(
      version,
      size,
      () => orProblem(uri, workspace.fs.readFile(Uri.parse(uri))),
      { mustNotWait: writing.has(uri) },
    );
    return {
      opened,
      read: async (position, length) => data.subarray(position, position + length),
      stat: async () => (await this.stat(uri)) ?? { ...opened, size: -1 },
      close: async () => release(),
    };
  }

  isInMemory(uri: string): boolean {
    return !isOnDisk(uri);
  }

  async part(
    uri: string,
    version: string,
    { bytes = 0, signal }: { bytes?: number; signal?: AbortSignal } = {},
  ): Promise<PartFile> {
    if (isOnDisk(uri)) return this.disk.part(uri, version, { bytes });
    const reservation = await memory.reserve(bytes, signal);
    const written = new Growing(bytes);
    writing.add(uri);
    const end = async () => {
      writing.delete(uri);
      written.free();
      reservation.release();
    };
    return {
      resumeAt: 0,
      read: async (position, length) => written.data.subarray(position, position + length),
      write: async (position, chunk) => written.set(position, chunk),
      async commit({ overwrite }) {
        const target = Uri.parse(uri);
        const part = Uri.joinPath(target, '..', partName(posix.basename(target.path), version));
        try {
          await workspace.fs.writeFile(part, written.data);
          await workspace.fs.rename(part, target, { overwrite });
          await end();
        } catch (error) {
          await Promise.resolve(workspace.fs.delete(part)).catch(() => undefined);
          if (error instanceof FileSystemError && error.code === 'NoPermissions') {
            const folder = workspace.asRelativePath(Uri.joinPath(target, '..'));
            throw new UserError({ kind: 'folderReadOnly', folder }, { cause: error });
          }
          throw problemOf(error, uri);
        }
      },
      close: end,
      discard: end,
    };
  }

  async dropPart(uri: string, version: string): Promise<void> {
    if (isOnDisk(uri)) await this.disk.dropPart(uri, version);
  }

  async renameFolder(from: string, to: string, signal: AbortSignal): Promise<boolean> {
    if (isOnDisk(to)) return this.disk.renameFolder(from, to, signal);
    try {
      await workspace.fs.rename(Uri.parse(from), Uri.parse(to), { overwrite: false });
      return true;
    } catch (error) {
      if (await this.stat(to)) return false;
      throw writeProblemOf(error, to);
    }
  }

  async dropPartFolder(uri: string): Promise<void> {
    if (isOnDisk(uri)) return this.disk.dropPartFolder(uri);
    if (!isPartName(posix.basename(Uri.parse(uri).path))) return;
    try {
      await workspace.fs.delete(Uri.parse(uri), { recursive: true });
    } catch {
      // It stays, under its temporary name.
    }
  }

  async freeBytes(uri: string): Promise<number | undefined> {
    return isOnDisk(uri) ? this.disk.freeBytes(uri) : undefined;
  }
}

function isOnDisk(uri: string): boolean {
  return uri.startsWith('file:');
}

/** A file in memory that is written in order. It grows if it becomes larger than expected. */
class Growing {
  #memory: Uint8Array;
  #size = 0;

  constructor(expectedBytes: number) {
    this.#memory = new Uint8Array(expectedBytes);
  }

  free(): void {
    this.#memory = new Uint8Array(0);
    this.#size = 0;
  }

  get data(): Uint8Array {
    return this.#memory.subarray(0, this.#size);
  }

  set(position: number, chunk: Uint8Array): void {
    this.#size = Math.max(this.#size, position + chunk.length);
    if (this.#size > this.#memory.length) {
      const before = this.#memory;
      this.#memory = new Uint8Array(Math.max(this.#size, 2 * before.length));
      this.#memory.set(before);
    }
    this.#memory.set(chunk, position);
  }
}

/**
 * The path of a file without links, as its disk spells it; undefined for a link that leads nowhere. In a virtual workspace a
 * URI is as real as can be known.
 */
export async function realPathOf(uri: Uri): Promise<string | undefined> {
  if (uri.scheme !== 'file') return uri.toString();
  return realpath(uri.fsPath).catch(() => undefined);
}

async function statOf(uri: string): Promise<FileStat> {
  const { type, size, mtime } = await orProblem(uri, workspace.fs.stat(Uri.parse(uri)));
  return { isFolder: (type & FileType.Directory) !== 0, size, modified: mtime };
}

function orProblem<T>(uri: string, work: Thenable<T>): Promise<T> {
  return Promise.resolve(work).catch((error) => {
    throw problemOf(error, uri);
  });
}

/**
 * What kept a file from being read: https://code.visualstudio.com/api/references/vscode-api#FileSystemError. An unknown
 * error has its message as the detail.
 */
export function problemOf(error: unknown, uri: string): UserError {
  const file = workspace.asRelativePath(Uri.parse(uri));
  const code = error instanceof FileSystemError ? error.code : undefined;
  switch (code) {
    case 'FileNotFound':
      return new UserError({ kind: 'fileMissing', file });
    case 'FileExists':
      return new UserError({ kind: 'outputExists', file });
    case 'NoPermissions':
      return new UserError({ kind: 'fileDenied', file });
    default:
      return new UserError({ kind: 'fileFailed', file, detail: detailOf(error) }, { cause: error });
  }
}

/** What kept a file from being written, with the message of the file system. */
export function writeProblemOf(error: unknown, uri: string): UserError {
  const file = workspace.asRelativePath(Uri.parse(uri));
  return new UserError({ kind: 'fileFailed', file, detail: detailOf(error) }, { cause: error });
}

function detailOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * In the folder for outputs, or beside the source. In another copy of the workspace, where the path of the source leads
 * to another place, the folder that was chosen for the first one does not count.
 */
export function outputUri(file: ManifestFile, name: string): string {
  const source = sourceUri(file);
  const { folder } = file.output;
  const isChosen = folder !== undefined && source.toString() === Uri.parse(file.uri).toString();
  return Uri.joinPath(
    isChosen ? Uri.parse(folder) : Uri.joinPath(source, '..'),
    ...name.split('/'),
  ).toString();
}

/** Where the output of a file is in this window; undefined until it was saved. The account says under which name. */
export function savedOutput(file: ManifestFile, result: FileResult | undefined): Uri | undefined {
  const name = result?.outputUri && savedName(file.output, result.outputUri);
  return name ? Uri.parse(outputUri(file, name)) : undefined;
}

/** Where the source of a file is in this window. */
export function sourceUri({ uri, path }: Pick<ManifestFile, 'uri' | 'path'>): Uri {
  const source = Uri.parse(uri);
  const folders = workspace.workspaceFolders ?? [];
  const [first] = folders;
  const isAbsolute = /^([/\\]|[A-Za-z]:)/.test(path);
  if (isAbsolute || first === undefined || workspace.getWorkspaceFolder(source)) return source;
  // In a workspace of several folders, paths begin with the name of theirs.
  const named = folders.length > 1 ? folders.find(({ name }) => path.startsWith(`${name}/`)) : undefined;
  return named ? Uri.joinPath(named.uri, path.slice(named.name.length + 1)) : Uri.joinPath(first.uri, path);
}
