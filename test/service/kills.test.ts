import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { randomOf } from '../random';
import { descendantsOf } from './descendants';
import { eventually, listAll, machine, TestService } from './harness';

const tasks = 200;
const kills = 30;

describe('The local Batch service, killed again and again', function () {
  this.timeout(300_000);
  let service: TestService;

  before(async () => {
    service = await TestService.start('--max-processes', '0');
  });

  after(() => service.close());

  it(`loses none of ${tasks} tasks in ${kills} kills, and runs none again that had completed`, async () => {
    const seed = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
    const random = randomOf(seed);
    const ledger = join(service.dataDir, 'ledger');
    const client = service.client();
    await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 2, taskSlotsPerNode: 4 });
    await client.job.add({ id: 'job', poolInfo: { poolId: 'pool' } });
    const all = Array.from({ length: tasks }, (_, index) => ({
      id: `t${index}`,
      commandLine: `/bin/sh -c "sleep ${(0.4 + random() * 0.4).toFixed(2)}; echo $AZ_BATCH_TASK_ID >> ${ledger}"`,
    }));
    for (let start = 0; start < tasks; start += 100)
      await client.task.addCollection('job', all.slice(start, start + 100));

    const completed = new Map<string, { endTime: string; runs: number }>();
    const look = async () => {
      const found = await listAll(service.client(), 'job');
      const runs = existsSync(ledger) ? readFileSync(ledger, 'utf8').split('\n') : [];
      for (const { id = '', state, executionInfo } of found) {
        const told = completed.get(id);
        const endTime = String(executionInfo?.endTime?.toISOString());
        const count = runs.filter((line) => line === id).length;
        if (told) {
          assert.equal(state, 'completed', `${id} had completed (seed ${seed})`);
          assert.deepEqual({ endTime, runs: count }, told, `${id} ran again (seed ${seed})`);
        } else if (state === 'completed') {
          completed.set(id, { endTime, runs: count });
          assert.equal(executionInfo?.exitCode, 0, `${id} (seed ${seed})`);
        }
      }
      return found.length;
    };

    for (let kill = 0; kill < kills; kill++) {
      await pause(random() * 500);
      await look();
      await service.kill();
      await service.start();
    }
    const end = Date.now() + 120_000;
    while (completed.size < tasks && Date.now() < end) {
      await pause(200);
      await look();
    }
    assert.deepEqual([await look(), completed.size], [tasks, tasks], `seed ${seed}`);
    const counts = await service.client().job.getTaskCounts('job');
    assert.equal(counts.taskCounts.succeeded, tasks);
  });
});

describe('The process that starts programs for the local Batch service', function () {
  this.timeout(60_000);
  let service: TestService;

  beforeEach(async () => {
    service = await TestService.start();
    const client = service.client();
    await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1 });
    await client.job.add({ id: 'job', poolInfo: { poolId: 'pool' } });
  });

  afterEach(() => service.close());

  const sleeper = { id: 'sleeper', commandLine: '/bin/sleep 321' };

  async function whileSleeping(): Promise<number> {
    await service.client().task.add('job', sleeper);
    return eventually(
      async () => descendantsOf(service.ready.pid, '321')[0] ?? 0,
      (pid) => pid > 0,
    );
  }

  it('takes what it started with it when the service is killed', async () => {
    const pid = await whileSleeping();
    await service.kill();
    await eventually(
      async () => existsSync(`/proc/${pid}`),
      (isThere) => !isThere,
    );
    await service.start();
    await eventually(
      () => service.client().task.get('job', 'sleeper'),
      ({ state, executionInfo }) => state === 'running' && executionInfo?.requeueCount === 1,
    );
  });

  it('is started again when it is killed itself, and what it had started has ended', async () => {
    await whileSleeping();
    const [starter = 0] = descendantsOf(service.ready.pid, 'starter.js');
    process.kill(starter, 'SIGKILL');
    const client = service.client();
    const ended = await eventually(
      () => client.task.get('job', 'sleeper'),
      ({ state }) => state === 'completed',
    );
    assert.equal(ended.executionInfo?.result, 'failure');
    assert.deepEqual(descendantsOf(service.ready.pid, '321'), []);
    await client.task.add('job', { id: 'next', commandLine: '/bin/true' });
    const next = await eventually(
      () => client.task.get('job', 'next'),
      ({ state }) => state === 'completed',
    );
    assert.equal(next.executionInfo?.exitCode, 0);
  });
});
