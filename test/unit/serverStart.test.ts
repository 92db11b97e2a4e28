import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServer } from '../../src/service/api/server';
import { loadState } from '../../src/service/scheduling/loading';

describe('The server of the local Batch service', () => {
  let dataDir: string;

  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'server-start-'));
  });

  afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

  it('frees its port when it cannot start, and starts again with the same state', async () => {
    const loaded = loadState(dataDir, () => undefined, new Date());
    const start = (port: number) =>
      startServer(
        {
          dataDir,
          account: { name: 'account', key: 'key' },
          tokens: [],
          port,
          faults: false,
          log: () => undefined,
          maxNodes: 1,
          maxProcesses: 0,
          nodeStepMs: 20,
          pathPrepend: [],
          allowElevated: false,
        },
        loaded,
      );
    const port = await freePort();
    // A folder in place of the record of a process.
    const record = join(dataDir, 'processes', 'folder');
    mkdirSync(record, { recursive: true });
    await assert.rejects(start(port), { code: 'ERR_FS_EISDIR' });
    rmSync(record, { recursive: true });
    const server = await start(port);
    try {
      assert.equal((await fetch(server.url)).status, 403);
    } finally {
      await server.close({ isOurs: true });
    }
  });
});

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
