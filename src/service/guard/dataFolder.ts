import { randomUUID } from 'node:crypto';
import { chmodSync, constants, lstatSync, mkdirSync, renameSync } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, realpath, rm, stat } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, isAbsolute, join, parse, relative, resolve, sep } from 'node:path';

/** A path that would lie outside its folder. A bug or an attack: nothing may be made or removed there. */
export class OutsideError extends Error {
  constructor(
    readonly folder: string,
    readonly path: string,
  ) {
    super(`${path} is not inside ${folder}.`);
  }
}

/**
 * The path of something strictly inside a folder. Each part is one or more names; none may be empty, absolute, contain
 * a null character or lead upwards. Throws an OutsideError.
 */
export function pathInside(folder: string, ...parts: readonly string[]): string {
  const target = resolve(folder, ...parts);
  const path = relative(resolve(folder), target);
  const isOutside = path === '' || path === '..' || path.startsWith(`..${sep}`) || isAbsolute(path);
  const isBad = parts.some((part) => part === '' || part.includes('\0') || isAbsolute(part) || leadsUp(part));
  if (isOutside || isBad)
    throw new OutsideError(folder, join(...parts.map((part) => part.replaceAll('\0', '?'))));
  return target;
}

function leadsUp(part: string): boolean {
  return part.split(/[\\/]/).includes('..');
}

/**
 * Removes a file or folder with everything in it, also where a task has taken write permission from its folders.
 * Symbolic links are removed, not followed. What does not exist is no error.
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'ENOTEMPTY') throw error;
    await makeWritable(path);
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function makeWritable(folder: string): Promise<void> {
  const stats = await lstat(folder).catch(() => undefined);
  if (!stats?.isDirectory()) return;
  await chmod(folder, 0o700);
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries) if (entry.isDirectory()) await makeWritable(join(folder, entry.name));
}

/** The data folder of a service: where each thing lies, proved to be inside it. */
export class DataFolder {
  constructor(readonly path: string) {}

  /** Folder of the nodes of a pool. */
  pool(poolId: string): string {
    return pathInside(this.path, 'nodes', oneName(poolId));
  }

  /** Root folder of a node. */
  node(poolId: string, nodeId: string): string {
    return pathInside(this.pool(poolId), oneName(nodeId));
  }

  /** Where processes are recorded while they run. */
  get processes(): string {
    return join(this.path, 'processes');
  }

  /** Application packages, unless a folder elsewhere has them. */
  get packages(): string {
    return join(this.path, 'packages');
  }

  /** Folders of nodes that no longer exist. */
  async unknownNodes(isKnown: (poolId: string, nodeId: string) => boolean | undefined): Promise<string[]> {
    const found: string[] = [];
    const root = join(this.path, 'nodes');
    for (const pool of await readdir(root).catch(() => [])) {
      for (const node of await readdir(join(root, pool)).catch(() => []))
        if (!isKnown(pool, node)) found.push(join(root, pool, node));
    }
    return found;
  }

  /** Folder of what is yet to be removed. */
  get trash(): string {
    return join(this.path, 'trash');
  }

  /**
   * Makes the folder of the trash, from which removal goes on after a kill. Without room for it on the disk, `discard`
   * does without it.
   */
  makeTrash(): void {
    try {
      this.#makeTrash();
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
  }

  #makeTrash(): void {
    mkdirSync(this.trash, { recursive: true, mode: 0o700 });
  }

  /**
   * Removes what waits for its removal. The folder stays: something may be taken away at the same time. Throws the first
   * error once everything else has been removed.
   */
  async emptyTrash(): Promise<void> {
    const errors: unknown[] = [];
    for (const name of await readdir(this.trash).catch(() => []))
      await removeTree(join(this.trash, name)).catch((error) => errors.push(error));
    if (errors.length > 0) throw errors[0];
  }

