import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { outOfTime } from '../../src/core/jobs/jobLife';
import { attemptOf } from '../../src/core/plan/manifest';
import { manifestBlob } from '../../src/core/records/manifestStore';
import { readResults } from '../../src/core/records/resultJournal';
import { Run } from '../../src/core/runs/run';
import { FastClock } from '../clock';
import { ffmpeg } from '../media';
import { eventually, prepare } from './harness';
import { rejectsWith } from './problems';
import { never, RunFixture } from './runFixture';
import { namesIn } from './runSetup';

describe('A run in whose account others act', function () {
  this.timeout(240_000);
  let fixture: RunFixture;

  prepare(
    async () => {
      fixture = await RunFixture.make();
    },
    () => fixture.close(),
  );

  afterEach(() => fixture.calm());

  /** Holds back the upload of a source until the returned function is called. */
  function holdUpload(name: string): () => void {
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    fixture.blobs.fault = async ({ method, url = '' }: IncomingMessage) => {
      if (method === 'PUT' && url.includes(name)) await released;
      return false;
    };
    return release;
  }

  /**
   * Stops a run before the task of its last file is added. The other tasks have no output: no node can read their input.
   */
  async function stoppedHalfWay(names: readonly string[] = ['a.mp4', 'b.mp4']) {
    const { folder, paths } = fixture.folder(names);
    const { run, parts } = await fixture.start(paths, { spotNodes: 1 });
    const added = run.manifest.files.slice(0, -1);
    const release = holdUpload(names.at(-1) ?? '');
    const hold = fixture.blobs.fault;
    fixture.blobs.fault = (request, response) => {
      const { method, url = '' } = request;
      const isAdded = added.some(({ inputBlob }) => url.includes(inputBlob));
      if (method !== 'GET' || !isAdded || !url.includes('sig=')) return hold?.(request, response) ?? false;
      response.writeHead(404).end();
      return true;
    };
    const stop = new AbortController();
    const advancing = run.advance('submitted', stop.signal);
    const { jobId } = attemptOf(run.manifest);
    await eventually(
      async () => added.every(({ id }) => run.state.addedTasks.has(jobId, id)),
      (areAdded) => areAdded,
    );
    stop.abort();
    release();
    await assert.rejects(advancing, { name: 'AbortError' });
    await run.close();
    const open = () => {
      fixture.blobs.fault = undefined;
      return Run.open(parts, run.manifest.outputContainer, never);
    };
    return { jobId, parts, open, folder };
  }

  const problemsOf = ({ manifest, results }: Run) =>
    manifest.files.map(({ id }) => results.get(id)?.problem?.kind);

  it('adds no task again that was deleted before the run went on', async () => {
    const { jobId, parts, open } = await stoppedHalfWay();
    await parts.batch.deleteTask(jobId, '0001');
    const again = await open();
    const { succeeded, failed } = await again.advance('fetched', never);
    await again.close();
    assert.deepEqual([succeeded, failed], [1, 1]);
    assert.deepEqual(problemsOf(again), ['taskDeleted', undefined]);
    assert.equal(await parts.batch.task(jobId, '0001'), undefined);
  });

  for (const until of ['submitted', 'fetched'] as const) {
    it(`fetches the output of a task that was deleted after it had completed (${until} first)`, async () => {
      const { jobId, parts, open, folder } = await stoppedHalfWay();
      await parts.batch.deleteTask(jobId, '0001');
      const run = await open();
      const [{ output } = { output: undefined }] = run.manifest.files;
      const { outputContainer } = run.manifest;
      const mp3 = readFileSync(await ffmpeg('-i', join(folder, 'a.mp4'), '-vn', join(folder, 'other.mp3')));
      await parts.storage.blob(outputContainer, output?.blob ?? '').upload(mp3, mp3.length);
      await run.advance(until, never);
      const { succeeded, failed } = await run.advance('fetched', never);
      await run.close();
      assert.deepEqual([succeeded, failed], [2, 0]);
      assert.deepEqual(readFileSync(join(folder, 'a.mp3')), mp3);
    });
  }

  it('fetches the outputs of tasks that were deleted after they had completed at the same time', async () => {
    const { jobId, parts, open, folder } = await stoppedHalfWay(['a.mp4', 'b.mp4', 'c.mp4']);
    for (const id of ['0001', '0002']) await parts.batch.deleteTask(jobId, id);
    const run = await open();
    const outputs = run.manifest.files.slice(0, 2).map(({ output }) => output.blob);
    const mp3 = readFileSync(await ffmpeg('-i', join(folder, 'a.mp4'), '-vn', join(folder, 'other.mp3')));
    for (const blob of outputs)
      await parts.storage.blob(run.manifest.outputContainer, blob).upload(mp3, mp3.length);
    const asked = new Set<string>();
    fixture.blobs.fault = async ({ method, url = '' }) => {
      const blob = outputs.find((each) => method === 'GET' && url.includes(each));
      if (blob === undefined) return false;
      asked.add(blob);
      await eventually(
        async () => asked.size,
        (count) => count === outputs.length,
      );
      return false;
    };
    const { succeeded, failed } = await run.advance('fetched', never);
    await run.close();
    assert.deepEqual([succeeded, failed], [3, 0]);
  });

  for (const isNew of [false, true]) {
    it(`takes the output of a deleted task ${isNew ? 'from its own attempt' : 'not from an earlier attempt'}`, async () => {
      const { folder, paths } = fixture.folder(['a.mp4']);
      const { run, parts } = await fixture.start(paths);
      await run.advance('fetched', never);
      assert.deepEqual(await run.retry(['0001'], never), ['0001']);
      fixture.holdTask('a.mp4');
      await run.advance('submitted', never);
      const { jobId } = attemptOf(run.manifest);
      await parts.batch.deleteTask(jobId, '0001');
      if (isNew) {
        const created = (await parts.batch.job(jobId))?.creationTime?.getTime() ?? 0;
        // The time of a blob has whole seconds.
        await eventually(
          async () => Date.now(),
          (now) => now > created + 1_000,
        );
        const blob = run.manifest.files[0]?.output.blob ?? '';
        const mp3 = readFileSync(join(folder, 'a.mp3'));
        await parts.storage.blob(run.manifest.outputContainer, blob).upload(mp3, mp3.length);
      }
      await run.advance('fetched', never);
      await run.close();
      assert.deepEqual(problemsOf(run), [isNew ? undefined : 'taskDeleted']);
    });
  }

  it('fetches the output of a task that was deleted before it was seen to have completed', async () => {
    const { folder, paths } = fixture.folder(['a.mp4']);
    const { run, parts } = await fixture.start(paths);
    await run.advance('submitted', never);
    const { jobId } = attemptOf(run.manifest);
    await eventually(
      () => parts.batch.task(jobId, '0001'),
      (task) => task?.state === 'completed',
    );
    await parts.batch.deleteTask(jobId, '0001');
    const { succeeded } = await run.advance('fetched', never);
    await run.close();
    assert.equal(succeeded, 1);
    assert.deepEqual(namesIn(folder), ['a.mp3', 'a.mp4']);
  });

  it('ends when all its tasks were deleted, and leaves no open job', async () => {
    const { jobId, parts, open } = await stoppedHalfWay();
    await parts.batch.deleteTask(jobId, '0001');
    const run = await open();
    // The second file has failed before.
    const [, second] = run.manifest.files;
    if (second) run.state.settle(second, { problem: { kind: 'fileMissing', file: second.path } });
    const { failed } = await run.advance('fetched', never);
    await run.close();
    assert.equal(failed, 2);
    assert.equal((await parts.batch.job(jobId))?.executionInfo?.terminateReason, 'NothingUploaded');
  });

  it('adds no deleted task to the job that replaces one whose time was over', async () => {
    const { jobId, parts, open } = await stoppedHalfWay();
    await parts.batch.deleteTask(jobId, '0001');
    await parts.batch.terminateJob(jobId, outOfTime);
    const again = await open();
    await again.advance('fetched', never);
    await again.close();
    assert.deepEqual(problemsOf(again), ['taskDeleted', undefined]);
    assert.deepEqual(again.manifest.attempts[1]?.fileIds, ['0002']);
  });

  it('transcodes the file of a deleted task when the user retries it', async () => {
    const { jobId, parts, open } = await stoppedHalfWay();
    await parts.batch.deleteTask(jobId, '0001');
    const again = await open();
    await again.advance('fetched', never);
    assert.deepEqual(await again.retry(['0001'], never), ['0001']);
    const { succeeded } = await again.advance('fetched', never);
    await again.close();
    assert.equal(succeeded, 2);
  });

  it('transcodes the file of a deleted task when the user retries it before all tasks are added', async () => {
    const { jobId, parts, open } = await stoppedHalfWay();
    await parts.batch.deleteTask(jobId, '0001');
    const run = await open();
    const [first] = run.manifest.files;
    if (first) run.state.settle(first, { problem: { kind: 'taskDeleted', file: first.path } });
    assert.deepEqual(await run.retry(['0001'], never), ['0001']);
    const { succeeded } = await run.advance('fetched', never);
    await run.close();
    assert.deepEqual([succeeded, run.manifest.attempts.length], [2, 2]);
  });

  it('goes on in another job when the time of its job ends while it prolongs the job', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
    const clock = new FastClock(600);
    const { run, parts } = await fixture.start(paths, { clock, spotNodes: 1, monitorMinutes: 1_000_000 });
    const release = holdUpload('b.mp4');
    const { jobId } = attemptOf(run.manifest);
    let patches = 0;
    fixture.batch.fault = async ({ method, url = '' }) => {
      if (method !== 'PATCH' || !url.includes(jobId) || patches++ > 0) return false;
      await parts.batch.terminateJob(jobId, outOfTime);
      release();
      return false;
    };
    const { succeeded } = await run.advance('fetched', never);
    await run.close();
    assert.deepEqual([succeeded, run.manifest.attempts.length], [2, 2]);
  });

  it('says whether somebody or the time limit of its job ended its tasks', async () => {
    for (const reason of [outOfTime, 'Somebody']) {
      const { paths } = fixture.folder(['a.mp4']);
      const { run, parts } = await fixture.start(paths, {
        ...{ lifetime: 'keep', spotNodes: 0, vmSize: 'Standard_D8s_v5' },
      });
      await run.advance('submitted', never);
      await parts.batch.terminateJob(attemptOf(run.manifest).jobId, reason);
      await run.advance('fetched', never);
      await run.close();
      const file = run.manifest.files[0]?.path;
      const isOutOfTime = reason === outOfTime ? { isOutOfTime: true } : {};
      assert.deepEqual(run.results.get('0001')?.problem, { kind: 'ended', file, ...isOutOfTime });
    }
  });

  it('sends nothing twice when it goes on after its credentials were refused', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
    const { run, parts } = await fixture.start(paths, { spotNodes: 1 });
    const { jobId } = attemptOf(run.manifest);
    const release = holdUpload('b.mp4');
    const advancing = run.advance('fetched', never);
    await eventually(
      async () => run.state.addedTasks.has(jobId, '0001'),
      (isAdded) => isAdded,
    );
    const refuse = ({ url = '' }: IncomingMessage, response: ServerResponse) => {
      // Tasks have a SAS of their own.
      if (url.includes('sig=')) return false;
      response.writeHead(401, { 'x-ms-error-code': 'InvalidAuthenticationInfo' }).end();
      return true;
    };
    fixture.batch.fault = refuse;
    fixture.blobs.fault = refuse;
    release();
    await rejectsWith(advancing, { kind: 'unauthorized' });
    await run.close();
    fixture.batch.fault = undefined;
    fixture.blobs.fault = undefined;
    // The lease could not be released.
    const { outputContainer } = run.manifest;
    await parts.storage.blob(outputContainer, manifestBlob).getBlobLeaseClient().breakLease(0);
    fixture.blobs.requests.length = 0;
    const again = await Run.open(parts, outputContainer, never);
    const { succeeded } = await again.advance('fetched', never);
    await again.close();
    assert.equal(succeeded, 2);
    const sent = fixture.blobs.requests.filter(
      (line) => /^PUT .*\/000\d\//.test(line) && !line.includes('sig='),
    );
    assert.ok(
      sent.every((line) => line.includes('/0002/')),
      sent.join('\n'),
    );
    assert.deepEqual([again.manifest.attempts.length, again.results.size], [1, 2]);
  });

  it('takes no lease after it was closed, though it is canceled', async () => {
    const { run, parts } = await fixture.start(fixture.folder(['a.mp4']).paths);
    await run.close();
    await rejectsWith(run.cancel(never), { kind: 'runTaken' });
    await rejectsWith(run.state.save(never), { kind: 'runTaken' });
    // A claim that is not released keeps other windows out for 15 seconds.
    await (await Run.open(parts, run.manifest.outputContainer, never)).close();
  });

  it('adds no results to those of the window that had it while its lease was over', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
    const { run, parts } = await fixture.start(paths);
    const { outputContainer: container, files } = run.manifest;
    await run.advance('submitted', never);
    await parts.storage.blob(container, manifestBlob).getBlobLeaseClient().breakLease(0);
    const other = await Run.open(parts, container, never);
    await other.advance('fetched', never);
    await other.close();
    const stored = await readResults(parts.storage, container, never);
    for (const file of files) run.state.settle(file, { problem: { kind: 'ended', file: file.path } });
    await rejectsWith(run.state.saveResults(never), { kind: 'runTaken' });
    assert.deepEqual(await readResults(parts.storage, container, never), stored);
    await run.close();
  });

  it('leaves the run to the window that had it while its lease was over', async () => {
    const { run, parts } = await fixture.start(fixture.folder(['a.mp4']).paths);
    const { outputContainer } = run.manifest;
    await parts.storage.blob(outputContainer, manifestBlob).getBlobLeaseClient().breakLease(0);
    const other = await Run.open(fixture.parts().parts, outputContainer, never);
    await other.cancel(never);
    await other.close();
    await rejectsWith(run.state.save(never), { kind: 'runTaken' });
    await rejectsWith(run.advance('fetched', never), { kind: 'runTaken' });
    await run.close();
    const again = await Run.open(fixture.parts().parts, outputContainer, never);
    await again.close();
    assert.ok(again.manifest.canceled);
  });

  for (const isLeft of [true, false]) {
    it(`can be opened after two windows have repaired its files, the second one ${isLeft ? 'closed' : 'at work'}`, async () => {
      const { run, parts } = await fixture.start(fixture.folder(['a.mp4']).paths);
      const { outputContainer } = run.manifest;
      const addFile = ({ manifest }: Run, name: string) => {
        const file = manifest.files[0];
        assert.ok(file);
        manifest.files = [...manifest.files, { ...file, id: '0002', path: name }];
      };
      addFile(run, 'first.mp4');
      await parts.storage.blob(outputContainer, manifestBlob).getBlobLeaseClient().breakLease(0);
      const other = await Run.open(fixture.parts().parts, outputContainer, never);
      addFile(other, 'second.mp4');
      await other.state.save(never);
      if (isLeft) await other.close();
      await rejectsWith(run.state.save(never), { kind: 'runTaken' });
      await other.close();
      await run.close();
      const again = await Run.open(fixture.parts().parts, outputContainer, never);
      await again.close();
      assert.equal(again.manifest.files[1]?.path, 'second.mp4');
    });
  }

  it('keeps no nodes for uploads of a run that was deleted', async () => {
    const { run, parts } = await fixture.start(fixture.folder(['a.mp4']).paths, {
      ...{ lifetime: 'keep', spotNodes: 3, vmSize: 'Standard_D96s_v5' },
    });
    const release = holdUpload('a.mp4');
    const advancing = run.advance('fetched', never);
    const attempt = attemptOf(run.manifest);
    await eventually(
      async () => attempt.hasJob,
      (hasJob) => hasJob === true,
    );
    const poolId = attempt.poolId ?? '';
    await parts.storage.deleteContainer(run.manifest.outputContainer, never);
    await rejectsWith(advancing, { kind: 'runNotFound' });
    release();
    await run.close();
    assert.equal((await parts.batch.job(attempt.jobId))?.executionInfo?.terminateReason, 'NothingUploaded');
    await eventually(
      () => parts.batch.pool(poolId),
      (pool) => pool === undefined || pool.state === 'deleting',
    );
  });

  it('adds a task that it was about to replace when it was stopped', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
    const clock = new FastClock(600);
    // Without nodes, so that the first task waits until its SAS is renewed.
    const { run, parts } = await fixture.start(paths, {
      ...{ clock, lifetime: 'keep', spotNodes: 0, vmSize: 'Standard_D8s_v5' },
    });
    const release = holdUpload('b.mp4');
    const stop = new AbortController();
    let deletions = 0;
    fixture.batch.fault = ({ method, url = '' }) => {
      if (method === 'DELETE' && url.includes('/tasks/0001')) deletions++;
      else if (deletions > 0 && url.includes('/tasks')) stop.abort();
      return false;
    };
    const { jobId } = attemptOf(run.manifest);
    await assert.rejects(run.advance('submitted', stop.signal), { name: 'AbortError' });
    fixture.batch.fault = undefined;
    release();
    await run.close();
    assert.equal(deletions, 1);
    await eventually(
      () => parts.batch.task(jobId, '0001'),
      (task) => task === undefined,
    );
    const again = await Run.open(fixture.parts().parts, run.manifest.outputContainer, never);
    await again.advance('submitted', never);
    assert.equal((await parts.batch.task(jobId, '0001'))?.state, 'active');
    await again.cancel(never);
    await again.close();
  });
});
