import assert from 'node:assert/strict';
import { Batch } from '../../src/core/azure/batch';
import { newestJobs } from '../../src/core/jobs/newestJobs';
import { prepare, TestService } from './harness';

/** With pages of 10 jobs, 50 are read of a list. */
const pageSize = 10;

describe('The newest jobs of an account', function () {
  this.timeout(240_000);
  let service: TestService;
  let batch: Batch;

  prepare(
    async () => {
      service = await TestService.start();
      batch = new Batch(service.connection);
      await batch.addPool({ id: 'pool', vmSize: 'Standard_D2s_v5', ...image, targetDedicatedNodes: 0 });
      // Ids in the opposite order of their age, as the service lists them by id.
      for (let index = 79; index >= 0; index--)
        await batch.addJob({ id: `job-${String(index).padStart(2, '0')}`, poolInfo: { poolId: 'pool' } });
    },
    () => service?.close(),
  );

  it('come first, whatever their ids, when the whole list is read', async () => {
    const { jobs, cutBefore } = await newestJobs(batch, { select: 'state' });
    assert.equal(jobs.length, 80);
    assert.deepEqual([jobs[0]?.id, jobs[79]?.id, cutBefore], ['job-00', 'job-79', undefined]);
  });

  it('are those since a time, and the list says so', async () => {
    const { jobs } = await newestJobs(batch, { select: 'state' });
    const since = jobs[9]?.creationTime;
    assert.ok(since);
    let requests = 0;
    const newer = await newestJobs(batch, { select: 'state', since, onRequest: () => requests++ });
    assert.equal(newer.jobs[0]?.id, 'job-00');
    assert.ok(newer.jobs.length >= 10 && newer.jobs.length < 20, `${newer.jobs.length} jobs`);
    assert.deepEqual([newer.cutBefore, requests], [since, 1]);
  });

  it('are found in a list that is too long to be read, by narrower and narrower times', async () => {
    const created = (await newestJobs(batch, { select: 'state' })).jobs;
    const newest = created[0]?.creationTime;
    const middle = created[20]?.creationTime;
    assert.ok(newest && middle);
    // An hour before this moment, 21 or a few more jobs existed.
    const now = new Date(middle.getTime() + 3_600_000);
    const { jobs, cutBefore } = await newestJobs(batch, { select: 'state', now, pageSize });
    assert.equal(jobs[0]?.id, 'job-00');
    assert.deepEqual(cutBefore, middle);
    assert.ok(jobs.length >= 21 && jobs.length <= 50, `${jobs.length} jobs`);
  });

  it('are never reported as complete when some are missing', async () => {
    let requests = 0;
    const options = { select: 'state', pageSize, onRequest: () => requests++ };
    const { jobs, cutBefore } = await newestJobs(batch, options);
    assert.equal(jobs.length, 50);
    assert.ok(cutBefore);
    assert.equal(requests, 25);
  });
});

const image = {
  virtualMachineConfiguration: {
    imageReference: { publisher: 'canonical', offer: 'ubuntu-24_04-lts', sku: 'server' },
    nodeAgentSKUId: 'batch.node.ubuntu 24.04',
  },
};
