import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { l10n } from 'vscode';
import { errorCode, UserError } from '../../core/errors';
import { giveFreeName } from '../../core/files/diskPart';
import type { AccountSecrets, Secrets } from '../secrets';

/** Names of the local Batch account and of its storage account, as the service makes them. */
export const batchName = 'localbatch';
export const storageName = 'localstorage';

/**
 * The keys of the local Batch account. They are in `credentials.json` of the service's data folder, which only this user
 * can read, not in SecretStorage: with Remote-SSH and in browsers each client has a SecretStorage of its own, and a
 * second client with other keys could not use the service that runs for the first one. The service listens on 127.0.0.1
 * only, so the keys are of no use elsewhere. Keys that an earlier version stored in SecretStorage are taken over.
 * Throws `localServiceFailed` if the file cannot be used.
 */
export async function localKeys(dataFolder: string, secrets: Secrets): Promise<AccountSecrets> {
  const path = join(dataFolder, 'credentials.json');
  const existing = await readKeys(path);
  if (existing) return existing;
  const made = (await secrets.get('local')) ?? { batchKey: newKey(), storageKey: newKey() };
  await mkdir(dataFolder, { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const { batchKey, storageKey } = made;
  await writeFile(draft, JSON.stringify({ batchName, batchKey, storageName, storageKey }), { mode: 0o600 });
  try {
    await giveFreeName(draft, path);
  } catch (error) {
    const wasFaster = error instanceof UserError && error.problem.kind === 'outputExists';
    if (!wasFaster) throw error;
  } finally {
    await rm(draft, { force: true });
  }
  return (await readKeys(path)) ?? made;
}

async function readKeys(path: string): Promise<AccountSecrets | undefined> {
  try {
    const keys = JSON.parse(await readFile(path, 'utf8')) as Partial<AccountSecrets> | null;
    const { batchKey, storageKey } = keys ?? {};
    if (batchKey && storageKey) return { batchKey, storageKey };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new UserError({
    kind: 'localServiceFailed',
    detail: l10n.t("{0} doesn't contain valid keys. Delete the file so that new keys are created.", path),
  });
}

/** A key as long as Azure's. */
function newKey(): string {
  return randomBytes(64).toString('base64');
}
