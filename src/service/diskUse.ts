import { type Dirent, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Bytes on the disk, by what they are for. */
export interface DiskUse {
  /** Folders of nodes: task files and shared folders. */
  readonly nodeBytes: number;
  /** Blob Storage. */
  readonly blobBytes: number;
  /** Pools, nodes, jobs and tasks. */
  readonly stateBytes: number;
  /** Damaged files that were set aside. */
  readonly damagedBytes: number;
  readonly totalBytes: number;
}

/** Bytes that a data folder occupies on the disk. What disappears meanwhile is not counted. */
export function diskUse(dataDir: string): DiskUse {
  const bytes = (...names: string[]) => names.reduce((sum, name) => sum + bytesOf(join(dataDir, name)), 0);
  return {
    nodeBytes: bytes('nodes'),
    blobBytes: bytes('blobs'),
    stateBytes: bytes('state.jsonl', 'state.jsonl.next'),
    damagedBytes: bytes('damaged'),
    totalBytes: bytesOf(dataDir),
  };
}

/** Bytes of blocks that a file or folder occupies; symbolic links are not followed. */
function bytesOf(path: string): number {
  let sum = 0;
  const pending = [path];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const stats = lstatSync(next, { throwIfNoEntry: false });
    if (stats === undefined) continue;
    sum += process.platform === 'win32' ? stats.size : stats.blocks * 512;
    if (stats.isDirectory()) for (const { name } of entriesOf(next)) pending.push(join(next, name));
  }
  return sum;
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}
