import assert from 'node:assert/strict';
import { existsSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BatchServiceClient, BatchServiceModels } from '@azure/batch';
import { eventually, machine, prepare, refused, TestService } from './harness';

describe('Jobs and tasks of the local Batch service', function () {
  this.timeout(240_000);
  const poolId = 'pool';
  let service: TestService;
  let client: BatchServiceClient;

  prepare(
    async () => {
      service = await TestService.start();
      client = service.client('2025-06-01');
      await client.pool.add({ id: poolId, ...machine, targetDedicatedNodes: 2, taskSlotsPerNode: 2 });
    },
    () => service.close(),
  );

  const wait = { id: 'wait', commandLine: '/bin/sleep 600' };
  /** Runs until there is a file of this name beside the data of the service. */
  const until = (name: string) =>
    `/bin/sh -c "until [ -e ${join(service.dataDir, name)} ]; do sleep 0.05; done"`;
  const go = (name: string) => writeFileSync(join(service.dataDir, name), '');

  async function addJob(
    id: string,
    tasks: BatchServiceModels.TaskAddParameter[],
    more: Partial<BatchServiceModels.JobAddParameter> = {},
  ): Promise<void> {
    await client.job.add({ id, poolInfo: { poolId }, ...more });
    if (tasks.length > 0) await client.task.addCollection(id, tasks);
  }

  const taskIn = (jobId: string, taskId: string, state: string) =>
    eventually(
      () => client.task.get(jobId, taskId),
      (task) => task.state === state,
    );

  const jobIn = (jobId: string, state: string) =>
    eventually(
      () => client.job.get(jobId),
      (job) => job.state === state,
    );

  it('are disabled by requeueing, terminating or waiting for running tasks, and enabled again', async () => {
    await addJob('requeue', [wait]);
    await taskIn('requeue', 'wait', 'running');
    await client.job.disable('requeue', 'requeue');
    await jobIn('requeue', 'disabled');
    const requeued = await client.task.get('requeue', 'wait');
    assert.deepEqual([requeued.state, requeued.executionInfo?.requeueCount], ['active', 1]);
    await client.job.enable('requeue');
    await jobIn('requeue', 'active');
    await taskIn('requeue', 'wait', 'running');
    await client.job.disable('requeue', 'terminate');
    const ended = await taskIn('requeue', 'wait', 'completed');
    assert.equal(ended.executionInfo?.failureInfo?.code, 'TaskEnded');
    await client.job.deleteMethod('requeue');

    await addJob('patient', [{ id: 'short', commandLine: until('patient') }]);
    await taskIn('patient', 'short', 'running');
    await client.job.disable('patient', 'wait');
    assert.equal((await client.job.get('patient')).state, 'disabling');
    go('patient');
    await jobIn('patient', 'disabled');
    const done = await client.task.get('patient', 'short');
    assert.deepEqual([done.executionInfo?.exitCode, done.executionInfo?.requeueCount], [0, 0]);
    await assert.rejects(client.job.disable('patient', 'wait'), refused('JobNotActive', 409));
    await client.job.enable('patient');
    await jobIn('patient', 'active');
    await assert.rejects(client.job.enable('patient'), refused('OperationInvalidForCurrentState', 409));
  });

  it('end when their time is over, also while they are disabled', async () => {
    await addJob('overdue', [wait]);
    await client.job.disable('overdue', 'requeue');
    await jobIn('overdue', 'disabled');
    await client.job.patch('overdue', { constraints: { maxWallClockTime: 'PT1S' } });
    const { executionInfo } = await jobIn('overdue', 'completed');
    assert.equal(executionInfo?.terminateReason, 'MaxWallClockTimeExpiry');
  });

  it('are updated by PATCH and PUT under conditions', async () => {
    await addJob('changed', []);
    const { eTag } = await client.job.get('changed');
    await client.job.patch('changed', { priority: 5 });
    await assert.rejects(
      client.job.update('changed', { poolInfo: { poolId } }, { jobUpdateOptions: { ifMatch: eTag } }),
      refused('ConditionNotMet', 412),
    );
    await client.job.update('changed', { poolInfo: { poolId }, onAllTasksComplete: 'noaction' });
    assert.equal((await client.job.get('changed')).priority, 0);
    await client.job.patch('changed', { onAllTasksComplete: 'terminatejob' });
    const job = await jobIn('changed', 'completed');
    assert.equal(job.executionInfo?.terminateReason, 'AllTasksComplete');
    await assert.rejects(client.job.patch('changed', { priority: 1 }), refused('JobCompleted', 409));
  });

  it('are terminated by the exit conditions of a failed task', async () => {
    await addJob(
      'strict',
      [
        {
          id: 'fine',
          commandLine: '/bin/sh -c "exit 3"',
          exitConditions: {
            exitCodes: [{ code: 3, exitOptions: { jobAction: 'none', dependencyAction: 'satisfy' } }],
          },
        },
        {
          id: 'grave',
          commandLine: '/bin/sh -c "exit 4"',
          exitConditions: { exitCodeRanges: [{ start: 4, end: 5, exitOptions: { jobAction: 'terminate' } }] },
          dependsOn: { taskIds: ['after', 'fine'] },
        },
        { id: 'after', commandLine: '/bin/true' },
      ],
      { onTaskFailure: 'performexitoptionsjobaction', usesTaskDependencies: true },
    );
    const job = await jobIn('strict', 'completed');
    assert.equal(job.executionInfo?.terminateReason, 'TaskFailed');
    assert.equal((await client.task.get('strict', 'fine')).executionInfo?.exitCode, 3);
    await addJob('lax', []);
    for (const options of [{ jobAction: 'terminate' }, { dependencyAction: 'satisfy' }] as const) {
      await assert.rejects(
        client.task.add('lax', {
          id: 'asks',
          commandLine: '/bin/true',
          exitConditions: { default: options },
        }),
        refused('InvalidPropertyValue', 400, 'exitConditions'),
      );
    }
  });

  it('have tasks that are terminated, updated while they wait, and reactivated', async () => {
    await addJob('again', [{ id: 'bad', commandLine: '/bin/sh -c "exit 1"' }, wait]);
    const failed = await taskIn('again', 'bad', 'completed');
    assert.equal(failed.executionInfo?.failureInfo?.code, 'FailureExitCode');
    await assert.rejects(client.task.terminate('again', 'bad'), refused('TaskCompleted', 409));
    await client.job.disable('again', 'wait');
    await client.task.reactivate('again', 'bad');
    const active = await client.task.get('again', 'bad');
    assert.deepEqual([active.state, active.executionInfo?.failureInfo], ['active', undefined]);
    await client.task.update('again', 'bad', { constraints: { maxTaskRetryCount: 1 } });
    assert.equal((await client.task.get('again', 'bad')).constraints?.maxTaskRetryCount, 1);
    await client.task.terminate('again', 'wait');
    const ended = await taskIn('again', 'wait', 'completed');
    assert.equal(ended.executionInfo?.failureInfo?.category, 'UserError');
    await client.job.enable('again');
    const retried = await taskIn('again', 'bad', 'completed');
    assert.equal(retried.executionInfo?.retryCount, 1);
    await client.task.deleteMethod('again', 'bad');
    await assert.rejects(client.task.get('again', 'bad'), refused('TaskNotFound', 404));
  });

  it('respect dependencies on tasks and ranges, which a failed task blocks unless it satisfies them', async () => {
    await addJob(
      'chain',
      [
        { id: '3', commandLine: '/bin/true', dependsOn: { taskIdRanges: [{ start: 1, end: 2 }] } },
        { id: '2', commandLine: '/bin/true', dependsOn: { taskIds: ['1'] } },
        { id: '1', commandLine: '/bin/true' },
        { id: 'stuck', commandLine: '/bin/true', dependsOn: { taskIds: ['fails'] } },
        { id: 'goes', commandLine: '/bin/true', dependsOn: { taskIds: ['forgiven'] } },
        { id: 'fails', commandLine: '/bin/false' },
        {
          id: 'forgiven',
          commandLine: '/bin/false',
          exitConditions: { default: { dependencyAction: 'satisfy' } },
        },
      ],
      { usesTaskDependencies: true },
    );
    for (const id of ['3', 'goes', 'fails']) await taskIn('chain', id, 'completed');
    assert.equal((await client.task.get('chain', 'stuck')).state, 'active');
    await client.task.deleteMethod('chain', 'fails');
    await client.task.add('chain', { id: 'fails', commandLine: '/bin/true' });
    await taskIn('chain', 'stuck', 'completed');
  });

  it('are not held up by tasks that no node has enough slots for, however many', async () => {
    const huge = (from: number, count: number) =>
      Array.from({ length: count }, (_, index) => ({
        id: `huge${from + index}`,
        commandLine: '/bin/true',
        requiredSlots: 3,
      }));
    await addJob('large', huge(0, 100), { priority: 900 });
    await client.task.addCollection('large', [...huge(100, 20), { id: 'one', commandLine: '/bin/true' }]);
    await taskIn('large', 'one', 'completed');
    await addJob('small', [{ id: 'one', commandLine: '/bin/true' }]);
    await taskIn('small', 'one', 'completed');
    assert.equal((await client.task.get('large', 'huge0')).state, 'active');
    await client.job.deleteMethod('large');
  });

  it('fill the slots of nodes in order of priority', async () => {
    const busy = Array.from({ length: 2 }, (_, index) => ({
      id: `two${index}`,
      commandLine: until('slots'),
      requiredSlots: 2,
    }));
    await addJob('slots', busy);
    for (const { id } of busy) await taskIn('slots', id, 'running');
    await addJob('late', [{ id: 'task', commandLine: '/bin/true' }], { priority: -10 });
    await addJob('early', [{ id: 'task', commandLine: '/bin/true', requiredSlots: 2 }], { priority: 10 });
    const counts = await client.job.getTaskCounts('slots');
    assert.equal(counts.taskSlotCounts.running, 4);
    go('slots');
    const [late, early] = await Promise.all(['late', 'early'].map((id) => taskIn(id, 'task', 'completed')));
    const start = (task?: BatchServiceModels.CloudTask) => Number(task?.executionInfo?.startTime);
    assert.ok(start(early) <= start(late));
  });

  it('keep files for their retention time, and then report that they were cleaned up', async () => {
    await addJob('kept', [
      { id: 'short', commandLine: '/bin/echo hello', constraints: { retentionTime: 'PT1S' } },
      { id: 'long', commandLine: '/bin/echo hello' },
    ]);
    await taskIn('kept', 'short', 'completed');
    await taskIn('kept', 'long', 'completed');
    await client.file.getPropertiesFromTask('kept', 'long', 'stdout.txt');
    const reply = await eventually(
      () => service.request('GET', '/jobs/kept/tasks/short/files?api-version=2025-06-01'),
      ({ status }) => status === 409,
    );
    assert.equal(((await reply.json()) as { code: string }).code, 'TaskFilesCleanedup');
    const { nodeInfo } = await client.task.get('kept', 'short');
    await eventually(
      () =>
        client.file.listFromComputeNode(poolId, nodeInfo?.nodeId ?? '', {
          recursive: true,
          fileListFromComputeNodeOptions: { filter: "startswith(name,'workitems/kept/job-1/short')" },
        }),
      (files) => files.length === 0,
    );
  });

  it('serve ranges of files, respect If-Modified-Since, and delete files', async () => {
    await addJob('files', [
      { id: 'task', commandLine: '/bin/sh -c "echo 0123456789; ln -s ../stdout.txt link"' },
    ]);
    await taskIn('files', 'task', 'completed');
    const path = '/jobs/files/tasks/task/files/stdout.txt?api-version=2025-06-01';
    const range = async (text: string) => {
      const { readableStreamBody } = await client.file.getFromTask('files', 'task', 'stdout.txt', {
        fileGetFromTaskOptions: { ocpRange: text },
      });
      let read = '';
      for await (const chunk of readableStreamBody ?? []) read += chunk;
      return read;
    };
    assert.equal(await range('bytes=2-4'), '234');
    assert.equal(await range('bytes=8-'), '89\n');
    const beyond = { ocpRange: 'bytes=50-60' };
    await assert.rejects(
      client.file.getFromTask('files', 'task', 'stdout.txt', { fileGetFromTaskOptions: beyond }),
      { statusCode: 416 },
    );
    const since = new Date(Date.now() + 1000).toUTCString();
    const unchanged = await service.request('GET', path, undefined, { 'if-modified-since': since });
    assert.equal(unchanged.status, 304);
    await assert.rejects(range('bytes=4-2'), { statusCode: 400 });
    // Of a link, the link is deleted, and the folder of the task is not.
    await client.file.deleteFromTask('files', 'task', 'wd/link');
    await assert.rejects(
      client.file.deleteFromTask('files', 'task', 'wd/..', { recursive: true }),
      refused('FileNotFound', 404),
    );
    assert.equal(await range('bytes=2-4'), '234');
    await client.file.deleteFromTask('files', 'task', 'stdout.txt');
    assert.equal((await service.request('GET', path)).status, 404);
  });

  it('list files by URLs that lead to them, and delete links wherever they lead', async () => {
    const commandLine = `/bin/sh -c 'echo 1 > "a#b?c%.txt"; ln -s /etc/passwd outside; ln -s nowhere broken'`;
    await addJob('names', [{ id: 'task', commandLine }]);
    await taskIn('names', 'task', 'completed');
    const list = async () =>
      [...(await client.file.listFromTask('names', 'task', { recursive: true }))].filter(({ name }) =>
        name?.startsWith('wd/'),
      );
    const files = await list();
    assert.deepEqual(
      files.map(({ name }) => name),
      ['wd/a#b?c%.txt', 'wd/broken', 'wd/outside'],
    );
    const { pathname } = new URL(files[0]?.url ?? '');
    const reply = await service.request('GET', `${pathname}?api-version=2025-06-01`);
    assert.equal(await reply.text(), '1\n');
    for (const name of ['wd/broken', 'wd/outside']) {
      await assert.rejects(client.file.getFromTask('names', 'task', name), { statusCode: 404 });
      await client.file.deleteFromTask('names', 'task', name);
    }
    assert.equal((await list()).length, 1);
    assert.ok(existsSync('/etc/passwd'));
  });

  it('cut the connection when a file becomes shorter while it is sent', async () => {
    await addJob('shrinks', [{ id: 'task', commandLine: '/bin/sh -c "truncate -s 300M sparse"' }]);
    const { nodeInfo } = await taskIn('shrinks', 'task', 'completed');
    const { nodeId = '', taskRootDirectory = '' } = nodeInfo ?? {};
    const path = '/jobs/shrinks/tasks/task/files/wd/sparse?api-version=2025-06-01';
    const { body } = await service.request('GET', path);
    const reader = body?.getReader();
    await reader?.read();
    truncateSync(join(service.dataDir, 'nodes', poolId, nodeId, taskRootDirectory, 'wd/sparse'), 0);
    await assert.rejects(async () => {
      while (!(await reader?.read())?.done);
    });
  });

  it('run on the node that they ask for, if it is free', async () => {
    const nodes = await eventually(
      () => client.computeNode.list(poolId),
      (list) => list.length === 2 && list.every(({ state }) => state === 'idle'),
    );
    for (const [index, { id, affinityId = '' }] of nodes.entries()) {
      const tasks = ['one', 'two'].map((name) => ({
        id: `${name}${index}`,
        commandLine: until('near'),
        affinityInfo: { affinityId },
      }));
      await addJob(`near${index}`, tasks);
      for (const task of tasks)
        assert.equal((await taskIn(`near${index}`, task.id, 'running')).nodeInfo?.nodeId, id);
    }
    go('near');
    for (const index of nodes.keys()) await client.job.deleteMethod(`near${index}`);
  });

  it('are counted on their nodes, which list recent tasks', async () => {
    await addJob('counted', [
      { id: 'good', commandLine: '/bin/true' },
      { id: 'bad', commandLine: '/bin/false' },
    ]);
    const tasks = await Promise.all(['good', 'bad'].map((id) => taskIn('counted', id, 'completed')));
    const nodes = await client.computeNode.list(poolId);
    const recent = nodes.flatMap(({ recentTasks = [] }) => recentTasks);
    for (const task of tasks) assert.ok(recent.some(({ taskUrl }) => taskUrl === task.url));
    for (const { totalTasksRun = 0, totalTasksSucceeded = 0 } of nodes)
      assert.ok(totalTasksSucceeded <= totalTasksRun);
    assert.ok(nodes.some(({ totalTasksSucceeded = 0 }) => totalTasksSucceeded > 0));
  });

  it('are refused by name where this service does less than Azure', async () => {
    await addJob('plain', []);
    await assert.rejects(
      client.job.listPreparationAndReleaseTaskStatus('plain'),
      refused('JobPreparationTaskOrReleaseTaskNotSpecified', 409),
    );
    await assert.rejects(
      client.pool.patch(poolId, { applicationPackageReferences: [{ applicationId: 'app' }] }),
      refused('InvalidApplicationPackageReferences', 409),
    );
  });

  it('accept collections of the size that Azure accepts', async () => {
    await addJob('many', []);
    const tasks = Array.from({ length: 101 }, (_, index) => ({ id: `t${index}`, commandLine: '/bin/true' }));
    // The official client refuses to send so many.
    const path = '/jobs/many/addtaskcollection?api-version=2025-06-01';
    assert.equal((await service.request('POST', path, { value: tasks })).status, 400);
    const long = `/bin/echo ${'x'.repeat(15_000)}`;
    const fat = tasks.slice(0, 100).map(({ id }) => ({ id, commandLine: long }));
    await assert.rejects(client.task.addCollection('many', fat), refused('RequestBodyTooLarge', 413));
    const counts = await client.job.getTaskCounts('many');
    assert.equal(counts.taskCounts.active + counts.taskCounts.completed, 0);
  });
});
