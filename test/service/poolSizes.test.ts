import assert from 'node:assert/strict';
import { Batch } from '../../src/core/azure/batch';
import { madeBy, ownPools } from '../../src/core/azure/ownership';
import type { RunPool } from '../../src/core/plan/manifest';
import { readScaleToZero, scaleToZeroFormula } from '../../src/core/pools/autoscaleFormula';
import { ensurePool } from '../../src/core/pools/ensurePool';
import type { NodeTargets } from '../../src/core/pools/nodeTargets';
import {
  enableAutoscale,
  giveNodes,
  releaseNodes,
  removeNodes,
  resizePool,
  retryAllocation,
  scaleToZero,
  useDedicatedNodes,
} from '../../src/core/pools/poolSizes';
import { type FaultyProxy, faultyProxy } from './faultyProxy';
import { eventually, machine, prepare, TestService } from './harness';
import { rejectsWith } from './problems';

const { signal } = new AbortController();
const minute = 60_000;
const own = [{ name: madeBy.name, value: 'pool' }];

describe('The sizes of pools', () => {
  let service: TestService;
  let batch: Batch;
  let pools = 0;
  let vmSizes = 0;

  prepare(
    async function () {
      this.timeout(240_000);
      service = await TestService.start();
      batch = new Batch(service.connection);
    },
    async () => {
      batch?.close();
      await service?.close();
    },
  );
  afterEach(() => service.fault({ resizingMs: 0, allocation: null }));

  /** A pool whose formula was set so many minutes ago. */
  async function scalingPool(targets: NodeTargets, minutesAgo: number): Promise<string> {
    const id = `scaling-${pools++}`;
    await batch.addPool({
      id,
      ...machine,
      metadata: own,
      enableAutoScale: true,
      autoScaleFormula: scaleToZeroFormula(targets, new Date(Date.now() - minutesAgo * minute)),
      autoScaleEvaluationInterval: 'PT5M',
    });
    return id;
  }

  async function fixedPool(spot: number): Promise<string> {
    const id = `fixed-${pools++}`;
    await batch.addPool({ id, ...machine, metadata: own, targetLowPriorityNodes: spot });
    await steady(id);
    return id;
  }

  const steady = (id: string) =>
    eventually(
      () => batch.pool(id),
      (pool) => pool?.allocationState === 'steady',
    );

  async function runOn(poolId: string, id = `job-${pools++}`): Promise<string> {
    const metadata = [{ name: madeBy.name, value: 'job' }];
    await batch.addJob({ id, poolInfo: { poolId }, metadata });
    return id;
  }

  const formulaTargets = async (id: string) =>
    readScaleToZero((await batch.pool(id))?.autoScaleFormula)?.targets;

  const scaling = { lifetime: 'scaleToZero', signal } as const;

  it('grow and do not shrink while another run is on the pool', async () => {
    const id = await scalingPool({ dedicated: 0, spot: 5 }, 8);
    await runOn(id);
    await giveNodes(batch, id, { dedicated: 0, spot: 1 }, scaling);
    assert.deepEqual(await formulaTargets(id), { dedicated: 0, spot: 5 });
  });

  it('are the run’s own once the other run has ended', async () => {
    const id = await scalingPool({ dedicated: 0, spot: 5 }, 8);
    await batch.terminateJob(await runOn(id));
    await giveNodes(batch, id, { dedicated: 0, spot: 1 }, scaling);
    assert.deepEqual(await formulaTargets(id), { dedicated: 0, spot: 1 });
  });

  it('take account of jobs of other programs only while these have tasks', async () => {
    const id = await scalingPool({ dedicated: 0, spot: 5 }, 8);
    await batch.addJob({ id: 'theirs', poolInfo: { poolId: id } });
    const other = await scalingPool({ dedicated: 0, spot: 5 }, 8);
    await batch.addJob({ id: 'idle', poolInfo: { poolId: other } });
    await batch.addTasks('theirs', [{ id: 't', commandLine: '/bin/sh -c "sleep 600"' }]);
    for (const poolId of [id, other]) await giveNodes(batch, poolId, { dedicated: 0, spot: 1 }, scaling);
    assert.deepEqual((await formulaTargets(id))?.spot, 5);
    assert.deepEqual((await formulaTargets(other))?.spot, 1);
    await batch.terminateJob('theirs');
  });

  it('are kept for a run that has no job yet', async () => {
    const id = await scalingPool({ dedicated: 0, spot: 5 }, 0);
    await giveNodes(batch, id, { dedicated: 0, spot: 1 }, scaling);
    assert.deepEqual((await formulaTargets(id))?.spot, 5);
  });

  it('of a pool that is kept only grow', async () => {
    const id = await fixedPool(2);
    await giveNodes(batch, id, { dedicated: 0, spot: 1 }, { lifetime: 'keep', signal });
    assert.equal((await batch.pool(id))?.targetLowPriorityNodes, 2);
    await giveNodes(batch, id, { dedicated: 1, spot: 1 }, { lifetime: 'keep', signal });
    const pool = await steady(id);
    assert.deepEqual([pool?.targetDedicatedNodes, pool?.targetLowPriorityNodes], [1, 2]);
  });

  it('are asked for again after a resize that failed', async () => {
    const id = await fixedPool(0);
    await service.fault({ allocation: 'AllocationTimedOut' });
    await resizePool(batch, id, { dedicated: 0, spot: 2 }, { signal });
    assert.equal((await steady(id))?.resizeErrors?.[0]?.code, 'AllocationTimedOut');
    await service.fault({ allocation: null });
    await retryAllocation(batch, id, { signal });
    await eventually(
      () => batch.pool(id),
      (pool) => pool?.currentLowPriorityNodes === 2,
    );
  });

  it('use dedicated nodes for one run and leave another run its Spot nodes', async () => {
    const [alone, shared] = [
      await scalingPool({ dedicated: 0, spot: 2 }, 8),
      await scalingPool({ dedicated: 0, spot: 2 }, 8),
    ];
    await runOn(shared);
    for (const poolId of [alone, shared]) {
      const jobId = await runOn(poolId);
      await useDedicatedNodes(batch, poolId, { dedicated: 0, spot: 2 }, { ...scaling, jobId });
    }
    assert.deepEqual(await formulaTargets(alone), { dedicated: 2, spot: 0 });
    assert.deepEqual(await formulaTargets(shared), { dedicated: 2, spot: 2 });
  });

  it('come to zero after a run that cannot go on, unless another run is on the pool', async () => {
    const [alone, shared] = [await fixedPool(1), await fixedPool(1)];
    const jobId = await runOn(alone);
    await runOn(shared);
    assert.equal(await releaseNodes(batch, alone, { jobId, signal }), true);
    assert.equal(await releaseNodes(batch, shared, { jobId, signal }), false);
    assert.equal((await steady(alone))?.targetLowPriorityNodes, 0);
    assert.equal((await batch.pool(shared))?.targetLowPriorityNodes, 1);
  });

  it('of a pool that this extension did not make are not changed by a run', async () => {
    const id = await fixedPool(1);
    await batch.patchPool(id, [{ name: 'mine', value: 'pool' }]);
    const keeping = { lifetime: 'keep', signal } as const;
    await rejectsWith(giveNodes(batch, id, { dedicated: 0, spot: 9 }, keeping), { kind: 'poolNotOurs' });
    await rejectsWith(useDedicatedNodes(batch, id, { dedicated: 0, spot: 9 }, keeping), {
      kind: 'poolNotOurs',
    });
    assert.equal(await releaseNodes(batch, id, { jobId: 'any', signal }), false);
    assert.equal((await batch.pool(id))?.targetLowPriorityNodes, 1);
  });

  it('come to zero in the middle of a resize, and from autoscale', async () => {
    await service.fault({ resizingMs: 10 * minute });
    const id = await scalingPool({ dedicated: 0, spot: 2 }, 0);
    assert.equal((await batch.pool(id))?.allocationState, 'resizing');
    await scaleToZero(batch, id, { signal });
    await service.fault({ resizingMs: 0 });
    const pool = await batch.pool(id);
    assert.deepEqual([pool?.enableAutoScale, pool?.targetLowPriorityNodes], [false, 0]);
  });

  it('wait for the end of a resize', async () => {
    const id = await fixedPool(0);
    await service.fault({ resizingMs: 600 });
    await resizePool(batch, id, { dedicated: 0, spot: 1 }, { signal });
    await resizePool(batch, id, { dedicated: 0, spot: 2 }, { signal });
    assert.equal((await batch.pool(id))?.targetLowPriorityNodes, 2);
    await service.fault({ resizingMs: 600 });
    await enableAutoscale(batch, id, '$TargetDedicatedNodes = 0;', { signal });
    assert.equal((await batch.pool(id))?.enableAutoScale, true);
  });

  it('shrink by more nodes than one request can name', async () => {
    const id = await fixedPool(130);
    const nodes = (await batch.nodePage(id, { pageSize: 1000 })).items.map((node) => node.id ?? '');
    await removeNodes(batch, id, [...nodes.slice(0, 120), 'tvmps_gone'], { signal });
    await steady(id);
    const left = (await batch.nodePage(id, { pageSize: 1000 })).items.map((node) => node.id ?? '');
    assert.deepEqual(left.sort(), nodes.slice(120).sort());
  });

  describe('through a bad network', () => {
    let proxy: FaultyProxy;
    let through: Batch;

    beforeEach(async () => {
      proxy = await faultyProxy(service.ready.batchUrl);
      const { connection } = service;
      through = new Batch({ ...connection, account: { ...connection.account, batchUrl: proxy.url } });
    });
    afterEach(async () => {
      through.close();
      await proxy.close();
    });

    const refuseOnce = (path: string, status: number, code: string) => {
      let left = 1;
      proxy.fault = ({ url = '' }, response) => {
        if (!url.includes(path) || left-- <= 0) return false;
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ code, message: { lang: 'en-US', value: code } }));
        return true;
      };
    };

    for (const [path, status, code] of [
      ['enableautoscale', 503, 'TooManyEnableAutoScaleRequests'],
      ['enableautoscale', 409, 'PoolBeingResized'],
    ] as const) {
      it(`wait when the service answers ${code}`, async () => {
        const id = await scalingPool({ dedicated: 0, spot: 1 }, 8);
        refuseOnce(path, status, code);
        const before = proxy.requests.length;
        await giveNodes(through, id, { dedicated: 0, spot: 2 }, scaling);
        assert.equal((await formulaTargets(id))?.spot, 2);
        const asked = proxy.requests.slice(before).filter((request) => request.includes(path));
        assert.equal(asked.length, 2);
      });
    }

    it('follow the time of the service when this machine’s clock is ahead', async () => {
      const aheadMs = 12 * minute;
      proxy.change = (answer) => ({
        ...answer,
        headers: { ...answer.headers, date: new Date(Date.now() - aheadMs).toUTCString() },
      });
      const { id } = await ensurePool(through, runPool('scaleToZero'), nodes, signal);
      const { freshUntil } = readScaleToZero((await batch.pool(id))?.autoScaleFormula) ?? {};
      const freshMs = Number(freshUntil) - (Date.now() - aheadMs);
      assert.ok(freshMs > 14 * minute && freshMs < 16 * minute, `${freshMs}`);
    });

    it('are merged when two runs size a pool at once', async () => {
      const id = await scalingPool({ dedicated: 0, spot: 1 }, 8);
      let first: Promise<unknown> | undefined;
      proxy.fault = async ({ url = '' }) => {
        if (url.includes('enableautoscale')) {
          first ??= giveNodes(batch, id, { dedicated: 0, spot: 5 }, scaling);
          await first;
        }
        return false;
      };
      await giveNodes(through, id, { dedicated: 0, spot: 2 }, scaling);
      assert.equal((await formulaTargets(id))?.spot, 5);
    });

    const runPool = (lifetime: RunPool['lifetime']): RunPool => ({
      lifetime,
      // A size of its own, hence a pool of its own.
      vmSize: `Standard_D${2 + 2 * vmSizes++}s_v5`,
      dedicatedNodes: 0,
      spotNodes: 1,
      slotsPerNode: 1,
    });
    const nodes = { dedicated: 0, spot: 1 };

    it('find the pool that was made although the answer was lost', async () => {
      let left = 1;
      proxy.change = (answer) =>
        answer.request.method === 'POST' && answer.request.url?.startsWith('/pools?') && left-- > 0
          ? undefined
          : answer;
      const wanted = runPool('keep');
      const made = await ensurePool(through, wanted, nodes, signal);
      assert.equal(made.before, undefined);
      assert.deepEqual(await ensurePool(through, wanted, nodes, signal), { id: made.id, before: nodes });
    });

    it('are those of a new pool when the pool is deleted while it is sized', async () => {
      const wanted = runPool('scaleToZero');
      const { id } = await ensurePool(batch, wanted, nodes, signal);
      let left = 1;
      proxy.fault = async ({ url = '' }) => {
        if (url.includes('enableautoscale') && left-- > 0) await batch.deletePool(id);
        return false;
      };
      const more = await ensurePool(through, wanted, { dedicated: 0, spot: 2 }, signal);
      assert.deepEqual(more, { id });
    });

    for (const [lifetime, isLost] of [
      ['keep', false],
      ['scaleToZero', false],
      ['keep', true],
    ] as const) {
      const answer = isLost ? ', though the answer was lost' : '';
      it(`leave nothing of a pool (${lifetime}) that was canceled while it was made${answer}`, async () => {
        const abort = new AbortController();
        let id = '';
        proxy.change = (answer) => {
          if (answer.request.method === 'POST' && answer.request.url?.startsWith('/pools?')) {
            const isFirst = id === '';
            if (isFirst) id = String(answer.headers.dataserviceid).split('/').at(-1) ?? '';
            abort.abort();
            if (isFirst && isLost) return undefined;
          }
          return answer;
        };
        await assert.rejects(ensurePool(through, runPool(lifetime), nodes, abort.signal), {
          name: 'AbortError',
        });
        assert.notEqual(id, '');
        await eventually(
          () => batch.pool(id),
          (pool) => pool === undefined,
        );
      });
    }

    it('are those of different pools where the lifetime differs', async () => {
      const kept = runPool('keep');
      const one = await ensurePool(batch, kept, nodes, signal);
      const other = await ensurePool(batch, { ...kept, lifetime: 'scaleToZero' }, nodes, signal);
      assert.notEqual(one.id, other.id);
      assert.equal((await batch.pool(one.id))?.enableAutoScale, false);
    });

    it('are those of another pool where the nodes are in a subnet', async () => {
      const plain = runPool('keep');
      const subnetId =
        '/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/nodes';
      await ensurePool(batch, plain, nodes, signal);
      // The local service has no virtual networks, and says so.
      await assert.rejects(ensurePool(batch, { ...plain, subnetId }, nodes, signal), /no virtual networks/);
    });

    it('leave a pool alone whose metadata has our name and another value', async () => {
      const wanted = runPool('keep');
      const own = await ensurePool(batch, wanted, nodes, signal);
      const metadata = (await batch.pool(own.id))?.metadata ?? [];
      await batch.deletePool(own.id);
      await eventually(
        () => batch.pool(own.id),
        (pool) => pool === undefined,
      );
      await batch.addPool({
        id: own.id,
        ...machine,
        metadata: metadata.map(({ name, value }) => ({ name, value: name === madeBy.name ? 'mine' : value })),
      });
      assert.equal((await ensurePool(batch, wanted, nodes, signal)).id, `${own.id}-2`);
      for await (const { id } of ownPools(batch, 'id', signal)) assert.notEqual(id, own.id);
    });
  });
});
