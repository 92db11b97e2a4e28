import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseBatchUrl, parseConnectionString, parseKey } from '../../src/core/accounts/accountInput';
import { type CheckResult, checkConnection } from '../../src/core/accounts/connectionCheck';
import type { Connection } from '../../src/core/azure/account';
import { Batch } from '../../src/core/azure/batch';
import { Storage } from '../../src/core/azure/storage';
import { deleteResources } from '../../src/core/cleanUp/deleteResources';
import { ownedResources } from '../../src/core/cleanUp/ownedResources';
import { Run } from '../../src/core/runs/run';
import { clip, probe, temporaryFolder } from '../media';
import { eventually, TestService } from './harness';
import { manifestOf, namesIn, partsOf } from './runSetup';

const never = new AbortController().signal;

/** A connection from values as they are copied from the portal. */
function realConnection(): Connection | undefined {
  const { BATCH_TEST_URL, BATCH_TEST_KEY, STORAGE_TEST_CONNECTION } = process.env;
  if (!BATCH_TEST_URL || !BATCH_TEST_KEY || !STORAGE_TEST_CONNECTION) return undefined;
  const { url: batchUrl, name: batchName } = parseBatchUrl(BATCH_TEST_URL);
  const { name: storageName, key, blobUrl } = parseConnectionString(STORAGE_TEST_CONNECTION);
  return {
    account: { id: batchName, label: batchName, signIn: 'keys', batchName, batchUrl, storageName, blobUrl },
    batch: { kind: 'sharedKey', name: batchName, key: parseKey(BATCH_TEST_KEY, 'batchKey') },
    storage: { kind: 'sharedKey', name: storageName, key },
  };
}

const real = realConnection();

if (!real) {
  const needed = 'BATCH_TEST_URL, BATCH_TEST_KEY and STORAGE_TEST_CONNECTION';
  describe('The main job on a real account', () => {
    it.skip(`skipped, since ${needed} are not set`);
  });
}

for (const isReal of real ? [false, true] : [false]) {
  const account = isReal ? 'a real account' : 'the local account';
  describe(`The main job on ${account}, from connecting to cleaning up`, function () {
    this.timeout(isReal ? 30 * 60_000 : 240_000);
    let service: TestService | undefined;
    let connection: Connection;
    let root: Awaited<ReturnType<typeof temporaryFolder>>;

    before(async () => {
      root = await temporaryFolder('account');
      service = isReal ? undefined : await TestService.start();
      connection = service?.connection ?? (real as Connection);
    });

    after(async () => {
      await service?.close();
      await root.remove();
    });

    it('checks the connection, transcodes, and leaves nothing', async () => {
      const [batch, storage] = [new Batch(connection), new Storage(connection)];
      const folder = join(root.path, 'videos');
      mkdirSync(folder);
      const paths = [await clip(join(folder, 'one.mp4')), await clip(join(folder, 'two.mp4'))];
      const manifest = await manifestOf(paths, { lifetime: 'run', spotNodes: 1, monitorMinutes: 25 });
      const results: CheckResult[] = [];
      const checked = { connection, batch, storage, pool: manifest.pool, signal: never };
      for await (const result of checkConnection(checked)) results.push(result);
      assert.deepEqual(
        results.filter(({ status }) => status === 'failed'),
        [],
      );
      const run = await Run.create(partsOf({ connection }).parts, manifest, never);
      const { succeeded } = await run.advance('fetched', never);
      await run.close();
      assert.equal(succeeded, 2, JSON.stringify([...run.results.values()]));
      assert.deepEqual(namesIn(folder), ['one.mp3', 'one.mp4', 'two.mp3', 'two.mp4']);
      assert.ok(Math.abs((await probe(join(folder, 'one.mp3'))).seconds - 1) < 0.1);
      const mine = async () =>
        (await ownedResources(batch, storage, never)).filter(({ runId }) => runId === manifest.runId);
      assert.deepEqual(await deleteResources(batch, storage, await mine(), () => undefined, never), []);
      await eventually(mine, (left) => left.length === 0, 300);
    });
  });
}
