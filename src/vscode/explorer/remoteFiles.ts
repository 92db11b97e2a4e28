import { type FileStat, FileSystemError, FileType, Uri } from 'vscode';
import type { FilePlace } from '../../core/azure/batch';
import type { Accounts } from '../accounts/accounts';
import { remoteScheme } from '../contributions';
import type { ExplorerData } from './explorerData';
import type { ExplorerNode } from './explorerNode';

/** What a URI refers to. Its authority is the account, its path the rest. */
type Remote =
  | { readonly kind: 'blob'; readonly container: string; readonly path: string }
  | { readonly kind: 'file'; readonly place: FilePlace; readonly path: string };

/** The URI of a file or blob of the tree. */
export function remoteUri(node: Extract<ExplorerNode, { kind: 'file' | 'blob' }>): Uri {
  const segments =
    node.kind === 'blob'
      ? ['blob', node.container, node.blob.name]
      : 'taskId' in node.place
        ? ['task', node.place.jobId, node.place.taskId, node.file.name ?? '']
        : ['node', node.place.poolId, node.place.nodeId, node.file.name ?? ''];
  return Uri.from({ scheme: remoteScheme, authority: node.account.id, path: `/${segments.join('/')}` });
}

function parse({ path }: Uri): Remote {
  const [, kind, first = '', second = '', ...rest] = path.split('/');
  if (kind === 'blob') return { kind: 'blob', container: first, path: [second, ...rest].join('/') };
  const place = kind === 'task' ? { jobId: first, taskId: second } : { poolId: first, nodeId: second };
  return { kind: 'file', place, path: rest.join('/') };
}

/** Files of tasks and nodes, and blobs. They are read-only. */
export class RemoteFiles {
  constructor(
    private readonly accounts: Accounts,
    private readonly explorer: ExplorerData,
  ) {}

  /** Throws a `UserError`, and `FileNotFound`. */
  async stat(uri: Uri): Promise<FileStat> {
    const remote = parse(uri);
    const { batch, storage } = await this.#gateways(uri);
    if (remote.kind === 'file') {
      const properties = await batch.fileProperties(remote.place, remote.path);
      if (properties === undefined) throw FileSystemError.FileNotFound(uri);
      return fileStat(properties.size, properties.modified);
    }
    for await (const blob of storage.blobs(remote.container, {
      prefix: remote.path,
      signal: AbortSignal.timeout(30_000),
    })) {
      if (blob.name === remote.path) return fileStat(blob.size, blob.modified);
    }
    throw FileSystemError.FileNotFound(uri);
  }

  async readFile(uri: Uri): Promise<Uint8Array> {
    const { size } = await this.stat(uri);
    return this.#range(uri, 0, size);
  }

  async #range(uri: Uri, position: number, length: number): Promise<Uint8Array> {
    if (length === 0) return new Uint8Array(0);
    const remote = parse(uri);
    const { batch, storage } = await this.#gateways(uri);
    return remote.kind === 'file'
      ? batch.readFile(remote.place, remote.path, position, length)
      : storage.readRange(remote.container, remote.path, position, length, AbortSignal.timeout(120_000));
  }

  #gateways(uri: Uri) {
    return this.explorer.gateways(this.accounts.accountOf({ accountId: uri.authority }));
  }
}

function fileStat(size: number, modified: Date): FileStat {
  return { type: FileType.File, size, ctime: modified.getTime(), mtime: modified.getTime() };
}
