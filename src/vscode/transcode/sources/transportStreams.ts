import { open } from 'node:fs/promises';
import pLimit from 'p-limit';
import { type Disposable, type Uri, workspace } from 'vscode';
import { isTransportStream, transportStreamProbeBytes } from '../../../core/media/transportStream';
import { background } from '../../background';
import { setContextKey } from '../../contextKeys';
import { DisposableStore } from '../../disposable';
import { ambiguousExtensions } from './mediaExtensions';

/** Files that are read at once: more would only make a disk seek. */
const readsAtOnce = 8;

/** Files of a workspace that are checked. In a larger TypeScript project the menus do not offer transport streams. */
const maxFiles = 5_000;

/** A file in a virtual workspace can only be read whole; a larger one is not TypeScript. */
const maxVirtualBytes = 16_000_000;

/** Whether the content of a `.ts` or `.mts` file is a transport stream. False if it cannot be read. */
export async function isTransportStreamFile(uri: Uri): Promise<boolean> {
  try {
    if (uri.scheme === 'file') return isTransportStream(await startOf(uri.fsPath));
    if ((await workspace.fs.stat(uri)).size > maxVirtualBytes) return true;
    return isTransportStream(await workspace.fs.readFile(uri));
  } catch {
    return false;
  }
}

async function startOf(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const bytes = new Uint8Array(transportStreamProbeBytes);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

const pattern = `**/*.{${ambiguousExtensions.flatMap((one) => [one, one.toUpperCase()]).join(',')}}`;

/**
 * Tells the menus which `.ts` and `.mts` files of the workspace are transport streams: nearly all of them are TypeScript,
 * and only the content shows the difference.
 */
export class TransportStreams implements Disposable {
  readonly #disposables = new DisposableStore();
  /** By path. */
  readonly #found = new Map<string, Uri>();
  readonly #limit = pLimit(readsAtOnce);

  constructor() {
    const watcher = this.#disposables.add(workspace.createFileSystemWatcher(pattern, false, true, false));
    this.#disposables.add(watcher.onDidCreate((uri) => background(this.#check([uri]))));
    this.#disposables.add(
      watcher.onDidDelete((uri) => {
        if (this.#found.delete(uri.fsPath)) this.#show();
      }),
    );
    this.#disposables.add(
      workspace.onDidChangeWorkspaceFolders(() => {
        for (const uri of this.#found.values())
          if (workspace.getWorkspaceFolder(uri) === undefined) this.#found.delete(uri.fsPath);
        this.#show();
        background(this.#findAll());
      }),
    );
    background(this.#findAll());
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  async #findAll(): Promise<void> {
    await this.#check(await workspace.findFiles(pattern, '**/{node_modules,.git}/**', maxFiles));
  }

  async #check(uris: readonly Uri[]): Promise<void> {
    const before = this.#found.size;
    await Promise.all(
      uris.map((uri) =>
        this.#limit(async () => {
          if (await isTransportStreamFile(uri)) this.#found.set(uri.fsPath, uri);
        }),
      ),
    );
    if (this.#found.size !== before) this.#show();
  }

  /** A client on Windows writes the paths of a remote workspace with backslashes. */
  #show(): void {
    setContextKey(
      'transportStreams',
      [...this.#found.keys()].flatMap((path) => [path, path.replaceAll('/', '\\')]),
    );
  }
}
