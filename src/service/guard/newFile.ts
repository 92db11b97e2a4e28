import { closeSync, linkSync, openSync, renameSync } from 'node:fs';

/** Link failures that a file system without links does not cause. */
const realFailures = ['ENOENT', 'ENOSPC', 'EDQUOT', 'EROFS'];

/**
 * Gives a file a name that must be free, so that it appears there with its content. Returns false if the name is taken. On
 * file systems without links (FAT, exFAT, some network shares) an empty file has the name for a moment; the draft is gone then.
 */
export function giveFreeName(draft: string, path: string): boolean {
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    const { code = '' } = error as { code?: string };
    if (code === 'EEXIST') return false;
    if (realFailures.includes(code)) throw error;
  }
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as { code?: string }).code === 'EEXIST') return false;
    throw error;
  }
  renameSync(draft, path);
  return true;
}
