import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { hasEnded } from '../../src/core/azure/batchCall';
import { ownMetadata } from '../../src/core/azure/ownership';
import { type Attempt, attemptOf } from '../../src/core/plan/manifest';
import { readManifest } from '../../src/core/records/manifestStore';
import { Run, type RunParts } from '../../src/core/runs/run';
import { randomOf } from '../random';
import { eventually, prepare } from './harness';
import { rejectsWith } from './problems';
import { never, RunFixture } from './runFixture';
import { partsOf } from './runSetup';

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);

describe('A run that ends before all its tasks were added', function () {
  this.timeout(240_000);
  let fixture: RunFixture;
  let sizes = 4;

  prepare(
    async () => {
      fixture = await RunFixture.make();
    },
    () => fixture.close(),
  );

  afterEach(() => fixture.calm());

  /** A size of its own is a pool of its own. */
  const ownPool = () => {
    sizes += 2;
    return { vmSize: `Standard_D${sizes}s_v5` };
  };

  const isPut = ({ method, url = '' }: IncomingMessage, part: string) =>
    method === 'PUT' && url.includes(part);

  /** Sends a request on to Blob Storage. Resolves with the status of its answer. */
  async function sendOn({ method, url, headers }: IncomingMessage, body: Buffer): Promise<number> {
    const { hostname, port } = new URL(fixture.service.ready.blobUrl);
    const onward = request({ hostname, port, method, path: url, headers }).end(body);
    const [answer] = (await once(onward, 'response')) as [IncomingMessage];
    answer.resume();
    return answer.statusCode ?? 0;
  }

  /** Refuses the creation of jobs. */
  function refuseJobs(status: number, code: string) {
    fixture.batch.fault = ({ method, url }: IncomingMessage, response: ServerResponse) => {
      if (method !== 'POST' || !url?.startsWith('/jobs?')) return false;
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ code, message: { lang: 'en-US', value: code } }));
      return true;
    };
  }

  /** Holds back the upload of a source until the returned function is called. */
  function holdUpload(name: string): () => void {
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    fixture.blobs.fault = async (request) => {
      if (isPut(request, name)) await released;
      return false;
    };
    return release;
  }

  const nodesOf = async (parts: RunParts, poolId: string) =>
    (await parts.batch.pool(poolId))?.targetLowPriorityNodes;

  const isGone = (parts: RunParts, poolId: string) =>
    eventually(
      () => parts.batch.pool(poolId),
      (pool) => pool === undefined,
    );

  /** Transcodes a file, so that its pool exists with this many nodes. */
  async function keptPool(vmSize: string, spotNodes: number): Promise<string> {
    const { run } = await fixture.start(fixture.folder(['a.mp4']).paths, {
      lifetime: 'keep',
      vmSize,
      spotNodes,
    });
    await run.advance('fetched', never);
    await run.close();
    return attemptOf(run.manifest).poolId ?? '';
  }

  /** Waits until the account holds the job of an attempt, and the run has noted it. */
  const jobOf = (attempt: Attempt) =>
    eventually(
      async () => attempt.hasJob,
      (isThere) => isThere === true,
    );

  describe('leaves no nodes without work', () => {
    for (const lifetime of ['keep', 'scaleToZero'] as const) {
      for (const [status, code, kind] of [
        [409, 'ActiveJobAndScheduleQuotaReached', 'quota'],
        [403, 'InsufficientPermission', 'unauthorized'],
        [400, 'InvalidPropertyValue', 'service'],
      ] as const) {
        it(`on its own pool (${lifetime}) when its job is refused with ${code}, and goes on later`, async () => {
          const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
          const { run, parts, steps } = await fixture.start(paths, { lifetime, ...ownPool() });
          refuseJobs(status, code);
          await rejectsWith(run.advance('fetched', never), { kind });
          const made = steps.find((step) => step.kind === 'poolCreated');
          assert.ok(made?.kind === 'poolCreated');
          await isGone(parts, made.pool);
          assert.ok(steps.some((step) => step.kind === 'nodesTakenBack'));
          await run.close();
          await fixture.calm();
          const again = await Run.open(parts, run.manifest.outputContainer, never);
          assert.equal((await again.advance('fetched', never)).succeeded, 2);
          await again.close();
        });
      }
    }

    it('on a kept pool, which gets the size that it had', async () => {
      const { vmSize } = ownPool();
      const poolId = await keptPool(vmSize, 1);
      const { paths } = fixture.folder(['a.mp4', 'b.mp4', 'c.mp4']);
      const { run, parts, steps } = await fixture.start(paths, { lifetime: 'keep', vmSize, spotNodes: 3 });
      refuseJobs(409, 'ActiveJobAndScheduleQuotaReached');
      await rejectsWith(run.advance('fetched', never), { kind: 'quota', what: 'jobs' });
      assert.ok(steps.some((step) => step.kind === 'poolReused' && step.spot > 1));
      assert.equal(await nodesOf(parts, poolId), 1);
      await run.close();
    });

    it('on its own pool, which stays without nodes if a disabled job needs it', async () => {
      const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
      const { run, parts, steps } = await fixture.start(paths, { lifetime: 'keep', ...ownPool() });
      const { batch } = partsOf(fixture.service).parts;
      refuseJobs(409, 'ActiveJobAndScheduleQuotaReached');
      const refuse = fixture.batch.fault;
      fixture.batch.fault = async (request, response) => {
        const made = steps.find((step) => step.kind === 'poolCreated');
        if (request.method === 'POST' && request.url?.startsWith('/jobs?') && made?.kind === 'poolCreated') {
          await batch.addJob({ id: 'disabled', poolInfo: { poolId: made.pool } });
          await batch.disableJob('disabled', 'requeue');
          await batch.addTasks('disabled', [{ id: 't', commandLine: '/bin/true' }]);
        }
        return refuse?.(request, response) ?? false;
      };
      await rejectsWith(run.advance('fetched', never), { kind: 'quota', what: 'jobs' });
      await run.close();
      const made = steps.find((step) => step.kind === 'poolCreated');
      assert.ok(made?.kind === 'poolCreated');
      assert.equal((await parts.batch.pool(made.pool))?.state, 'active');
      assert.equal(await nodesOf(parts, made.pool), 0);
      await batch.deleteJob('disabled');
    });

    it('when no file can be uploaded', async () => {
      const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
      const { run, parts, steps } = await fixture.start(paths, { lifetime: 'keep', ...ownPool() });
      for (const path of paths) rmSync(path);
      const summary = await run.advance('fetched', never);
      await run.close();
      assert.deepEqual([summary.failed, summary.unfinished], [2, 0]);
      // No pool is needed if that is known before one is made.
      for (const step of steps) if (step.kind === 'poolCreated') await isGone(parts, step.pool);
    });

    it('when the user cancels it before its first task', async () => {
      const { paths } = fixture.folder(['a.mp4']);
      const release = holdUpload('a.mp4');
      const { run, parts } = await fixture.start(paths, { lifetime: 'keep', ...ownPool() });
      const advancing = run.advance('fetched', never);
      await jobOf(attemptOf(run.manifest));
      const poolId = attemptOf(run.manifest).poolId ?? '';
      await Promise.all([run.cancel(never), assert.rejects(advancing, { name: 'AbortError' })]);
      await run.close();
      release();
      await isGone(parts, poolId);
      const kept = await readManifest(parts.storage, run.manifest.outputContainer, never);
      assert.deepEqual([attemptOf(kept).poolId, kept.canceled !== undefined], [undefined, true]);
    });

    it('unless it is only stopped: the next process has its nodes', async () => {
      const { paths } = fixture.folder(['a.mp4']);
      const release = holdUpload('a.mp4');
      const { run, parts } = await fixture.start(paths, { lifetime: 'keep', ...ownPool() });
      const stop = new AbortController();
      const advancing = run.advance('fetched', stop.signal);
      await jobOf(attemptOf(run.manifest));
      const poolId = attemptOf(run.manifest).poolId ?? '';
      stop.abort();
      await assert.rejects(advancing, { name: 'AbortError' });
      await run.close();
      release();
      assert.equal(await nodesOf(parts, poolId), 1);
      const again = await Run.open(parts, run.manifest.outputContainer, never);
      assert.equal((await again.advance('fetched', never)).succeeded, 1);
      assert.deepEqual([again.manifest.attempts.length, attemptOf(again.manifest).poolId], [1, poolId]);
      await again.close();
    });
  });

  describe('because somebody ended its job', () => {
    /** How a user ends the job in the portal. */
    const ways = {
      terminated: (parts: RunParts, jobId: string) => parts.batch.terminateJob(jobId),
      deleted: (parts: RunParts, jobId: string) => parts.batch.deleteJob(jobId),
    };

    for (const [way, end] of Object.entries(ways)) {
      it(`(${way}) submits nothing more, and has a result for each file`, async () => {
        const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
        const release = holdUpload('b.mp4');
        const { run, parts } = await fixture.start(paths, { spotNodes: 1 });
        const advancing = run.advance('fetched', never);
        const { jobId } = attemptOf(run.manifest);
        await eventually(
          async () => run.progress.tasks.completed,
          (completed) => completed > 0,
        );
        await end(parts, jobId);
        const ended = await eventually(
          async () => run.results.get('0002')?.problem?.kind,
          (kind) => kind !== undefined,
        );
        release();
        const summary = await advancing;
        await run.close();
        assert.equal(ended, 'ended');
        assert.deepEqual([summary.succeeded, summary.failed, summary.unfinished], [1, 1, 0]);
        assert.equal(run.manifest.attempts.length, 1);
        const again = await Run.open(parts, run.manifest.outputContainer, never);
        assert.deepEqual(await again.retry(['0002'], never), ['0002']);
        assert.equal((await again.advance('fetched', never)).succeeded, 2);
        await again.close();
      });

      it(`(${way}) is taken as ended by the next process`, async () => {
        const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
        const release = holdUpload('b.mp4');
        const { run, parts } = await fixture.start(paths, { spotNodes: 1 });
        const stop = new AbortController();
        const advancing = run.advance('submitted', stop.signal);
        const attempt = attemptOf(run.manifest);
        await jobOf(attempt);
        stop.abort();
        await assert.rejects(advancing, { name: 'AbortError' });
        await run.close();
        release();
        await end(parts, attempt.jobId);
        await eventually(
          () => parts.batch.job(attempt.jobId),
          (job) => job === undefined || job.state === 'completed',
        );
        fixture.batch.requests.length = 0;
        const again = await Run.open(parts, run.manifest.outputContainer, never);
        await rejectsWith(again.advance('submitted', never), { kind: 'jobEnded', job: attempt.jobId });
        const summary = await again.advance('fetched', never);
        await again.close();
        assert.deepEqual([summary.unfinished, again.manifest.attempts.length], [0, 1]);
        assert.ok(summary.failed >= 1);
        const changes = fixture.batch.requests.filter((request) => !request.startsWith('GET'));
        assert.deepEqual(changes, []);
      });
    }
  });

  describe('because the user cancels it', () => {
    it('says so in the account before its work has settled', async () => {
      const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
      const { run, parts } = await fixture.start(paths, ownPool());
      rmSync(paths[0] ?? '');
      const release = holdUpload('b.mp4');
      const { fault: held } = fixture.blobs;
      let isAppending = false;
      let append: () => void = () => undefined;
      const appended = new Promise<void>((resolve) => {
        append = resolve;
      });
      fixture.blobs.fault = async (request, response) => {
        if (request.url?.includes('comp=appendblock')) {
          isAppending = true;
          await appended;
        }
        return (await held?.(request, response)) ?? false;
      };
      let isSettled = false;
      const advancing = run.advance('submitted', never).finally(() => {
        isSettled = true;
      });
      advancing.catch(() => undefined);
      await jobOf(attemptOf(run.manifest));
      await eventually(async () => run.results.has('0001'), Boolean);
      const canceling = run.cancel(never);
      await eventually(
        () => readManifest(parts.storage, run.manifest.outputContainer, never),
        ({ canceled }) => canceled !== undefined,
      );
      await eventually(async () => isAppending, Boolean);
      assert.equal(isSettled, false);
      append();
      release();
      await assert.rejects(advancing, { name: 'AbortError' });
      await canceling;
      await run.close();
    });

    for (const until of ['uploaded', 'submitted'] as const) {
      it(`is not revived by the next process unless the user asks (${until})`, async () => {
        const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
        const release = holdUpload('b.mp4');
        const { run, parts, steps } = await fixture.start(paths, ownPool());
        const advancing = run.advance(until, never);
        await eventually(
          async () => steps.filter(({ kind }) => kind === 'uploading').length,
          (files) => files === 2,
        );
        await Promise.all([run.cancel(never), assert.rejects(advancing, { name: 'AbortError' })]);
        await run.close();
        release();
        const again = await Run.open(parts, run.manifest.outputContainer, never);
        await assert.rejects(again.advance(until, never, { isAsked: false }), { name: 'AbortError' });
        await again.close();
        const { canceled, attempts } = await readManifest(parts.storage, run.manifest.outputContainer, never);
        assert.ok(canceled);
        assert.deepEqual([attempts.length, attempts[0]?.submitted], [1, undefined]);
        const asked = await Run.open(parts, run.manifest.outputContainer, never);
        await asked.advance(until, never);
        assert.equal(asked.manifest.canceled, undefined);
        await asked.cancel(never);
        await asked.close();
      });
    }

    it(`leaves no job and no nodes, whenever that is (seed ${seed})`, async () => {
      const random = randomOf(seed);
      for (const lifetime of ['run', 'keep', 'scaleToZero', 'run', 'keep', 'scaleToZero'] as const) {
        const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
        const { run, parts, steps } = await fixture.start(paths, { lifetime, ...ownPool() });
        const at = 1 + Math.floor(random() * 40);
        let requests = 0;
        let canceling: Promise<void> | undefined;
        const count = () => {
          if (++requests === at) canceling ??= run.cancel(never);
          return false;
        };
        fixture.batch.fault = count;
        fixture.blobs.fault = count;
        const settled = await run.advance('fetched', never).then(
          () => 'done',
          ({ name }) => name,
        );
        canceling ??= run.cancel(never);
        await canceling;
        await run.close();
        const where = `${lifetime}, request ${at}`;
        assert.ok(settled === 'done' || settled === 'AbortError', `${settled}: ${where}`);
        const { batch, storage } = parts;
        const kept = await readManifest(storage, run.manifest.outputContainer, never);
        assert.ok(kept.canceled, where);
        const job = await batch.job(attemptOf(run.manifest).jobId);
        assert.ok(job === undefined || hasEnded(job), `${job?.state}: ${where}`);
        const counts = job && (await batch.taskCounts(attemptOf(run.manifest).jobId));
        const hasTasks = counts !== undefined && counts.active + counts.running + counts.completed > 0;
        const made = steps.flatMap((step) => (step.kind === 'poolCreated' ? step.pool : []));
        if (lifetime === 'run' || !hasTasks)
          await eventually(
            async () => (await batch.poolPage({ select: 'id,metadata' })).items,
            (pools) =>
              pools.every(
                ({ id = '', metadata }) =>
                  !made.includes(id) && ownMetadata(metadata, 'run') !== run.manifest.runId,
              ),
          );
        const again = await Run.open(parts, run.manifest.outputContainer, never);
        await assert.rejects(again.advance('submitted', never, { isAsked: false }), { name: 'AbortError' });
        await again.close();
      }
    });

    it('is not revived by an earlier write of its manifest that arrives late', async () => {
      const { run, parts } = await fixture.start(fixture.folder(['a.mp4']).paths, ownPool());
      let late: (() => Promise<number>) | undefined;
      fixture.blobs.fault = async (incoming) => {
        if (late || !isPut(incoming, '/manifest.json') || incoming.url?.includes('comp=')) return false;
        const body = Buffer.concat(await incoming.toArray());
        late = () => sendOn(incoming, body);
        return true;
      };
      const advancing = run.advance('fetched', never);
      advancing.catch(() => undefined);
      const send = await eventually(async () => late, Boolean);
      await Promise.all([run.cancel(never), assert.rejects(advancing, { name: 'AbortError' })]);
      assert.equal(await send?.(), 412);
      assert.ok((await readManifest(parts.storage, run.manifest.outputContainer, never)).canceled);
      await run.close();
    });

    it('stays canceled when it was about to begin', async () => {
      const { run, parts } = await fixture.start(fixture.folder(['a.mp4']).paths, ownPool());
      await run.cancel(never);
      await assert.rejects(run.advance('submitted', never), { name: 'AbortError' });
      await run.close();
      assert.ok((await readManifest(parts.storage, run.manifest.outputContainer, never)).canceled);
    });
  });
});
