import assert from 'node:assert/strict';
import type { BatchServiceClient } from '@azure/batch';
import {
  BlobServiceClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import { eventually, machine, prepare, refused, TestService } from './harness';

const older = '2022-10-01.16.0';

describe('Users, logs, certificates and statistics of the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;
  let client: BatchServiceClient;
  let nodeId = '';

  prepare(
    async () => {
      service = await TestService.start();
      client = service.client(older);
      await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1 });
      const [node] = await eventually(
        () => client.computeNode.list('pool'),
        (nodes) => nodes[0]?.state === 'idle',
      );
      nodeId = node?.id ?? '';
    },
    () => service.close(),
  );

  it('nodes take users, whose secrets are not kept', async () => {
    await client.computeNode.addUser('pool', nodeId, { name: 'someone', password: 'hunter2', isAdmin: true });
    await assert.rejects(
      client.computeNode.addUser('pool', nodeId, { name: 'someone' }),
      refused('NodeUserExists', 409),
    );
    await client.computeNode.updateUser('pool', nodeId, 'someone', { sshPublicKey: 'ssh-rsa AAAA' });
    const { remoteLoginIPAddress } = await client.computeNode.getRemoteLoginSettings('pool', nodeId);
    assert.equal(remoteLoginIPAddress, '127.0.0.1');
    await client.computeNode.deleteUser('pool', nodeId, 'someone');
    await assert.rejects(
      client.computeNode.deleteUser('pool', nodeId, 'someone'),
      refused('NodeUserNotFound', 404),
    );
    await assert.rejects(
      client.computeNode.addUser('pool', nodeId, { name: 'late', expiryTime: 'tomorrow' as unknown as Date }),
    );
  });

  it('the log of the service goes to a container', async () => {
    const { storageName, storageKey } = service.credentials;
    const credential = new StorageSharedKeyCredential(storageName, storageKey);
    const container = new BlobServiceClient(service.ready.blobUrl, credential).getContainerClient('logs');
    await container.create();
    const sas = generateBlobSASQueryParameters(
      {
        containerName: 'logs',
        permissions: ContainerSASPermissions.parse('w'),
        expiresOn: new Date(Date.now() + 600_000),
      },
      credential,
    );
    const { virtualDirectoryName, numberOfFilesUploaded } = await client.computeNode.uploadBatchServiceLogs(
      'pool',
      nodeId,
      { containerUrl: `${container.url}?${sas}`, startTime: new Date(Date.now() - 600_000) },
    );
    assert.equal(numberOfFilesUploaded, 1);
    const blob = container.getBlobClient(`${virtualDirectoryName}/service.log`);
    await eventually(
      () => blob.exists(),
      (exists) => exists,
    );
    assert.match((await blob.downloadToBuffer()).toString(), /^\d{4}-\d\d-\d\dT.*Ready/m);
  });

  it('jobs and tasks have the statistics of what ran', async () => {
    await client.job.add({ id: 'job', poolInfo: { poolId: 'pool' } });
    await client.task.addCollection('job', [
      { id: 'good', commandLine: '/bin/sleep 0.2' },
      { id: 'bad', commandLine: '/bin/false', constraints: { maxTaskRetryCount: 1 } },
    ]);
    await eventually(
      () => client.job.getTaskCounts('job'),
      ({ taskCounts }) => taskCounts.completed === 2,
    );
    const { stats } = await client.job.get('job', { jobGetOptions: { expand: 'stats' } });
    assert.deepEqual(
      [stats?.numSucceededTasks, stats?.numFailedTasks, stats?.numTaskRetries].map(Number),
      [1, 1, 1],
    );
    assert.match(String(stats?.wallClockTime), /^PT0\.[2-9]|^PT[1-9]/);
    const listed = await client.task.list('job', { taskListOptions: { expand: 'stats' } });
    assert.ok(listed.every(({ stats }) => stats?.waitTime !== undefined));
    assert.equal((await client.task.get('job', 'good')).stats, undefined);
    const lifetime = await service.request('GET', '/lifetimejobstats?api-version=2022-10-01.16.0');
    const totals = (await lifetime.json()) as { numFailedTasks: string };
    assert.equal(totals.numFailedTasks, '1');
    const pools = await service.request('GET', '/lifetimepoolstats?api-version=2022-10-01.16.0');
    assert.match(await pools.text(), /"dedicatedCoreTime":"PT[\d.]+S"/);
  });
});
