import assert from 'node:assert/strict';
import type { BatchServiceClient } from '@azure/batch';
import { eventually, machine, prepare, refused, TestService, withLongerLimits } from './harness';

const sleeping = { commandLine: '/bin/sh -c "sleep 600"' };

/** Faults that the service can be told to have: each is what its order says, and ends with it. */
describe('the faults of the local service', () => {
  let service: TestService;
  let client: BatchServiceClient;

  prepare(
    async function () {
      this.timeout(240_000);
      service = await TestService.start();
      client = service.client();
    },
    () => service.close(),
  );
  afterEach(() =>
    service.fault({
      refuseShare: 0,
      countsLagMs: 0,
      listsLagMs: 0,
      nodeArrivalMs: 0,
      resizingMs: 0,
      allocation: null,
      startTask: null,
      schedulingError: null,
      preemptEveryMs: 0,
      cutBody: { answers: 0 },
    }),
  );

  const pool = (id: string, nodes: number, more = {}) =>
    client.pool.add({ id, ...machine, targetLowPriorityNodes: nodes, ...more });
  const nodesOf = (id: string) => client.computeNode.list(id);
  const nodesIn = (id: string, state: string, count: number) =>
    eventually(
      () => nodesOf(id),
      (nodes) => nodes.filter((node) => node.state === state).length === count,
    );
  const steady = (id: string) =>
    eventually(
      () => client.pool.get(id),
      ({ allocationState }) => allocationState === 'steady',
    );

  it('task counts and node counts lag, and lists do not', async () => {
    await service.fault({ countsLagMs: 600_000 });
    await pool('lagging', 1);
    await client.job.add({ id: 'lagging', poolInfo: { poolId: 'lagging' } });
    await client.task.add('lagging', { id: 't', ...sleeping });
    await eventually(
      () => client.task.get('lagging', 't'),
      ({ state }) => state === 'running',
    );
    const { taskCounts } = await client.job.getTaskCounts('lagging');
    assert.deepEqual([taskCounts.active, taskCounts.running], [0, 0]);
    assert.deepEqual([...(await client.account.listPoolNodeCounts())], []);
    assert.equal((await client.task.list('lagging')).length, 1);
    await service.fault({ countsLagMs: 0 });
    assert.equal((await client.job.getTaskCounts('lagging')).taskCounts.running, 1);
  });

  it('lists lag, and arrive at the present', async () => {
    await service.fault({ listsLagMs: 600_000 });
    await pool('lists', 0);
    await client.job.add({ id: 'lists', poolInfo: { poolId: 'lists' } });
    await client.task.add('lists', { id: 't', ...sleeping });
    assert.deepEqual([...(await client.task.list('lists'))], []);
    assert.equal((await client.task.get('lists', 't')).id, 't');
    await service.fault({ listsLagMs: 200 });
    await eventually(
      () => client.task.list('lists'),
      (tasks) => tasks.length === 1,
    );
  });

  it('nodes arrive one by one', async () => {
    await service.fault({ nodeArrivalMs: 150 });
    await pool('slow', 3);
    const nodes = await eventually(
      () => nodesOf('slow'),
      ({ length }) => length === 3,
    );
    const times = nodes.map(({ allocationTime }) => Number(allocationTime)).sort((one, other) => one - other);
    for (const [index, time] of times.slice(1).entries()) assert.ok(time - (times[index] ?? 0) >= 149);
    await steady('slow');
  });

  it('an allocation error passes by itself; the next resize gets its nodes', async () => {
    let id = '';
    const { resizeErrors } = await withLongerLimits(
      async (seconds) => {
        id = `refused-${seconds}`;
        await service.fault({ allocation: { code: 'AllocationTimedOut', forMs: seconds * 1000 } });
        await pool(id, 1);
        return steady(id);
      },
      ({ resizeErrors = [] }) => resizeErrors.length > 0,
    );
    assert.equal(resizeErrors?.[0]?.code, 'AllocationTimedOut');
    await eventually(
      async () => {
        await steady(id);
        await client.pool.resize(id, { targetLowPriorityNodes: 1 });
        return (await steady(id)).resizeErrors ?? [];
      },
      (errors) => errors.length === 0,
    );
  });

  it('a resize lasts, and refuses others meanwhile', async () => {
    await service.fault({ resizingMs: 600_000 });
    await pool('resizing', 0);
    await assert.rejects(
      client.pool.resize('resizing', { targetLowPriorityNodes: 1 }),
      refused('PoolBeingResized', 409),
    );
  });

  it('nodes become unusable when they start, or later with a task', async () => {
    await service.fault({ unusable: 1 });
    await pool('broken', 2);
    await nodesIn('broken', 'unusable', 1);
    await nodesIn('broken', 'idle', 1);
    await client.job.add({ id: 'broken', poolInfo: { poolId: 'broken' } });
    await client.task.add('broken', { id: 't', ...sleeping });
    await nodesIn('broken', 'running', 1);
    await service.fault({ setNodes: { pool: 'broken', state: 'unusable' } });
    await nodesIn('broken', 'unusable', 2);
    await eventually(
      () => client.task.get('broken', 't'),
      ({ state, executionInfo }) => state === 'active' && executionInfo?.requeueCount === 1,
    );
    // As in Azure, which restarts only nodes that are idle or running.
    const [node] = await nodesOf('broken');
    await assert.rejects(
      client.computeNode.reboot('broken', node?.id ?? ''),
      refused('NodeStateUnusable', 409),
    );
    await pool('offline', 2);
    await nodesIn('offline', 'idle', 2);
    await service.fault({ setNodes: { pool: 'offline', state: 'offline' } });
    await nodesIn('offline', 'offline', 2);
  });

  it('a start task is slow, is interrupted by a reboot, and runs again', async () => {
    await service.fault({ startTask: { delayMs: 100 }, interruptStartTasks: 1 });
    const commandLine = '/bin/sh -c "echo ran >> $AZ_BATCH_NODE_SHARED_DIR/starts"';
    await pool('interrupted', 1, { startTask: { commandLine, waitForSuccess: true } });
    const [node] = await nodesIn('interrupted', 'idle', 1);
    const ranFor = Number(node?.startTaskInfo?.endTime) - Number(node?.startTaskInfo?.startTime);
    assert.ok(ranFor >= 99, `${ranFor} ms`);
    const { readableStreamBody } = await client.file.getFromComputeNode(
      'interrupted',
      node?.id ?? '',
      'shared/starts',
    );
    const chunks: string[] = [];
    for await (const chunk of readableStreamBody ?? []) chunks.push(String(chunk));
    assert.equal(chunks.join(''), 'ran\nran\n');
  });

  it('Spot nodes are preempted again and again, and replaced', async () => {
    await pool('taken', 1);
    const [first] = await nodesIn('taken', 'idle', 1);
    await service.fault({ preemptEveryMs: 100, seed: 7 });
    const ids = new Set([first?.id]);
    await eventually(
      async () => {
        for (const { id } of await nodesOf('taken')) ids.add(id);
        return ids.size;
      },
      (count) => count >= 3,
    );
  });

  it('a job whose auto pool is refused completes with a scheduling error and makes no pool', async () => {
    const schedulingError = {
      category: 'UserError',
      code: 'AccountCoreQuotaReached',
      message: 'The core quota of the account is used up.',
    };
    await service.fault({ schedulingError });
    await client.job.add({
      id: 'unscheduled',
      poolInfo: {
        autoPoolSpecification: {
          autoPoolIdPrefix: 'unscheduled',
          poolLifetimeOption: 'job',
          pool: { ...machine, targetLowPriorityNodes: 1 },
        },
      },
    });
    const { executionInfo } = await eventually(
      () => client.job.get('unscheduled'),
      ({ state }) => state === 'completed',
    );
    assert.deepEqual(executionInfo?.schedulingError, schedulingError);
    const { length } = await client.pool.list({
      poolListOptions: { filter: "startswith(id,'unscheduled')" },
    });
    assert.equal(length, 0);
  });

  it('refuses a share of all requests, the same ones for the same seed', async () => {
    const answers = async () => {
      await service.fault({ refuseShare: 0.3, seed: 20261125 });
      const statuses: number[] = [];
      for (let count = 0; count < 20; count++)
        statuses.push((await service.request('GET', '/pools?api-version=2025-06-01')).status);
      return statuses;
    };
    const first = await answers();
    assert.deepEqual(new Set(first), new Set([200, 429, 500, 503]));
    const isRefused = (statuses: number[]) => statuses.map((status) => status !== 200);
    assert.deepEqual(isRefused(await answers()), isRefused(first));
  });

  it('cuts the body of an answer, of one path alone', async () => {
    await service.fault({ cutBody: { answers: 1, path: 'GET /jobs' } });
    const whole = await service.request('GET', '/pools?api-version=2025-06-01');
    await whole.json();
    const half = await service.request('GET', '/jobs?api-version=2025-06-01');
    assert.equal(half.status, 200);
    await assert.rejects(half.text());
    await (await service.request('GET', '/jobs?api-version=2025-06-01')).json();
  });
});
