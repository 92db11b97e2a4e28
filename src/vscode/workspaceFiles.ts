import { Uri, workspace } from 'vscode';
import { UserError } from '../core/errors';
import type { FileStat, Files, OpenFile, PartFile } from '../core/files';

/**
 * Files of workspaces that are not on a disk, through `workspace.fs`, which reads and writes whole files only: such a
 * file is held in memory while it travels.
 */
export class WorkspaceFiles implements Files {
  /** Files on disks go the way that needs no memory. */
  constructor(private readonly disk: Files) {}

  async stat(uri: string): Promise<FileStat | undefined> {
    if (isOnDisk(uri)) return this.disk.stat(uri);
    try {
      const { type, size, mtime } = await workspace.fs.stat(Uri.parse(uri));
      return { isFolder: (type & 2) !== 0, size, modified: mtime };
    } catch {
      return undefined;
    }
  }

  async open(uri: string): Promise<OpenFile> {
    if (isOnDisk(uri)) return this.disk.open(uri);
    const before = await this.stat(uri);
    if (before === undefined) throw new UserError({ kind: 'fileMissing', file: uri });
    const data = await workspace.fs.readFile(Uri.parse(uri));
    return {
      read: async (position, length) => data.subarray(position, position + length),
      stat: async () => (await this.stat(uri)) ?? { ...before, size: -1 },
      close: async () => undefined,
    };
  }

  async part(uri: string, version: string): Promise<PartFile> {
    if (isOnDisk(uri)) return this.disk.part(uri, version);
    let data = new Uint8Array(0);
    return {
      resumeAt: 0,
      read: async (position, length) => data.subarray(position, position + length),
      async write(position, chunk) {
        if (position + chunk.length > data.length) {
          const grown = new Uint8Array(position + chunk.length);
          grown.set(data);
          data = grown;
        }
        data.set(chunk, position);
      },
      async commit({ overwrite }) {
        const target = Uri.parse(uri);
        const part = target.with({ path: `${target.path}.part` });
        await workspace.fs.writeFile(part, data);
        try {
          await workspace.fs.rename(part, target, { overwrite });
        } catch (error) {
          await workspace.fs.delete(part);
          const file = workspace.asRelativePath(target);
          const { code } = error as { code?: string };
          if (code === 'FileExists') throw new UserError({ kind: 'outputExists', file });
          throw new UserError({ kind: 'fileFailed', file, detail: code ?? String(error) });
        }
      },
      close: async () => undefined,
      discard: async () => {
        data = new Uint8Array(0);
      },
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
