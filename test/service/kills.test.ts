import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { randomOf } from '../random';
import { descendantsOf, processesWith } from './descendants';
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

describe('The processes that start programs for the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;

  beforeEach(async () => {
    service = await TestService.start();
    const client = service.client();
    await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1, taskSlotsPerNode: 3 });
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

  it('leave no daemon of a task behind, whether the service is asked to end or killed and started again', async () => {
    const isThere = () => processesWith(mark).length > 0;
    const add = async (id: string) => {
      // A daemon that has not left the process group yet when its task ends would end with it.
      const daemon = `setsid sh -c 'touch began; sleep ${mark} & sleep ${mark}' > /dev/null 2>&1 &`;
      const commandLine = `/bin/sh -c "${daemon} while [ ! -e began ]; do sleep 0.02; done"`;
      await service.client().task.add('job', { id, commandLine });
      await eventually(
        () => service.client().task.get('job', id),
        ({ state }) => state === 'completed',
      );
      await eventually(async () => isThere(), Boolean);
    };
    await add('killed');
    await service.kill();
    await service.start();
    await eventually(async () => !isThere(), Boolean);
    await add('ended');
    process.kill(service.ready.pid, 'SIGTERM');
    await service.ended();
    await eventually(async () => !isThere(), Boolean);
  });

  it('end what they started when the service is killed', async () => {
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

  it('are started again when they are killed, and what they had started has ended', async () => {
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

  it('leave nothing when a program kills the one that is starting it', async () => {
    const client = service.client();
    const mark = `654.${process.pid}`;
    const tasks = ['1', '2', '3', '4', '5', '6'].map((id) => ({
      id,
      commandLine: `/bin/sh -c 'kill -9 $PPID; exec sleep ${mark}'`,
    }));
    await client.task.addCollection('job', tasks);
    const { taskCounts } = await eventually(
      () => client.job.getTaskCounts('job'),
      (read) => read.taskCounts.completed === tasks.length,
    );
    assert.equal(taskCounts.failed, tasks.length);
    await eventually(
      async () => processesWith(mark),
      (pids) => pids.length === 0,
    );
  });

  it('do not wait for each other', async () => {
    await whileSleeping();
    const client = service.client();
    const [first = 0] = descendantsOf(service.ready.pid, 'starter.js');
    process.kill(first, 'SIGSTOP');
    const tasks = ['one', 'two'].map((id) => ({ id, commandLine: '/bin/true' }));
    await client.task.addCollection('job', tasks);
    const completed = () =>
      Promise.all(tasks.map(({ id }) => client.task.get('job', id))).then((read) =>
        read.filter(({ state }) => state === 'completed').map(({ executionInfo }) => executionInfo?.exitCode),
      );
    await eventually(completed, (codes) => codes.length === 1);
    process.kill(first, 'SIGCONT');
    assert.deepEqual(await eventually(completed, (codes) => codes.length === 2), [0, 0]);
  });
});
