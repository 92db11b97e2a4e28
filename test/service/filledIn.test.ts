import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import type { BatchServiceClient } from '@azure/batch';
import { eventually, machine, type RefusedWith, refused, TestService } from './harness';

const version = '2025-06-01';
const old = '2019-08-01.10.0';
const endless = 'P10675199DT2H48M5.4775807S';
const windows = {
  vmSize: 'Standard_D2s_v5',
  virtualMachineConfiguration: {
    imageReference: { publisher: 'microsoftwindowsserver', offer: 'windowsserver', sku: '2022-datacenter' },
    nodeAgentSKUId: 'batch.node.windows amd64',
  },
};
const anyUser = { autoUser: { scope: 'pool', elevationLevel: 'nonadmin' } };

const isRefused =
  (code: string) =>
  ({ body }: { body: RefusedWith }) =>
    body.code === code;

/** Everything that a server sends to one connection. */
async function fetchText(host: string, port: number): Promise<string> {
  let text = '';
  for await (const bytes of createConnection(port, host)) text += bytes;
  return text;
}

/** Values that Azure adds to what a client sends, by recorded replies. */
describe('The local Batch service fills in what Azure fills in', function () {
  this.timeout(60_000);
  let service: TestService;
  let client: BatchServiceClient;

  before(async () => {
    service = await TestService.start();
    client = service.client(version);
    await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1 });
  });

  after(() => service.close());

  /** Sends a signed request in a version. Throws the error that is returned. */
  async function ask(method: string, path: string, body?: unknown, apiVersion = version) {
    const reply = await service.request(method, `${path}?api-version=${apiVersion}`, body);
    const text = await reply.text();
    const json = text === '' ? {} : JSON.parse(text);
    if (reply.status >= 400) throw Object.assign(new Error(text), { body: json as RefusedWith });
    return json;
  }

  it('in accounts, disks and networks of pools, in the spelling of Azure', async () => {
    await ask('POST', '/pools', {
      id: 'parts',
      ...windows,
      virtualMachineConfiguration: {
        ...windows.virtualMachineConfiguration,
        dataDisks: [{ lun: 1, diskSizeGB: 50 }],
        osDisk: { caching: 'readwrite', managedDisk: { storageAccountType: 'StandardSSD_LRS' } },
        securityProfile: { securityType: 'trustedLaunch', uefiSettings: { vTpmEnabled: true } },
        nodePlacementConfiguration: { policy: 'zonal' },
      },
      taskSchedulingPolicy: { nodeFillType: 'pack' },
      userAccounts: [
        { name: 'one', password: 'secret' },
        { name: 'two', password: 'secret', elevationLevel: 'Admin' },
      ],
      networkConfiguration: { enableAcceleratedNetworking: true },
    });
    const pool = await ask('GET', '/pools/parts');
    const loginMode = 'batch';
    assert.deepEqual(pool.userAccounts, [
      { name: 'one', elevationLevel: 'nonadmin', windowsUserConfiguration: { loginMode } },
      { name: 'two', elevationLevel: 'admin', windowsUserConfiguration: { loginMode } },
    ]);
    assert.deepEqual(pool.networkConfiguration, {
      dynamicVNetAssignmentScope: 'none',
      enableAcceleratedNetworking: true,
    });
    const { dataDisks, osDisk, securityProfile, nodePlacementConfiguration } =
      pool.virtualMachineConfiguration;
    assert.deepEqual(osDisk, {
      caching: 'ReadWrite',
      managedDisk: { storageAccountType: 'standardssd_lrs' },
    });
    assert.deepEqual(securityProfile, {
      securityType: 'trustedlaunch',
      uefiSettings: { vTpmEnabled: true },
    });
    assert.deepEqual(dataDisks, [
      { lun: 1, diskSizeGB: 50, caching: 'none', storageAccountType: 'standard_lrs' },
    ]);
    assert.deepEqual(nodePlacementConfiguration, { policy: 'Zonal' });
    assert.deepEqual(pool.taskSchedulingPolicy, { nodeFillType: 'Pack' });
  });

  it('and checks what later versions added as it checks the rest', async () => {
    for (const wrong of [
      { upgradePolicy: { mode: 'sometimes' } },
      { upgradePolicy: { mode: 'rolling', rollingUpgradePolicy: { maxBatchInstancePercent: 4 } } },
      { upgradePolicy: { mode: 'rolling', rollingUpgradePolicy: { pauseTimeBetweenBatches: 'soon' } } },
    ])
      await assert.rejects(
        ask('POST', '/pools', { id: 'wrong', ...machine, ...wrong }),
        isRefused('InvalidPropertyValue'),
      );
    await assert.rejects(
      ask('POST', '/pools', { id: 'wrong', ...machine, cloudServiceConfiguration: { osFamily: '5' } }, old),
      isRefused('InvalidPropertyValue'),
    );
    await assert.rejects(
      ask('POST', '/pools', { id: 'wrong', ...machine, upgradePolicy: { mode: 'manual', speed: 1 } }),
      isRefused('InvalidRequestBody'),
    );
  });

  it('in the manager, preparation and release tasks of a job and of a schedule', async () => {
    const specification = {
      poolInfo: { poolId: 'none' },
      constraints: { maxTaskRetryCount: 5 },
      jobManagerTask: { id: 'manager', commandLine: 'true' },
      jobPreparationTask: { commandLine: 'true' },
      jobReleaseTask: { commandLine: 'true' },
    };
    await ask('POST', '/jobs', { id: 'tasks', ...specification });
    await ask('POST', '/jobschedules', { id: 'tasks2', schedule: {}, jobSpecification: specification });
    const { jobSpecification } = await ask('GET', '/jobschedules/tasks2');
    for (const job of [await ask('GET', '/jobs/tasks'), jobSpecification]) {
      assert.deepEqual(job.jobManagerTask.constraints, {
        maxWallClockTime: endless,
        retentionTime: 'P7D',
        maxTaskRetryCount: 5,
      });
      for (const name of ['jobManagerTask', 'jobPreparationTask', 'jobReleaseTask'])
        assert.deepEqual(job[name].userIdentity, anyUser, name);
    }
  });

  it('in the form of durations, whatever form was sent', async () => {
    for (const [index, [sent, returned]] of [
      ['P3Y6M4DT12H30M5S', 'P1279DT12H30M5S'],
      ['P1W', 'P7D'],
      ['PT90M', 'PT1H30M'],
      ['PT24H', 'P1D'],
      ['PT0061.50S', 'PT1M1.5S'],
      [endless, endless],
      // As Python's packages write it.
      ['P10675199DT2H48M5.477581S', endless],
    ].entries()) {
      const constraints = { maxWallClockTime: sent };
      await ask('POST', '/jobs/tasks/tasks', { id: `long${index}`, commandLine: 'true', constraints });
      const task = await ask('GET', `/jobs/tasks/tasks/long${index}`);
      assert.equal(task.constraints.maxWallClockTime, returned, sent);
    }
  });

  it('in the auto pool of a job, whose id ends with a GUID', async () => {
    for (const autoPoolIdPrefix of [undefined, 'mine']) {
      const id = `auto-${autoPoolIdPrefix}`;
      const pool = { ...machine, startTask: { commandLine: 'true' } };
      const autoPoolSpecification = { autoPoolIdPrefix, poolLifetimeOption: 'Job', pool };
      await ask('POST', '/jobs', { id, poolInfo: { autoPoolSpecification } });
      const job = await ask('GET', `/jobs/${id}`);
      const { keepAlive, pool: shown } = job.poolInfo.autoPoolSpecification;
      const { startTask, resizeTimeout, taskSlotsPerNode, enableAutoScale, targetDedicatedNodes } = shown;
      assert.deepEqual(
        [keepAlive, startTask, resizeTimeout, taskSlotsPerNode, enableAutoScale, targetDedicatedNodes],
        [
          false,
          { commandLine: 'true', userIdentity: anyUser, maxTaskRetryCount: 0, waitForSuccess: true },
          'PT15M',
          1,
          false,
          0,
        ],
      );
      const guid = /^(mine_)?[\dA-F]{8}-([\dA-F]{4}-){3}[\dA-F]{12}$/;
      assert.match(job.executionInfo.poolId, guid);
      // Keeping the pool alive is decided as late as the job ends.
      await ask('PUT', `/jobs/${id}`, {
        poolInfo: { autoPoolSpecification: { ...autoPoolSpecification, keepAlive: true } },
      });
      await client.job.deleteMethod(id);
      await eventually(
        () => client.job.list(),
        (jobs) => jobs.every((one) => one.id !== id),
      );
      assert.equal((await client.pool.get(job.executionInfo.poolId)).state, 'active');
    }
  });

  it('in the endpoints of nodes, where a program is reached', async () => {
    const natPool = (more = {}) => ({
      name: 'web',
      protocol: 'tcp',
      backendPort: 8765,
      frontendPortRangeStart: 60_000,
      frontendPortRangeEnd: 61_000,
      networkSecurityGroupRules: [{ priority: 150, access: 'allow', sourceAddressPrefix: '*' }],
      ...more,
    });
    const add = (id: string, ...inboundNATPools: unknown[]) =>
      ask('POST', '/pools', {
        id,
        ...machine,
        targetDedicatedNodes: 1,
        networkConfiguration: { endpointConfiguration: { inboundNATPools } },
      });
    await add('endpoints', natPool());
    const { networkConfiguration } = await ask('GET', '/pools/endpoints');
    const [shown] = networkConfiguration.endpointConfiguration.inboundNATPools;
    assert.deepEqual(shown.networkSecurityGroupRules[0].sourcePortRanges, ['*']);
    const [node] = await eventually(
      () => client.computeNode.list('endpoints'),
      (nodes) => nodes[0]?.state === 'idle',
    );
    const endpoints = node?.endpointConfiguration?.inboundEndpoints ?? [];
    assert.deepEqual(
      endpoints.map(({ name, protocol, backendPort }) => [name, protocol, backendPort]),
      [
        ['web.0', 'tcp', 8765],
        ['SSHRule.0', 'tcp', 22],
      ],
    );
    const { publicIPAddress = '', frontendPort } = endpoints[0] ?? {};
    await client.job.add({ id: 'web', poolInfo: { poolId: 'endpoints' } });
    const listen = `require('net').createServer((s) => s.end('hello')).listen(8765, process.env.LOCAL_BATCH_NODE_ADDRESS)`;
    await client.task.add('web', {
      id: 'server',
      commandLine: `"${process.execPath}" -e "${listen}"`,
    });
    const heard = await eventually(
      () => fetchText(publicIPAddress, Number(frontendPort)).catch(() => ''),
      (text) => text !== '',
    );
    assert.equal(heard, 'hello');
    for (const wrong of [
      { backendPort: 29_876 },
      { frontendPortRangeStart: 50_000, frontendPortRangeEnd: 50_100 },
      { frontendPortRangeEnd: 60_010 },
      { name: '-x' },
    ])
      await assert.rejects(add('wrong', natPool(wrong)), isRefused('InvalidPropertyValue'));
    await assert.rejects(add('wrong', natPool(), natPool()), isRefused('InvalidPropertyValue'));
  });

  it('by its old name, where a version has another', async () => {
    await ask('POST', '/pools', { id: 'old', ...machine, maxTasksPerNode: 3 }, old);
    const { maxTasksPerNode, taskSlotsPerNode } = await ask('GET', '/pools/old', undefined, old);
    assert.deepEqual([maxTasksPerNode, taskSlotsPerNode], [3, undefined]);
    assert.equal((await client.pool.get('old')).taskSlotsPerNode, 3);
    await assert.rejects(
      ask('POST', '/pools', { id: 'other', ...machine, maxTasksPerNode: 3 }),
      isRefused('InvalidRequestBody'),
    );
    const oldest = '2018-03-01.6.1';
    await ask('POST', '/jobs', { id: 'old', poolInfo: { poolId: 'none' } }, oldest);
    const sources = [{ blobSource: 'https://example.com/a', filePath: 'a' }];
    const task = { id: 'old', commandLine: '/bin/true', resourceFiles: sources };
    await ask('POST', '/jobs/old/tasks', task, oldest);
    const { resourceFiles } = await ask('GET', '/jobs/old/tasks/old', undefined, oldest);
    assert.deepEqual(resourceFiles, sources);
    const { value } = await ask('GET', '/jobs/old/tasks', undefined, oldest);
    assert.deepEqual((value as { resourceFiles: unknown }[])[0]?.resourceFiles, sources);
    const [now] = (await client.task.get('old', 'old')).resourceFiles ?? [];
    assert.deepEqual(now, { httpUrl: 'https://example.com/a', filePath: 'a' });
    await assert.rejects(
      ask('POST', '/jobs/old/tasks', { ...task, id: 'new' }),
      isRefused('InvalidRequestBody'),
    );
    assert.equal((await ask('GET', '/jobs/old/taskcounts', undefined, oldest)).validationStatus, 'Validated');
    const cloudServiceConfiguration = { osFamily: '5', targetOSVersion: '*' };
    await ask('POST', '/pools', { id: 'cloud', vmSize: 'small', cloudServiceConfiguration }, oldest);
    const cloud = async (apiVersion: string) =>
      (await ask('GET', '/pools/cloud', undefined, apiVersion)).cloudServiceConfiguration;
    assert.deepEqual(await cloud(oldest), cloudServiceConfiguration);
    assert.deepEqual(await cloud(old), { osFamily: '5', osVersion: '*' });
    const upgrade = (id: string, targetOSVersion: string, apiVersion = oldest) =>
      ask('POST', `/pools/${id}/upgradeos`, { targetOSVersion }, apiVersion);
    await assert.rejects(upgrade('cloud', '*'), isRefused('PoolVersionEqualsUpgradeVersion'));
    await upgrade('cloud', 'WA-GUEST-OS-5.1_201901-01');
    assert.equal((await cloud(oldest)).targetOSVersion, 'WA-GUEST-OS-5.1_201901-01');
    await assert.rejects(upgrade('old', '*'), isRefused('OperationNotValidOnPool'));
    await assert.rejects(upgrade('cloud', '*', old), isRefused('ResourceNotFound'));
  });

  it('by the agents of nodes, of which early versions made their list of images', async () => {
    const { value } = await ask('GET', '/nodeagentskus', undefined, '2018-12-01.8.0');
    const agents = value as { id: string; verifiedImageReferences: { offer: string }[] }[];
    const ubuntu = agents.find(({ id }) => id === 'batch.node.ubuntu 24.04');
    assert.equal(ubuntu?.verifiedImageReferences[0]?.offer, 'ubuntu-24_04-lts');
    assert.ok(agents.some(({ id }) => id === 'batch.node.windows amd64'));
    await assert.rejects(ask('GET', '/nodeagentskus'), isRefused('ResourceNotFound'));
  });

  it('when a job or pool is changed, and changes no more than Azure does', async () => {
    await client.job.add({ id: 'ends', poolInfo: { poolId: 'pool' } });
    await client.task.add('ends', { id: 'long', commandLine: 'sleep 60' });
    await client.job.patch('ends', { onAllTasksComplete: 'terminatejob' });
    await assert.rejects(
      client.job.update('ends', { poolInfo: { poolId: 'pool' } }),
      refused('InvalidPropertyValue', 400, 'onAllTasksComplete'),
    );
    await client.job.deleteMethod('ends');
    await eventually(
      () => client.computeNode.list('pool'),
      ([node]) => node !== undefined,
    );
    await assert.rejects(
      ask('PATCH', '/pools/pool', { displayName: 'busy' }),
      isRefused('OperationInvalidForCurrentState'),
    );
    await ask('PATCH', '/pools/old', { displayName: 'empty', userAccounts: [{ name: 'a', password: 'b' }] });
    const { displayName, userAccounts } = await ask('GET', '/pools/old');
    assert.deepEqual([displayName, userAccounts], ['empty', [{ name: 'a', elevationLevel: 'nonadmin' }]]);
  });
});
