// Moves the files of a folder in a process of its own, and prints its peak memory: TRANSFER holds the order as JSON.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { peakMemory } from '../../bench/peakMemory';
import type { Connection } from '../../src/core/azure/account';
import { Storage } from '../../src/core/azure/storage';
import { DiskFiles } from '../../src/core/files/localFiles';
import { Transfers } from '../../src/core/transfers/transfers';

export interface Orders {
  readonly direction: 'up' | 'down';
  readonly folder: string;
  readonly container: string;
  readonly connection: Connection;
}

export interface Report {
  readonly files: number;
  /** As the progress reported them. */
  readonly bytes: number;
  readonly peakBytes: number;
}

const { direction, folder, container, connection }: Orders = JSON.parse(process.env.TRANSFER ?? '');
const { signal } = new AbortController();
const storage = new Storage(connection);
const files = new DiskFiles();
const transfers = new Transfers(storage, files);
let bytes = 0;
const onBytes = (count: number) => {
  bytes += count;
};

async function upload(blob: string): Promise<void> {
  const uri = pathToFileURL(join(folder, blob)).href;
  const expected = await files.stat(uri);
  if (expected === undefined) throw new Error(`${blob} is gone`);
  await transfers.upload({ uri, container, blob, expected, onBytes, signal });
}

async function download(blob: string): Promise<void> {
  const uri = pathToFileURL(join(folder, blob)).href;
  await transfers.download({ container, blob, uri, overwrite: false, onBytes, signal });
}

async function blobNames(): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of storage.blobs(container, { signal })) names.push(name);
  return names;
}

// All at once: the transfers limit themselves.
const names = direction === 'up' ? await readdir(folder) : await blobNames();
await Promise.all(names.map(direction === 'up' ? upload : download));
const report: Report = { files: names.length, bytes, peakBytes: peakMemory() };
console.log(JSON.stringify(report));
