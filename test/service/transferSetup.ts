import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Storage, type StorageOptions } from '../../src/core/azure/storage';
import { DiskFiles } from '../../src/core/files/localFiles';
import type { DownloadRequest, UploadRequest } from '../../src/core/transfers/requests';
import { Transfers } from '../../src/core/transfers/transfers';
import { azurite, connectionTo, freshContainer } from './azurite';

export const MiB = 1024 * 1024;

/** A folder and a container of one test, and the two ways between them. */
export class TransferSetup {
  readonly folder = mkdtempSync(join(tmpdir(), 'transfers-'));
  readonly container = freshContainer();

  private constructor(
    readonly url: string,
    readonly storage: Storage,
  ) {}

  static async make(): Promise<TransferSetup> {
    const { blobUrl } = await azurite();
    const setup = new TransferSetup(blobUrl, new Storage(connectionTo(blobUrl)));
    await setup.storage.createContainer(setup.container, {}, new AbortController().signal);
    return setup;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  uri(name: string): string {
    return pathToFileURL(this.path(name)).href;
  }

  /** Writes a file of random bytes and returns them. */
  async file(name: string, size: number): Promise<Buffer> {
    const content = randomBytes(size);
    await writeFile(this.path(name), content);
    return content;
  }

  /** Names in the folder, part files too. */
  names(): Promise<string[]> {
    return readdir(this.folder);
  }

  content(name: string): Promise<Buffer> {
    return readFile(this.path(name));
  }

  /** Transfers by way of another URL, which is a proxy's before the same service. */
  transfers(
    url = this.url,
    { parallel, ...options }: StorageOptions & { parallel?: number } = {},
  ): Transfers {
    return new Transfers(new Storage(connectionTo(url), options), new DiskFiles(), { parallel });
  }

  async upload(
    name: string,
    options: Partial<UploadRequest> = {},
    transfers = this.transfers(),
  ): Promise<{ skipped: boolean }> {
    const { size, mtimeMs } = await stat(this.path(name));
    return transfers.upload({
      uri: this.uri(name),
      container: this.container,
      blob: name,
      expected: { size, modified: Math.floor(mtimeMs) },
      onBytes: () => undefined,
      signal: new AbortController().signal,
      ...options,
    });
  }

  download(
    name: string,
    options: Partial<DownloadRequest> = {},
    transfers = this.transfers(),
  ): Promise<{ bytes: number; skipped: boolean }> {
    return transfers.download({
      container: this.container,
      blob: name,
      uri: this.uri(name),
      overwrite: false,
      onBytes: () => undefined,
      signal: new AbortController().signal,
      ...options,
    });
  }

  /** A blob of random bytes; without a hash when it is put together from blocks, as other clients do. */
  async blob(name: string, size: number, { hash = true } = {}): Promise<Buffer> {
    const content = randomBytes(size);
    const client = this.storage.blob(this.container, name);
    const id = randomBytes(12).toString('base64');
    await client.stageBlock(id, content, size);
    await client.commitBlockList([id], {
      blobHTTPHeaders: hash ? { blobContentMD5: createHash('md5').update(content).digest() } : undefined,
    });
    return content;
  }

  blobContent(name: string): Promise<Buffer> {
    return this.storage.blob(this.container, name).downloadToBuffer();
  }

  blobExists(name: string): Promise<boolean> {
    return this.storage.blob(this.container, name).exists();
  }
}

export const isRoot = process.getuid?.() === 0;

/** Makes a disk of its own there, and returns a function that unmounts it. */
export function mountSmallDisk(path: string, size: number, options = 'rw'): () => void {
  mkdirSync(path);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},${options}`, 'tmpfs', path]);
  return () => execFileSync('umount', [path]);
}

/** Makes a folder into which nobody can write: root, to whom no permission is denied, needs a read-only disk for that. */
export function readOnlyFolder(path: string): { unlock: () => void } {
  if (isRoot) return { unlock: mountSmallDisk(path, MiB, 'ro') };
  mkdirSync(path);
  chmodSync(path, 0o555);
  return { unlock: () => chmodSync(path, 0o755) };
}

/** Runs a step without the rights of root; for other users it just runs. */
export async function asOrdinaryUser<T>(step: () => Promise<T>): Promise<T> {
  if (isRoot) process.seteuid?.(65534);
  try {
    return await step();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}
