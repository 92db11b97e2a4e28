import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { randomOf } from '../random';
import { processesWith } from './descendants';
import { eventually, listAll, machine, prepare, TestService } from './harness';

interface Ended {
  readonly endTime?: Date;
  readonly result?: string;
}

const kills = 30;
const plainTasks = 100;
/** In the command lines of this test alone, on the whole machine. */
const mark = `4321.${process.pid}`;

/** Adds tasks to its job with the token of the job manager task, slowly enough to be killed in between. */
const managerProgram = `
  const { AZ_BATCH_ACCOUNT_URL, AZ_BATCH_AUTHENTICATION_TOKEN, AZ_BATCH_JOB_ID } = process.env;
  for (const id of ['a', 'b', 'c']) {
    const { status } = await fetch(AZ_BATCH_ACCOUNT_URL + '/jobs/' + AZ_BATCH_JOB_ID + '/tasks?api-version=2025-06-01', {
      method: 'POST',
      headers: {
        authorization: 'Bearer ' + AZ_BATCH_AUTHENTICATION_TOKEN,
        'content-type': 'application/json; odata=minimalmetadata',
      },
      body: JSON.stringify({ id, commandLine: process.env.COMMAND }),
    });
    if (status !== 201 && status !== 409) process.exit(1);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
`;

describe('The local Batch service, killed again and again', function () {
  this.timeout(300_000);
  let service: TestService;

  prepare(
    async () => {
      service = await TestService.start('--max-processes', '0');
    },
    () => service.close(),
  );

  it(`loses no task of any kind in ${kills} kills, and runs none again that had completed`, async () => {
    const seed = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
    const random = randomOf(seed);
    const ledger = join(service.dataDir, 'ledger');
    const note = (then = '') =>
      `/bin/sh -c "sleep ${(0.2 + random() * 0.4).toFixed(2)}; echo $AZ_BATCH_JOB_ID/$AZ_BATCH_TASK_ID${then} >> ${ledger}"`;
    const client = service.client();
    const poolInfo = { poolId: 'pool' };
    await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 2, taskSlotsPerNode: 4 });
    await client.pool.add({
      id: 'together',
      ...machine,
      targetDedicatedNodes: 3,
      enableInterNodeCommunication: true,
    });
    await client.job.add({ id: 'plain', poolInfo });
    const plain = Array.from({ length: plainTasks }, (_, index) => ({
      id: `t${index}`,
      commandLine: note(),
    }));
    await client.task.addCollection('plain', plain);
    await client.job.add({ id: 'together', poolInfo: { poolId: 'together' } });
    const instances = Array.from({ length: 6 }, (_, index) => ({
      id: `m${index}`,
      commandLine: note(),
      multiInstanceSettings: {
        numberOfInstances: 2,
        coordinationCommandLine: `/bin/sh -c "sleep ${mark} & sleep 0.1"`,
      },
    }));
    await client.task.addCollection('together', instances);
    const program = join(service.dataDir, 'manager.mjs');
    writeFileSync(program, managerProgram);
    await client.job.add({
      id: 'managed',
      poolInfo,
      priority: 2,
      jobManagerTask: {
        id: 'manager',
        commandLine: `/bin/sh -c "${process.execPath} ${program} && echo managed/manager >> ${ledger}"`,
        environmentSettings: [{ name: 'COMMAND', value: note() }],
        authenticationTokenSettings: { access: ['job'] },
        killJobOnCompletion: false,
        runExclusive: false,
      },
    });
    await client.job.add({
      id: 'prepared',
      poolInfo,
      priority: 1,
      jobPreparationTask: {
        commandLine: note('/$AZ_BATCH_NODE_ID'),
        rerunOnNodeRebootAfterSuccess: false,
      },
      jobReleaseTask: { commandLine: note('/$AZ_BATCH_NODE_ID') },
    });
    await client.task.addCollection(
      'prepared',
      Array.from({ length: 8 }, (_, index) => ({ id: `p${index}`, commandLine: note() })),
    );
    await client.job.patch('prepared', { onAllTasksComplete: 'terminatejob' });
    await client.jobSchedule.add({
      id: 'hourly',
      schedule: { recurrenceInterval: 'PT1H' },
      jobSpecification: { poolInfo, priority: 3, jobManagerTask: { id: 'manager', commandLine: note() } },
    });

    const completed = new Map<string, string>();
    const runsOf = (key: string) =>
      (existsSync(ledger) ? readFileSync(ledger, 'utf8').split('\n') : []).filter((line) => line === key)
        .length;
    /** Remembers what has completed, and compares it with what was remembered. */
    const check = (key: string, info: Ended | undefined, mayFail = false) => {
      const { endTime, result } = info ?? {};
      const isOver = endTime !== undefined;
      const known = completed.get(key);
      if (!isOver) assert.equal(known, undefined, `${key} had completed (seed ${seed})`);
      else if (known === undefined && !mayFail) assert.equal(result, 'success', `${key} (seed ${seed})`);
      const now = `${endTime?.toISOString()}, ${runsOf(key)} runs`;
      if (known !== undefined) assert.equal(now, known, `${key} ran again (seed ${seed})`);
      else if (isOver) completed.set(key, now);
      return isOver;
    };
    /** Resolves to what has not completed. */
    const unfinished = async (): Promise<string[]> => {
      const present = service.client();
      const jobs = await present.job.list();
      const pending: string[] = [];
      for (const { id: jobId = '', state } of jobs) {
        const tasks = await listAll(present, jobId);
        const count = { plain: plainTasks, together: 6, managed: 4, prepared: 8 }[jobId] ?? 1;
        if (jobId !== 'managed') assert.equal(tasks.length, count, `${jobId} (seed ${seed})`);
        else if (tasks.length < count) pending.push('tasks of the manager');
        for (const { id, executionInfo } of tasks)
          if (!check(`${jobId}/${id}`, executionInfo)) pending.push(`${jobId}/${id}`);
        if (/^(prepared|hourly)/.test(jobId) && state !== 'completed') pending.push(`job ${jobId}: ${state}`);
      }
      const statuses = await present.job.listPreparationAndReleaseTaskStatus('prepared');
      const isEnding = (await present.job.get('prepared')).state !== 'active';
      for (const status of statuses) {
        for (const [id, info] of [
          ['jobpreparation', status.jobPreparationTaskExecutionInfo],
          ['jobrelease', status.jobReleaseTaskExecutionInfo],
        ] as const) {
          const key = `prepared/${id}/${status.nodeId}`;
          // A preparation that was interrupted, and that no task has needed since, ends with its job.
          if (!check(key, info, id === 'jobpreparation' && isEnding)) pending.push(key);
        }
      }
      return pending;
    };

    for (let kill = 1; kill <= kills; kill++) {
      await pause(random() * 400);
      await unfinished();
      await service.kill();
      await service.start();
      // Each time, the next recurrence is due.
      await service.fault({ clockOffsetMs: kill * 3_660_000 });
    }
    await eventually(unfinished, (pending) => pending.length === 0, 120);
    await eventually(
      async () => processesWith(mark),
      (left) => left.length === 0,
    );
    const kinds = [...completed.keys()].map((key) => key.replace(/\W.*/, ''));
    for (const kind of ['plain', 'together', 'managed', 'prepared', 'hourly'])
      assert.ok(kinds.includes(kind), `${kind} (seed ${seed})`);
  });
});
