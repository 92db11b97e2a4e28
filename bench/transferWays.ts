// Transfers the files of a folder in one of several ways, in its own process so that its memory can be measured:
// TRANSFER='{"way":"ours","direction":"up",...}' node transferWays.js prints {"seconds":…,"peakMB":…,"cpuSeconds":…}.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import type { Connection } from '../src/core/azure/account';
import { Storage } from '../src/core/azure/storage';
import { DiskFiles } from '../src/core/files/localFiles';
import { Transfers } from '../src/core/transfers/transfers';
import { peakMemory } from './peakMemory';
import { Floor } from './transferFloor';

export interface WayOptions {
  readonly way: 'floor' | 'ours' | 'sdk';
  readonly direction: 'up' | 'down';
  readonly folder: string;
  readonly connection: Connection;
  readonly container: string;
  /** The number of requests at once. Default: the extension's own. */
  readonly parallel?: number;
}

export interface WayFigures {
  readonly seconds: number;
  readonly peakMB: number;
  readonly cpuSeconds: number;
}

type Way = (options: WayOptions) => Promise<void>;

const { signal } = new AbortController();

const floor: Way = async ({ direction, folder, connection, container, parallel }) => {
  const storage = new Storage(connection);
  const sasUrl = await storage.sasUrl(container, 'rwl', new Date(Date.now() + 3_600_000));
  const bare = new Floor(sasUrl, parallel ?? 8);
  if (direction === 'up') return bare.upload(folder);
  return bare.download(folder, await all(storage.blobs(container, { signal })));
};

const ours: Way = async ({ direction, folder, connection, container, parallel }) => {
  const storage = new Storage(connection);
  const files = new DiskFiles();
  const transfers = new Transfers(storage, files, { parallel });
  const uriOf = (blob: string) => pathToFileURL(join(folder, blob)).href;
  const onBytes = () => undefined;
  const upload = async (blob: string) => {
    const uri = uriOf(blob);
    const expected = await files.stat(uri);
    if (expected) await transfers.upload({ uri, container, blob, expected, onBytes, signal });
  };
  const download = ({ name: blob, size }: { name: string; size: number }) =>
    transfers.download({ container, blob, uri: uriOf(blob), size, overwrite: false, onBytes, signal });
  // All at once: the transfers limit themselves.
  if (direction === 'up') await Promise.all((await readdir(folder)).map(upload));
  else await Promise.all((await all(storage.blobs(container, { signal }))).map(download));
};

/** The SDK's methods with their defaults, one file at a time, as in Microsoft's samples. */
const sdk: Way = async ({ direction, folder, connection: { account, storage }, container }) => {
  if (storage.kind !== 'sharedKey') throw new Error('the benchmark signs with a key');
  const credential = new StorageSharedKeyCredential(storage.name, storage.key);
  const client = new BlobServiceClient(account.blobUrl, credential).getContainerClient(container);
  if (direction === 'up') {
    for (const blob of await readdir(folder)) {
      await client.getBlockBlobClient(blob).uploadFile(join(folder, blob));
    }
  } else {
    for await (const { name } of client.listBlobsFlat()) {
      await client.getBlobClient(name).downloadToFile(join(folder, name));
    }
  }
};

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

const ways = { floor, ours, sdk };
const options: WayOptions = JSON.parse(process.env.TRANSFER ?? '{}');
const start = performance.now();
await ways[options.way](options);
const seconds = (performance.now() - start) / 1000;
const { userCPUTime, systemCPUTime } = process.resourceUsage();
const figures: WayFigures = {
  seconds,
  peakMB: peakMemory() / 2 ** 20,
  cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
};
console.log(JSON.stringify(figures));
process.exit();
