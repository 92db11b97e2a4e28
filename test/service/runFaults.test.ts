import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { type IncomingMessage, type ServerResponse, request as sendTo } from 'node:http';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { parse } from 'tinyduration';
import { madeBy } from '../../src/core/azure/ownership';
import { Storage } from '../../src/core/azure/storage';
import { UserError } from '../../src/core/errors';
import { timelineOf } from '../../src/core/estimates/timeline';
import { DiskFiles } from '../../src/core/files/localFiles';
import { ensureJob } from '../../src/core/jobs/jobLife';
import { PoolWatch } from '../../src/core/jobs/poolWatch';
import { sasExpiryOf } from '../../src/core/jobs/taskSpec';
import { watchJob } from '../../src/core/jobs/watch';
import { attemptOf } from '../../src/core/plan/manifest';
import type { Preset } from '../../src/core/presets/preset';
import { readManifest } from '../../src/core/records/manifestStore';
import { Run } from '../../src/core/runs/run';
import { systemClock } from '../../src/core/wait';
import { FastClock } from '../clock';
import { clip, probe } from '../media';
import { eventually, machine, prepare } from './harness';
import { rejectsWith } from './problems';
import { never, RunFixture } from './runFixture';
import { manifestOf, namesIn } from './runSetup';

const minute = 60_000;
const ownPool = [{ name: madeBy.name, value: 'pool' }];

