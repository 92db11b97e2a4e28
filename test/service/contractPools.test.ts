import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BatchServiceClient, BatchServiceModels } from '@azure/batch';
import { eventually, machine, prepare, type RefusedWith, refused, TestService } from './harness';

const older = '2022-10-01.16.0';
const newer = '2025-06-01';

describe('Pools of the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;
  let client: BatchServiceClient;

  prepare(
    async () => {
      // Slow enough that a resize can be stopped.
      service = await TestService.start('--node-step-ms', '150');
      client = service.client(newer);
    },
    () => service.close(),
  );

  async function steady(poolId: string): Promise<BatchServiceModels.CloudPool> {
    return eventually(
      () => client.pool.get(poolId),
      ({ allocationState }) => allocationState === 'steady',
    );
  }

  /** Waits until a pool has this number of nodes, all in this state. */
  async function nodesIn(poolId: string, state: string, count: number) {
    return eventually(
      () => client.computeNode.list(poolId),
      (nodes) => nodes.length === count && nodes.every((node) => node.state === state),
    );
  }

  async function add(id: string, more: Partial<BatchServiceModels.PoolAddParameter> = {}): Promise<void> {
    await client.pool.add({ id, ...machine, ...more });
    await steady(id);
  }

  it('grow and shrink, one resize at a time', async () => {
    await add('resized', { targetDedicatedNodes: 1 });
    await nodesIn('resized', 'idle', 1);
    await service.fault({ resizingMs: 600_000 });
    await client.pool.resize('resized', { targetDedicatedNodes: 3, targetLowPriorityNodes: 1 });
    await assert.rejects(
      client.pool.resize('resized', { targetDedicatedNodes: 1 }),
      refused('PoolBeingResized', 409),
    );
    await service.fault({ resizingMs: 0 });
    await steady('resized');
    await nodesIn('resized', 'idle', 4);
    await client.pool.resize('resized', { targetDedicatedNodes: 0, targetLowPriorityNodes: 1 });
    const pool = await steady('resized');
    assert.deepEqual([pool.currentDedicatedNodes, pool.currentLowPriorityNodes], [0, 1]);
    await assert.rejects(
      client.pool.resize('resized', { targetDedicatedNodes: 1, resizeTimeout: 'PT1M' }),
      refused('InvalidPropertyValue', 400),
    );
  });

  it('keep their targets when a resize is stopped, and report it', async () => {
    await add('stopped');
    const before = await client.pool.get('stopped');
    await service.fault({ allocation: 'AccountCoreQuotaReached', resizingMs: 600_000 });
    await client.pool.resize('stopped', { targetLowPriorityNodes: 2 });
    await client.pool.stopResize('stopped');
    const pool = await steady('stopped');
    await service.fault({ allocation: null, resizingMs: 0 });
    assert.equal(pool.targetLowPriorityNodes, 2);
    assert.deepEqual(
      pool.resizeErrors?.map(({ code }) => code),
      ['ResizeStopped'],
    );
    assert.ok((pool.allocationStateTransitionTime ?? 0) > (before.allocationStateTransitionTime ?? 0));
    await assert.rejects(client.pool.stopResize('stopped'), refused('OperationInvalidForCurrentState', 409));
  });

  it('report why nodes could not be allocated', async () => {
    await service.fault({ allocation: 'AccountLowPriorityCoreQuotaReached' });
    await client.pool.add({ id: 'quota', ...machine, targetLowPriorityNodes: 1 });
    const pool = await steady('quota');
    await service.fault({ allocation: null });
    assert.equal(pool.resizeErrors?.[0]?.code, 'AccountLowPriorityCoreQuotaReached');
    assert.equal(pool.currentLowPriorityNodes, 0);
  });

  it('remove named nodes and lower their targets', async () => {
    await add('removal', { targetDedicatedNodes: 2 });
    const [first] = await nodesIn('removal', 'idle', 2);
    await client.pool.removeNodes('removal', { nodeList: [first?.id ?? ''] });
    const left = await nodesIn('removal', 'idle', 1);
    assert.notEqual(left[0]?.id, first?.id);
    const pool = await steady('removal');
    assert.equal(pool.targetDedicatedNodes, 1);
    await assert.rejects(
      client.pool.removeNodes('removal', { nodeList: ['gone'] }),
      refused('NodeNotFound', 404),
    );
    await assert.rejects(
      client.pool.removeNodes('removal', { nodeList: [] }),
      refused('InvalidPropertyValue', 400, 'nodeList'),
    );
    assert.equal((await steady('removal')).targetDedicatedNodes, 1);
  });

  it('remove a node once, and end its tasks when another removal or the pool no longer waits for them', async () => {
    await add('patient', { targetDedicatedNodes: 2 });
    await nodesIn('patient', 'idle', 2);
    await client.job.add({ id: 'patient', poolInfo: { poolId: 'patient' } });
    await client.task.addCollection(
      'patient',
      ['one', 'other'].map((id) => ({ id, commandLine: '/bin/sleep 600' })),
    );
    await nodesIn('patient', 'running', 2);
    const nodeOf = async (id: string) => (await client.task.get('patient', id)).nodeInfo?.nodeId ?? '';
    const one = { nodeList: [await nodeOf('one')] };
    await client.pool.removeNodes('patient', { ...one, nodeDeallocationOption: 'taskcompletion' });
    await client.pool.stopResize('patient');
    await steady('patient');
    await client.pool.removeNodes('patient', one);
    await nodesIn('patient', 'running', 1);
    assert.equal((await steady('patient')).targetDedicatedNodes, 1);
    const requeued = await client.task.get('patient', 'one');
    assert.deepEqual([requeued.state, requeued.executionInfo?.requeueCount], ['active', 1]);
    const nodeList = [await nodeOf('other')];
    await client.pool.removeNodes('patient', { nodeList, nodeDeallocationOption: 'taskcompletion' });
    await client.pool.deleteMethod('patient');
    await eventually(
      () => client.pool.exists('patient'),
      ({ body }) => !body,
    );
    const other = await client.task.get('patient', 'other');
    assert.deepEqual([other.state, other.executionInfo?.requeueCount], ['active', 1]);
    await client.job.deleteMethod('patient');
  });

  it('are updated by PATCH and updateproperties, with the members of each version', async () => {
    const old = service.client(older);
    await add('changed', { startTask: { commandLine: '/bin/true' }, metadata: [{ name: 'a', value: 'b' }] });
    await old.pool.updateProperties('changed', {
      certificateReferences: [],
      applicationPackageReferences: [],
      metadata: [],
    });
    const replaced = await client.pool.get('changed');
    // A recorded reply: of the empty lists, only that of certificates is shown.
    const { startTask, metadata, applicationPackageReferences } = replaced;
    assert.deepEqual([startTask, metadata, applicationPackageReferences], [undefined, undefined, undefined]);
    const patch = (version: string, body: unknown) =>
      service.request('PATCH', `/pools/changed?api-version=${version}`, body);
    assert.equal((await patch(newer, { vmSize: 'Standard_D4s_v5', taskSlotsPerNode: 2 })).status, 200);
    assert.equal((await client.pool.get('changed')).vmSize, 'standard_d4s_v5');
    assert.equal((await patch(older, { vmSize: 'Standard_D4s_v5' })).status, 400);
    const properties = (version: string, body: unknown) =>
      service.request('POST', `/pools/changed/updateproperties?api-version=${version}`, body);
    const whole = { applicationPackageReferences: [], metadata: [] };
    assert.equal((await properties(newer, whole)).status, 204);
    assert.equal((await properties(older, whole)).status, 400);
  });

  it('refuse members that a version does not have, by name', async () => {
    const add = async (version: string, more: Record<string, unknown>) => {
      const body = { id: 'members', ...machine, ...more };
      const reply = await service.request('POST', `/pools?api-version=${version}`, body);
      if (reply.ok) await client.pool.deleteMethod('members');
      await eventually(
        () => client.pool.exists('members'),
        ({ body }) => !body,
      );
      return reply.ok ? 'made' : ((await reply.json()) as RefusedWith);
    };
    for (const [version, more, name] of [
      [older, { vmSizes: 'x' }, 'vmSizes'],
      [older, { upgradePolicy: { mode: 'manual' } }, 'upgradePolicy'],
      [newer, { certificateReferences: [] }, 'certificateReferences'],
      [newer, { targetNodeCommunicationMode: 'default' }, 'targetNodeCommunicationMode'],
      [newer, { startTask: { commandLine: '/bin/true', wait: true } }, 'wait'],
      [newer, { metadata: [{ name: 'a', value: 'b', of: 'c' }] }, 'of'],
    ] as const) {
      const told = await add(version, more);
      assert.ok(told !== 'made' && told.code === 'InvalidRequestBody', `${version} ${name}`);
      assert.match(told.values?.[0]?.value ?? '', new RegExp(`'${name}'`));
    }
    assert.equal(await add(newer, { upgradePolicy: { mode: 'manual' } }), 'made');
    assert.equal(
      await add(newer, { taskSchedulingPolicy: { nodeFillType: 'pack', jobDefaultOrder: 'none' } }),
      'made',
    );
    assert.equal(await add(older, { certificateReferences: [] }), 'made');
  });

  it('scale by a formula, which can be enabled every 30 seconds', async () => {
    await add('scaled');
    await client.pool.enableAutoScale('scaled', { autoScaleFormula: '$TargetDedicatedNodes = 1;' });
    await nodesIn('scaled', 'idle', 1);
    await assert.rejects(
      client.pool.enableAutoScale('scaled', { autoScaleFormula: '$TargetDedicatedNodes = 2;' }),
      refused('TooManyEnableAutoScaleRequests', 503),
    );
    await assert.rejects(
      client.pool.resize('scaled', { targetDedicatedNodes: 1 }),
      refused('OperationNotValidOnPool', 409),
    );
    await client.pool.disableAutoScale('scaled');
    const pool = await client.pool.get('scaled');
    assert.deepEqual([pool.enableAutoScale, pool.autoScaleFormula], [false, undefined]);
    await assert.rejects(
      client.pool.evaluateAutoScale('scaled', '$TargetDedicatedNodes = 2;'),
      refused('OperationNotValidOnPool', 409),
    );
  });

  it('have nodes that reboot, are reimaged, go offline and online', async () => {
    await add('nodes', { targetDedicatedNodes: 1 });
    const [node] = await nodesIn('nodes', 'idle', 1);
    const id = node?.id ?? '';
    const boot = (await client.computeNode.get('nodes', id)).lastBootTime;
    // Both may be over before they are seen.
    await eventually(
      async () => {
        await nodesIn('nodes', 'idle', 1);
        await client.computeNode.reboot('nodes', id);
        const { state } = await client.computeNode.get('nodes', id);
        const refusal = await client.computeNode.reimage('nodes', id).catch(({ code }) => code);
        return [state, refusal];
      },
      (seen) => seen.join() === 'rebooting,NodeBeingRebooted',
    );
    await nodesIn('nodes', 'idle', 1);
    assert.notDeepEqual((await client.computeNode.get('nodes', id)).lastBootTime, boot);
    await eventually(
      async () => {
        await nodesIn('nodes', 'idle', 1);
        await client.computeNode.reimage('nodes', id);
        return client.computeNode.get('nodes', id);
      },
      ({ state }) => state === 'reimaging',
    );
    await nodesIn('nodes', 'idle', 1);
    await client.computeNode.disableScheduling('nodes', id);
    await nodesIn('nodes', 'offline', 1);
    await assert.rejects(
      client.computeNode.disableScheduling('nodes', id),
      refused('NodeAlreadyInTargetSchedulingState', 409),
    );
    await client.computeNode.enableScheduling('nodes', id);
    await nodesIn('nodes', 'idle', 1);
  });

  it('have nodes whose reboot terminates tasks or waits for them', async () => {
    await add('busy', { targetDedicatedNodes: 1 });
    const [node] = await nodesIn('busy', 'idle', 1);
    const id = node?.id ?? '';
    await client.job.add({ id: 'busy', poolInfo: { poolId: 'busy' } });
    const go = join(service.dataDir, 'waited-go');
    for (const [taskId, nodeRebootOption, exitCode] of [
      ['ended', 'terminate', undefined],
      ['waited', 'taskcompletion', 0],
    ] as const) {
      const commandLine = `/bin/sh -c "until [ -e ${go} ]; do sleep 0.05; done"`;
      await client.task.add('busy', { id: taskId, commandLine });
      await eventually(
        () => client.task.get('busy', taskId),
        ({ state }) => state === 'running',
      );
      await client.computeNode.reboot('busy', id, { nodeRebootOption });
      if (nodeRebootOption === 'taskcompletion') writeFileSync(go, '');
      const { executionInfo } = await eventually(
        () => client.task.get('busy', taskId),
        ({ state }) => state === 'completed',
      );
      assert.equal(executionInfo?.requeueCount, 0);
      if (exitCode === 0) assert.equal(executionInfo?.exitCode, 0);
      else assert.equal(executionInfo?.failureInfo?.code, 'TaskEnded');
      await nodesIn('busy', 'idle', 1);
    }
  });

  it('have nodes that serve files while they can be reached and have their disk', async () => {
    await add('served', { targetDedicatedNodes: 1 });
    const [node] = await nodesIn('served', 'idle', 1);
    const ofNode = `/pools/served/nodes/${node?.id}`;
    const act = (name: string) => service.request('POST', `${ofNode}/${name}?api-version=${newer}`);
    await client.job.add({ id: 'served', poolInfo: { poolId: 'served' } });
    const run = async (id: string) => {
      await client.task.add('served', { id, commandLine: '/bin/echo hello' });
      await eventually(
        () => client.task.get('served', id),
        ({ state }) => state === 'completed',
      );
    };
    /** The code with which files of a task or the node are refused; undefined if they are listed and read. */
    const refusal = async (place: string, file: string) => {
      const replies = await Promise.all(
        [`${place}/files`, `${place}/files/${file}`].map((path) =>
          service.request('GET', `${path}?api-version=${newer}`),
        ),
      );
      const codes = replies.map(async (reply) =>
        reply.ok ? undefined : ((await reply.json()) as RefusedWith).code,
      );
      const [listed, read] = await Promise.all(codes);
      assert.equal(listed, read);
      return listed;
    };
    const ofTask = (id: string) => refusal(`/jobs/served/tasks/${id}`, 'stdout.txt');
    await run('first');
    assert.equal(await ofTask('first'), undefined);
    assert.equal((await act('deallocate')).status, 202);
    await nodesIn('served', 'deallocated', 1);
    assert.equal(await ofTask('first'), 'NodeNotReady');
    assert.equal(await refusal(ofNode, 'shared'), 'NodeNotReady');
    assert.equal((await act('start')).status, 202);
    await nodesIn('served', 'idle', 1);
    assert.equal(await refusal(ofNode, 'shared'), undefined);
    assert.equal((await act('reimage')).status, 202);
    await nodesIn('served', 'idle', 1);
    assert.equal(await ofTask('first'), 'TaskFilesUnavailable');
    await run('second');
    assert.equal(await ofTask('second'), undefined);
    await client.pool.removeNodes('served', { nodeList: [node?.id ?? ''] });
    await nodesIn('served', 'idle', 0);
    assert.equal(await ofTask('second'), 'NodeNotFound');
    await client.pool.deleteMethod('served');
    await eventually(
      () => client.pool.exists('served'),
      ({ body }) => !body,
    );
    assert.equal(await ofTask('second'), 'NodeNotFound');
  });

  it('deallocate and start nodes, in the versions that can', async () => {
    await add('deallocated', { targetDedicatedNodes: 1 });
    const [node] = await nodesIn('deallocated', 'idle', 1);
    const act = (name: string, version: string) =>
      service.request('POST', `/pools/deallocated/nodes/${node?.id}/${name}?api-version=${version}`);
    assert.equal((await act('deallocate', older)).status, 404);
    assert.equal((await act('start', newer)).status, 409);
    assert.equal((await act('deallocate', newer)).status, 202);
    await nodesIn('deallocated', 'deallocated', 1);
    const counts = await client.account.listPoolNodeCounts({
      accountListPoolNodeCountsOptions: { filter: "poolId eq 'deallocated'" },
    });
    assert.equal(counts.length, 1);
    assert.equal((await act('start', newer)).status, 202);
    await nodesIn('deallocated', 'idle', 1);
  });

  it('of a job are deleted with it unless they are kept alive', async () => {
    for (const [jobId, keepAlive] of [
      ['brings', false],
      ['keeps', true],
    ] as const) {
      await client.job.add({
        id: jobId,
        poolInfo: {
          autoPoolSpecification: {
            autoPoolIdPrefix: jobId,
            poolLifetimeOption: 'job',
            keepAlive,
            pool: { ...machine, targetDedicatedNodes: 1 },
          },
        },
      });
      const poolId = (await client.job.get(jobId)).executionInfo?.poolId ?? '';
      assert.match(poolId, new RegExp(`^${jobId}_`));
      await steady(poolId);
      await client.job.terminate(jobId);
      await eventually(
        () => client.job.get(jobId),
        ({ state }) => state === 'completed',
      );
      if (keepAlive) assert.equal((await client.pool.get(poolId)).state, 'active');
      else
        await eventually(
          () => client.pool.exists(poolId),
          ({ body }) => !body,
        );
    }
  });

  it('of a job are deleted with it also when the job has moved to another pool', async () => {
    await add('moved-to');
    await client.job.add({
      id: 'moves',
      poolInfo: {
        autoPoolSpecification: {
          poolLifetimeOption: 'job',
          pool: { ...machine, targetDedicatedNodes: 0 },
        },
      },
    });
    const autoPoolId = (await client.job.get('moves')).executionInfo?.poolId ?? '';
    await client.job.disable('moves', 'requeue');
    await eventually(
      () => client.job.get('moves'),
      ({ state }) => state === 'disabled',
    );
    await client.job.patch('moves', { poolInfo: { poolId: 'moved-to' } });
    await client.job.terminate('moves');
    await eventually(
      () => client.pool.exists(autoPoolId),
      ({ body }) => !body,
    );
    assert.equal((await client.pool.get('moved-to')).state, 'active');
  });

  it('are deleted even if a node is preempted meanwhile', async () => {
    await add('taken', { targetLowPriorityNodes: 2 });
    await nodesIn('taken', 'idle', 2);
    await service.fault({ preempt: 'taken' });
    await client.pool.deleteMethod('taken');
    await eventually(
      () => client.pool.exists('taken'),
      ({ body }) => !body,
    );
  });

  it('can be created again under the same id at once', async () => {
    for (let count = 0; count < 6; count++) {
      await add('again');
      await client.pool.deleteMethod('again');
      await eventually(
        () => client.pool.exists('again'),
        ({ body }) => !body,
      );
    }
    await add('again', { targetDedicatedNodes: 1 });
    await nodesIn('again', 'idle', 1);
    assert.equal((await client.pool.get('again')).state, 'active');
  });

  it('refuse members that contradict each other, by name', async () => {
    const rule = (priority: number, ...sourcePortRanges: string[]) => ({
      ...{ priority, access: 'allow', sourceAddressPrefix: '*' },
      ...(sourcePortRanges.length > 0 && { sourcePortRanges }),
    });
    const nat = (index: number, ...networkSecurityGroupRules: object[]) => ({
      ...{ name: `n${index}`, protocol: 'tcp', backendPort: 80 + index },
      ...{ frontendPortRangeStart: 1000 + 50 * index, frontendPortRangeEnd: 1049 + 50 * index },
      networkSecurityGroupRules,
    });
    const network = (...inboundNATPools: object[]) => ({
      networkConfiguration: { endpointConfiguration: { inboundNATPools } },
    });
    const linux = machine.virtualMachineConfiguration;
    const rules = (from: number, count: number) =>
      Array.from({ length: count }, (_, index) => rule(from + index));
    const account = { name: 'me', password: 'x' };
    const add = async (more: object) => {
      const body = { id: 'contradicting', ...machine, ...more };
      const reply = await service.request('POST', `/pools?api-version=${newer}`, body);
      const { code, values = [] } = reply.ok ? {} : ((await reply.json()) as RefusedWith);
      return [reply.status, code, values[0]?.value];
    };
    for (const [name, more] of [
      ['frontendPortRangeStart', network(nat(1), { ...nat(2), frontendPortRangeStart: 1099 - 50 })],
      ['networkSecurityGroupRules', network(nat(1, ...rules(200, 13)), nat(2, ...rules(300, 13)))],
      ['priority', network(nat(1, rule(200)), nat(2, rule(200)))],
      ['sourcePortRanges', network(nat(1, rule(200, '22', '20-25')))],
      ['sourcePortRanges', network(nat(1, rule(200, '70000')))],
      ['ipAddressIds', { networkConfiguration: { publicIPAddressConfiguration: { ipAddressIds: ['x'] } } }],
      [
        'inboundNATPools',
        {
          networkConfiguration: {
            ...network(nat(1)).networkConfiguration,
            publicIPAddressConfiguration: { provision: 'nopublicipaddresses' },
          },
        },
      ],
      ['userAccounts', { userAccounts: [account, { ...account, name: 'ME' }] }],
      ['gid', { userAccounts: [{ ...account, linuxUserConfiguration: { uid: 1000 } }] }],
      [
        'windowsUserConfiguration',
        { userAccounts: [{ ...account, windowsUserConfiguration: { loginMode: 'batch' } }] },
      ],
      [
        'windowsConfiguration',
        { virtualMachineConfiguration: { ...linux, windowsConfiguration: { enableAutomaticUpdates: true } } },
      ],
      ['lun', { virtualMachineConfiguration: { ...linux, dataDisks: [{ lun: 64, diskSizeGB: 1 }] } }],
      [
        'lun',
        {
          virtualMachineConfiguration: {
            ...linux,
            dataDisks: [
              { lun: 1, diskSizeGB: 1 },
              { lun: 1, diskSizeGB: 1 },
            ],
          },
        },
      ],
      [
        'applicationPackageReferences',
        {
          applicationPackageReferences: Array.from({ length: 11 }, (_, index) => ({
            applicationId: `a${index}`,
          })),
        },
      ],
    ] as const)
      assert.deepEqual(await add(more), [400, 'InvalidPropertyValue', name], JSON.stringify(more));
    const consistent = {
      userAccounts: [
        { ...account, linuxUserConfiguration: { uid: 1000, gid: 1000 } },
        { ...account, name: 'you' },
      ],
      ...network(nat(1, rule(200, '22', '80-90'), ...rules(201, 12)), nat(2, ...rules(300, 12))),
    };
    assert.deepEqual(await add(consistent), [201, undefined, undefined]);
  });

  it('are filtered by the members that Azure filters by, and by no others', async () => {
    const status = async (path: string, filter: string) => {
      const query = `api-version=${newer}&%24filter=${encodeURIComponent(filter)}`;
      return (await service.request('GET', `${path}?${query}`)).status;
    };
    await add('filtered', { targetDedicatedNodes: 1 });
    const poolInfo = { poolId: 'filtered' };
    await client.job.add({ id: 'filtered', poolInfo, jobPreparationTask: { commandLine: '/bin/true' } });
    const time = "datetime'2026-01-01T00:00:00Z'";
    for (const [path, good, bad] of [
      ['/pools', "state eq 'active' and vmSize ne 'x'", "displayName eq 'x'"],
      ['/pools/filtered/nodes', "startTaskInfo/result eq 'failure'", "ipAddress eq '127.0.0.1'"],
      ['/jobs', "executionInfo/poolId eq 'x'", 'priority gt 1'],
      ['/jobs/filtered/tasks', `lastModifiedTime gt ${time}`, "displayName eq 'x'"],
      [
        '/jobschedules',
        `schedule/doNotRunUntil gt ${time} or executionInfo/endTime lt ${time}`,
        "displayName eq 'x'",
      ],
      ['/jobschedules', `schedule/doNotRunAfter gt ${time}`, "schedule/doNotRunAfter gt 'x'"],
      [
        '/jobs/filtered/jobpreparationandreleasetaskstatus',
        `jobPreparationTaskExecutionInfo/startTime gt ${time} and jobReleaseTaskExecutionInfo/result eq 'failure'`,
        "nodeUrl eq 'x'",
      ],
      ['/nodecounts', "poolId eq 'filtered'", "id eq 'filtered'"],
      ['/supportedimages', "osType eq 'linux'", "publisher eq 'canonical'"],
    ] as const) {
      assert.equal(await status(path, good), 200, good);
      assert.equal(await status(path, bad), 400, bad);
    }
    await client.task.add('filtered', { id: 'task', commandLine: '/bin/true' });
    const changedSince = async (year: number) =>
      client.task.list('filtered', {
        taskListOptions: { filter: `lastModifiedTime ge datetime'${year}-01-01T00:00:00Z'` },
      });
    assert.deepEqual([(await changedSince(2000)).length, (await changedSince(9000)).length], [1, 0]);
  });
});
