import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
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
  const existing = textOf(path);
  if (existing !== undefined) return checked(existing, path);
  const key = () => randomBytes(64).toString('base64');
  const made = { batchName: 'localbatch', batchKey: key(), storageName: 'localstorage', storageKey: key() };
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(made, null, 2), { mode: 0o600 });
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  return checked(textOf(path) ?? '', path);
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
}

function checked(text: string, where: string): Credentials {
  const members = ['batchName', 'batchKey', 'storageName', 'storageKey'] as const;
  try {
    const value = JSON.parse(text) as Partial<Credentials>;
    if (members.every((name) => typeof value[name] === 'string' && value[name] !== ''))
      return value as Credentials;
  } catch {
    // Reported below.
  }
  throw new StartError(
    `${where} does not hold valid credentials: JSON with ${members.join(', ')}. Delete the file to have new keys made.`,
  );
}
