import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { azuriteEnded } from '../../src/service/storage/azurite';
import { Storage } from '../../src/service/storage/storage';

describe('Blob Storage of the local Batch service', function () {
  this.timeout(120_000);
  let root: string;
  const blobs = () => join(root, 'blobs');

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'blobs-'));
  });
  afterEach(() => rm(root, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }));

  const start = () =>
    Storage.start({
      script: 'dist/azurite.cjs',
      folder: blobs(),
      damaged: join(root, 'damaged'),
      port: 0,
      account: { name: 'account', key: Buffer.alloc(64).toString('base64') },
      log: () => undefined,
    });

  it('gives up its port when another program has taken it, so that the service starts anew', async () => {
    const storage = await start();
    const { port } = new URL(storage.blobUrl);
    const lost = new Promise<void>((resolve) => storage.whenPortLost(resolve));
    const other = createServer();
    const isTaken = () =>
      new Promise<boolean>((resolve) => {
        other.once('error', () => resolve(false));
        other.listen(Number(port), '127.0.0.1', () => resolve(true));
      });
    try {
      process.kill(Number.parseInt(readFileSync(join(blobs(), 'azurite.pid'), 'utf8'), 10), 'SIGKILL');
      while (!(await isTaken())) await new Promise((resolve) => setTimeout(resolve, 1));
      await lost;
    } finally {
      await storage.close();
      other.close();
    }
  });

  it('does not keep a caller waiting for longer than asked while it cannot start again', async () => {
    const storage = await start();
    await storage.save(AbortSignal.timeout(60_000));
    const pid = Number.parseInt(readFileSync(join(blobs(), 'azurite.pid'), 'utf8'), 10);
    await rm(blobs(), { recursive: true, force: true, maxRetries: 10 });
    await writeFile(blobs(), '');
    process.kill(pid, 'SIGKILL');
    await assert.rejects(storage.save(AbortSignal.timeout(1_000)), { name: /TimeoutError|AbortError/ });
    await storage.close();
  });

  it('does not mistake another process for an Azurite that still saves', async () => {
    const stranger = spawn('sleep', ['600'], { stdio: 'ignore' });
    try {
      await mkdir(blobs());
      await writeFile(join(blobs(), 'azurite.pid'), `${stranger.pid} 1`);
      const begin = performance.now();
      await azuriteEnded(blobs());
      // It waits for 15 seconds for one that runs.
      assert.ok(performance.now() - begin < 14_000);
      assert.ok(!existsSync(join(blobs(), 'azurite.pid')));
      assert.equal(stranger.exitCode, null);
    } finally {
      stranger.kill('SIGKILL');
    }
  });
});
