import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BatchServiceClient, BatchServiceModels } from '@azure/batch';
import { eventually, machine, prepare, TestService } from './harness';

type Job = BatchServiceModels.JobAddParameter;

describe('Placement of tasks by the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;
  let client: BatchServiceClient;

  prepare(
    async () => {
      service = await TestService.start('--max-processes', '4');
      client = service.client('2025-06-01');
    },
    () => service.close(),
  );

  const addPool = async (id: string, taskSlotsPerNode: number) => {
    await client.pool.add({ id, ...machine, targetDedicatedNodes: 1, taskSlotsPerNode });
    await eventually(
      () => client.computeNode.list(id),
      ([node]) => node?.state === 'idle',
    );
  };
  /** Runs until there is a file of this name beside the data of the service. */
  const until = (name: string) =>
    `/bin/sh -c "until [ -e ${join(service.dataDir, name)} ]; do sleep 0.05; done"`;
  const go = (name: string) => writeFileSync(join(service.dataDir, name), '');
  const addJob = async (
    id: string,
    poolId: string,
    tasks: number,
    commandLine: string,
    more?: Partial<Job>,
  ) => {
    await client.job.add({ id, poolInfo: { poolId }, ...more });
    const ids = Array.from({ length: tasks }, (_, index) => ({ id: `t${index}`, commandLine }));
    await client.task.addCollection(id, ids);
  };
  const running = (jobId: string, count: number) =>
    eventually(
      () => client.job.getTaskCounts(jobId),
      ({ taskCounts }) => taskCounts.running === count,
    );
  const completed = (jobId: string, taskId = 't0') =>
    eventually(
      () => client.task.get(jobId, taskId),
      ({ state }) => state === 'completed',
    );
  const endAll = async (...jobIds: string[]) => {
    for (const id of jobIds) await client.job.deleteMethod(id);
  };

  it('requeues tasks of jobs that allow preemption for jobs of a higher priority, and no others', async () => {
    await addPool('preempting', 2);
    await addJob('firm', 'preempting', 1, until('firm'), { priority: -100 });
    await addJob('soft', 'preempting', 1, until('soft'), { priority: -10, allowTaskPreemption: true });
    await Promise.all([running('firm', 1), running('soft', 1)]);
    await addJob('equal', 'preempting', 1, '/bin/true', { priority: -10 });
    await addJob('urgent', 'preempting', 2, until('urgent'), { priority: 10 });
    await running('urgent', 1);
    const requeued = await eventually(
      () => client.task.get('soft', 't0'),
      ({ state }) => state === 'active',
    );
    assert.equal(requeued.executionInfo?.requeueCount, 1);
    go('urgent');
    await Promise.all([completed('urgent'), completed('urgent', 't1'), running('soft', 1)]);
    // It has the same priority, and waits.
    assert.equal((await client.task.get('equal', 't0')).state, 'active');
    go('soft');
    await completed('equal');
    const kept = await client.task.get('firm', 't0');
    assert.deepEqual([kept.state, kept.executionInfo?.requeueCount], ['running', 0]);
    await endAll('firm', 'soft', 'equal', 'urgent');
  });

  it('makes room on one node for a task that needs several slots, and takes no more tasks than that', async () => {
    await addPool('wide', 4);
    await addJob('filling', 'wide', 4, until('filling'), { allowTaskPreemption: true });
    await running('filling', 4);
    await client.job.add({ id: 'large', poolInfo: { poolId: 'wide' }, priority: 1 });
    await client.task.add('large', { id: 't0', commandLine: until('large'), requiredSlots: 3 });
    await running('large', 1);
    const { taskCounts } = await client.job.getTaskCounts('filling');
    assert.deepEqual([taskCounts.running, taskCounts.active], [1, 3]);
    go('large');
    await running('filling', 4);
    await endAll('filling', 'large');
  });

  it('gives the process of a preempted task to no other pool', async () => {
    await addPool('urgent-pool', 4);
    await addPool('waiting-pool', 4);
    await addJob('preempted', 'urgent-pool', 4, until('preempted'), { allowTaskPreemption: true });
    await running('preempted', 4);
    await addJob('waiting', 'waiting-pool', 4, until('preempted'));
    await addJob('first', 'urgent-pool', 1, until('first'), { priority: 1 });
    await running('first', 1);
    await running('preempted', 3);
    assert.equal((await client.job.getTaskCounts('waiting')).taskCounts.running, 0);
    go('first');
    await running('waiting', 1);
    await endAll('preempted', 'waiting', 'first');
  });

  /** Fills a pool, adds two jobs to it, and makes room for them. */
  const compete = async (poolId: string) => {
    await addJob(`${poolId}-0`, poolId, 4, until(`${poolId}-0`), { priority: 1 });
    await running(`${poolId}-0`, 4);
    for (const number of [1, 2]) await addJob(`${poolId}-${number}`, poolId, 10, until(`${poolId}-1`));
    go(`${poolId}-0`);
  };

  it('gives jobs of the same priority equal shares of a pool, and pools equal shares of the machine', async () => {
    await addPool('shared', 4);
    await addPool('other', 4);
    await compete('shared');
    await Promise.all([running('shared-1', 2), running('shared-2', 2)]);
    await addJob('elsewhere', 'other', 10, until('shared-1'));
    await client.job.disable('shared-1', 'requeue');
    await Promise.all([running('shared-2', 2), running('elsewhere', 2)]);
    await endAll('shared-0', 'shared-1', 'shared-2', 'elsewhere');
  });

  it('starts the tasks of older jobs first where the pool asks for that', async () => {
    const taskSchedulingPolicy = { nodeFillType: 'pack', jobDefaultOrder: 'CreationTime' };
    const pool = {
      id: 'ordered',
      ...machine,
      targetDedicatedNodes: 1,
      taskSlotsPerNode: 4,
      taskSchedulingPolicy,
    };
    const { status } = await service.request('POST', '/pools?api-version=2025-06-01', pool);
    assert.equal(status, 201);
    await compete('ordered');
    await running('ordered-1', 4);
    assert.equal((await client.job.getTaskCounts('ordered-2')).taskCounts.running, 0);
    await endAll('ordered-0', 'ordered-1', 'ordered-2');
  });

  it('starts tasks of other jobs where the preparation of a job has failed', async () => {
    await addPool('unprepared', 2);
    await addJob('failing', 'unprepared', 3, '/bin/true', {
      jobPreparationTask: { commandLine: '/bin/false' },
    });
    await eventually(
      () => client.job.listPreparationAndReleaseTaskStatus('failing'),
      ([status]) => status?.jobPreparationTaskExecutionInfo?.result === 'failure',
    );
    await addJob('working', 'unprepared', 1, '/bin/true');
    await completed('working');
    await endAll('failing', 'working');
  });
});
