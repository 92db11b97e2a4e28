import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BatchServiceClient, BatchServiceModels } from '@azure/batch';
import { eventually, listAll, machine, prepare, refused, TestService } from './harness';

type Job = BatchServiceModels.JobAddParameter;

describe('Preparation and release tasks of the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;
  let client: BatchServiceClient;

  prepare(
    async () => {
      service = await TestService.start();
      client = service.client();
      await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 2, taskSlotsPerNode: 2 });
      // Otherwise the tasks of a job may all run on the first node.
      await eventually(
        () => client.computeNode.list('pool'),
        (nodes) => nodes.filter(({ state }) => state === 'idle').length === 2,
      );
    },
    () => service.close(),
  );

  /** A command that adds a line to a file beside the data of the service. */
  const noting = (line: string, then = 'true') =>
    `/bin/sh -c 'echo ${line} $AZ_BATCH_TASK_ID $AZ_BATCH_NODE_ID >> ${join(service.dataDir, 'notes')}; ${then}'`;
  const notes = (word: string): string[] => {
    const path = join(service.dataDir, 'notes');
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
    return lines.filter((line) => line.startsWith(`${word} `));
  };
  const addJob = (id: string, job: Partial<Job>) =>
    service.client().job.add({ id, poolInfo: { poolId: 'pool' }, ...job });
  const addTasks = (jobId: string, count: number, commandLine: string) =>
    service.client().task.addCollection(
      jobId,
      Array.from({ length: count }, (_, index) => ({ id: `t${index}`, commandLine })),
    );
  const completed = (jobId: string, count: number) =>
    eventually(
      () => service.client().job.getTaskCounts(jobId),
      ({ taskCounts }) => taskCounts.completed === count,
    );
  const jobCompleted = (jobId: string) =>
    eventually(
      () => service.client().job.get(jobId),
      ({ state }) => state === 'completed',
    );

  it('prepare each node once, before the first task there, and release it when the job ends', async () => {
    await addJob('both', {
      jobPreparationTask: { commandLine: noting('prep-both', 'sleep 0.3; echo shared > ../shared-by-job') },
      jobReleaseTask: {
        commandLine: noting('release-both', 'cat $AZ_BATCH_JOB_PREP_DIR/wd/../shared-by-job'),
      },
      onAllTasksComplete: 'noaction',
    });
    await addTasks('both', 6, `/bin/sh -c 'cat $AZ_BATCH_JOB_PREP_DIR/shared-by-job'`);
    await completed('both', 6);
    for (const { id, executionInfo } of await listAll(client, 'both'))
      assert.equal(executionInfo?.exitCode, 0, id);
    assert.equal(new Set(notes('prep-both')).size, 2);
    assert.equal(notes('prep-both').length, 2);
    assert.deepEqual(notes('release-both'), []);
    await client.job.terminate('both');
    await jobCompleted('both');
    assert.equal(new Set(notes('release-both')).size, 2);
    const status = await client.job.listPreparationAndReleaseTaskStatus('both');
    assert.equal(status.length, 2);
    for (const { jobPreparationTaskExecutionInfo, jobReleaseTaskExecutionInfo } of status) {
      assert.deepEqual(
        [jobPreparationTaskExecutionInfo?.result, jobReleaseTaskExecutionInfo?.result],
        ['success', 'success'],
      );
      assert.equal(jobReleaseTaskExecutionInfo?.taskRootDirectory, 'workitems/both/job-1/jobrelease');
    }
    const page = await client.job.listPreparationAndReleaseTaskStatus('both', {
      jobListPreparationAndReleaseTaskStatusOptions: { maxResults: 1 },
    });
    assert.deepEqual([page.length, Boolean(page.odatanextLink)], [1, true]);
  });

  it('keep tasks from a node where the preparation fails, unless they need not wait for it', async () => {
    await addJob('failing', { jobPreparationTask: { commandLine: '/bin/sh -c "exit 5"' } });
    await addTasks('failing', 1, '/bin/true');
    const status = await eventually(
      () => client.job.listPreparationAndReleaseTaskStatus('failing'),
      (list) =>
        list.length === 2 && list.every((one) => one.jobPreparationTaskExecutionInfo?.result === 'failure'),
    );
    assert.equal(status[0]?.jobPreparationTaskExecutionInfo?.exitCode, 5);
    assert.equal((await client.task.get('failing', 't0')).state, 'active');
    await client.job.terminate('failing');
    await jobCompleted('failing');
    await addJob('patient', {
      jobPreparationTask: { commandLine: '/bin/sh -c "sleep 600"', waitForSuccess: false },
      jobReleaseTask: { commandLine: '/bin/true' },
    });
    await addTasks('patient', 2, '/bin/true');
    await completed('patient', 2);
    await client.job.terminate('patient');
    await jobCompleted('patient');
    for (const one of await client.job.listPreparationAndReleaseTaskStatus('patient')) {
      const { jobPreparationTaskExecutionInfo: prepared, jobReleaseTaskExecutionInfo: released } = one;
      assert.deepEqual([prepared?.failureInfo?.code, released?.result], ['TaskEnded', 'success']);
    }
  });

  it('that fail keep tasks of other jobs from no node', async () => {
    const poolInfo = { poolId: 'single' };
    await client.pool.add({ id: 'single', ...machine, targetDedicatedNodes: 1 });
    await addJob('unprepared', { poolInfo, priority: 10, jobPreparationTask: { commandLine: '/bin/false' } });
    await addTasks('unprepared', 2, '/bin/true');
    await eventually(
      () => client.job.listPreparationAndReleaseTaskStatus('unprepared'),
      ([one]) => one?.jobPreparationTaskExecutionInfo?.result === 'failure',
    );
    for (const [id, priority] of [
      ['lower', 0],
      ['equal', 10],
    ] as const) {
      await addJob(id, { poolInfo, priority });
      await addTasks(id, 1, '/bin/true');
      await completed(id, 1);
    }
    const { taskCounts } = await client.job.getTaskCounts('unprepared');
    assert.deepEqual([taskCounts.active, taskCounts.completed], [2, 0]);
  });

  it('run again after a reboot only if the job wants that', async () => {
    for (const rerunOnNodeRebootAfterSuccess of [true, false]) {
      const id = `reboot-${rerunOnNodeRebootAfterSuccess}`;
      const jobPreparationTask = { commandLine: noting(id), rerunOnNodeRebootAfterSuccess };
      await addJob(id, { jobPreparationTask });
      await addTasks(id, 2, '/bin/true');
      await completed(id, 2);
    }
    const before = notes('reboot-false').length;
    for (const { id = '' } of await client.computeNode.list('pool'))
      await client.computeNode.reboot('pool', id);
    for (const id of ['reboot-true', 'reboot-false']) {
      await client.task.add(id, { id: 'again', commandLine: '/bin/true' });
      await completed(id, 3);
    }
    const ran = (await client.task.get('reboot-true', 'again')).nodeInfo?.nodeId ?? '';
    assert.equal(notes('reboot-true').filter((line) => line.endsWith(ran)).length > 0, true);
    assert.ok(notes('reboot-true').length > new Set(notes('reboot-true')).size, 'it ran once more');
    assert.ok(notes('reboot-false').length <= before + 1);
    assert.equal(notes('reboot-false').length, new Set(notes('reboot-false')).size);
  });

  it('survive kills of the service in each phase', async () => {
    await addJob('killed', {
      jobPreparationTask: { commandLine: noting('prep-killed', 'sleep 1') },
      jobReleaseTask: { commandLine: noting('release-killed', 'sleep 1') },
    });
    await addTasks('killed', 4, '/bin/sh -c "sleep 0.5"');
    await eventually(
      async () => notes('prep-killed').length,
      (count) => count > 0,
    );
    await service.kill();
    await service.start();
    await completed('killed', 4);
    await service.client().job.terminate('killed');
    await eventually(
      async () => notes('release-killed').length,
      (count) => count > 0,
    );
    await service.kill();
    await service.start();
    await jobCompleted('killed');
    for (const one of await service.client().job.listPreparationAndReleaseTaskStatus('killed'))
      assert.equal(one.jobReleaseTaskExecutionInfo?.result, 'success');
    client = service.client();
  });

  it('that a kill of the service interrupts end with their job when no task needs them again', async () => {
    await client.pool.add({ id: 'idle', ...machine, targetDedicatedNodes: 1 });
    await addJob('idle', {
      poolInfo: { poolId: 'idle' },
      jobPreparationTask: { commandLine: '/bin/sleep 600' },
      jobReleaseTask: { commandLine: '/bin/true' },
    });
    await addTasks('idle', 1, '/bin/true');
    const status = async () => (await service.client().job.listPreparationAndReleaseTaskStatus('idle'))[0];
    await eventually(status, (one) => one?.jobPreparationTaskExecutionInfo?.state === 'running');
    await client.job.disable('idle', 'requeue');
    await eventually(
      () => client.job.get('idle'),
      ({ state }) => state === 'disabled',
    );
    await service.kill();
    await service.start();
    client = service.client();
    await client.job.terminate('idle');
    await jobCompleted('idle');
    const ended = await status();
    assert.equal(ended?.jobPreparationTaskExecutionInfo?.state, 'completed');
    assert.equal(ended?.jobPreparationTaskExecutionInfo?.result, 'failure');
    assert.equal(ended?.jobReleaseTaskExecutionInfo?.result, 'success');
    await client.pool.deleteMethod('idle');
  });

  it('end with their job, which waits for no node that is gone', async () => {
    await client.pool.add({ id: 'gone', ...machine, targetDedicatedNodes: 1 });
    await addJob('gone', {
      poolInfo: { poolId: 'gone' },
      jobPreparationTask: { commandLine: '/bin/true' },
      jobReleaseTask: { commandLine: '/bin/sleep 600' },
    });
    await addTasks('gone', 1, '/bin/true');
    await completed('gone', 1);
    await client.job.terminate('gone');
    await eventually(
      () => client.job.listPreparationAndReleaseTaskStatus('gone'),
      ([one]) => one?.jobReleaseTaskExecutionInfo?.state === 'running',
    );
    await client.pool.deleteMethod('gone');
    await jobCompleted('gone');
    await addJob('unused', {
      jobPreparationTask: { commandLine: '/bin/true' },
      jobReleaseTask: { commandLine: '/bin/true' },
    });
    await client.job.terminate('unused');
    await jobCompleted('unused');
    await client.job.deleteMethod('unused');
    await eventually(
      () =>
        client.job.get('unused').then(
          () => false,
          () => true,
        ),
      Boolean,
    );
  });

  it('fail once where their folder cannot be made, and keep no job from its end', async () => {
    await addJob('blocked', {
      jobPreparationTask: { commandLine: '/bin/true' },
      jobReleaseTask: { commandLine: '/bin/true' },
    });
    await addTasks('blocked', 1, `/bin/sh -c ': > ../../jobrelease'`);
    await completed('blocked', 1);
    await client.job.terminate('blocked');
    await jobCompleted('blocked');
    const [status] = await client.job.listPreparationAndReleaseTaskStatus('blocked');
    const { state, result, failureInfo } = status?.jobReleaseTaskExecutionInfo ?? {};
    assert.deepEqual([state, result, failureInfo?.category], ['completed', 'failure', 'ServerError']);
  });

  it('are refused as Azure does: a release without a preparation or of more than 15 minutes, a status that nobody has', async () => {
    await assert.rejects(
      addJob('odd', { jobReleaseTask: { commandLine: '/bin/true' } }),
      refused('InvalidPropertyValue', 400, 'jobReleaseTask'),
    );
    const jobPreparationTask = { id: 'before', commandLine: '/bin/true' };
    const jobReleaseTask = { commandLine: '/bin/true' };
    await assert.rejects(
      addJob('slow', {
        jobPreparationTask,
        jobReleaseTask: { ...jobReleaseTask, maxWallClockTime: 'PT16M' },
      }),
      refused('InvalidPropertyValue', 400, 'maxWallClockTime'),
    );
    await assert.rejects(
      addJob('same', { jobPreparationTask, jobReleaseTask: { ...jobReleaseTask, id: 'BEFORE' } }),
      refused('TaskIdSameAsJobPreparationTask', 409),
    );
    await assert.rejects(
      addJob('same', {
        jobPreparationTask,
        jobReleaseTask,
        jobManagerTask: { id: 'jobrelease', commandLine: '/bin/true' },
      }),
      refused('TaskIdSameAsJobReleaseTask', 409),
    );
    await addJob('same', { jobPreparationTask, jobReleaseTask });
    for (const [id, code] of [
      ['before', 'TaskIdSameAsJobPreparationTask'],
      ['JobRelease', 'TaskIdSameAsJobReleaseTask'],
    ] as const)
      await assert.rejects(client.task.add('same', { id, commandLine: '/bin/true' }), refused(code, 409));
    await addJob('plain', {});
    await assert.rejects(
      client.job.listPreparationAndReleaseTaskStatus('plain'),
      refused('JobPreparationTaskOrReleaseTaskNotSpecified', 409),
    );
  });
});
