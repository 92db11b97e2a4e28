import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { BatchServiceClient } from '@azure/batch';
import { eventually, listAll, machine, prepare, TestService } from './harness';

describe('Job managers of the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;
  let client: BatchServiceClient;

  prepare(
    async () => {
      service = await TestService.start();
      client = service.client();
      await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 2, taskSlotsPerNode: 2 });
      await client.job.add({ id: 'other', poolInfo: { poolId: 'pool' } });
    },
    () => service.close(),
  );

  const completed = (jobId: string) =>
    eventually(
      () => service.client().job.get(jobId),
      ({ state }) => state === 'completed',
    );

  async function textOf(jobId: string, taskId: string, name: string): Promise<string> {
    const { readableStreamBody } = await service.client().file.getFromTask(jobId, taskId, name);
    const chunks: Buffer[] = [];
    for await (const chunk of readableStreamBody ?? []) chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks).toString();
  }

  it('add tasks with a token that is for their job alone, and ends with them', async () => {
    const program = resolve('out/test/service/tokenProgram.js');
    await client.job.add({
      id: 'managed',
      poolInfo: { poolId: 'pool' },
      jobManagerTask: {
        id: 'manager',
        commandLine: `"${process.execPath}" "${program}"`,
        killJobOnCompletion: false,
        authenticationTokenSettings: { access: ['job'] },
      },
    });
    await eventually(
      () => client.job.getTaskCounts('managed'),
      ({ taskCounts }) => taskCounts.completed === 4,
    );
    const ids = (await listAll(client, 'managed')).map(({ id, executionInfo }) => [
      id,
      executionInfo?.exitCode,
    ]);
    assert.deepEqual(ids, [
      ['a', 0],
      ['b', 0],
      ['c', 0],
      ['manager', 0],
    ]);
    assert.deepEqual((await textOf('managed', 'manager', 'stdout.txt')).trim().split('\n'), [
      'managed',
      ...['403', '403', '403'],
    ]);
    const token = (await textOf('managed', 'manager', 'stderr.txt')).trim();
    assert.ok(token.length > 30);
    assert.ok(!readFileSync(join(service.dataDir, 'state.jsonl'), 'utf8').includes(token));
    const late = await fetch(`${service.ready.batchUrl}/jobs/managed?api-version=2025-06-01`, {
      headers: { authorization: `Bearer ${token}` },
    });
    assert.equal(late.status, 403);
    assert.equal((await client.job.get('managed')).state, 'active');
  });

  it('run before other tasks, with a node to themselves, and end their job with its running tasks', async () => {
    await client.pool.add({ id: 'single', ...machine, targetDedicatedNodes: 1, taskSlotsPerNode: 4 });
    await client.job.add({
      id: 'exclusive',
      poolInfo: { poolId: 'single' },
      jobManagerTask: {
        id: 'manager',
        commandLine: `/bin/sh -c 'while [ ! -e ${service.dataDir}/go ]; do sleep 0.1; done'`,
      },
    });
    await client.task.add('exclusive', { id: 'worker', commandLine: '/bin/sleep 600' });
    await eventually(
      () => client.task.get('exclusive', 'manager'),
      ({ state }) => state === 'running',
    );
    assert.equal((await client.task.get('exclusive', 'worker')).state, 'active');
    await service.kill();
    await service.start();
    await eventually(
      () => service.client().task.get('exclusive', 'manager'),
      ({ state, executionInfo }) => state === 'running' && executionInfo?.requeueCount === 1,
    );
    await service.request('POST', '/jobs/exclusive/tasks?api-version=2025-06-01', {
      id: 'late',
      commandLine: '/bin/true',
    });
    writeFileSync(join(service.dataDir, 'go'), '');
    await completed('exclusive');
    const job = await service.client().job.get('exclusive');
    assert.equal(job.executionInfo?.terminateReason, 'JMComplete');
    assert.equal((await service.client().task.get('exclusive', 'late')).state, 'active');
    client = service.client();
  });

  it('wait for a dedicated node if they may not use a Spot node', async () => {
    await client.pool.add({ id: 'spot', ...machine, targetLowPriorityNodes: 1 });
    await client.job.add({
      id: 'dedicated',
      poolInfo: { poolId: 'spot' },
      jobManagerTask: { id: 'manager', commandLine: '/bin/true', allowLowPriorityNode: false },
    });
    await eventually(
      () => client.computeNode.list('spot'),
      ([node]) => node?.state === 'idle',
    );
    assert.equal((await client.task.get('dedicated', 'manager')).state, 'active');
    await client.pool.resize('spot', { targetDedicatedNodes: 1 });
    await completed('dedicated');
    const { nodeInfo } = await client.task.get('dedicated', 'manager');
    assert.match(nodeInfo?.nodeId ?? '', /_d$/);
  });

  it('end a job that was disabled while they run', async () => {
    const go = join(service.dataDir, 'go-on-disabled');
    await client.job.add({
      id: 'disabled',
      poolInfo: { poolId: 'pool' },
      jobManagerTask: { id: 'manager', commandLine: `/bin/sh -c "until [ -e ${go} ]; do sleep 0.05; done"` },
    });
    await eventually(
      () => client.task.get('disabled', 'manager'),
      ({ state }) => state === 'running',
    );
    await client.job.disable('disabled', 'wait');
    writeFileSync(go, '');
    const job = await completed('disabled');
    assert.equal(job.executionInfo?.terminateReason, 'JMComplete');
  });
});
