import assert from 'node:assert/strict';
import type { BatchServiceClient } from '@azure/batch';
import { eventually, machine, prepare, type RefusedWith, TestService } from './harness';

const older = '2022-10-01.16.0';
const newer = '2025-06-01';

const windows = (sku: string) => ({
  vmSize: 'Standard_D2s_v3',
  virtualMachineConfiguration: {
    imageReference: { publisher: 'MicrosoftWindowsServer', offer: 'WindowsServer', sku, version: 'latest' },
    nodeAgentSKUId: 'batch.node.windows amd64',
  },
});

/** What the integration tests of the Java and .NET clients expect of Azure, asked of the local service. */
describe('Replies that the suites of the Java and .NET clients expect', function () {
  this.timeout(240_000);
  let service: TestService;
  let client: BatchServiceClient;

  prepare(
    async () => {
      service = await TestService.start();
      client = service.client();
    },
    () => service.close(),
  );

  async function call(method: string, path: string, body?: unknown, version = newer) {
    const reply = await service.request(method, `${path}?api-version=${version}`, body);
    const text = await reply.text();
    const refusal: RefusedWith = text === '' ? {} : JSON.parse(text);
    return { status: reply.status, code: refusal.code, values: refusal.values };
  }

  const add = (id: string, more: Record<string, unknown>, version = newer) =>
    call('POST', '/pools', { id, ...machine, ...more }, version);

  it('refuse a body before the resource is looked up', async () => {
    for (const [method, path, body] of [
      ['PATCH', '/pools/none', { metadata: 'x' }],
      ['POST', '/pools/none/resize', { targetDedicatedNodes: -1 }],
      ['POST', '/pools/none/enableautoscale', { autoScaleEvaluationInterval: 'PT1M' }],
      ['POST', '/pools/none/evaluateautoscale', {}],
      ['POST', '/pools/none/updateproperties', {}],
      ['POST', '/pools/none/removenodes', { nodeList: [] }],
      ['POST', '/pools/none/nodes/none/reboot', { nodeRebootOption: 'x' }],
      ['POST', '/pools/none/nodes/none/reimage', { nodeReimageOption: 'x' }],
      ['POST', '/pools/none/nodes/none/deallocate', { nodeDeallocateOption: 'x' }],
      ['POST', '/pools/none/nodes/none/disablescheduling', { nodeDisableSchedulingOption: 'x' }],
      ['POST', '/pools/none/nodes/none/uploadbatchservicelogs', {}],
      ['PATCH', '/jobs/none', { priority: 9999 }],
      ['PUT', '/jobs/none', {}],
      ['POST', '/jobs/none/disable', { disableTasks: 'x' }],
      ['POST', '/jobs/none/terminate', { terminateReason: 1 }],
      ['POST', '/jobs/none/tasks', { id: 'x' }],
      ['POST', '/jobs/none/addtaskcollection', {}],
      ['PUT', '/jobs/none/tasks/none', { constraints: { maxTaskRetryCount: -2 } }],
      ['PATCH', '/jobschedules/none', { schedule: { recurrenceInterval: 'x' } }],
    ] as const) {
      const { status, code } = await call(method, path, body);
      assert.equal(status, 400, `${method} ${path}: ${code}`);
    }
    const { code, values } = await call('POST', '/pools/none/resize', {});
    assert.deepEqual(
      [code, values?.[0]?.value],
      ['MissingRequiredProperty', 'targetDedicatedNodes and/or targetLowPriorityNodes'],
    );
    assert.equal(
      (await call('POST', '/pools/none/resize', { targetDedicatedNodes: 1 })).code,
      'PoolNotFound',
    );
  });

  it('accept Windows images of both generations, and name an account that does not go with an image', async () => {
    for (const sku of ['2019-datacenter-core', '2022-datacenter-g2', '2022-datacenter-smalldisk-g2'])
      assert.equal((await add(`windows-${sku}`, windows(sku))).status, 201, sku);
    assert.equal((await add('windows', windows('2016-datacenter-g2'))).status, 400);
    const userAccounts = [
      { name: 'testaccount', password: 'x', windowsUserConfiguration: { loginMode: 'interactive' } },
    ];
    const { values } = await add('accounts', { userAccounts });
    assert.match(values?.at(-1)?.value ?? '', /user account 'testaccount' has a mismatch with the OS/);
  });

  it('accept the ports of SSH and Remote Desktop from 2024-07-01.20.0 on, each as one endpoint', async () => {
    const inboundNATPools = [
      {
        name: 'ssh',
        protocol: 'tcp',
        backendPort: 22,
        frontendPortRangeStart: 60100,
        frontendPortRangeEnd: 60140,
      },
      {
        name: 'rdp',
        protocol: 'tcp',
        backendPort: 3389,
        frontendPortRangeStart: 15000,
        frontendPortRangeEnd: 15100,
      },
    ];
    const more = {
      targetDedicatedNodes: 1,
      networkConfiguration: { endpointConfiguration: { inboundNATPools } },
    };
    assert.equal((await add('ports', more, older)).status, 400);
    assert.equal((await add('ports', more)).status, 201);
    const [node] = await eventually(
      () => client.computeNode.list('ports'),
      (nodes) => nodes.length === 1,
    );
    const endpoints = node?.endpointConfiguration?.inboundEndpoints ?? [];
    assert.deepEqual(
      endpoints.map(({ name, backendPort }) => [name, backendPort]),
      [
        ['ssh.0', 22],
        ['rdp.0', 3389],
      ],
    );
  });

  it('show how the nodes of a pool communicate, at the versions that have it', async () => {
    await client.pool.add({
      id: 'modes',
      ...machine,
      targetDedicatedNodes: 1,
      targetNodeCommunicationMode: 'simplified',
    });
    const { currentNodeCommunicationMode } = await eventually(
      () => client.pool.get('modes'),
      ({ allocationState }) => allocationState === 'steady',
    );
    assert.equal(currentNodeCommunicationMode, 'simplified');
    assert.equal((await service.client(newer).pool.get('modes')).currentNodeCommunicationMode, undefined);
  });

  it('make a job active as soon as it is enabled', async () => {
    await client.job.add({ id: 'enabled', poolInfo: { poolId: 'none' } });
    await client.job.disable('enabled', 'requeue');
    await eventually(
      () => client.job.get('enabled'),
      ({ state }) => state === 'disabled',
    );
    await client.job.enable('enabled');
    const { state, previousState } = await client.job.get('enabled');
    assert.deepEqual([state, previousState], ['active', 'disabled']);
  });

  it('let a job without tasks be terminated after it is enabled, though it ends by itself later', async () => {
    /** Resolves to why a job ended that was enabled and at once terminated. */
    async function ended(id: string) {
      await client.job.add({ id, poolInfo: { poolId: 'none' } });
      await client.job.disable(id, 'requeue');
      await client.job.patch(id, { onAllTasksComplete: 'terminatejob' });
      await client.job.enable(id);
      await client.job.terminate(id, { terminateReason: 'mine' }).catch(({ code }) => code);
      const { executionInfo } = await eventually(
        () => client.job.get(id),
        ({ state }) => state === 'completed',
      );
      return executionInfo?.terminateReason;
    }
    // On a slow machine it can end by itself before it is terminated.
    let reason: string | undefined;
    for (let tries = 0; reason !== 'mine' && tries < 5; tries++) reason = await ended(`empty-${tries}`);
    assert.equal(reason, 'mine');
    await client.job.add({ id: 'left', poolInfo: { poolId: 'none' } });
    await client.job.disable('left', 'requeue');
    await client.job.patch('left', { onAllTasksComplete: 'terminatejob' });
    await client.job.enable('left');
    await eventually(
      () => client.job.get('left'),
      ({ state, executionInfo }) =>
        state === 'completed' && executionInfo?.terminateReason === 'AllTasksComplete',
    );
  });
});
