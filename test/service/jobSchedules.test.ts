import assert from 'node:assert/strict';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BatchServiceClient, BatchServiceModels } from '@azure/batch';
import { eventually, machine, prepare, refused, TestService } from './harness';

const minute = 60_000;

describe('Job schedules of the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;
  let client: BatchServiceClient;

  prepare(
    async () => {
      service = await TestService.start();
      client = service.client('2025-06-01');
    },
    () => service.close(),
  );

  /** Sets the clock of job schedules ahead of the machine's. */
  const advance = (ms: number) => service.fault({ clockOffsetMs: ms });

  async function add(
    id: string,
    schedule: BatchServiceModels.Schedule,
    poolInfo: BatchServiceModels.PoolInformation = { poolId: 'none' },
  ): Promise<void> {
    await advance(0);
    await client.jobSchedule.add({ id, schedule, jobSpecification: { poolInfo, priority: 3 } });
  }

  const jobsOf = async (id: string) => (await client.job.listFromJobSchedule(id)).map((job) => job.id);
  const jobsAre = (id: string, ...numbers: number[]) =>
    eventually(
      () => jobsOf(id),
      (ids) => ids.join() === numbers.map((number) => `${id}:job-${number}`).join(),
    );
  const stateIs = (id: string, state: string) =>
    eventually(
      () => client.jobSchedule.get(id),
      (schedule) => schedule.state === state,
    );

  it('make a job at once, and the next when it is due and the last one is over', async () => {
    await add('hourly', { recurrenceInterval: 'PT1H' });
    await jobsAre('hourly', 1);
    const job = await client.job.get('hourly:job-1');
    assert.deepEqual([job.priority, job.state, job.poolInfo?.poolId], [3, 'active', 'none']);
    const { executionInfo, creationTime } = await client.jobSchedule.get('hourly');
    assert.equal(executionInfo?.recentJob?.id, 'hourly:job-1');
    const pause = Number(executionInfo?.nextRunTime) - Number(creationTime);
    assert.ok(Math.abs(pause - 60 * minute) < minute, String(pause));

    await advance(61 * minute);
    assert.deepEqual(await jobsOf('hourly'), ['hourly:job-1']);
    await client.job.terminate('hourly:job-1');
    await jobsAre('hourly', 1, 2);
    // Three recurrences later there is one job, not three.
    await client.job.terminate('hourly:job-2');
    await advance(4 * 60 * minute + minute);
    await jobsAre('hourly', 1, 2, 3);
  });

  it('lose the opportunity of a start window', async () => {
    await add('window', { recurrenceInterval: 'PT1H', startWindow: 'PT10M' });
    await jobsAre('window', 1);
    await advance(75 * minute);
    await eventually(
      () => client.jobSchedule.get('window'),
      ({ executionInfo }) => Number(executionInfo?.nextRunTime) - Date.now() > 110 * minute,
    );
    await client.job.terminate('window:job-1');
    assert.deepEqual(await jobsOf('window'), ['window:job-1']);
    await advance(125 * minute);
    await jobsAre('window', 1, 2);
  });

  it('run once without a recurrence, and complete with their job', async () => {
    await add('once', { doNotRunUntil: new Date(Date.now() + 30 * minute) });
    assert.deepEqual(await jobsOf('once'), []);
    await advance(31 * minute);
    await jobsAre('once', 1);
    assert.equal((await client.jobSchedule.get('once')).state, 'active');
    await client.job.terminate('once:job-1');
    const done = await stateIs('once', 'completed');
    assert.ok(done.executionInfo?.endTime);
    await assert.rejects(client.jobSchedule.disable('once'), refused('JobScheduleCompleted', 409));
  });

  it('run once with a recurrence that never comes', async () => {
    for (const [id, recurrenceInterval] of [
      ['endless', 'P10675199DT2H48M5.4775807S'],
      ['remote', 'P20000Y'],
    ] as const) {
      await add(id, { recurrenceInterval });
      await jobsAre(id, 1);
      const { executionInfo, state } = await client.jobSchedule.get(id);
      assert.deepEqual([executionInfo?.nextRunTime, state], [undefined, 'active']);
      await client.job.terminate(`${id}:job-1`);
      await stateIs(id, 'completed');
    }
  });

  it('complete after the time after which they make no jobs', async () => {
    await add('until', { recurrenceInterval: 'PT1H', doNotRunAfter: new Date(Date.now() + 90 * minute) });
    await jobsAre('until', 1);
    await client.job.terminate('until:job-1');
    await advance(61 * minute);
    await jobsAre('until', 1, 2);
    await advance(200 * minute);
    assert.equal((await client.jobSchedule.get('until')).state, 'active');
    await client.job.terminate('until:job-2');
    await stateIs('until', 'completed');
    assert.deepEqual(await jobsOf('until'), ['until:job-1', 'until:job-2']);
  });

  it('are disabled, enabled, changed and terminated', async () => {
    await add('changed', { recurrenceInterval: 'PT1H' });
    await jobsAre('changed', 1);
    await client.job.terminate('changed:job-1');
    await client.jobSchedule.disable('changed');
    await advance(70 * minute);
    assert.deepEqual(await jobsOf('changed'), ['changed:job-1']);
    await client.jobSchedule.patch('changed', {
      jobSpecification: { poolInfo: { poolId: 'none' }, priority: 9 },
      metadata: [{ name: 'a', value: 'b' }],
    });
    await client.jobSchedule.enable('changed');
    await jobsAre('changed', 1, 2);
    assert.equal((await client.job.get('changed:job-2')).priority, 9);
    await client.jobSchedule.update('changed', {
      schedule: { recurrenceInterval: 'PT10H' },
      jobSpecification: { poolInfo: { poolId: 'none' } },
    });
    const { schedule, metadata, eTag } = await client.jobSchedule.get('changed');
    assert.deepEqual([schedule?.recurrenceInterval, metadata], ['PT10H', undefined]);
    await assert.rejects(
      client.jobSchedule.disable('changed', { jobScheduleDisableOptions: { ifMatch: `${eTag}1` } }),
      refused('ConditionNotMet', 412),
    );
    await client.jobSchedule.terminate('changed');
    await stateIs('changed', 'completed');
    const ended = await client.job.get('changed:job-2');
    assert.deepEqual(
      [ended.state, ended.executionInfo?.terminateReason],
      ['completed', 'TerminateJobSchedule'],
    );
  });

  it('share an auto pool that lasts as long as the schedule, and keep files apart by job', async () => {
    await add(
      'pooled',
      { recurrenceInterval: 'PT1H' },
      {
        autoPoolSpecification: {
          autoPoolIdPrefix: 'pooled',
          poolLifetimeOption: 'jobschedule',
          pool: { ...machine, targetDedicatedNodes: 1 },
        },
      },
    );
    await jobsAre('pooled', 1);
    const poolOf = async (id: string) => (await client.job.get(id)).executionInfo?.poolId ?? '';
    const first = await poolOf('pooled:job-1');
    assert.match(first, /^pooled_/);
    await client.task.add('pooled:job-1', { id: 'task', commandLine: '/bin/sh -c "pwd"' });
    const done = await eventually(
      () => client.task.get('pooled:job-1', 'task'),
      ({ state }) => state === 'completed',
    );
    assert.equal(done.nodeInfo?.taskRootDirectory, 'workitems/pooled/job-1/task');
    await client.file.getPropertiesFromTask('pooled:job-1', 'task', 'stdout.txt');
    await client.job.terminate('pooled:job-1');
    await advance(61 * minute);
    await jobsAre('pooled', 1, 2);
    assert.equal(await poolOf('pooled:job-2'), first);
    await client.jobSchedule.deleteMethod('pooled');
    await eventually(
      () => client.jobSchedule.list(),
      (schedules) => schedules.every(({ id }) => id !== 'pooled'),
    );
    await eventually(
      () => client.pool.exists(first),
      ({ body }) => !body,
    );
    assert.ok((await client.job.list()).every(({ id }) => !id?.startsWith('pooled:')));
  });

  it('share a pool that is kept alive, which their end leaves', async () => {
    await add(
      'alive',
      { recurrenceInterval: 'PT1H' },
      {
        autoPoolSpecification: {
          autoPoolIdPrefix: 'alive',
          poolLifetimeOption: 'jobschedule',
          keepAlive: true,
          pool: machine,
        },
      },
    );
    await jobsAre('alive', 1);
    await client.job.terminate('alive:job-1');
    await advance(61 * minute);
    await jobsAre('alive', 1, 2);
    const pools = async () =>
      [...(await client.pool.list())].map(({ id = '' }) => id).filter((id) => id.startsWith('alive_'));
    assert.equal((await pools()).length, 1);
    const options = { jobScheduleGetOptions: { expand: 'stats' } };
    const { stats } = await client.jobSchedule.get('alive', options);
    assert.deepEqual([stats?.numSucceededTasks, stats?.numTaskRetries], [0, 0]);
    await client.jobSchedule.terminate('alive');
    await stateIs('alive', 'completed');
    assert.equal((await client.pool.get((await pools())[0] ?? '')).state, 'active');
  });

  it('lose an occurrence whose job cannot be made, and no other', async () => {
    const archive = join(service.dataDir, 'packages/app/1.zip');
    await mkdir(dirname(archive), { recursive: true });
    await writeFile(archive, '');
    await advance(0);
    const manager = {
      id: 'manager',
      commandLine: '/bin/true',
      applicationPackageReferences: [{ applicationId: 'app', version: '1' }],
    };
    await client.jobSchedule.add({
      id: 'packaged',
      schedule: { recurrenceInterval: 'PT1H' },
      jobSpecification: { poolInfo: { poolId: 'none' }, jobManagerTask: manager },
    });
    await jobsAre('packaged', 1);
    await client.job.terminate('packaged:job-1');
    await rm(archive);
    await advance(61 * minute);
    const { executionInfo } = await eventually(
      () => client.jobSchedule.get('packaged'),
      (schedule) => Number(schedule.executionInfo?.nextRunTime) - Date.now() > 100 * minute,
    );
    assert.equal(executionInfo?.recentJob?.id, 'packaged:job-1');
    await writeFile(archive, '');
    await advance(121 * minute);
    await jobsAre('packaged', 1, 2);
  });

  it('survive a crash, and are refused what Azure refuses', async () => {
    await add('kept', { recurrenceInterval: 'P1D' });
    await jobsAre('kept', 1);
    const before = await client.jobSchedule.get('kept');
    await service.kill();
    // As if it had been killed between storing the job and storing that the schedule has made it.
    const journal = join(service.dataDir, 'state.jsonl');
    const lines = (await readFile(journal, 'utf8')).split('\n');
    const isLate = (line: string) => line.startsWith('["schedule/kept"') && line.includes('"jobs":1');
    assert.ok(lines.some(isLate));
    await writeFile(journal, lines.filter((line) => !isLate(line)).join('\n'));
    await service.start();
    client = service.client('2025-06-01');
    const after = await client.jobSchedule.get('kept');
    assert.deepEqual(after.executionInfo?.nextRunTime, before.executionInfo?.nextRunTime);
    assert.equal(after.executionInfo?.recentJob?.id, 'kept:job-1');
    assert.deepEqual(await jobsOf('kept'), ['kept:job-1']);
    assert.equal((await client.jobSchedule.exists('kept')).body, true);
    assert.equal((await client.jobSchedule.exists('never')).body, false);
    const options = {
      jobScheduleListOptions: { filter: "startswith(id,'ke') and state eq 'active'", select: 'id' },
    };
    assert.deepEqual([...(await client.jobSchedule.list(options))], [{ id: 'kept' }]);
    const poolInfo = { poolId: 'none' };
    const again = { id: 'kept', schedule: {}, jobSpecification: { poolInfo } };
    await assert.rejects(client.jobSchedule.add(again), refused('JobScheduleExists', 409));
    await assert.rejects(
      client.job.add({ id: 'kept', poolInfo }),
      refused('JobScheduleWithSameIdExists', 409),
    );
    await assert.rejects(client.jobSchedule.get('never'), refused('JobScheduleNotFound', 404));
    await assert.rejects(
      client.jobSchedule.add({ ...again, id: 'often', schedule: { recurrenceInterval: 'PT30S' } }),
      refused('InvalidPropertyValue', 400, 'recurrenceInterval'),
    );
    await assert.rejects(
      client.jobSchedule.add({ ...again, id: 'bad', jobSpecification: { poolInfo: { poolId: '../x' } } }),
      refused('InvalidPropertyValue', 400, 'poolId'),
    );
    await assert.rejects(
      client.job.add({
        id: 'alone',
        poolInfo: { autoPoolSpecification: { poolLifetimeOption: 'jobschedule', pool: machine } },
      }),
      refused('InvalidPropertyValue', 400, 'poolLifetimeOption'),
    );
  });
});
