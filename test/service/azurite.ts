import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Connection } from '../../src/core/azure/account';
import { type Azurite, startAzurite } from '../../src/service/storage/azurite';

const script = 'dist/azurite.cjs';
const key = randomBytes(64).toString('base64');
const name = 'testaccount';

let shared: Promise<Azurite & { folder: string }> | undefined;

/** The Azurite that all suites of this process share; each makes containers of its own in it. */
export async function azurite(): Promise<Azurite> {
  shared ??= start();
  return shared;
}

async function start(): Promise<Azurite & { folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'azurite-'));
  return { ...(await startAzurite({ script, folder, port: 0, account: { name, key } })), folder };
}

after(async function () {
  this.timeout(240_000);
  const running = await shared;
  await running?.close();
  if (running) await rm(running.folder, { recursive: true, force: true });
});

/** Credentials of the shared Azurite, at its own URL or that of a proxy before it. */
export function connectionTo(blobUrl: string, storageKey = key): Connection {
  return {
    account: {
      id: 'test',
      label: 'Test',
      signIn: 'keys',
      batchName: 'unused',
      batchUrl: 'http://127.0.0.1:9',
      storageName: name,
      blobUrl,
    },
    batch: { kind: 'sharedKey', name: 'unused', key: storageKey },
    storage: { kind: 'sharedKey', name, key: storageKey },
  };
}

/** A container name that no other test has. */
export function freshContainer(): string {
  return `test-${randomBytes(8).toString('hex')}`;
}