describe('A run', function () {
  this.timeout(240_000);
  let fixture: RunFixture;

  prepare(
    async () => {
      fixture = await RunFixture.make();
    },
    () => fixture.close(),
  );

  afterEach(() => fixture.calm());

  /** Refuses matching requests to Storage with this status. */
  function refuse(status: number, code: string, matches: (request: IncomingMessage) => boolean) {
    return (request: IncomingMessage, response: ServerResponse): boolean => {
      if (!matches(request)) return false;
      response.writeHead(status, { 'content-type': 'application/xml', 'x-ms-error-code': code });
      response.end(
        `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`,
      );
      return true;
    };
  }

  const isGet = (part: string) => (request: IncomingMessage) =>
    request.method === 'GET' && (request.url ?? '').includes(part);
  const isPut = (part: string) => (request: IncomingMessage) =>
    request.method === 'PUT' && (request.url ?? '').includes(part);

  describe('that takes longer to upload than it is watched', () => {
    it('ends with every output', async () => {
      const { folder, paths } = fixture.folder(['a.mp4', 'b.mp4']);
      const clock = new FastClock();
      const { run } = await fixture.start(paths, { clock, monitorMinutes: 5 });
      let isLate = false;
      fixture.blobs.fault = (request) => {
        if (!isLate && isPut('b.mp4')(request)) {
          isLate = true;
          clock.sleep(10 * minute);
        }
        return false;
      };
      const summary = await run.advance('fetched', never);
      await run.close();
      assert.ok(isLate);
      assert.deepEqual([summary.succeeded, summary.unfinished], [2, 0]);
      assert.deepEqual(namesIn(folder), ['a.mp3', 'a.mp4', 'b.mp3', 'b.mp4']);
    });
  });

  it('says that its time limit is over, and leaves its tasks running', async () => {
    const { paths } = fixture.folder(['a.mp4']);
    fixture.holdTask('a.mp4');
    const { run, steps, parts } = await fixture.start(paths, { monitorMinutes: 0.02, spotNodes: 1 });
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.equal(summary.unfinished, 1);
    assert.equal(steps.at(-1)?.kind, 'timeLimit');
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    again.manifest.limits satisfies { monitorMinutes: number };
    assert.equal((await parts.batch.job(attemptOf(run.manifest).jobId))?.state, 'active');
    await again.cancel(never);
    await again.close();
  });

  for (const [status, code] of [
    [403, 'AuthorizationFailure'],
    [404, 'BlobNotFound'],
    [409, 'BlobArchived'],
    [400, 'InvalidHeaderValue'],
  ] as const) {
    it(`goes on with its other files when a download is refused with ${status}`, async () => {
      const { folder, paths } = fixture.folder(['a.mp4', 'b.mp4', 'c.mp4']);
      const { run, parts } = await fixture.start(paths);
      fixture.blobs.fault = refuse(status, code, isGet('b.mp3'));
      const summary = await run.advance('fetched', never);
      await run.close();
      assert.deepEqual([summary.succeeded, summary.failed, summary.unfinished], [2, 1, 0]);
      const [failed] = [...run.results.values()].filter(({ problem }) => problem);
      assert.notEqual(failed?.problem?.kind, 'ended');
      assert.ok(run.manifest.finished);
      if (status === 404) return;
      fixture.blobs.fault = undefined;
      const again = await Run.open(parts, run.manifest.outputContainer, never);
      assert.equal((await again.advance('fetched', never)).succeeded, 3);
      await again.close();
      assert.ok(namesIn(folder).includes('b.mp3'));
    });
  }

  it('goes on with its other files when the folder of one becomes a file', async () => {
    const { folder, paths } = fixture.folder(['a.mp4', 'b.mp4']);
    const other = fixture.folder(['c.mp4']);
    const { run } = await fixture.start([...paths, ...other.paths]);
    await run.advance('submitted', never);
    renameSync(other.folder, `${other.folder} moved`);
    writeFileSync(other.folder, 'a file');
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.deepEqual([summary.succeeded, summary.failed], [2, 1]);
    assert.ok(existsSync(join(folder, 'a.mp3')));
  });

  for (const blob of ['results.jsonl', 'manifest.json']) {
    it(`reports its end only after ${blob} is saved, however slow Storage is and however often it refuses`, async () => {
      const { paths } = fixture.folder(['a.mp4']);
      const { run, parts, steps } = await fixture.start(paths);
      let refusals = 0;
      fixture.blobs.fault = async (request, response) => {
        if (!isPut(blob)(request)) return false;
        await pause(1_000);
        return (
          ++refusals <= 2 && refuse(refusals === 1 ? 503 : 500, 'ServerBusy', () => true)(request, response)
        );
      };
      const summary = await run.advance('fetched', never);
      await run.close();
      assert.equal(summary.succeeded, 1);
      assert.ok(refusals >= 3);
      assert.equal(steps.at(-1)?.kind, 'ended');
      const { inputContainer } = attemptOf(run.manifest);
      assert.equal(await parts.storage.containerMetadata(inputContainer, never), undefined);
      const kept = JSON.parse(
        (await parts.storage.readText(run.manifest.outputContainer, 'manifest.json', never))?.text ?? '',
      );
      assert.ok(kept.finished);
    });
  }

  it('says that another window has taken it, when one has', async () => {
    const { paths } = fixture.folder(['a.mp4']);
    const release = fixture.holdTask('a.mp4');
    const { run, parts } = await fixture.start(paths, { spotNodes: 1 });
    const advancing = run.advance('fetched', never);
    await eventually(
      async () => run.progress.tasks.running,
      (running) => running > 0,
    );
    const blob = parts.storage.blob(run.manifest.outputContainer, 'manifest.json');
    await eventually(async () => {
      await blob.getBlobLeaseClient().breakLease(0);
      // The run may take the lease again in between.
      return blob
        .getBlobLeaseClient()
        .acquireLease(-1)
        .then(
          () => true,
          () => false,
        );
    }, Boolean);
    release();
    await rejectsWith(advancing, { kind: 'runTaken' });
    await run.close();
    await parts.batch.terminateJob(attemptOf(run.manifest).jobId);
  });

  it('takes its expired lease again when nobody else has', async () => {
    const { paths } = fixture.folder(['a.mp4']);
    const { run, parts } = await fixture.start(paths);
    const blob = parts.storage.blob(run.manifest.outputContainer, 'manifest.json');
    await blob.getBlobLeaseClient().breakLease(0);
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.equal(summary.succeeded, 1);
    await (await Run.open(parts, run.manifest.outputContainer, never)).close();
  });

  it('releases its claim when it cannot be opened', async () => {
    const { paths } = fixture.folder(['a.mp4']);
    const { run, parts } = await fixture.start(paths, { patienceMs: 0 });
    await run.close();
    fixture.blobs.fault = refuse(400, 'InvalidUri', isGet('results.jsonl'));
    await assert.rejects(Run.open(parts, run.manifest.outputContainer, never));
    fixture.blobs.fault = undefined;
    await (await Run.open(parts, run.manifest.outputContainer, never)).close();
  });

  describe('that is canceled', () => {
    it('leaves no job and no pool, though its job was being created', async () => {
      const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
      const { run, parts } = await fixture.start(paths, { lifetime: 'run' });
      let late: (() => void) | undefined;
      // The request arrives after the client has given it up.
      fixture.batch.fault = async (request) => {
        if (request.method !== 'POST' || !request.url?.startsWith('/jobs?')) return false;
        const { method, url, headers } = request;
        const body = Buffer.concat(await request.toArray());
        await new Promise<void>((resolve) => {
          late = resolve;
        });
        sendTo(`${fixture.service.ready.batchUrl}${url}`, { method, headers }).end(body);
        return true;
      };
      const advancing = run.advance('fetched', never);
      await eventually(
        async () => late,
        (held) => held !== undefined,
      );
      const canceling = run.cancel(never);
      await assert.rejects(advancing, { name: 'AbortError' });
      await pause(1_500);
      late?.();
      await canceling;
      await run.close();
      const { jobId } = attemptOf(run.manifest);
      assert.equal((await parts.batch.job(jobId))?.state, 'completed');
      await eventually(
        async () => (await parts.batch.poolPage({ filter: "startswith(id,'transcode_')" })).items,
        (pools) => pools.every(({ state }) => state === 'deleting') || pools.length === 0,
      );
    });

    it('submits nothing when its completed outputs are fetched', async () => {
      const { paths } = fixture.folder(['a.mp4', 'b.mp4', 'c.mp4']);
      fixture.holdTask('a.mp4');
      const { run, parts } = await fixture.start(paths, { spotNodes: 1 });
      const advancing = run.advance('fetched', never);
      await eventually(
        async () => run.progress.tasks.running,
        (running) => running > 0,
      );
      const [canceled] = await Promise.all([run.cancel(never), assert.rejects(advancing)]);
      assert.equal(canceled, undefined);
      await run.close();
      const again = await Run.open(parts, run.manifest.outputContainer, never);
      const summary = await again.advance('fetched', never);
      assert.deepEqual([summary.unfinished, again.manifest.attempts.length], [0, 1]);
      assert.ok(summary.failed >= 2);
      const failed = [...again.results.values()].filter(({ problem }) => problem).map(({ id }) => id);
      assert.equal((await again.retry(failed, never)).length, failed.length);
      await again.close();
    });

    it('is not continued by the next process, though this one ended before the job did', async () => {
      const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
      const { run, parts, steps } = await fixture.start(paths, { spotNodes: 1 });
      let release: (isAnswered: boolean) => void = () => undefined;
      const held = new Promise<boolean>((resolve) => {
        release = resolve;
      });
      fixture.blobs.fault = (request) => (isPut('b.mp4')(request) ? held : false);
      const advancing = run.advance('fetched', never);
      await eventually(
        async () => steps.some(({ kind }) => kind === 'jobCreated'),
        (isTold) => isTold,
      );
      fixture.batch.fault = ({ url = '' }) => (url.includes('/terminate') ? held : false);
      const end = new AbortController();
      const canceling = run.cancel(end.signal);
      await assert.rejects(advancing, { name: 'AbortError' });
      await eventually(
        () => readManifest(parts.storage, run.manifest.outputContainer, never),
        ({ canceled }) => canceled !== undefined,
      );
      // A process that ends saves nothing more.
      fixture.blobs.fault = refuse(
        403,
        'AuthorizationFailure',
        (request) => isPut('manifest.json')(request) && !request.url?.includes('comp='),
      );
      end.abort();
      await assert.rejects(canceling, { name: 'AbortError' });
      await run.close();
      await fixture.calm();
      const again = await Run.open(parts, run.manifest.outputContainer, never);
      const summary = await again.advance('fetched', never);
      await again.close();
      release(true);
      assert.deepEqual([again.manifest.attempts.length, summary.unfinished], [1, 0]);
      assert.equal(again.results.get('0002')?.problem?.kind, 'ended');
      assert.equal((await parts.batch.job(attemptOf(again.manifest).jobId))?.state, 'completed');
    });

    it('is not canceled in the account when its job could not be ended in time', async () => {
      const { paths } = fixture.folder(['a.mp4']);
      fixture.holdTask('a.mp4');
      const { run, parts, steps } = await fixture.start(paths, { spotNodes: 1 });
      const advancing = run.advance('fetched', never);
      await eventually(
        async () => steps.some(({ kind }) => kind === 'jobCreated'),
        (isTold) => isTold,
      );
      const inAccount = async () =>
        (await readManifest(parts.storage, run.manifest.outputContainer, never)).canceled;
      // Never answered.
      fixture.batch.fault = ({ url = '' }) => url.includes('/terminate');
      const end = new AbortController();
      const canceling = run.cancel(end.signal);
      await assert.rejects(advancing, { name: 'AbortError' });
      await eventually(inAccount, (canceled) => canceled !== undefined);
      end.abort();
      await assert.rejects(canceling, { name: 'AbortError' });
      assert.equal(await inAccount(), undefined);
      fixture.batch.fault = undefined;
      await run.cancel(never);
      await run.close();
      assert.ok(await inAccount());
    });

    it('leaves nothing when it was being created', async () => {
      const { paths } = fixture.folder(['a.mp4']);
      const abort = new AbortController();
      fixture.blobs.fault = async (request) => {
        if (isPut('manifest.json')(request)) abort.abort();
        return false;
      };
      const { parts } = fixture.parts();
      const manifest = await manifestOf(paths);
      await assert.rejects(Run.create(parts, manifest, abort.signal), { name: 'AbortError' });
      await eventually(
        () => parts.storage.containerMetadata(manifest.outputContainer, never),
        (metadata) => metadata === undefined,
      );
    });
  });

  for (const hours of [-1, 1]) {
    it(`takes as long as it does though the service's clock differs from this machine's by ${hours} h`, async () => {
      const shifted = (time: string) =>
        new Date(Date.parse(`${time}Z`) + hours * 60 * minute).toISOString().slice(0, 19);
      fixture.batch.change = ({ headers, body, ...answer }) => {
        const date = new Date(Date.parse(headers.date ?? '') + hours * 60 * minute).toUTCString();
        const isJson = headers['content-type']?.includes('json') === true;
        const text = body.toString('latin1').replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/g, shifted);
        return {
          ...answer,
          headers: { ...headers, date },
          body: isJson ? Buffer.from(text, 'latin1') : body,
        };
      };
      const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
      // The formula of a pool that scales to zero uses the time within the service, which is not shifted.
      const started = Date.now();
      const { run } = await fixture.start(paths, { lifetime: 'keep', vmSize: 'Standard_D32s_v5' });
      const summary = await run.advance('fetched', never);
      await run.close();
      const elapsed = Date.now() - started;
      assert.equal(summary.succeeded, 2);
      // The service tells its time to a second.
      assert.ok(summary.elapsedMs > 0 && summary.elapsedMs <= elapsed + 3_000, `${summary.elapsedMs} ms`);
      const { lengthMs = 0 } = timelineOf(run.manifest, [...run.results.values()]) ?? {};
      assert.ok(lengthMs > 0 && lengthMs <= elapsed + 3_000, `${lengthMs} ms`);
      const job = await fixture.parts().parts.batch.job(attemptOf(run.manifest).jobId);
      const limit = parse(String(job?.constraints?.maxWallClockTime));
      const hoursLeft = (limit.hours ?? 0) + (limit.minutes ?? 0) / 60;
      assert.ok(hoursLeft <= 1.1, `${hoursLeft} hours`);
    });
  }

  it('says that its job was created, though the answer was lost', async () => {
    const { run, steps } = await fixture.start(fixture.folder(['a.mp4']).paths);
    let left = 1;
    fixture.batch.change = (answer) => {
      const isJob = answer.request.method === 'POST' && answer.request.url?.startsWith('/jobs?');
      return isJob && left-- > 0 ? undefined : answer;
    };
    await run.advance('submitted', never);
    await run.cancel(never);
    await run.close();
    assert.equal(steps.filter(({ kind }) => kind === 'jobCreated').length, 1);
    assert.ok(left < 0);
  });

  it('leaves nothing when Storage refuses its manifest', async () => {
    const { parts } = fixture.parts();
    const manifest = await manifestOf(fixture.folder(['a.mp4']).paths);
    fixture.blobs.fault = refuse(403, 'AuthorizationPermissionMismatch', isPut('manifest.json'));
    await rejectsWith(Run.create(parts, manifest, never), { kind: 'unauthorized' });
    assert.equal(await parts.storage.containerMetadata(manifest.outputContainer, never), undefined);
  });

  it('ends although its uploads cannot be deleted, and says so', async () => {
    const { run, steps } = await fixture.start(fixture.folder(['a.mp4']).paths);
    const isDelete = ({ method, url = '' }: IncomingMessage) =>
      method === 'DELETE' && url.includes('-input?');
    fixture.blobs.fault = refuse(412, 'LeaseIdMissing', isDelete);
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.deepEqual([summary.succeeded, run.manifest.finished !== undefined], [1, true]);
    const told = steps.flatMap((step) => (step.kind === 'trouble' ? step.problem : []));
    assert.deepEqual(
      told.map((problem) => problem.kind === 'service' && [problem.operation, problem.code]),
      [['delete container', 'LeaseIdMissing']],
    );
  });

  it('does not take its job for ended by others when its tasks end it before all is saved', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
    const { run } = await fixture.start(paths, { clock: new FastClock(60), monitorMinutes: 600 });
    rmSync(paths[1] ?? '');
    // What is known of the missing file is saved once the job was told to end with its tasks.
    let appends = 0;
    fixture.blobs.fault = async ({ url = '' }) => {
      if (url.includes('comp=appendblock') && appends++ === 0) await pause(2_000);
      return false;
    };
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.deepEqual([summary.succeeded, summary.failed], [1, 1]);
    assert.ok(appends > 0);
  });

  it('gives a file whose task is refused the reason, and goes on with the others', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4', 'c.mp4']);
    const manifest = await manifestOf(paths);
    const [, second] = manifest.files;
    const files = manifest.files.map((file) => (file === second ? { ...file, commandLine: '' } : file));
    const { parts } = fixture.parts();
    const run = await Run.create(parts, { ...manifest, files }, never);
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.deepEqual([summary.succeeded, summary.failed, summary.unfinished], [2, 1, 0]);
    const { problem, failedAt } = run.results.get(second?.id ?? '') ?? {};
    assert.deepEqual([problem?.kind, failedAt, run.progress.tasks.total], ['service', 'task', 2]);
  });

  it('gives a file whose task was deleted a result, and ends', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4', 'c.mp4']);
    // No task completes before one is deleted.
    const release = fixture.holdTask('.mp4');
    const { run, parts } = await fixture.start(paths, { spotNodes: 1 });
    const advancing = run.advance('fetched', never);
    const { jobId } = attemptOf(run.manifest);
    await eventually(
      async () => [attemptOf(run.manifest).submitted, run.progress.tasks.running] as const,
      ([submitted, running]) => submitted !== undefined && running > 0,
    );
    const { items } = await parts.batch.taskPage(jobId, { filter: "state ne 'completed'", select: 'id' });
    const task = items.at(-1);
    await parts.batch.deleteTask(jobId, task?.id ?? '');
    release();
    const summary = await advancing;
    await run.close();
    assert.deepEqual([summary.succeeded, summary.failed], [2, 1]);
    assert.equal(run.results.get(task?.id ?? '')?.problem?.kind, 'taskDeleted');
    const { inputContainer } = attemptOf(run.manifest);
    assert.equal(await parts.storage.containerMetadata(inputContainer, never), undefined);
  });

  describe('whose task waits for one that was deleted', () => {
    const deleted: string[] = [];
    const waiting = new Set(['join']);

    /** Watches the job `jobId`. `counts` is called at each poll. */
    const watched = async (
      jobId: string,
      {
        waitingFor,
        counts = () => undefined,
      }: { waitingFor: typeof waiting | undefined; counts?: () => void },
    ) => {
      const { batch } = fixture.parts().parts;
      await batch.addJob({ id: jobId, poolInfo: { poolId: 'no-nodes' }, usesTaskDependencies: true });
      const commandLine = '/bin/true';
      await batch.addTasks(jobId, [
        { id: 'part', commandLine },
        { id: 'join', commandLine, dependsOn: { taskIds: ['part'] } },
      ]);
      await batch.deleteTask(jobId, 'part');
      deleted.length = 0;
      const clock = new FastClock(20);
      return watchJob(
        batch,
        {
          ...{ jobId, poolId: 'no-nodes', hasDependencies: true, limitMinutes: 60, clock, signal: never },
          waitingFor: () => waitingFor,
        },
        {
          counts,
          nodes: () => undefined,
          completed: () => undefined,
          deleted: (ids) => deleted.push(...ids),
          trouble: () => undefined,
          resizeRetried: () => undefined,
        },
      );
    };

    before(async () => {
      const { batch } = fixture.parts().parts;
      await batch.addPool({ id: 'no-nodes', ...machine, targetDedicatedNodes: 0 });
    });

    after(async () => {
      const { batch } = fixture.parts().parts;
      for (const id of ['blocked', 'renewed']) await batch.deleteJob(id);
      await batch.deletePool('no-nodes');
    });

    it('does not wait for it, nor believes a count that says the job is gone', async () => {
      let left = 1;
      fixture.batch.fault = ({ url = '' }, response) => {
        if (!url.includes('taskcounts') || left-- <= 0) return false;
        response.writeHead(404, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ code: 'JobNotFound', message: { lang: 'en-US', value: 'none' } }));
        return true;
      };
      assert.equal(await watched('blocked', { waitingFor: waiting }), 'completed');
      assert.deepEqual(deleted, ['join']);
    });

    it('waits while tasks are added: the other one may only get a new SAS', async () => {
      const { batch } = fixture.parts().parts;
      let polls = 0;
      let ending: Promise<void> | undefined;
      const counts = () => {
        if (++polls === 12) ending = batch.terminateJob('renewed');
      };
      await rejectsWith(watched('renewed', { waitingFor: undefined, counts }), { kind: 'jobEnded' });
      await ending;
      assert.deepEqual(deleted, []);
    });
  });

  it('gives a file a result whose log is refused while its output is downloaded', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
    const { run } = await fixture.start(paths);
    const refuseLog = refuse(403, 'AuthorizationFailure', isGet('/0001/stderr.txt'));
    fixture.blobs.fault = async (request, response) => {
      if (isGet('a.mp3')(request)) await pause(200);
      return refuseLog(request, response);
    };
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', note);
    const summary = await run
      .advance('fetched', never)
      .finally(() => process.off('unhandledRejection', note));
    await run.close();
    assert.deepEqual([summary.succeeded, summary.failed, unhandled], [1, 1, []]);
    assert.equal(run.results.get('0001')?.problem?.kind, 'unauthorized');
  });

  it('does not blame a pool that the service deleted with its job', async () => {
    const { batch } = fixture.parts().parts;
    const watched = { jobId: 'with-its-pool', poolId: 'deleted-pool', clock: systemClock, signal: never };
    const observer = { nodes: () => undefined, trouble: () => undefined, resizeRetried: () => undefined };
    const counts = { active: 1, running: 0, completed: 0, succeeded: 0, failed: 0 };
    const read = () => new PoolWatch(batch, watched, observer).read(counts);
    await batch.addJob({ id: watched.jobId, poolInfo: { poolId: watched.poolId } });
    await rejectsWith(read(), { kind: 'poolUnusable' });
    await batch.terminateJob(watched.jobId, 'AllTasksCompleted');
    await read();
    await batch.deleteJob(watched.jobId);
  });

  it('waits for preempted nodes whose start task succeeded before, though that of the only other node failed', async () => {
    const { batch } = fixture.parts().parts;
    const poolId = 'preempted-nodes';
    await batch.addPool({ id: poolId, ...machine, targetLowPriorityNodes: 0 });
    await batch.addJob({ id: poolId, poolInfo: { poolId } });
    const nodes: object[] = [
      { id: 'failed', state: 'starttaskfailed', startTaskInfo: { state: 'completed', exitCode: 1 } },
      { id: 'preempted', state: 'preempted' },
    ];
    fixture.batch.change = (answer) => {
      const { url = '' } = answer.request;
      const value = url.includes('/nodecounts')
        ? [{ poolId, lowPriority: { startTaskFailed: 1, unusable: 0, unknown: 0, preempted: 1, total: 2 } }]
        : nodes;
      if (!url.includes('/nodecounts') && !url.includes('/nodes?')) return answer;
      const { 'content-length': _, ...headers } = answer.headers;
      return { ...answer, headers, body: Buffer.from(JSON.stringify({ value })) };
    };
    const told: string[] = [];
    const read = (completed: number) => {
      const counts = { active: 1, running: 0, completed, succeeded: completed, failed: 0 };
      return new PoolWatch(
        batch,
        { jobId: poolId, poolId, clock: systemClock, signal: never },
        {
          nodes: () => undefined,
          trouble: ({ kind }) => told.push(kind),
          resizeRetried: () => undefined,
        },
      ).read(counts);
    };
    await rejectsWith(read(0), { kind: 'startTaskFailed', node: 'failed' });
    await read(1);
    assert.deepEqual(told, ['startTaskFailed']);
    // That a machine is unusable says nothing about those that replace the preempted ones.
    nodes[0] = { id: 'failed', state: 'unusable' };
    await read(0);
    assert.deepEqual(told, ['startTaskFailed', 'poolUnusable']);
    nodes.pop();
    await rejectsWith(read(0), { kind: 'poolUnusable', pool: poolId });
    fixture.batch.change = undefined;
    await batch.deleteJob(poolId);
    await batch.deletePool(poolId);
  });

  it('waits for a disabled job, says so, and makes no second one', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
    const release = fixture.holdTask('a.mp4');
    const { run, parts, steps } = await fixture.start(paths, { spotNodes: 1 });
    await run.advance('uploaded', never);
    await run.advance('submitted', never);
    const { jobId } = attemptOf(run.manifest);
    await parts.batch.disableJob(jobId, 'requeue');
    await run.close();
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    const advancing = again.advance('fetched', never);
    await eventually(
      async () => steps.some((step) => step.kind === 'trouble' && step.problem.kind === 'jobDisabled'),
      (isTold) => isTold,
    );
    release();
    await parts.batch.enableJob(jobId);
    const summary = await advancing;
    await again.close();
    assert.deepEqual([summary.succeeded, again.manifest.attempts.length], [2, 1]);
  });

  it('uses the pool of its job, which an earlier process made and did not save', async () => {
    const { paths } = fixture.folder(['a.mp4']);
    const { run, parts } = await fixture.start(paths);
    const { batch } = parts;
    const poolId = 'pool-of-the-job';
    const nodes = { dedicated: 1, spot: 0 };
    await batch.addPool({ id: poolId, ...machine, targetDedicatedNodes: 1 });
    const request = { nodes, poolId, isNew: true, signal: never };
    await ensureJob(batch, run.manifest, attemptOf(run.manifest), request);
    await run.close();
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    const summary = await again.advance('fetched', never);
    await again.close();
    assert.deepEqual([summary.succeeded, attemptOf(again.manifest).poolId], [1, poolId]);
    await batch.deletePool(poolId);
  });

  it('has nodes for all its tasks, though an earlier process asked for one', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4', 'c.mp4']);
    const { run, parts } = await fixture.start(paths, { lifetime: 'keep', spotNodes: 3 });
    const { batch } = parts;
    const poolId = 'pool-of-one-node';
    const nodes = { dedicated: 0, spot: 1 };
    await batch.addPool({ id: poolId, ...machine, metadata: ownPool, targetLowPriorityNodes: 1 });
    const attempt = attemptOf(run.manifest);
    await ensureJob(batch, run.manifest, attempt, { nodes, poolId, isNew: true, signal: never });
    await run.close();
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    await again.advance('submitted', never);
    assert.equal((await batch.pool(poolId))?.targetLowPriorityNodes, 3);
    await again.cancel(never);
    await again.close();
    await batch.deletePool(poolId);
  });

  it('does not wait for a pool that is being resized: its tasks run on the nodes that the pool has', async () => {
    const options = { lifetime: 'keep', vmSize: 'Standard_D16s_v5' } as const;
    const first = await fixture.start(fixture.folder(['a.mp4']).paths, { ...options, spotNodes: 1 });
    await first.run.advance('fetched', never);
    await first.run.close();
    fixture.batch.fault = ({ url = '' }, response) => {
      if (!url.includes('/resize')) return false;
      response.writeHead(409, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ code: 'PoolBeingResized', message: { value: 'resizing' } }));
      return true;
    };
    const { paths } = fixture.folder(['a.mp4', 'b.mp4', 'c.mp4']);
    const { run, steps } = await fixture.start(paths, { ...options, spotNodes: 3 });
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.deepEqual([summary.succeeded, summary.failed], [3, 0]);
    assert.ok(steps.some((step) => step.kind === 'poolReused' && step.spot === 3));
    assert.ok(steps.some(({ kind }) => kind === 'poolBusy'));
  });

  it('says that it waits for a pool that is being resized, and can be stopped meanwhile', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4', 'c.mp4']);
    const { run, parts, steps } = await fixture.start(paths, { lifetime: 'keep', spotNodes: 3 });
    const { batch } = parts;
    const poolId = 'pool-in-resize';
    await batch.addPool({ id: poolId, ...machine, metadata: ownPool, targetLowPriorityNodes: 1 });
    const attempt = attemptOf(run.manifest);
    const nodes = { dedicated: 0, spot: 1 };
    await ensureJob(batch, run.manifest, attempt, { nodes, poolId, isNew: true, signal: never });
    await run.close();
    fixture.batch.fault = ({ url = '' }, response) => {
      if (!url.includes('/resize')) return false;
      response.writeHead(409, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ code: 'PoolBeingResized', message: { value: 'resizing' } }));
      return true;
    };
    const again = await Run.open({ ...parts, clock: new FastClock() }, run.manifest.outputContainer, never);
    const stop = new AbortController();
    const advancing = again.advance('submitted', stop.signal);
    await eventually(
      async () => steps.filter(({ kind }) => kind === 'poolBusy'),
      (told) => told.length === 1,
    );
    assert.ok(attemptOf(again.manifest).submitted);
    assert.equal(again.progress.phase, 'pool');
    stop.abort();
    await assert.rejects(advancing, { name: 'AbortError' });
    await fixture.calm();
    assert.equal((await again.advance('fetched', never)).succeeded, 3);
    assert.equal((await batch.pool(poolId))?.targetLowPriorityNodes, 1);
    await again.close();
    await batch.deletePool(poolId);
  });

  it('makes no second job for one that was disabled before all its tasks were added', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
    const { run, parts } = await fixture.start(paths, { lifetime: 'run' });
    await run.advance('uploaded', never);
    const attempt = attemptOf(run.manifest);
    const nodes = { dedicated: 0, spot: 1 };
    await ensureJob(parts.batch, run.manifest, attempt, {
      nodes,
      poolId: undefined,
      isNew: false,
      signal: never,
    });
    await parts.batch.disableJob(attempt.jobId, 'requeue');
    await run.close();
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    const resumed = again.advance('fetched', never);
    await eventually(
      async () => attemptOf(again.manifest).submitted,
      (submitted) => submitted !== undefined,
    );
    await parts.batch.enableJob(attempt.jobId);
    const summary = await resumed;
    await again.close();
    assert.deepEqual([summary.succeeded, again.manifest.attempts.length], [2, 1]);
  });

  it('says that a quota is reached when Azure refused the auto pool of its job', async () => {
    await fixture.service.fault({
      schedulingError: {
        category: 'UserError',
        code: 'AutoPoolCreationFailedWithQuotaReached',
        message: 'The pool quota is reached.',
      },
    });
    const { paths } = fixture.folder(['a.mp4']);
    const { run, parts } = await fixture.start(paths, { lifetime: 'run' });
    await rejectsWith(run.advance('fetched', never), { kind: 'quota' });
    assert.equal(run.results.get('0001')?.problem?.kind, 'quota');
    await fixture.calm();
    // The upload serves the retry.
    assert.deepEqual(await run.retry(['0001'], never), ['0001']);
    await run.close();
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    assert.equal((await again.advance('fetched', never)).succeeded, 1);
    await again.close();
  });

  it('does not rely on counts that are 10 seconds old', async () => {
    await fixture.service.fault({ countsLagMs: 10_000 });
    const { paths } = fixture.folder(['a.mp4', 'b.mp4', 'c.mp4']);
    const { run } = await fixture.start(paths, { lifetime: 'run' });
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.deepEqual([summary.succeeded, summary.failed], [3, 0]);
  });

  for (const lifetime of ['scaleToZero', 'keep'] as const) {
    it(`ends its job and empties its pool (${lifetime}) when the start task fails on every node`, async () => {
      await fixture.service.fault({
        startTask: { exitCode: 100, stderr: 'E: Unable to locate package ffmpeg' },
      });
      const { paths } = fixture.folder(['a.mp4']);
      const { run, parts } = await fixture.start(paths, { lifetime, spotNodes: 2, slotsPerNode: 2 });
      await rejectsWith(run.advance('fetched', never), { kind: 'startTaskFailed', exitCode: 100 });
      await run.close();
      const { jobId, poolId = '' } = attemptOf(run.manifest);
      assert.equal((await parts.batch.job(jobId))?.state, 'completed');
      await eventually(
        () => parts.batch.pool(poolId),
        (pool) => pool?.targetLowPriorityNodes === 0 && pool.currentLowPriorityNodes === 0,
      );
      assert.equal(run.results.get('0001')?.problem?.kind, 'startTaskFailed');
      await fixture.calm();
      const again = await Run.open(parts, run.manifest.outputContainer, never);
      await again.retry(['0001'], never);
      assert.equal((await again.advance('fetched', never)).succeeded, 1);
      await again.close();
      await parts.batch.deletePool(poolId);
      await eventually(
        () => parts.batch.pool(poolId),
        (pool) => pool === undefined,
      );
    });
  }

  it('makes a new pool on retry when its pool was deleted', async () => {
    const { paths } = fixture.folder(['a.mp4']);
    const { run, parts } = await fixture.start(paths, { lifetime: 'keep', spotNodes: 0 });
    const advancing = run.advance('fetched', never);
    const poolId = await eventually(
      async () => (attemptOf(run.manifest).submitted ? attemptOf(run.manifest).poolId : undefined),
      (id) => id !== undefined,
    );
    await parts.batch.deletePool(poolId ?? '');
    await rejectsWith(advancing, { kind: 'poolUnusable' });
    await run.close();
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    Object.defineProperty(again.manifest.pool, 'spotNodes', { value: 1 });
    await again.retry(['0001'], never);
    assert.equal((await again.advance('fetched', never)).succeeded, 1);
    await again.close();
  });

  it('asks again for nodes that could not be allocated, and says so', async () => {
    await fixture.service.fault({ allocation: 'AllocationTimedOut' });
    const { paths } = fixture.folder(['a.mp4']);
    const clock = new FastClock(30);
    const { run, steps } = await fixture.start(paths, { lifetime: 'run', clock, monitorMinutes: 600 });
    const reported = () => steps.map((step) => (step.kind === 'trouble' ? step.problem.kind : step.kind));
    const advancing = run.advance('fetched', never);
    await eventually(
      async () => reported(),
      (kinds) => kinds.includes('resizeFailed'),
    );
    await fixture.service.fault({ allocation: null });
    const summary = await advancing;
    await run.close();
    assert.equal(summary.succeeded, 1);
    assert.ok(reported().includes('resizeRetried'), reported().join());
  });

  it('tries again what nodes could not read from or write to Storage', async () => {
    const { folder, paths } = fixture.folder(['a.mp4', 'b.mp4']);
    const { run, steps } = await fixture.start(paths, { clock: new FastClock(60), monitorMinutes: 600 });
    const isRetried = () => steps.some(({ kind }) => kind === 'transfersRetried');
    // Nodes come with a SAS. An outage for nodes only, as behind a firewall rule that was changed.
    fixture.blobs.fault = (request, response) =>
      !isRetried() &&
      refuse(403, 'AuthorizationFailure', ({ url = '' }) => url.includes('sig='))(request, response);
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.equal(summary.succeeded, 2);
    assert.ok(isRetried());
    assert.deepEqual(namesIn(folder), ['a.mp3', 'a.mp4', 'b.mp3', 'b.mp4']);
    assert.equal(steps.filter(({ kind }) => kind === 'uploading').length, 2 * run.manifest.attempts.length);
    assert.equal(new Set(run.manifest.attempts.map(({ inputContainer }) => inputContainer)).size, 1);
  });

  it('retries what failed, and leaves what runs running', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4', 'c.mp4']);
    // Tasks run in the order in which their uploads end: whichever is first stays running.
    const release = fixture.holdTask('.mp4');
    const clock = new FastClock();
    const { run, parts } = await fixture.start(paths, { spotNodes: 1, clock, monitorMinutes: 5 });
    const [first] = run.manifest.attempts;
    const advancing = run.advance('fetched', never);
    await eventually(
      async () => [attemptOf(run.manifest).submitted, run.progress.tasks.running] as const,
      ([submitted, running]) => submitted !== undefined && running > 0,
    );
    const waiting = await parts.batch.taskPage(first?.jobId ?? '', {
      filter: "state eq 'active'",
      select: 'id',
    });
    const [{ id: ended = '' } = {}] = waiting.items;
    await parts.batch.terminateTask(first?.jobId ?? '', ended);
    await eventually(async () => run.results.has(ended), Boolean);
    clock.sleep(10 * minute);
    const summary = await advancing;
    await run.close();
    assert.equal(summary.unfinished, 2);
    assert.equal(run.results.get(ended)?.problem?.kind, 'ended');
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    const open = again.manifest.files.map(({ id }) => id).filter((id) => !again.results.has(id));
    assert.deepEqual(await again.retry([ended, ...open], never), [ended]);
    const second = attemptOf(again.manifest);
    assert.deepEqual(second.fileIds, [ended]);
    assert.equal((await parts.batch.job(first?.jobId ?? ''))?.state, 'active');
    release();
    const last = await again.advance('fetched', never);
    await again.close();
    assert.deepEqual([last.succeeded, last.failed], [3, 0]);
    for (const { retries } of again.results.values()) assert.equal(retries, 0);
    const { items } = await parts.batch.taskPage(first?.jobId ?? '', { select: 'id,executionInfo' });
    const failed = items.flatMap(({ id, executionInfo }) => (executionInfo?.result === 'success' ? [] : id));
    assert.deepEqual(failed, [ended]);
  });

  it('goes no further than it was asked to', async () => {
    const { paths } = fixture.folder(['a.mp4']);
    const { run, parts } = await fixture.start(paths);
    await run.advance('uploaded', never);
    await run.close();
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    assert.equal(again.manifest.goal, 'uploaded');
    await again.advance(again.manifest.goal ?? 'fetched', never);
    assert.equal(await parts.batch.job(attemptOf(run.manifest).jobId), undefined);
    await again.advance('fetched', never);
    assert.equal(again.manifest.goal, 'fetched');
    await again.close();
  });

  it('renews the SAS of tasks that still wait while other files are uploaded', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
    const clock = new FastClock(600);
    // Without nodes, so that the first task waits. Its SAS would outlive the job by half an hour.
    const { run, parts, steps } = await fixture.start(paths, {
      ...{ clock, lifetime: 'keep', spotNodes: 0, vmSize: 'Standard_D8s_v5' },
    });
    let release: (() => void) | undefined;
    fixture.blobs.fault = async (request) => {
      if (isPut('b.mp4')(request)) {
        await new Promise<void>((resolve) => {
          release = resolve;
        });
      }
      return false;
    };
    const advancing = run.advance('submitted', never);
    const { jobId } = attemptOf(run.manifest);
    const expiry = async () => {
      const task = await parts.batch.task(jobId, '0001');
      return task && sasExpiryOf(task)?.getTime();
    };
    const first = await eventually(expiry, (seen) => seen !== undefined);
    await eventually(
      async () => steps.some(({ kind }) => kind === 'tasksRenewed'),
      (isTold) => isTold,
    );
    release?.();
    fixture.blobs.fault = undefined;
    await advancing;
    assert.ok(((await expiry()) ?? 0) > (first ?? 0));
    const job = await parts.batch.job(jobId);
    // From the end of the upload, not from the creation of the job.
    const { days = 0, hours = 0, minutes = 0 } = parse(job?.constraints?.maxWallClockTime ?? 'PT0S');
    assert.ok(
      (days * 24 + hours) * 60 + minutes > run.manifest.limits.jobMinutes + 30,
      job?.constraints?.maxWallClockTime,
    );
    await run.cancel(never);
    await run.close();
  });

  it('fails with a reason when it was deleted', async () => {
    const { paths } = fixture.folder(['a.mp4']);
    fixture.holdTask('a.mp4');
    const { run, parts } = await fixture.start(paths, { spotNodes: 1 });
    const advancing = run.advance('fetched', never);
    await eventually(
      async () => run.progress.tasks.running,
      (running) => running > 0,
    );
    await parts.storage.deleteContainer(run.manifest.outputContainer, never);
    const error = await advancing.catch((reason: unknown) => reason);
    assert.ok(error instanceof UserError && error.problem.kind === 'runNotFound', String(error));
    await run.close();
    await parts.batch.terminateJob(attemptOf(run.manifest).jobId);
  });

  it('ends with every output though Batch knows an earlier version of its REST API only', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
    fixture.batch.fault = ({ url = '' }, response) => {
      if (url.includes('api-version=2022-10-01.16.0')) return false;
      const message = {
        lang: 'en-US',
        value: 'The specified service version is not supported by this server.',
      };
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ code: 'UnsupportedRequestVersion', message }));
      return true;
    };
    const { run } = await fixture.start(paths, { lifetime: 'run' });
    assert.equal((await run.advance('fetched', never)).succeeded, 2);
    await run.close();
  });

  for (const preset of ['mp3', 'hls']) {
    it(`takes an output (${preset}) for its own that another window has downloaded meanwhile`, async () => {
      const { folder, paths } = fixture.folder(['clip.mp4']);
      const { run } = await fixture.start(paths, { preset });
      const { outputContainer, files } = run.manifest;
      const { blob = '' } = files[0]?.output ?? {};
      const direct = new Storage(fixture.service.connection);
      const there: string[] = [];
      fixture.blobs.fault = async ({ method, url = '' }) => {
        const [, name = ''] = decodeURIComponent(url.split('?')[0] ?? '').split(`${outputContainer}/`);
        const isOutput = name.startsWith(blob) && !name.endsWith('.m3u8') && !url.includes('sig=');
        if (method !== 'GET' || !isOutput || there.includes(name)) return false;
        there.push(name);
        const target = join(folder, preset === 'mp3' ? 'clip.mp3' : name.slice('0001/'.length));
        mkdirSync(dirname(target), { recursive: true });
        writeFileSync(target, await direct.readRange(outputContainer, name, 0, 10_000_000, never));
        return false;
      };
      assert.equal((await run.advance('fetched', never)).succeeded, 1);
      await run.close();
      assert.ok(there.length > 0);
      assert.deepEqual(namesIn(folder), preset === 'mp3' ? ['clip.mp3', 'clip.mp4'] : ['clip', 'clip.mp4']);
    });
  }

  it('uploads its files again, when it is continued, after somebody has deleted its input container', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
    const { run, parts } = await fixture.start(paths);
    const { outputContainer } = run.manifest;
    const { inputContainer } = attemptOf(run.manifest);
    let isDeleted = false;
    fixture.blobs.fault = async ({ method, url = '' }) => {
      if (method !== 'PUT' || !url.includes('b.mp4') || isDeleted) return false;
      isDeleted = true;
      await new Storage(fixture.service.connection).deleteContainer(inputContainer, never);
      return false;
    };
    await rejectsWith(run.advance('uploaded', never), { kind: 'service', code: 'ContainerNotFound' });
    await run.close();
    assert.ok(isDeleted);
    const again = await Run.open(parts, outputContainer, never);
    assert.equal((await again.advance('fetched', never)).succeeded, 2);
    await again.close();
  });

  describe('whose output is a folder', () => {
    /** A submitted run of one video to HLS whose task has completed. */
    async function encodedFolder() {
      const { folder, paths } = fixture.folder(['clip.mp4']);
      const started = await fixture.start(paths, { preset: 'hls' });
      await started.run.advance('submitted', never);
      await eventually(
        () => started.parts.batch.task(attemptOf(started.run.manifest).jobId, '0001'),
        (task) => task?.state === 'completed',
      );
      return { folder, ...started };
    }

    it('gives it one name, beside an earlier one', async () => {
      const { folder, paths } = fixture.folder(['clip.mp4']);
      const first = await fixture.start(paths, { preset: 'hls' });
      assert.equal((await first.run.advance('fetched', never)).succeeded, 1);
      await first.run.close();
      const before = contentOf(join(folder, 'clip'));
      const longer = await clip(join(fixture.root.path, 'longer.mp4'), 9);
      copyFileSync(longer, join(folder, 'clip.mp4'));
      const second = await fixture.start(paths, { preset: 'hls' });
      assert.equal((await second.run.advance('fetched', never)).succeeded, 1);
      await second.run.close();
      assert.deepEqual(namesIn(folder), ['clip', 'clip (2)', 'clip.mp4']);
      assert.deepEqual(contentOf(join(folder, 'clip')), before);
      const playlists = [...contentOf(join(folder, 'clip (2)')).keys()].filter((name) =>
        /index\.m3u8$/.test(name),
      );
      assert.ok(playlists.length > 0);
      for (const name of playlists) {
        const { seconds } = await probe(join(folder, 'clip (2)', name));
        assert.ok(Math.abs(seconds - 9) < 0.5, `${name}: ${seconds} s`);
      }
      // What was downloaded is known again, as a whole.
      const again = await Run.open(second.parts, second.run.manifest.outputContainer, never);
      again.state.forget(['0001']);
      assert.equal((await again.advance('fetched', never)).succeeded, 1);
      await again.close();
      assert.deepEqual(namesIn(folder), ['clip', 'clip (2)', 'clip.mp4']);
    });

    it('has a temporary name until it is complete, also where its download was canceled', async () => {
      const { folder, run, parts, steps } = await encodedFolder();
      const abort = new AbortController();
      const seen = new Set<string>();
      // A playlist is read once to prove the output. When it is downloaded, all segments are there, and the user cancels.
      fixture.blobs.fault = ({ method, url = '' }) => {
        if (method !== 'GET' || !/-output\/0001\/.*\.m3u8$/.test(url)) return false;
        if (!seen.has(url)) {
          seen.add(url);
          return false;
        }
        abort.abort();
        return true;
      };
      await assert.rejects(run.advance('fetched', abort.signal), { name: 'AbortError' });
      await run.close();
      const [part = '', ...others] = namesIn(folder);
      assert.match(part, /^\.clip\..*\.transcode-part$/);
      assert.deepEqual(others, ['clip.mp4']);
      await fixture.calm();
      const again = await Run.open(parts, run.manifest.outputContainer, never);
      assert.equal((await again.advance('fetched', never)).succeeded, 1);
      await again.close();
      assert.deepEqual(namesIn(folder), ['clip', 'clip.mp4']);
      const outputs = steps.flatMap((step) => (step.kind === 'fetched' ? step.output : []));
      assert.deepEqual(outputs, [pathToFileURL(join(folder, 'clip')).href]);
    });

    it('downloads nothing of one with a name that leads out of its folder', async () => {
      const { folder, run, parts } = await encodedFolder();
      const { outputContainer, files } = run.manifest;
      // Storage reads a backslash as a slash, and the client resolves the dots: both names lead to the same file.
      for (const blob of [`${files[0]?.output.blob}/..\\..\\outside.txt`, 'outside.txt']) {
        await parts.storage.writeText(outputContainer, blob, 'written by a node', { signal: never });
      }
      const summary = await run.advance('fetched', never);
      await run.close();
      assert.equal(summary.failed, 1);
      const expected = { kind: 'outputNameUnsafe', file: 'clip.mp4', name: '../../outside.txt' };
      assert.deepEqual(run.results.get('0001')?.problem, expected);
      assert.deepEqual(namesIn(folder), ['clip.mp4']);
      assert.equal(existsSync(join(folder, '..', 'outside.txt')), false);
    });

    const numbered: Preset = {
      id: 'numbered',
      label: 'In segments',
      needs: 'audio',
      arguments: ['-i', '${input}', '-f', 'segment', '-segment_time', '0.5', '${output}/%03d.mp3'],
      extension: 'mp3',
      folder: true,
      proof: 'none',
    };
    for (const [preset, way] of [
      ['hls', 'deleted'],
      ['hls', 'terminated'],
      [numbered, 'deleted'],
      [numbered, 'terminated'],
    ] as const) {
      const { id } = typeof preset === 'string' ? { id: preset } : preset;
      it(`downloads nothing of one that its task was uploading when its job was ${way} (${id})`, async () => {
        const { folder, paths } = fixture.folder(['clip.mp4']);
        const release = fixture.holdTask('clip.mp4');
        const { run, parts } = await fixture.start(paths, { preset, spotNodes: 1 });
        const { outputContainer, files } = run.manifest;
        await run.advance('submitted', never);
        const name = typeof preset === 'string' ? '0/index0.ts' : '000.mp3';
        const blob = `${files[0]?.output.blob}/${name}`;
        await parts.storage.writeText(outputContainer, blob, 'a part', { signal: never });
        const { jobId } = attemptOf(run.manifest);
        await (way === 'deleted' ? parts.batch.deleteJob(jobId) : parts.batch.terminateJob(jobId));
        const summary = await run.advance('fetched', never);
        release();
        await run.close();
        assert.equal(summary.failed, 1);
        assert.equal(run.results.get('0001')?.problem?.kind, 'ended');
        assert.deepEqual(namesIn(folder), ['clip.mp4']);
      });
    }

    it('downloads nothing of one that lacks its master playlist', async () => {
      const { folder, run, parts } = await encodedFolder();
      const { outputContainer, files } = run.manifest;
      await parts.storage.deleteBlob(outputContainer, `${files[0]?.output.blob}/master.m3u8`, never);
      await run.advance('fetched', never);
      await run.close();
      assert.equal(run.results.get('0001')?.problem?.kind, 'outputDamaged');
      assert.deepEqual(namesIn(folder), ['clip.mp4']);
    });

    it('accepts one whose master playlist has a name with a blank', async () => {
      const preset: Preset = {
        id: 'blank',
        label: 'HLS',
        needs: 'audio',
        arguments: [
          ...['-i', '${input}', '-map', '0:a', '-c:a', 'aac', '-f', 'hls', '-hls_playlist_type', 'vod'],
          ...['-master_pl_name', 'my list.m3u8', '${output}/audio.m3u8'],
        ],
        extension: 'm3u8',
        folder: true,
        proof: 'none',
      };
      const { folder, paths } = fixture.folder(['clip.mp4']);
      const { run } = await fixture.start(paths, { preset });
      await run.advance('fetched', never);
      await run.close();
      assert.equal(run.results.get('0001')?.problem, undefined);
      assert.ok(contentOf(join(folder, 'clip')).has('my list.m3u8'));
    });

    it('is downloaded file by file where folders cannot be renamed', async () => {
      const { folder, paths } = fixture.folder(['clip.mp4']);
      const { run, parts } = await fixture.start(paths, { preset: 'hls' });
      await run.advance('submitted', never);
      await run.close();
      const again = await Run.open(
        { ...parts, files: new FilesWithoutFolderRename() },
        run.manifest.outputContainer,
        never,
      );
      assert.equal((await again.advance('fetched', never)).succeeded, 1);
      await again.close();
      assert.deepEqual(namesIn(folder), ['clip', 'clip.mp4']);
      const names = [...contentOf(join(folder, 'clip')).keys()];
      assert.ok(names.includes('master.m3u8') && names.some((name) => name.endsWith('.ts')), names.join());
    });

    it('downloads nothing of one that lacks a segment', async () => {
      const { folder, run, parts } = await encodedFolder();
      const { outputContainer } = run.manifest;
      for await (const { name } of parts.storage.blobs(outputContainer, { signal: never })) {
        if (!/\.(m3u8|json)$/.test(name) && !name.endsWith('/.folder')) {
          await parts.storage.deleteBlob(outputContainer, name, never);
          break;
        }
      }
      const summary = await run.advance('fetched', never);
      await run.close();
      assert.equal(summary.failed, 1);
      assert.equal(run.results.get('0001')?.problem?.kind, 'outputDamaged');
      assert.deepEqual(namesIn(folder), ['clip.mp4']);
    });
  });
});

/** Files of a file system that cannot rename folders, as some of virtual workspaces. */
class FilesWithoutFolderRename extends DiskFiles {
  override isInMemory(): boolean {
    return true;
  }

  override async renameFolder(): Promise<boolean> {
    throw new UserError({ kind: 'fileFailed', file: 'clip', detail: 'Not supported' });
  }
}

/** The files below a folder, by their relative paths. */
function contentOf(folder: string): Map<string, string> {
  const names = readdirSync(folder, { recursive: true }).map(String).sort();
  const isFile = (name: string) => statSync(join(folder, name)).isFile();
  return new Map(
    names.filter(isFile).map((name) => [name, readFileSync(join(folder, name)).toString('latin1')]),
  );
}