  /** Takes a file or folder of a node away at once and removes it. On a disk too full for that, removes it in its place. */
  async discard(path: string): Promise<void> {
    let trash: string | undefined;
    try {
      trash = this.takeAway(path);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      trash = path;
    }
    if (trash) await removeTree(trash);
  }

  /**
   * Takes a file or folder of a node away at once, so that a new one can be made in its place. Returns where it waits for
   * its removal with `removeTree`; undefined if it does not exist.
   */
  takeAway(path: string): string | undefined {
    pathInside(join(this.path, 'nodes'), relative(join(this.path, 'nodes'), path));
    if (isAbsent(path)) return undefined;
    const target = join(this.trash, randomUUID());
    this.#makeTrash();
    try {
      renameSync(path, target);
    } catch (error) {
      const { code } = error as { code?: string };
      // ENOENT also if the folder of the trash is missing.
      if (code === 'ENOTDIR' || (code === 'ENOENT' && isAbsent(path))) return undefined;
      if (code !== 'EACCES' && code !== 'EPERM') throw error;
      // A task has taken write permission from the folder, or from the one that holds it.
      for (const folder of [dirname(path), path]) chmodSync(folder, 0o700);
      renameSync(path, target);
    }
    return target;
  }

  /**
   * Makes a new folder on a node. Returns where that which was in its place waits for its removal with `removeTree`;
   * undefined if nothing was.
   */
  makeNew(path: string): string | undefined {
    let trash: string | undefined;
    try {
      mkdirSync(path);
    } catch (error) {
      if ((error as { code?: string }).code === 'EEXIST') trash = this.takeAway(path);
      mkdirSync(path, { recursive: true });
    }
    return trash;
  }

  /** Where damaged records and files are kept that could not be read. */
  get damaged(): string {
    return join(this.path, 'damaged');
  }
}

/** Whether an operation failed for want of room on the disk, or by the quota of its user. */
export function isDiskFull(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** Whether nothing is at a path. False also where permissions do not allow to find out. */
function isAbsent(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) === undefined;
  } catch {
    return false;
  }
}

/** Refuses a name that is a path. */
function oneName(name: string): string {
  if (name === '' || name === '.' || name === '..' || /[\\/\0]/.test(name)) throw new OutsideError('.', name);
  return name;
}

/**
 * Adds text to a file that a task could have replaced: a link is not followed, and a pipe is not waited for. Text that
 * cannot be written is dropped, because it is only additional information.
 */
export async function appendText(path: string, text: string): Promise<void> {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
  try {
    const file = await open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o666);
    try {
      if ((await file.stat()).isFile()) await file.appendFile(text);
    } finally {
      await file.close();
    }
  } catch {
    // The disk is full, or the path is not a file any more.
  }
}

/**
 * Makes a folder that only its owner can enter, or takes the access of others to one that exists. Throws a
 * SharedFolderError for a folder that other programs use, such as /tmp.
 */
export async function makePrivate(folder: string): Promise<void> {
  await makeFolders(folder);
  const path = await realpath(folder);
  if (path === parse(path).root || commonFolders.includes(path)) throw new SharedFolderError(folder);
  const { mode } = await stat(path);
  if ((mode & 0o777) !== 0o700 && process.platform !== 'win32') await chmod(path, 0o700);
}

/** Makes a folder and those above it. Node's recursive `mkdir` never ends in /proc, which refuses with ENOENT. */
async function makeFolders(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    const parent = dirname(folder);
    if (code !== 'ENOENT' || (await stat(parent).catch(() => undefined))) throw error;
    await makeFolders(parent);
    await makeFolders(folder);
  }
}

const commonFolders = [homedir(), tmpdir(), '/tmp', '/var/tmp', '/dev/shm'];

/** A folder of the machine or of all of a user's programs. */
export class SharedFolderError extends Error {
  constructor(folder: string) {
    super(`${folder} is not only for the service. Specify a folder of its own, such as a new one in it.`);
  }
}
