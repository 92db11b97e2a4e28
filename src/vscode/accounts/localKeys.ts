import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../core/errors';
import type { AccountSecrets, Secrets } from '../secrets';

/**
 * The keys of the local Batch account. They are in a file of the service's data folder that only this user can read,
 * not in SecretStorage: with Remote-SSH and in browsers each client has a SecretStorage of its own, and a second client
 * with other keys could not use the service that runs for the first one. The service listens on 127.0.0.1 only, so the
 * keys are of no use elsewhere. Keys that an earlier version stored in SecretStorage are taken over.
 */
export async function localKeys(dataFolder: string, secrets: Secrets): Promise<AccountSecrets> {
  const path = join(dataFolder, 'keys.json');
  const kept = await readKeys(path);
  if (kept) return kept;
  const made = (await secrets.get('local')) ?? { batchKey: newKey(), storageKey: newKey() };
  await mkdir(dataFolder, { recursive: true, mode: 0o700 });
  try {
    await writeFile(path, JSON.stringify(made), { mode: 0o600, flag: 'wx' });
    return made;
  } catch (error) {
    // Another window was faster.
    const other = errorCode(error) === 'EEXIST' ? await readKeys(path) : undefined;
    if (other === undefined) throw error;
    return other;
  }
}

async function readKeys(path: string): Promise<AccountSecrets | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as AccountSecrets;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** A key as long as Azure's. */
function newKey(): string {
  return randomBytes(64).toString('base64');
}
