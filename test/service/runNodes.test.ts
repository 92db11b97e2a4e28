import assert from 'node:assert/strict';
import { type IncomingMessage, request as sendTo } from 'node:http';
import { Batch } from '../../src/core/azure/batch';
import { madeBy } from '../../src/core/azure/ownership';
import { attemptOf, type RunPool } from '../../src/core/plan/manifest';
import { ensurePool } from '../../src/core/pools/ensurePool';
import { removeNodes, retryAllocation } from '../../src/core/pools/poolSizes';
import { takeBackNodes } from '../../src/core/pools/takeBackNodes';
import { FastClock } from '../clock';
import type { Fault } from './faultyProxy';
import { eventually, machine, prepare } from './harness';
import { rejectsWith } from './problems';
import { never, RunFixture } from './runFixture';

const nodes = { dedicated: 0, spot: 2 };

describe('The nodes of a run', function () {
  this.timeout(240_000);
  let fixture: RunFixture;
  /** By way of the proxy, and past it. */
  let through: Batch;
  let direct: Batch;
  let vmSizes = 0;

  prepare(
    async () => {
      fixture = await RunFixture.make();
      through = new Batch(fixture.connection);
      direct = new Batch(fixture.service.connection);
    },
    async () => {
      through.close();
      direct.close();
      await fixture.close();
    },
  );

  afterEach(async () => {
    await fixture.calm();
    await fixture.service.fault({ resizingMs: 0 });
  });

  /** A size of its own, hence a pool of its own. */
  const runPool = (lifetime: RunPool['lifetime']): RunPool => ({
    lifetime,
    vmSize: `Standard_E${2 + 2 * vmSizes++}s_v5`,
    dedicatedNodes: 0,
    spotNodes: 2,
    slotsPerNode: 1,
  });

  const isGone = (id: string) =>
    eventually(
      () => direct.pool(id),
      (pool) => pool === undefined || pool.state === 'deleting',
    );

  const isSteady = (id: string) =>
    eventually(
      () => direct.pool(id),
      (pool) => pool?.allocationState === 'steady',
    );

  function answer(status: number, code: string, matches: (request: IncomingMessage) => boolean): Fault {
    return (request, response) => {
      if (!matches(request)) return false;
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ code, message: { lang: 'en-US', value: code } }));
      return true;
    };
  }

  /**
   * Holds back the first matching request. It reaches the service after the client has given it up and looked for its effect,
   * which is what `isSearch` matches.
   */
  function late(
    matches: (request: IncomingMessage) => boolean,
    isSearch: (request: IncomingMessage) => boolean,
  ) {
    const seen = { isHeld: false, isGivenUp: false, isSearched: false, hasArrived: false };
    let send: () => Promise<void> = async () => undefined;
    fixture.batch.fault = async (request, response) => {
      if (!seen.isHeld && matches(request)) {
        const { method, url, headers } = request;
        const body = Buffer.concat(await request.toArray());
        response.once('close', () => {
          seen.isGivenUp = true;
        });
        send = () =>
          new Promise((resolve, reject) => {
            sendTo(`${fixture.service.ready.batchUrl}${url}`, { method, headers }, (reply) => {
              seen.hasArrived = true;
              reply.resume().once('end', resolve);
            })
              .once('error', reject)
              .end(body);
          });
        seen.isHeld = true;
        return true;
      }
      if (seen.isGivenUp && !seen.isSearched && isSearch(request)) {
        seen.isSearched = true;
        // The search finds nothing yet.
        response.once('finish', () => send());
      }
      return false;
    };
    return seen;
  }

  it('are taken back from a pool that existed when the run is canceled before the service has answered', async () => {
    const vmSize = 'Standard_F2s_v2';
    const options = { lifetime: 'keep', vmSize, spotNodes: 2 } as const;
    const { run, parts } = await fixture.start(fixture.folder(['a.mp4', 'b.mp4']).paths, options);
    const { id } = await ensurePool(direct, run.manifest.pool, { dedicated: 0, spot: 0 }, never);
    let arrive: () => void = () => undefined;
    const arrival = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    let isAsked = false;
    fixture.batch.fault = async ({ url = '' }) => {
      if (!url.includes('/resize') || isAsked) return false;
      isAsked = true;
      await arrival;
      return false;
    };
    const advancing = run.advance('fetched', never);
    await eventually(
      async () => isAsked,
      (asked) => asked,
    );
    const canceling = run.cancel(never);
    arrive();
    await assert.rejects(advancing, { name: 'AbortError' });
    await canceling;
    await run.close();
    assert.equal((await direct.pool(id))?.targetLowPriorityNodes, 0);
    assert.equal(await parts.batch.job(attemptOf(run.manifest).jobId), undefined);
  });

  it('that were not asked for yet are not waited for when the run is canceled', async () => {
    const options = { lifetime: 'keep', vmSize: 'Standard_F32s_v2', spotNodes: 2 } as const;
    const seen = { isNoted: false, searches: 0 };
    const { run } = await fixture.start(fixture.folder(['a.mp4']).paths, options);
    await ensurePool(direct, run.manifest.pool, { dedicated: 0, spot: 0 }, never);
    // Before the request for nodes, the pool is told which job it is for.
    fixture.batch.fault = async ({ method, url = '' }) => {
      if (method === 'PATCH') seen.isNoted = true;
      else if (seen.isNoted && method === 'GET' && url.startsWith('/pools/')) seen.searches++;
      return method === 'PATCH';
    };
    const advancing = run.advance('submitted', never);
    await eventually(
      async () => seen.isNoted,
      (isNoted) => isNoted,
    );
    const [outcome] = await Promise.allSettled([advancing, run.cancel(never)]);
    await run.close();
    assert.deepEqual([outcome.status, run.state.poolsGiven.size], ['rejected', 0]);
    // Once, in case the pool has been told.
    assert.equal(seen.searches, 1);
  });

  it('are taken back from a pool that existed though they come after the request was given up', async () => {
    const vmSize = 'Standard_F4s_v2';
    const seen = late(
      ({ url = '' }) => url.includes('/resize'),
      ({ method, url = '' }) => method === 'GET' && url.startsWith('/pools/'),
    );
    const clock = new FastClock(60, () => seen.isGivenUp && !seen.hasArrived);
    const options = { lifetime: 'keep', vmSize, spotNodes: 2, clock } as const;
    const { run } = await fixture.start(fixture.folder(['a.mp4', 'b.mp4']).paths, options);
    const { id } = await ensurePool(direct, run.manifest.pool, { dedicated: 0, spot: 0 }, never);
    const advancing = run.advance('fetched', never);
    await eventually(
      async () => seen.isHeld,
      (isHeld) => isHeld,
    );
    const [outcome] = await Promise.allSettled([advancing, run.cancel(never)]);
    assert.equal(outcome.status, 'rejected');
    await run.close();
    await eventually(
      async () => seen.hasArrived,
      (hasArrived) => hasArrived,
    );
    assert.equal((await direct.pool(id))?.targetLowPriorityNodes, 0);
  });

  it('leave no pool behind that appears after the request for it was given up', async () => {
    const wanted = runPool('keep');
    const seen = late(
      ({ method, url = '' }) => method === 'POST' && url.startsWith('/pools?'),
      ({ method, url = '' }) => method === 'GET' && url.startsWith('/pools/'),
    );
    const clock = new FastClock(60, () => seen.isGivenUp && !seen.hasArrived);
    const abort = new AbortController();
    const making = ensurePool(through, wanted, nodes, abort.signal, { clock });
    await eventually(
      async () => seen.isHeld,
      (isHeld) => isHeld,
    );
    abort.abort();
    await assert.rejects(making, { name: 'AbortError' });
    await eventually(
      async () => seen.hasArrived,
      (hasArrived) => hasArrived,
    );
    const { items } = await direct.poolPage({ filter: "startswith(id,'transcode')" });
    // The service has sizes in lower case.
    const size = wanted.vmSize.toLowerCase();
    const left = items.filter(
      ({ vmSize = '', state }) => vmSize.toLowerCase() === size && state !== 'deleting',
    );
    assert.deepEqual(left, []);
  });

  it('are asked for in growing pauses while Azure refuses a pool of a name that it no longer shows', async () => {
    let now = Date.now();
    const pauses: number[] = [];
    const clock = {
      now: () => now,
      async pause(ms: number) {
        pauses.push(ms);
        now += ms;
      },
    };
    let left = 5;
    const isAdd = ({ method, url = '' }: IncomingMessage) => method === 'POST' && url.startsWith('/pools?');
    fixture.batch.fault = answer(409, 'PoolBeingDeleted', (request) => isAdd(request) && left-- > 0);
    const { before } = await ensurePool(through, runPool('keep'), nodes, never, { clock });
    assert.equal(before, undefined);
    assert.equal(pauses.length, 5);
    assert.ok(pauses.every((ms, index) => ms > (pauses[index - 1] ?? 0)));
    fixture.batch.fault = answer(409, 'PoolBeingDeleted', isAdd);
    await rejectsWith(ensurePool(through, runPool('keep'), nodes, never, { clock }), {
      kind: 'poolUnusable',
      why: 'deleting',
    });
  });

  it('are asked for again once, without a wait, when they could not be allocated', async () => {
    await direct.addPool({ id: 'refusing', ...machine, targetLowPriorityNodes: 1 });
    await eventually(
      () => direct.pool('refusing'),
      (pool) => pool?.allocationState === 'steady',
    );
    const isResize = ({ url = '' }: IncomingMessage) => url.includes('/resize');
    fixture.batch.fault = answer(409, 'PoolBeingResized', isResize);
    fixture.batch.requests.length = 0;
    assert.equal(await retryAllocation(through, 'refusing', { signal: never }), false);
    assert.equal(fixture.batch.requests.filter((line) => line.includes('/resize')).length, 1);
    fixture.batch.fault = undefined;
    // The request is repeated when its answer is lost, and then the pool is being resized by the first one.
    await fixture.service.fault({ resizingMs: 600_000 });
    let lost = 1;
    fixture.batch.change = (reply) => (isResize(reply.request) && lost-- > 0 ? undefined : reply);
    assert.equal(await retryAllocation(through, 'refusing', { signal: never }), true);
  });

  it('are not asked for again by this extension in a pool that a formula sizes', async () => {
    const autoScaleFormula = '$TargetDedicatedNodes = 0;';
    await direct.addPool({
      ...{ id: 'formula', ...machine, enableAutoScale: true, autoScaleFormula },
      autoScaleEvaluationInterval: 'PT30M',
    });
    assert.equal(await retryAllocation(through, 'formula', { signal: never }), false);
    assert.equal((await direct.pool('formula'))?.autoScaleEvaluationInterval, 'PT30M');
  });

  it('can be refused for longer than the upload lasts: the run goes on', async () => {
    const options = { lifetime: 'keep', vmSize: 'Standard_F8s_v2', spotNodes: 2 } as const;
    const clock = new FastClock(1_200);
    const { run, steps } = await fixture.start(fixture.folder(['a.mp4', 'b.mp4']).paths, {
      ...{ ...options, clock, monitorMinutes: 1_000_000 },
    });
    await ensurePool(direct, run.manifest.pool, { dedicated: 0, spot: 0 }, never);
    fixture.batch.fault = answer(409, 'PoolBeingResized', ({ url = '' }) => url.includes('/resize'));
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    fixture.blobs.fault = async ({ method, url = '' }) => {
      if (method === 'PUT' && url.includes('b.mp4')) await released;
      return false;
    };
    const advancing = run.advance('fetched', never);
    // Twice: once more after Azure has refused for so long that the first request for nodes was given up.
    await Promise.race([
      advancing,
      eventually(
        async () => steps.filter(({ kind }) => kind === 'poolBusy').length,
        (times) => times >= 2,
      ),
    ]);
    fixture.batch.fault = undefined;
    release();
    const { succeeded } = await advancing;
    await run.close();
    assert.equal(succeeded, 2);
  });

  it('that are being asked for do not delay the end of other jobs when the run is canceled', async () => {
    const options = { lifetime: 'keep', vmSize: 'Standard_F16s_v2', spotNodes: 0 } as const;
    const seen = { resize: false, terminate: false };
    // A request that sizes a pool is given 10 seconds to be answered.
    const clock = new FastClock(1, () => seen.resize && !seen.terminate);
    const { run } = await fixture.start(fixture.folder(['a.mp4', 'b.mp4']).paths, { ...options, clock });
    const { jobId } = attemptOf(run.manifest);
    await run.advance('submitted', never);
    const [, second] = run.manifest.files;
    if (second) run.state.settle(second, { problem: { kind: 'ended', file: second.path }, failedAt: 'task' });
    Object.defineProperty(run.manifest.pool, 'spotNodes', { value: 1 });
    assert.deepEqual(await run.retry(['0002'], never), ['0002']);
    let answerIt: () => void = () => undefined;
    const answered = new Promise<void>((resolve) => {
      answerIt = resolve;
    });
    fixture.batch.fault = async ({ url = '' }) => {
      if (url.includes('/resize')) {
        seen.resize = true;
        await answered;
      }
      if (url.startsWith(`/jobs/${jobId}/terminate`)) seen.terminate = true;
      return false;
    };
    const advancing = run.advance('submitted', never);
    await eventually(
      async () => seen.resize,
      (isSeen) => isSeen,
    );
    const canceling = run.cancel(never);
    await eventually(
      async () => (await direct.job(jobId))?.state,
      (state) => state === 'completed',
    );
    answerIt();
    await assert.rejects(advancing, { name: 'AbortError' });
    await canceling;
    await run.close();
  });

  it('that one attempt cannot get do not end another attempt, whose tasks run', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
    const release = fixture.holdTask('a.mp4');
    const { run, steps } = await fixture.start(paths, { lifetime: 'run', spotNodes: 2 });
    const [first] = run.manifest.attempts;
    const stop = new AbortController();
    const collecting = run.advance('fetched', stop.signal);
    await eventually(
      async () => run.results.has('0002'),
      (isKnown) => isKnown,
    );
    stop.abort();
    await assert.rejects(collecting, { name: 'AbortError' });
    const [second] = run.manifest.files.slice(1);
    if (second) run.state.settle(second, { problem: { kind: 'ended', file: second.path }, failedAt: 'task' });
    assert.deepEqual(await run.retry(['0002'], never), ['0002']);
    await fixture.service.fault({
      schedulingError: {
        category: 'UserError',
        code: 'AutoPoolCreationFailedWithQuotaReached',
        message: 'The pool quota is reached.',
      },
    });
    const last = run.advance('fetched', never);
    await Promise.race([
      last,
      eventually(
        async () => run.results.get('0002')?.problem?.kind,
        (kind) => kind === 'quota',
      ),
    ]);
    assert.equal((await direct.job(first?.jobId ?? ''))?.state, 'active');
    release();
    const { succeeded, failed } = await last;
    await run.close();
    assert.deepEqual([succeeded, failed], [1, 1]);
    assert.equal(run.results.get('0001')?.problem, undefined);
    const troubles = steps.flatMap((step) => (step.kind === 'trouble' ? step.problem.kind : []));
    assert.ok(troubles.includes('quota'), troubles.join());
  });

  describe('of two runs on one pool', () => {
    const taken = { jobId: 'one', isJobOpen: false, signal: never } as const;

    /** A pool that was made for the job `one`. */
    async function madePool() {
      const wanted = runPool('keep');
      const { id } = await ensurePool(direct, wanted, nodes, never, { jobId: 'one' });
      return { wanted, given: { id, lifetime: wanted.lifetime } };
    }

    it('stay when the other run has chosen the pool and has no job yet', async () => {
      const { wanted, given } = await madePool();
      // Nothing changes but the note: the pool has the nodes already.
      await ensurePool(direct, wanted, nodes, never, { jobId: 'two' });
      assert.equal(await takeBackNodes(through, given, taken), false);
      assert.equal((await direct.pool(given.id))?.state, 'active');
    });

    it('stay when the other run chooses the pool while they are being taken back', async () => {
      const { wanted, given } = await madePool();
      let choosing: Promise<unknown> | undefined;
      fixture.batch.fault = async ({ method }) => {
        if (method !== 'DELETE') return false;
        choosing ??= ensurePool(direct, wanted, nodes, never, { jobId: 'two' });
        await choosing;
        return false;
      };
      assert.equal(await takeBackNodes(through, given, taken), false);
      assert.ok(choosing);
      assert.equal((await direct.pool(given.id))?.state, 'active');
    });

    /** A pool that existed and was chosen for the jobs `one` and then `two`, each with more nodes. */
    async function chosenTwice() {
      const wanted = runPool('keep');
      const none = { dedicated: 0, spot: 0 };
      const { id } = await ensurePool(direct, wanted, none, never);
      await isSteady(id);
      await ensurePool(direct, wanted, { dedicated: 0, spot: 1 }, never, { jobId: 'one' });
      await isSteady(id);
      await ensurePool(direct, wanted, nodes, never, { jobId: 'two' });
      const given = (spot: number) => ({ id, lifetime: wanted.lifetime, before: { dedicated: 0, spot } });
      const target = async () => (await direct.pool(id))?.targetLowPriorityNodes;
      return { id, given, target };
    }

    it('are taken back when the other run has just chosen the pool, and its job has ended', async () => {
      const { id, given, target } = await chosenTwice();
      await direct.addJob({ id: 'two', poolInfo: { poolId: id } });
      assert.equal(await takeBackNodes(through, given(0), taken), false);
      await direct.terminateJob('two', 'Canceled', never);
      assert.equal(await takeBackNodes(through, given(0), taken), true);
      assert.equal(await target(), 0);
    });

    it('are taken back after those of the other run, whose job never came to exist', async () => {
      const { given, target } = await chosenTwice();
      await takeBackNodes(through, given(1), { ...taken, jobId: 'two' });
      assert.equal(await target(), 1);
      assert.equal(await takeBackNodes(through, given(0), taken), true);
      assert.equal(await target(), 0);
    });

    it('are taken back when the other run chose the pool long ago and has ended', async () => {
      const { given } = await madePool();
      const metadata = (await direct.pool(given.id))?.metadata ?? [];
      const value = `two ${new Date(Date.now() - 4 * 60_000).toISOString()}`;
      await direct.patchPool(given.id, [...metadata, { name: madeBy.chosenFor, value }]);
      assert.equal(await takeBackNodes(through, given, taken), true);
      await isGone(given.id);
    });
  });

  it('of another run can be taken back when this one is stopped after it has chosen their pool', async () => {
    const wanted = runPool('keep');
    const { id } = await ensurePool(direct, wanted, nodes, never);
    await isSteady(id);
    const { paths } = fixture.folder(['a.mp4']);
    const { run } = await fixture.start(paths, { lifetime: 'keep', spotNodes: 1, vmSize: wanted.vmSize });
    const stop = new AbortController();
    fixture.batch.fault = ({ method, url = '' }) => {
      if (method === 'PATCH' && url.includes('/pools/')) stop.abort();
      return false;
    };
    await assert.rejects(run.advance('submitted', stop.signal), { name: 'AbortError' });
    await run.close();
    assert.equal(stop.signal.aborted, true);
    const metadata = (await direct.pool(id))?.metadata ?? [];
    assert.deepEqual(
      metadata.filter(({ name }) => name === madeBy.chosenFor),
      [],
    );
  });

  it('are not removed again and again when the service refuses to', async () => {
    const autoScaleFormula = '$TargetLowPriorityNodes = 1;';
    await direct.addPool({ id: 'refuses', ...machine, enableAutoScale: true, autoScaleFormula });
    fixture.batch.fault = answer(409, 'NodeStateUnsuitable', ({ url = '' }) => url.includes('/removenodes'));
    const refused = { kind: 'service', code: 'NodeStateUnsuitable' } as const;
    await rejectsWith(removeNodes(through, 'refuses', ['tvm-1'], { signal: never }), refused);
  });
});
