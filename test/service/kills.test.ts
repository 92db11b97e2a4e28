import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { randomOf } from '../random';
import { listAll, machine, TestService } from './harness';

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
