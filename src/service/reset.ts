import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { diskUse } from './diskUse';
import { removeTree } from './guard/dataFolder';
import { isDataFolder } from './guard/dataFolderMarks';
import { StartError } from './guard/startError';
import { type Lock, unansweredBy } from './lock';
import { lockOf } from './readyFile';
import { azuriteEnded } from './storage/azurite';

/** What a reset deletes. `credentials.json` and `ports.json` stay, so that clients keep working. */
const contents = [
  'nodes',
  'blobs',
  'processes',
  'damaged',
  'trash',
  'state.jsonl',
  'state.jsonl.next',
  'state.reserve',
  'containers',
  'registries.json',
  'end-when-idle',
  'service.json',
  'service.log',
  'service.log.old',
];

const endMs = 15_000;

/**
 * Ends the service of a data folder if one runs, and deletes everything in the folder that the service has made, except
 * keys and ports. Resolves to the bytes that were freed on the disk. Throws a StartError if the folder is not the data
 * folder of a service, or its service does not end.
 */
export async function reset(dataDir: string): Promise<number> {
  if (!isDataFolder(dataDir)) {
    throw new StartError(`${dataDir} is not the data folder of a local Batch service. Nothing was deleted.`);
  }
  const lock = lockOf(dataDir);
  await takeFromHolder(lock, dataDir);
  try {
    await azuriteEnded(join(dataDir, 'blobs'));
    const before = diskUse(dataDir).totalBytes;
    for (const name of contents) await removeTree(join(dataDir, name));
    return Math.max(0, before - diskUse(dataDir).totalBytes);
  } finally {
    lock.release();
  }
}

/** Asks the service to end that holds the lock: no other program, which may have its process id by now. */
async function takeFromHolder(lock: Lock, dataDir: string): Promise<void> {
  let end = Date.now() + endMs;
  let asked: number | undefined;
  for (;;) {
    const holder = await lock.take();
    if (holder === undefined) return;
    if (asked !== holder.pid && holder.isCertain) {
      // The search for the holder may have taken a while. Services that replace each other get no more time.
      if (asked === undefined) end = Date.now() + endMs;
      asked = holder.pid;
      askToEnd(holder.pid);
    } else if (Date.now() > end) {
      throw asked === holder.pid ? notEnded(holder.pid, dataDir) : unansweredBy(holder, dataDir, 'try again');
    }
    await delay(50);
  }
}

function notEnded(pid: number, dataDir: string): StartError {
  return new StartError(
    `Process ${pid}, which holds ${dataDir}, was asked to end but still runs. End that process, then try again.`,
  );
}

function askToEnd(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It has just ended.
  }
}
