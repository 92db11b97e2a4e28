import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { addJob, addPool, type ConnectedWorkbench, connectedWorkbench } from './connectedWorkbench';

const pictures = 'out/test-artifacts';

describe('The Accounts view', function () {
  this.timeout(180_000);
  let connected: ConnectedWorkbench;

  before(async () => {
    mkdirSync(pictures, { recursive: true });
    connected = await connectedWorkbench();
  });

  after(() => connected?.close());

  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    await connected.workbench.screenshot(pictures, this.currentTest.title.replace(/\W+/g, '-'));
  });

  it('explores', async () => {
    const { workbench, batch } = connected;
    await addPool(batch, 'pool-one', 2, 1);
    await addJob(batch, 'job-one', 'pool-one', [
      '/bin/bash -c "exit 3"',
      '/bin/bash -c "sleep 60"',
      '/bin/true',
    ]);
    await workbench.openView('Azure Batch');
    await workbench.screenshot(pictures, 'x1');
    await workbench.expand('Pools');
    await workbench.expand('pool-one');
    await workbench.expand('Jobs');
    await workbench.expand('job-one');
    await workbench.expand('Failed');
    await workbench.expand('Running');
    await workbench.screenshot(pictures, 'x2');
    assert.ok(true);
  });
});
