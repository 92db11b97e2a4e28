import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { giveFreeName } from './guard/newFile';
import { StartError } from './guard/startError';

export interface Credentials {
  readonly batchName: string;
  readonly batchKey: string;
  readonly storageName: string;
  readonly storageKey: string;
}

/** Reads one line of JSON from stdin. Throws a StartError if there is none, or it lacks a member. */
export async function credentialsFromStdin(): Promise<Credentials> {
  for await (const line of createInterface(process.stdin)) {
    process.stdin.destroy();
    return checked(line, 'The first line of stdin');
  }
  throw new StartError(
    'There are no credentials on stdin. Write one line of JSON, or use --credentials file.',
  );
}

/**
 * Reads `credentials.json` of the data folder, which is made if it does not exist: with new keys, mode 0600. Of two
 * processes that make it at the same time, both get the keys of the first.
 */
export function credentialsFromFile(dataDir: string): Credentials {
  const path = join(dataDir, 'credentials.json');
  const remedy = ' Delete the file to have new keys made.';
  const existing = textOf(path);
  if (existing !== undefined) return checked(existing, path, remedy);
  const key = () => randomBytes(64).toString('base64');
  const made = { batchName: 'localbatch', batchKey: key(), storageName: 'localstorage', storageKey: key() };
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(made, null, 2), { mode: 0o600 });
  try {
    giveFreeName(draft, path);
  } finally {
    rmSync(draft, { force: true });
  }
  return checked(textOf(path) ?? '', path, remedy);
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
}

const namePattern = /^[\w.-]{1,64}$/;
/** At least one byte: with an empty key, the name of the account would be enough to sign. */
const keyPattern = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$/;

function checked(text: string, where: string, remedy = ''): Credentials {
  const patterns = {
    batchName: namePattern,
    batchKey: keyPattern,
    storageName: namePattern,
    storageKey: keyPattern,
  } as const;
  try {
    const value = JSON.parse(text) as Partial<Credentials>;
    const isValid = (name: keyof Credentials) => {
      const given: unknown = value[name];
      return typeof given === 'string' && patterns[name].test(given);
    };
    if ((Object.keys(patterns) as (keyof Credentials)[]).every(isValid)) return value as Credentials;
  } catch {
    // Reported below.
  }
  throw new StartError(
    `${where} does not hold valid credentials: JSON with batchName, storageName, and batchKey, storageKey in Base64.${remedy}`,
  );
}
