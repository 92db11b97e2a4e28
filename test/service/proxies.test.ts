import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { AzureStandIn, azure } from '../azure/standIn';
import { clip, temporaryFolder } from '../media';
import { TestService } from './harness';
import { startRunProcess } from './runProcess';
import { manifestOf, namesIn } from './runSetup';

/** A proxy that does not exist. */
const dead = 'http://127.0.0.1:9';

describe('Behind a proxy', function () {
  this.timeout(240_000);
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let folders = 0;

  before(async () => {
    root = await temporaryFolder('proxies');
  });

  after(() => root.remove());

  async function folderWithClip(): Promise<{ folder: string; path: string }> {
    const folder = join(root.path, `folder-${++folders}`);
    mkdirSync(folder);
    return { folder, path: await clip(join(folder, 'clip.mp4')) };
  }

  it('connects to the local account directly', async () => {
    const env = { HTTP_PROXY: dead, HTTPS_PROXY: dead, ALL_PROXY: dead };
    const names = { batchName: 'localbatch', storageName: 'localstorage' };
    const service = await TestService.startAs(names, env);
    const { folder, path } = await folderWithClip();
    const orders = {
      connection: service.connection,
      manifest: await manifestOf([path]),
      claimFolder: folder,
    };
    const said = await startRunProcess(orders, env).said;
    assert.equal(said.succeeded, 1, JSON.stringify(said));
    await service.close();
  });

  describe('that alone can reach Azure', () => {
    let standIn: AzureStandIn;

    before(async () => {
      standIn = await AzureStandIn.start(join(root.path, 'azure'));
    });

    after(() => standIn?.close());

    it('transcodes with tokens', async () => {
      const { folder, path } = await folderWithClip();
      const tokens = {
        batch: standIn.token('https://batch.core.windows.net//.default'),
        storage: standIn.token('https://storage.azure.com/.default'),
      };
      const { connection } = standIn;
      const orders = { connection, tokens, manifest: await manifestOf([path]), claimFolder: root.path };
      const said = await startRunProcess(orders, standIn.env).said;
      assert.equal(said.succeeded, 1, JSON.stringify(said));
      assert.deepEqual(namesIn(folder), ['clip.mp3', 'clip.mp4']);
      assert.ok(standIn.seen.every(({ host, scheme }) => host === azure.batchHost && scheme === 'Bearer'));
    });

    it('transcodes with keys', async () => {
      const { folder, path } = await folderWithClip();
      const { connection } = standIn;
      const orders = { connection, manifest: await manifestOf([path]), claimFolder: root.path };
      const said = await startRunProcess(orders, standIn.env).said;
      assert.equal(said.succeeded, 1, JSON.stringify(said));
      assert.deepEqual(namesIn(folder), ['clip.mp3', 'clip.mp4']);
      assert.deepEqual(standIn.strangers, []);
    });
  });
});
