import assert from 'node:assert/strict';
import type { BatchServiceClient, BatchServiceModels } from '@azure/batch';
import { eventually, machine, prepare, realAccount, refused, type TestAccount, TestService } from './harness';

const pool: BatchServiceModels.PoolAddParameter = {
  id: `pool-${Date.now().toString(36)}`,
  ...machine,
  targetDedicatedNodes: 1,
  // Preemption can't be ordered on a real account.
  targetLowPriorityNodes: realAccount ? 0 : 1,
};
const nodes = realAccount ? 1 : 2;

for (const version of ['2022-10-01.16.0', '2025-06-01']) {
  contract(version, () => TestService.start());
  const real = realAccount;
  if (real) contract(`${version}, of a real account`, async () => real);
}

if (!realAccount) {
  it('Contract of the Batch API on a real account: skipped, BATCH_TEST_URL and BATCH_TEST_KEY are not set', function () {
    this.skip();
  });
}

/** What clients can rely on, on the local service and on Azure alike. */
function contract(version: string, open: () => Promise<TestAccount>): void {
  describe(`Contract of the Batch API ${version}, with the official client`, function () {
    this.timeout(realAccount ? 1_800_000 : 240_000);
    let account: TestAccount;
    let client: BatchServiceClient;
    const made: string[] = [];

    prepare(
      async () => {
        account = await open();
        client = account.client(version.slice(0, version.includes(',') ? version.indexOf(',') : undefined));
        await client.pool.add(pool);
      },
      async () => {
        if (realAccount) {
          for (const id of made) await client.job.deleteMethod(id).catch(() => undefined);
          for (const id of [pool.id, 'pool-auto']) await client.pool.deleteMethod(id).catch(() => undefined);
        }
        await account.close();
      },
    );

    async function addJob(job: BatchServiceModels.JobAddParameter): Promise<void> {
      made.push(job.id);
      await client.job.add(job);
    }

    async function run(jobId: string, ...tasks: BatchServiceModels.TaskAddParameter[]) {
      await addJob({ id: jobId, poolInfo: { poolId: pool.id }, usesTaskDependencies: true });
      await client.task.addCollection(jobId, tasks);
      await eventually(
        () => client.job.getTaskCounts(jobId),
        ({ taskCounts }) => taskCounts.completed === tasks.length,
      );
    }

    it('lists the images of nodes', async () => {
      const images = await client.account.listSupportedImages();
      assert.ok(images.some(({ nodeAgentSKUId }) => nodeAgentSKUId === 'batch.node.ubuntu 24.04'));
    });

    it('fills in the defaults of a pool and starts its nodes', async () => {
      const got = await eventually(
        () => client.pool.get(pool.id),
        ({ allocationState }) => allocationState === 'steady',
      );
      assert.equal(got.vmSize, 'standard_d2s_v5');
      assert.equal(got.taskSlotsPerNode, 1);
      assert.equal(got.currentDedicatedNodes, 1);
      assert.equal(got.currentLowPriorityNodes, pool.targetLowPriorityNodes);
      const up = await eventually(
        () => client.computeNode.list(pool.id),
        (list) => list.length === nodes && list.every(({ state }) => state === 'idle'),
      );
      assert.equal(up.filter(({ isDedicated }) => isDedicated).length, 1);
    });

    it('derives the ETag from the time of the last change and checks it', async () => {
      const { eTag } = await client.pool.get(pool.id);
      await assert.rejects(
        client.pool.patch(pool.id, { metadata: [] }, { poolPatchOptions: { ifMatch: '0x1' } }),
        refused('ConditionNotMet', 412),
      );
      await client.pool.patch(
        pool.id,
        { metadata: [{ name: 'a', value: 'b' }] },
        { poolPatchOptions: { ifMatch: eTag } },
      );
      const changed = await client.pool.get(pool.id);
      assert.notEqual(changed.eTag, eTag);
      assert.deepEqual(changed.metadata, [{ name: 'a', value: 'b' }]);
    });

    it('refuses what Azure refuses, with the same code', async () => {
      await assert.rejects(client.pool.add(pool), refused('PoolExists', 409));
      await assert.rejects(client.pool.get('none'), refused('PoolNotFound', 404));
      await assert.rejects(client.job.get('none'), refused('JobNotFound', 404));
      await assert.rejects(
        client.pool.add({ ...pool, id: 'no blanks' }),
        refused('InvalidPropertyValue', 400, 'id'),
      );
      await assert.rejects(
        client.pool.list({ poolListOptions: { filter: 'state is active' } }),
        refused('InvalidQueryParameterValue', 400),
      );
    });

    it('runs tasks as processes with the environment and folders of a node', async () => {
      await run('job-env', {
        id: 'env',
        commandLine:
          '/bin/bash -c "echo $AZ_BATCH_JOB_ID $AZ_BATCH_TASK_ID $NAME $AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES; pwd; echo wrong >&2; echo x > \'a b.txt\'"',
        environmentSettings: [{ name: 'NAME', value: 'given value' }],
      });
      const task = await client.task.get('job-env', 'env');
      assert.equal(task.executionInfo?.exitCode, 0);
      assert.equal(task.executionInfo?.result?.toLowerCase(), 'success');
      const { readableStreamBody } = await client.file.getFromTask('job-env', 'env', 'stdout.txt');
      let stdout = '';
      for await (const chunk of readableStreamBody ?? []) stdout += chunk;
      assert.match(stdout, /^job-env env given value \d+\n.*workitems\/job-env\/job-1\/env\/wd\n$/);
      const files = await client.file.listFromTask('job-env', 'env', { recursive: true });
      assert.deepEqual(
        files.map(({ name }) => name).filter((name) => !name?.startsWith('certs')),
        ['stderr.txt', 'stdout.txt', 'wd', 'wd/a b.txt'],
      );
      const { contentLength } = await client.file.getPropertiesFromTask('job-env', 'env', 'wd/a b.txt');
      assert.equal(Number(contentLength), 2);
    });

    it('distinguishes failures: exit code, missing program, time limit, retries', async () => {
      await run(
        'job-fail',
        { id: 'code', commandLine: '/bin/sh -c "exit 7"', constraints: { maxTaskRetryCount: 2 } },
        { id: 'missing', commandLine: 'no-such-program' },
        { id: 'long', commandLine: '/bin/sh -c "sleep 600"', constraints: { maxWallClockTime: 'PT0.3S' } },
      );
      const { executionInfo: code } = await client.task.get('job-fail', 'code');
      assert.deepEqual(
        [code?.exitCode, code?.retryCount, code?.failureInfo?.code],
        [7, 2, 'FailureExitCode'],
      );
      const { executionInfo: missing } = await client.task.get('job-fail', 'missing');
      assert.deepEqual(
        [missing?.exitCode, missing?.failureInfo?.code],
        [undefined, 'CommandProgramNotFound'],
      );
      const { executionInfo: long } = await client.task.get('job-fail', 'long');
      assert.deepEqual([long?.failureInfo?.category, long?.failureInfo?.code], ['ServerError', 'TaskEnded']);
    });

    it('respects dependencies, and terminates a job when its tasks are complete', async () => {
      await run(
        'job-order',
        { id: 'second', commandLine: '/bin/true', dependsOn: { taskIds: ['first'] } },
        { id: 'first', commandLine: '/bin/sh -c "sleep 0.2"' },
      );
      const [first, second] = await Promise.all(
        ['first', 'second'].map((id) => client.task.get('job-order', id)),
      );
      const [end, start] = [first?.executionInfo?.endTime, second?.executionInfo?.startTime];
      assert.ok(end && start && end <= start);
      await client.job.patch('job-order', { onAllTasksComplete: 'terminatejob' });
      const job = await eventually(
        () => client.job.get('job-order'),
        ({ state }) => state === 'completed',
      );
      assert.equal(job.executionInfo?.terminateReason, 'AllTasksComplete');
      await assert.rejects(
        client.task.add('job-order', { id: 'late', commandLine: '/bin/true' }),
        refused('JobCompleted', 409),
      );
    });

    it('returns a result for each task of a collection', async () => {
      await addJob({ id: 'job-collection', poolInfo: { poolId: 'later' } });
      const { value = [] } = await client.task.addCollection('job-collection', [
        { id: 'good', commandLine: '/bin/true' },
        { id: 'bad id', commandLine: '/bin/true' },
        { id: 'good', commandLine: '/bin/true' },
      ]);
      assert.deepEqual(
        value.map(({ taskId, status, error }) => [taskId, status.toLowerCase(), error?.code]),
        [
          ['good', 'success', undefined],
          ['bad id', 'clienterror', 'InvalidPropertyValue'],
          ['good', 'clienterror', 'TaskExists'],
        ],
      );
    });

    it('pages lists by id, filters and selects', async () => {
      const tasks = Array.from({ length: 25 }, (_, index) => ({
        id: `t${String(index).padStart(2, '0')}`,
        commandLine: '/bin/true',
      }));
      await addJob({ id: 'job-list', poolInfo: { poolId: 'later' } });
      await client.task.addCollection('job-list', tasks);
      const seen: string[] = [];
      let page = await client.task.list('job-list', { taskListOptions: { maxResults: 10, select: 'id' } });
      for (;;) {
        seen.push(...page.map(({ id }) => id ?? ''));
        assert.deepEqual(Object.keys(page[0] ?? {}), ['id']);
        if (!page.odatanextLink) break;
        page = await client.task.listNext(page.odatanextLink);
      }
      assert.deepEqual(
        seen,
        tasks.map(({ id }) => id),
      );
      const filtered = await client.task.list('job-list', {
        taskListOptions: { filter: "startswith(id,'t1') and state eq 'active' and not (id eq 't11')" },
      });
      assert.equal(filtered.length, 9);
    });

    it('requeues a task when its node is preempted', async () => {
      await addJob({ id: 'job-preempt', poolInfo: { poolId: pool.id } });
      const mark = '"$AZ_BATCH_NODE_ROOT_DIR/../once"';
      const once = `test -e ${mark} || { touch ${mark}; echo waiting; exec sleep 600; }`;
      await client.task.add('job-preempt', { id: 'b', commandLine: `/bin/bash -c '${once}'` });
      await eventually(
        () => client.file.getPropertiesFromTask('job-preempt', 'b', 'stdout.txt').catch(() => undefined),
        (file) => Number(file?.contentLength ?? 0) > 0,
      );
      const running = await client.task.get('job-preempt', 'b');
      const node = await client.computeNode.get(pool.id, running.nodeInfo?.nodeId ?? '');
      if (node.isDedicated) await client.computeNode.reboot(pool.id, node.id ?? '');
      else await (account as TestService).fault({ preempt: pool.id });
      const done = await eventually(
        () => client.task.get('job-preempt', 'b'),
        ({ state }) => state === 'completed',
      );
      assert.equal(done.executionInfo?.requeueCount, 1);
    });

    it('reports where an autoscale formula fails', async () => {
      await client.pool.add({
        ...pool,
        id: 'pool-auto',
        targetDedicatedNodes: undefined,
        targetLowPriorityNodes: undefined,
        enableAutoScale: true,
        autoScaleFormula: '$TargetDedicatedNodes = 1 + 1;',
      });
      const good = await client.pool.evaluateAutoScale(
        'pool-auto',
        '$TargetLowPriorityNodes = max(1, 2, 3);',
      );
      assert.match(
        good.results ?? '',
        /^\$TargetDedicatedNodes=2;\$TargetLowPriorityNodes=3;\$NodeDeallocationOption=requeue/,
      );
      const bad = await client.pool.evaluateAutoScale('pool-auto', '$TargetDedicatedNodes = x;');
      assert.equal(bad.error?.code, 'AutoScalingFormulaEvaluationError');
      assert.match(bad.error?.values?.[0]?.value ?? '', /Line 1, Col \d+: Undefined symbol: x/);
    });

    it('deletes jobs and pools', async () => {
      await addJob({ id: 'job-deleted', poolInfo: { poolId: pool.id } });
      await client.job.deleteMethod('job-deleted');
      await eventually(
        () => client.job.list(),
        (jobs) => jobs.every(({ id }) => id !== 'job-deleted'),
      );
      await client.pool.deleteMethod(pool.id);
      await eventually(
        () => client.pool.list(),
        (pools) => pools.every(({ id }) => id !== pool.id),
      );
    });
  });
}

