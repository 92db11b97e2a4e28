import assert from 'node:assert/strict';
import type { BatchServiceClient } from '@azure/batch';
import { eventually, machine, prepare, type RefusedWith, TestService } from './harness';

const windows = {
  vmSize: 'standard_d2_v2',
  virtualMachineConfiguration: {
    imageReference: {
      publisher: 'MicrosoftWindowsServer',
      offer: 'WindowsServer',
      sku: '2022-datacenter-g2',
    },
    nodeAgentSKUId: 'batch.node.windows amd64',
  },
};

/** Members of replies that the installed package does not describe. */
interface Answer extends RefusedWith {
  readonly mountConfiguration?: unknown;
  readonly virtualMachineConfiguration?: { readonly extensions?: unknown };
  readonly ipv6Address?: string;
  readonly ipv6RemoteLoginIPAddress?: string;
  readonly ipv6RemoteLoginPort?: number;
  readonly 'odata.nextLink'?: string;
}

describe('The local Batch service supports, as the test suites of official clients expect,', function () {
  this.timeout(120_000);
  let service: TestService;
  let client: BatchServiceClient;

  prepare(
    async () => {
      service = await TestService.start();
      client = service.client('2025-06-01');
    },
    () => service.close(),
  );

  /** Sends a signed request. Returns the status, and the body if it is JSON. */
  async function ask(method: string, path: string, body?: unknown, version = '2025-06-01') {
    const [bare = '', query = ''] = path.split('?');
    const reply = await service.request(
      method,
      `${bare}?api-version=${version}${query && `&${query}`}`,
      body,
    );
    const text = await reply.text();
    const json = (text.startsWith('{') ? JSON.parse(text) : {}) as Answer;
    return { status: reply.status, text, json };
  }

  const reasonOf = ({ values = [] }: RefusedWith) => values.find(({ key }) => key === 'Reason')?.value;

  async function firstNode(poolId: string, isDone: (node: { state?: string }) => boolean) {
    const [node] = await eventually(
      () => client.computeNode.list(poolId),
      ([one]) => one !== undefined && isDone(one),
    );
    return node as NonNullable<typeof node>;
  }

  it('pools of images that Azure once listed', async () => {
    for (const [publisher, offer, sku, nodeAgentSKUId] of [
      ['Canonical', 'UbuntuServer', '18.04-LTS', 'batch.node.ubuntu 18.04'],
      ['Canonical', '0001-com-ubuntu-server-focal', '20_04-lts', 'batch.node.ubuntu 20.04'],
      ['microsoft-azure-batch', 'ubuntu-server-container', '20-04-lts', 'batch.node.ubuntu 20.04'],
    ]) {
      const imageReference = { publisher, offer, sku };
      const pool = { ...machine, virtualMachineConfiguration: { imageReference, nodeAgentSKUId } };
      assert.equal((await ask('POST', '/pools', { ...pool, id: `old-${offer}` })).status, 201);
      const images = await ask('GET', '/supportedimages');
      assert.doesNotMatch(images.text, new RegExp(`"${sku}"`, 'i'), 'Azure lists it no more.');
    }
    const { json } = await ask('POST', '/pools', {
      ...machine,
      id: 'never',
      virtualMachineConfiguration: {
        imageReference: { publisher: 'a', offer: 'b', sku: 'c' },
        nodeAgentSKUId: 'batch.node.ubuntu 24.04',
      },
    });
    assert.equal(
      reasonOf(json),
      'The specified imageReference with publisher a offer b sku c is not supported.',
    );
  });

  it('pools with file systems, whose nodes say that they are not mounted', async () => {
    const blobs = { accountName: 'test', containerName: 'videos', relativeMountPath: 'foo' };
    const mountConfiguration = [{ azureBlobFileSystemConfiguration: { ...blobs, accountKey: 'secret' } }];
    const added = await ask('POST', '/pools', {
      id: 'mounted',
      ...machine,
      targetDedicatedNodes: 1,
      mountConfiguration,
    });
    assert.equal(added.status, 201);
    const pool = await ask('GET', '/pools/mounted');
    assert.deepEqual(pool.json.mountConfiguration, [{ azureBlobFileSystemConfiguration: blobs }]);
    const { errors } = await firstNode('mounted', ({ state }) => state === 'unusable');
    assert.deepEqual(
      [errors?.[0]?.code, errors?.[0]?.errorDetails?.map(({ value }) => value)],
      ['MountConfigurationException', ['The local Batch service mounts no file systems.', 'foo']],
    );
    const both = [
      { ...mountConfiguration[0], nfsMountConfiguration: { source: 'a', relativeMountPath: 'b' } },
    ];
    const refusal = await ask('POST', '/pools', { id: 'both', ...machine, mountConfiguration: both });
    assert.equal(refusal.json.code, 'InvalidPropertyValue');
  });

  it('extensions of nodes, which say that they are not installed, beside the one of Batch', async () => {
    const extension = { name: 'secretext', type: 'KeyVaultForLinux', publisher: 'Microsoft.Azure.KeyVault' };
    await client.pool.add({
      id: 'extended',
      ...machine,
      targetDedicatedNodes: 1,
      virtualMachineConfiguration: {
        ...machine.virtualMachineConfiguration,
        extensions: [{ ...extension, protectedSettings: { password: 'hunter2' } }],
      },
    });
    const pool = await ask('GET', '/pools/extended');
    assert.deepEqual(pool.json.virtualMachineConfiguration?.extensions, [extension]);
    const node = await firstNode('extended', ({ state }) => state === 'idle');
    const found = await client.computeNodeExtension.list('extended', node.id ?? '');
    assert.deepEqual(
      found.map(({ vmExtension, provisioningState }) => [vmExtension?.name, provisioningState]),
      [
        ['secretext', 'Failed'],
        ['batchNodeExtension', 'Succeeded'],
      ],
    );
    const one = await client.computeNodeExtension.get('extended', node.id ?? '', 'secretext');
    assert.match(one.instanceView?.statuses?.[0]?.message ?? '', /installs no extensions/);
    const page = await ask('GET', `/pools/extended/nodes/${node.id}/extensions?maxresults=1`);
    assert.match(page.json['odata.nextLink'] ?? '', /skiptoken/);
    await assert.rejects(client.computeNodeExtension.get('extended', node.id ?? '', 'none'), {
      code: 'ExtensionNotFound',
    });
  });

  it('endpoints for SSH and Remote Desktop, addresses of IPv6, and the file for Remote Desktop', async () => {
    const nat = (name: string, backendPort: number, frontendPortRangeStart: number) => ({
      ...{ name, protocol: 'tcp', backendPort },
      ...{ frontendPortRangeStart, frontendPortRangeEnd: frontendPortRangeStart + 100 },
    });
    const networkConfiguration = {
      endpointConfiguration: { inboundNATPools: [nat('rdp', 3389, 15_000), nat('ssh', 22, 16_000)] },
      publicIPAddressConfiguration: { ipFamilies: ['IPv4', 'IPv6'] },
    };
    const old = await ask(
      'POST',
      '/pools',
      {
        id: 'old',
        ...machine,
        networkConfiguration: { endpointConfiguration: networkConfiguration.endpointConfiguration },
      },
      '2024-02-01.19.0',
    );
    assert.match(reasonOf(old.json) ?? '', /The port is reserved/);
    const linux = { id: 'linux', ...machine, targetDedicatedNodes: 1, networkConfiguration };
    assert.equal((await ask('POST', '/pools', linux)).status, 201);
    const node = await firstNode('linux', ({ state }) => state === 'idle');
    assert.deepEqual(
      node.endpointConfiguration?.inboundEndpoints.map(({ name }) => name),
      ['rdp.0', 'ssh.0'],
    );
    const shown = await ask('GET', `/pools/linux/nodes/${node.id}`);
    assert.equal(shown.json.ipv6Address, '::1');
    const login = await ask('GET', `/pools/linux/nodes/${node.id}/remoteloginsettings`);
    assert.deepEqual([login.json.ipv6RemoteLoginIPAddress, login.json.ipv6RemoteLoginPort], ['::1', 22]);
    const rdp = (pool: string, id: string | undefined) =>
      ask('GET', `/pools/${pool}/nodes/${id}/rdp`, undefined, '2022-10-01.16.0');
    assert.equal((await rdp('linux', node.id)).json.code, 'OperationNotValidOnNode');
    await client.pool.add({ id: 'windows', ...windows, targetDedicatedNodes: 1 });
    const other = await firstNode('windows', ({ state }) => state === 'idle');
    assert.deepEqual(other.endpointConfiguration?.inboundEndpoints, []);
    const file = await rdp('windows', other.id);
    assert.deepEqual([file.status, file.text], [200, 'full address:s:127.0.0.1\n']);
  });

  it('reasons why a pool can’t be added', async () => {
    const { virtualMachineConfiguration } = windows;
    const customerManagedKey = {
      keyUrl: 'https://vault.example/keys/k',
      identityReference: { resourceId: 'x' },
    };
    const encrypted = await ask('POST', '/pools', {
      ...windows,
      id: 'encrypted',
      virtualMachineConfiguration: {
        ...virtualMachineConfiguration,
        diskEncryptionConfiguration: { customerManagedKey },
      },
    });
    assert.equal(reasonOf(encrypted.json), 'Pool Identity is required when using CustomerManagedKey.');
    const networkConfiguration = { subnetId: '/subscriptions/0/virtualNetworks/vnet1/subnets/subnet1' };
    const services = { id: 'services', vmSize: 'small', cloudServiceConfiguration: { osFamily: '4' } };
    const forbidden = await ask('POST', '/pools', { ...services, networkConfiguration }, '2022-10-01.16.0');
    assert.deepEqual([forbidden.status, forbidden.json.code], [403, 'Forbidden']);
    const refused = await ask('POST', '/pools', { id: 'net', ...machine, networkConfiguration });
    assert.deepEqual([refused.status, refused.json.values?.[0]?.value], [400, 'subnetId']);
  });

  it('tasks that ask for administrator rights or an unknown user are added, and fail when they are to run', async () => {
    await client.pool.add({
      id: 'users',
      ...machine,
      targetDedicatedNodes: 1,
      userAccounts: [{ name: 'admin-user', password: 'hunter2', elevationLevel: 'admin' }],
    });
    const admin = { autoUser: { elevationLevel: 'admin' } } as const;
    await client.job.add({
      id: 'users',
      poolInfo: { poolId: 'users' },
      jobPreparationTask: { commandLine: '/bin/true', userIdentity: admin },
    });
    const task = { commandLine: '/bin/sh -c "echo ran"' };
    const identities = [admin, { userName: 'admin-user' }, { userName: 'nobody' }];
    const added = await client.task.addCollection(
      'users',
      identities.map((userIdentity, index) => ({ ...task, id: `t${index}`, userIdentity })),
    );
    assert.deepEqual(
      added.value?.map(({ status }) => status),
      ['Success', 'Success', 'Success'],
    );
    const tasks = await eventually(
      () => client.task.list('users'),
      (all) => all.every(({ state }) => state === 'completed'),
    );
    assert.deepEqual(
      tasks.map(({ executionInfo }) => [executionInfo?.failureInfo?.code, executionInfo?.retryCount]),
      [
        ['ElevationNotAllowed', 0],
        ['ElevationNotAllowed', 0],
        ['UserAccountNotFound', 0],
      ],
    );
    const startTask = { ...task, userIdentity: { username: 'nobody' } };
    const refused = await ask('POST', '/pools', { id: 'nobody', ...machine, startTask });
    assert.equal(refused.json.values?.[0]?.value, 'username');
  });

  it('certificates, until the version that removed them', async () => {
    const version = '2022-10-01.16.0';
    const old = service.client(version);
    const thumbprint = '59833fd835f827e9ec693a4c82435a6360cc6271';
    const other = 'cff2ab63c8c955aaf71989efa641b906558d9fb7';
    const data = Buffer.from('a certificate').toString('base64');
    const references = (one: string) => [{ thumbprint: one, thumbprintAlgorithm: 'sha1' }];
    const missing = { id: 'certified', ...machine, certificateReferences: references(thumbprint) };
    await assert.rejects(old.pool.add(missing), { code: 'InvalidCertificateReferences' });
    const { id: _, ...pool } = missing;
    const autoPoolSpecification = { poolLifetimeOption: 'job' as const, pool };
    await old.job.add({ id: 'certified', poolInfo: { autoPoolSpecification } });
    await old.job.deleteMethod('certified');
    const add = (one: string, certificateFormat: 'cer' | 'pfx') =>
      old.certificate.add({ thumbprint: one, thumbprintAlgorithm: 'sha1', data, certificateFormat });
    await add(thumbprint.toUpperCase(), 'cer');
    await add(other, 'pfx');
    await assert.rejects(add(thumbprint, 'cer'), { code: 'CertificateExists' });
    await service.kill();
    await service.start();
    const reopened = service.client(version).certificate;
    assert.deepEqual(
      (await reopened.list()).map(({ thumbprint: one, state, publicData }) => [one, state, publicData]),
      [
        [thumbprint, 'active', data],
        [other, 'active', undefined],
      ],
    );
    await assert.rejects(reopened.cancelDeletion('sha1', thumbprint), { code: 'CertificateStateActive' });
    await service.client(version).pool.add(missing);
    await Promise.all([thumbprint, other].map((one) => reopened.deleteMethod('sha1', one)));
    assert.equal((await reopened.get('sha1', thumbprint)).state, 'deleting');
    await assert.rejects(reopened.deleteMethod('sha1', thumbprint), { code: 'CertificateBeingDeleted' });
    const failed = await eventually(
      () => reopened.get('sha1', thumbprint),
      ({ state }) => state === 'deletefailed',
    );
    assert.deepEqual(
      [failed.deleteCertificateError?.code, failed.deleteCertificateError?.values?.[0]?.value],
      ['PoolsReferencingCertificate', 'certified'],
    );
    await reopened.cancelDeletion('sha1', thumbprint);
    assert.equal((await reopened.get('sha1', thumbprint)).state, 'active');
    await assert.rejects(reopened.get('sha1', other), { code: 'CertificateNotFound' });
    assert.equal((await ask('GET', '/certificates')).status, 404);
  });

  it('statistics of pools with what their nodes use, which is not measured', async () => {
    const { usageStats, resourceStats } = await service
      .client('2022-10-01.16.0')
      .pool.getAllLifetimeStatistics();
    assert.ok(usageStats?.dedicatedCoreTime);
    assert.deepEqual([resourceStats?.avgCPUPercentage, resourceStats?.diskReadIOps], [0, 0]);
  });

  it('pools without nodes are steady at once', async () => {
    const slow = await TestService.start('--node-step-ms', '600000');
    try {
      await slow.client().pool.add({ id: 'empty', ...machine });
      await eventually(
        () => slow.client().pool.get('empty'),
        ({ allocationState }) => allocationState === 'steady',
      );
      await slow.client().pool.resize('empty', { targetDedicatedNodes: 1 });
      assert.equal((await slow.client().pool.get('empty')).allocationState, 'resizing');
    } finally {
      await slow.close();
    }
  });
});
