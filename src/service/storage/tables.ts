import { copyFile, mkdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { blobTable, extentFolder, extentTable, previousOf } from './messages';

/**
 * Makes the tables of Azurite readable after a crash or a full disk left one incomplete. A damaged table is moved to
 * `damaged` and replaced by the last copy that is complete; the table of extents is simply made anew from their files.
 * Resolves to sentences for the user: what was damaged, what is lost, where the damaged file is.
 */
export async function repairTables(folder: string, damaged: string, now: Date): Promise<string[]> {
  const said: string[] = [];
  const blobs = join(folder, blobTable);
  const blobsState = await stateOf(blobs);
  if (
    blobsState === 'torn' ||
    (blobsState === 'missing' && (await stateOf(previousOf(blobs))) === 'complete')
  ) {
    said.push(await replaceBlobs(folder, damaged, now, blobsState));
  }
  const extents = join(folder, extentTable);
  if ((await stateOf(extents)) === 'torn') {
    const aside = await setAside(extents, damaged, now);
    said.push(
      `A table of Blob Storage was damaged and has been made anew. Nothing is lost. The damaged file is ${aside}.`,
    );
  }
  return said;
}

async function replaceBlobs(
  folder: string,
  damaged: string,
  now: Date,
  found: 'torn' | 'missing',
): Promise<string> {
  const path = join(folder, blobTable);
  const aside = found === 'torn' ? await setAside(path, damaged, now) : undefined;
  const where = aside === undefined ? '' : ` The damaged file is ${aside}.`;
  const previous = previousOf(path);
  if ((await stateOf(previous)) === 'complete') {
    const { mtime } = await stat(previous);
    await copyFile(previous, path);
    return `The table of Blob Storage was damaged. The copy of ${mtime.toISOString()} is used: blobs that were written or deleted after that are as they were then.${where}`;
  }
  await setAside(join(folder, extentFolder), damaged, now).catch(ignoreMissing);
  return `The table of Blob Storage was damaged, and there is no copy. Blob Storage is empty now: all containers and blobs are lost.${where}`;
}

function ignoreMissing(error: { code?: string }): void {
  if (error.code !== 'ENOENT') throw error;
}

async function stateOf(table: string): Promise<'complete' | 'torn' | 'missing'> {
  try {
    const { collections } = JSON.parse(await readFile(table, 'utf8')) as { collections?: unknown };
    return Array.isArray(collections) ? 'complete' : 'torn';
  } catch (error) {
    return (error as { code?: string }).code === 'ENOENT' ? 'missing' : 'torn';
  }
}

async function setAside(path: string, damaged: string, now: Date): Promise<string> {
  await mkdir(damaged, { recursive: true, mode: 0o700 });
  const name = `${now.toISOString().replaceAll(':', '-')} ${path.split(/[\\/]/).at(-1)}`;
  const target = join(damaged, name);
  await rename(path, target);
  return target;
}
