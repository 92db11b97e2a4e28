import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
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

  it('does not keep a caller waiting for longer than asked while it cannot start again', async () => {
    const account = { name: 'account', key: Buffer.alloc(64).toString('base64') };
    const nothing = () => undefined;
    const storage = await Storage.start(
      'dist/azurite.cjs',
      blobs(),
      join(root, 'damaged'),
      0,
      account,
      nothing,
      nothing,
    );
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
