import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { StartError } from './startError';

/** Files that only a local Batch service makes. */
const ownFiles = ['state.jsonl', 'service.lock'];

/** Files whose names other programs use, too, and a member that those of the service have. */
const commonFiles = [
  ['credentials.json', 'batchKey'],
  ['ports.json', 'blob'],
] as const;

/** Folders from which the service removes what it does not know. */
const cleared = ['nodes', 'trash', 'processes', 'containers'];

/** Whether a folder is the data folder of a local Batch service. */
export function isDataFolder(folder: string): boolean {
  return (
    ownFiles.some((name) => existsSync(join(folder, name))) ||
    commonFiles.some(([name, member]) => hasMember(join(folder, name), member))
  );
}

/** Throws a StartError for a folder of something else, in which the service would remove files. */
export function refuseForeignFolder(folder: string): void {
  const name = cleared.find((one) => existsSync(join(folder, one)));
  if (name === undefined || isDataFolder(folder)) return;
  throw new StartError(
    `${folder} contains ${name}, which is not from a local Batch service and would be deleted. Specify a folder of its own, such as a new one in it.`,
  );
}

function hasMember(path: string, member: string): boolean {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof value === 'object' && value !== null && member in value;
  } catch {
    return false;
  }
}
