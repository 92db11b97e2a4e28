import assert from 'node:assert/strict';
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BatchServiceClient } from '@azure/batch';
import { zipOf } from '../zip';
import { eventually, machine, prepare, refused, TestService } from './harness';

describe('Application packages of the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;
  let client: BatchServiceClient;

  prepare(
    async () => {
      service = await TestService.start();
      client = service.client('2025-06-01');
      const tool = (text: string) =>
        zipOf([{ name: 'bin/tool', text: `#!/bin/sh\necho ${text} $1\n`, mode: 0o100755 }]);
      await add('My-Tool', '1.0', tool('first'));
      await add('My-Tool', '2.0', tool('second'));
      await utimes(join(service.dataDir, 'packages/My-Tool/1.0.zip'), 1, 1);
      await add('extra', '7', zipOf([{ name: 'data.txt', text: 'extra data' }]));
      await add('broken', '1', Buffer.from('no archive'));
    },
    () => service.close(),
  );

  async function add(id: string, version: string, archive: Buffer): Promise<void> {
    const folder = join(service.dataDir, 'packages', id);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `${version}.zip`), archive);
  }

  async function stdoutOf(jobId: string, taskId: string): Promise<string> {
    const { readableStreamBody } = await client.file.getFromTask(jobId, taskId, 'stdout.txt');
    let text = '';
    for await (const chunk of readableStreamBody ?? []) text += chunk;
    return text;
  }

  const completed = (jobId: string, taskId: string) =>
    eventually(
      () => client.task.get(jobId, taskId),
      ({ state }) => state === 'completed',
    );

  it('are listed with their versions', async () => {
    const applications = await client.application.list();
    assert.deepEqual(
      applications.map(({ id, versions }) => [id, versions]),
      [
        ['My-Tool', ['1.0', '2.0']],
        ['broken', ['1']],
        ['extra', ['7']],
      ],
    );
    assert.deepEqual((await client.application.get('my-tool')).versions, ['1.0', '2.0']);
    await assert.rejects(client.application.get('none'), refused('ApplicationNotFound', 404));
  });

  it('of a pool are there for its start task and its tasks, those of a task for that task', async () => {
    await client.pool.add({
      id: 'pool',
      ...machine,
      targetDedicatedNodes: 1,
      applicationPackageReferences: [{ applicationId: 'my-tool', version: '1.0' }],
      startTask: {
        commandLine: '/bin/sh -c "$AZ_BATCH_APP_PACKAGE_My_Tool_1_0/bin/tool start"',
        waitForSuccess: true,
      },
    });
    await client.job.add({ id: 'job', poolInfo: { poolId: 'pool' } });
    await client.task.addCollection('job', [
      { id: 'pool', commandLine: '/bin/sh -c "$AZ_BATCH_APP_PACKAGE_My_Tool_1_0/bin/tool task; env"' },
      {
        id: 'own',
        commandLine:
          '/bin/sh -c "$AZ_BATCH_APP_PACKAGE_My_Tool/bin/tool own; cat $AZ_BATCH_APP_PACKAGE_extra_7/data.txt"',
        applicationPackageReferences: [
          { applicationId: 'My-Tool' },
          { applicationId: 'extra', version: '7' },
        ],
      },
    ]);
    await completed('job', 'pool');
    const stdout = await stdoutOf('job', 'pool');
    assert.match(stdout, /^first task\n/);
    assert.doesNotMatch(stdout, /AZ_BATCH_APP_PACKAGE_extra/);
    await completed('job', 'own');
    assert.equal(await stdoutOf('job', 'own'), 'second own\nextra data');
    const [node] = await client.computeNode.list('pool');
    const file = await client.file.getFromComputeNode('pool', node?.id ?? '', 'startup/stdout.txt');
    let started = '';
    for await (const chunk of file.readableStreamBody ?? []) started += chunk;
    assert.equal(started, 'first start\n');
  });

  it('that do not exist are refused, and damaged ones fail what needs them', async () => {
    await client.pool.add({ id: 'plain', ...machine, targetDedicatedNodes: 1 });
    await client.job.add({ id: 'damaged', poolInfo: { poolId: 'plain' } });
    const missing = [{ applicationId: 'none' }, { applicationId: 'extra', version: '8' }];
    await assert.rejects(
      client.pool.add({ id: 'missing', ...machine, applicationPackageReferences: missing }),
      (error: { code: string; body: { values: { key: string }[] } }) => {
        assert.equal(error.code, 'InvalidApplicationPackageReferences');
        assert.deepEqual(
          error.body.values.map(({ key }) => key),
          ['none', 'extra'],
        );
        return true;
      },
    );
    await assert.rejects(
      client.task.add('damaged', {
        id: 'missing',
        commandLine: '/bin/true',
        applicationPackageReferences: missing,
      }),
      refused('InvalidApplicationPackageReferences', 409),
    );
    const broken = [{ applicationId: 'broken', version: '1' }];
    await client.task.add('damaged', {
      id: 'broken',
      commandLine: '/bin/true',
      applicationPackageReferences: broken,
    });
    const { executionInfo } = await completed('damaged', 'broken');
    assert.deepEqual(
      [executionInfo?.failureInfo?.category?.toLowerCase(), executionInfo?.failureInfo?.code],
      ['usererror', 'ApplicationPackageError'],
    );
    await client.pool.add({
      id: 'broken',
      ...machine,
      targetDedicatedNodes: 1,
      applicationPackageReferences: broken,
    });
    const [node] = await eventually(
      () => client.computeNode.list('broken'),
      (nodes) => nodes[0]?.state === 'unusable',
    );
    assert.equal(node?.errors?.[0]?.code, 'ApplicationPackageError');
  });
});
