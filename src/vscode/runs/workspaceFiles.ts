import { posix } from 'node:path';
import { FileSystemError, FileType, Uri, workspace } from 'vscode';
import { UserError } from '../../core/errors';
import { type FileStat, type Files, type OpenFile, type PartFile, partName } from '../../core/files/files';

/**
 * Files of workspaces that are not on a disk, through `workspace.fs`, which reads and writes whole files only: such a
 * file is held in memory while it travels.
 */
export class WorkspaceFiles implements Files {
  /** Files on disks go the way that needs no memory. */
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
    const data = await orProblem(uri, workspace.fs.readFile(Uri.parse(uri)));
    return {
      opened,
      read: async (position, length) => data.subarray(position, position + length),
      stat: async () => (await this.stat(uri)) ?? { ...opened, size: -1 },
      close: async () => undefined,
    };
  }

  async part(uri: string, version: string): Promise<PartFile> {
    if (isOnDisk(uri)) return this.disk.part(uri, version);
    const written = new Growing();
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
        } catch (error) {
          await Promise.resolve(workspace.fs.delete(part)).catch(() => undefined);
          throw problemOf(error, uri);
        }
      },
      close: async () => undefined,
      discard: async () => undefined,
    };
  }

  async dropPart(uri: string, version: string): Promise<void> {
    if (isOnDisk(uri)) await this.disk.dropPart(uri, version);
  }

  async freeBytes(uri: string): Promise<number | undefined> {
    return isOnDisk(uri) ? this.disk.freeBytes(uri) : undefined;
  }
}

function isOnDisk(uri: string): boolean {
  return uri.startsWith('file:');
}

/** Bytes that come one after another. */
class Growing {
  #memory = new Uint8Array(64 * 1024);
  #size = 0;

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

async function statOf(uri: string): Promise<FileStat> {
  const { type, size, mtime } = await orProblem(uri, workspace.fs.stat(Uri.parse(uri)));
  return { isFolder: (type & FileType.Directory) !== 0, size, modified: mtime };
}

function orProblem<T>(uri: string, work: Thenable<T>): Promise<T> {
  return Promise.resolve(work).catch((error) => {
    throw problemOf(error, uri);
  });
}

/** https://code.visualstudio.com/api/references/vscode-api#FileSystemError */
function problemOf(error: unknown, uri: string): UserError {
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
      return new UserError({ kind: 'fileFailed', file, detail: code ?? String(error) });
  }
}