describe('Authentication of the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;

  prepare(
    async () => {
      service = await TestService.start();
    },
    () => service.close(),
  );

  const path = '/pools?api-version=2025-06-01';

  it('accepts signed requests only', async () => {
    assert.equal((await service.request('GET', path)).status, 200);
    const bare = await fetch(service.ready.batchUrl + path);
    assert.equal(bare.status, 403);
    const body = (await bare.json()) as { code: string; message: { value: string } };
    assert.equal(body.code, 'AuthenticationFailed');
    assert.match(body.message.value, /\nRequestId:[0-9a-f-]{36}\nTime:\d{4}-/);
  });

  it('refuses old and future dates', async () => {
    for (const minutes of [-16, 16]) {
      const date = new Date(Date.now() + minutes * 60_000).toUTCString();
      assert.equal((await service.request('GET', path, undefined, { 'ocp-date': date })).status, 403);
    }
  });

  it('refuses malformed signatures', async () => {
    for (const authorization of [
      '',
      'SharedKey',
      'SharedKey a',
      'SharedKey a:',
      'SharedKey a:?',
      `Bearer ${'x'.repeat(5000)}`,
    ]) {
      const reply = await fetch(service.ready.batchUrl + path, {
        headers: authorization ? { authorization } : {},
      });
      assert.ok(reply.status === 400 || reply.status === 403, `${authorization}: ${reply.status}`);
    }
    assert.equal((await service.request('GET', path)).status, 200);
  });

  it('refuses unknown versions, routes and verbs', async () => {
    const code = async (reply: Response) => ((await reply.json()) as { code: string }).code;
    assert.equal(await code(await service.request('GET', '/pools')), 'MissingRequiredQueryParameter');
    assert.equal(
      await code(await service.request('GET', '/pools?api-version=2001-01-01')),
      'UnsupportedRequestVersion',
    );
    assert.equal(
      await code(await service.request('GET', '/nothing?api-version=2025-06-01')),
      'ResourceNotFound',
    );
    assert.equal(await code(await service.request('PUT', path, {})), 'UnsupportedHttpVerb');
    const late = await service.request('GET', `${path}&timeOut=soon`);
    assert.equal(await code(late), 'InvalidQueryParameterValue');
  });

  it('serves no file outside a task’s folder', async () => {
    const client = service.client();
    await client.pool.add(pool);
    await client.job.add({ id: 'job', poolInfo: { poolId: pool.id } });
    await client.task.add('job', {
      id: 'task',
      commandLine: '/bin/bash -c "ln -s /etc/passwd link; ln -s / root"',
    });
    await eventually(
      () => client.task.get('job', 'task'),
      ({ state }) => state === 'completed',
    );
    for (const file of [
      '..%2F..%2F..%2F..%2Fshared',
      '%2Fetc%2Fpasswd',
      'wd%2Flink',
      'wd%2Froot%2Fetc%2Fpasswd',
      '%2e%2e%2f%2e%2e',
    ]) {
      const reply = await service.request('GET', `/jobs/job/tasks/task/files/${file}?api-version=2025-06-01`);
      assert.equal(reply.status, 404, file);
    }
    const own = await service.request('GET', '/jobs/job/tasks/task/files/stdout.txt?api-version=2025-06-01');
    assert.equal(own.status, 200);
  });
});
