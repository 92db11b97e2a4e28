import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { madeBy } from '../../src/core/azure/ownership';
import { deleteFetched, planRunCleanUp, withoutPoolsOfOthers } from '../../src/core/cleanUp/cleanUpRun';
import { deleteResources, endJobs } from '../../src/core/cleanUp/deleteResources';
import { findLeftovers } from '../../src/core/cleanUp/leftovers';
import { type OwnedResource, ownedResources } from '../../src/core/cleanUp/ownedResources';
import { attemptOf } from '../../src/core/plan/manifest';
import { runsOf } from '../../src/core/records/runList';
import { Run } from '../../src/core/runs/run';
import { eventually, machine, prepare } from './harness';
import { never, RunFixture } from './runFixture';

describe('The clean-up', function () {
  this.timeout(240_000);
  let fixture: RunFixture;

  prepare(
    async () => {
      fixture = await RunFixture.make();
    },
    () => fixture.close(),
  );

  afterEach(() => fixture.calm());

  const listed = async () => {
    const { batch, storage } = fixture.parts().parts;
    return ownedResources(batch, storage, never);
  };

  it('knows what belongs to a run that is at work, in any window', async () => {
    const { paths } = fixture.folder(['a.mp4', 'b.mp4']);
    fixture.holdTask('a.mp4');
    const { run, parts } = await fixture.start(paths, { spotNodes: 1 });
    // Before the job exists, only the claim of the window says so.
    await run.advance('uploaded', never);
    const { runId } = run.manifest;
    const ofRun = async () => (await listed()).filter((resource) => resource.runId === runId);
    const uploaded = await ofRun();
    assert.deepEqual([uploaded.length, uploaded.every(({ isLive }) => isLive)], [2, true]);
    await run.advance('submitted', never);
    await run.close();
    // Nobody works on it, but its tasks go on.
    const submitted = await listed();
    const own = submitted.filter((resource) => resource.runId === runId);
    assert.deepEqual([own.length, own.every(({ isLive }) => isLive)], [3, true]);
    const pool = submitted.find(({ id }) => id === attemptOf(run.manifest).poolId);
    assert.deepEqual([pool?.isLive, pool?.usedBy], [true, [runId]]);
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    await endJobs(parts.batch, submitted, new Set([runId]), never);
    await again.advance('fetched', never);
    await again.close();
    await eventually(listed, (all) => all.every(({ isLive }) => !isLive));
  });

  it('of one run leaves the pool of another, and what was not fetched', async () => {
    const { folder, paths } = fixture.folder(['a.mp4', 'b.mp4']);
    // A folder has the name of one output, and another its next name.
    const { run, parts } = await fixture.start(paths, { onConflict: 'overwrite', spotNodes: 2 });
    mkdirSync(join(folder, 'b.mp3'));
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.deepEqual([summary.succeeded, summary.failed], [1, 1]);
    const { runId, outputContainer } = run.manifest;
    const output = (await listed()).find(({ id }) => id === outputContainer);
    assert.equal(output?.unfetched, 1);

    fixture.holdTask('c.mp4');
    const other = await fixture.start(fixture.folder(['c.mp4']).paths, { spotNodes: 2 });
    await other.run.advance('submitted', never);
    await other.run.close();
    const { poolId } = attemptOf(run.manifest);
    assert.equal(attemptOf(other.run.manifest).poolId, poolId);

    const plan = await planRunCleanUp(parts.storage, await listed(), runId, outputContainer, never);
    assert.ok(plan.keepsContainer);
    assert.ok(plan.resources.every((resource) => resource.runId === runId));
    assert.ok(plan.resources.every(({ id }) => id !== outputContainer));
    await deleteFetched(parts.storage, plan.blobs, never);
    await deleteResources(parts.batch, parts.storage, plan.resources, () => undefined, never);
    const blobs: string[] = [];
    for await (const { name } of parts.storage.blobs(outputContainer, { signal: never })) blobs.push(name);
    assert.ok(blobs.some((name) => name.endsWith('b.mp3')) && !blobs.some((name) => name.endsWith('a.mp3')));
    // Its failures can still be shown and retried.
    const again = await Run.open(parts, outputContainer, never);
    assert.equal([...again.results.values()].filter(({ problem }) => problem).length, 1);
    await again.close();
    await parts.batch.terminateJob(attemptOf(other.run.manifest).jobId);
  });

  it('of one run keeps the record that says which files were refused', async () => {
    const { folder, paths } = fixture.folder(['a.mp4']);
    writeFileSync(join(folder, 'empty.mp4'), '');
    const { run, parts } = await fixture.start([...paths, join(folder, 'empty.mp4')]);
    const { manifest } = run;
    assert.equal(manifest.refused.length, 1);
    await run.advance('fetched', never);
    await run.close();
    const { runId, outputContainer } = manifest;
    const plan = await planRunCleanUp(parts.storage, await listed(), runId, outputContainer, never);
    assert.ok(plan.keepsContainer);
    assert.ok(plan.resources.every(({ id }) => id !== outputContainer));
  });

  it('of one run leaves nothing of it when all was fetched', async () => {
    const { paths } = fixture.folder(['a.mp4']);
    const { run, parts } = await fixture.start(paths, { slotsPerNode: 3 });
    await run.advance('fetched', never);
    await run.close();
    const { runId, outputContainer } = run.manifest;
    await eventually(
      () => parts.batch.job(attemptOf(run.manifest).jobId),
      (job) => job?.state === 'completed',
    );
    const plan = await planRunCleanUp(parts.storage, await listed(), runId, outputContainer, never);
    assert.deepEqual(plan.resources.map(({ kind }) => kind).sort(), ['container', 'job', 'pool']);
    // Another run begins on the pool after everything was listed.
    const { poolId } = attemptOf(run.manifest);
    const kinds = async () =>
      (await withoutPoolsOfOthers(parts.batch, plan.resources, runId, never)).map(({ kind }) => kind).sort();
    const metadata = [
      { name: madeBy.name, value: 'job' },
      { name: madeBy.run, value: 'another' },
    ];
    await parts.batch.addJob({ id: 'transcode-another', poolInfo: { poolId }, metadata });
    assert.deepEqual(await kinds(), ['container', 'job']);
    await parts.batch.terminateJob('transcode-another');
    // Another program has a job there: its tasks count, also while they wait.
    await parts.batch.addJob({ id: 'theirs', poolInfo: { poolId } });
    assert.deepEqual(await kinds(), ['container', 'job', 'pool']);
    await parts.batch.addTasks('theirs', [{ id: 't', commandLine: '/bin/sh -c "sleep 600"' }]);
    assert.deepEqual(await kinds(), ['container', 'job']);
    await parts.batch.terminateJob('theirs');
    assert.deepEqual(await kinds(), ['container', 'job', 'pool']);
    assert.deepEqual(
      await deleteResources(parts.batch, parts.storage, plan.resources, () => undefined, never),
      [],
    );
  });

  it('deletes no resource that has come into use or was replaced since it was listed', async () => {
    const { run, parts } = await fixture.start(fixture.folder(['a.mp4']).paths, { spotNodes: 4 });
    await run.advance('fetched', never);
    await run.close();
    const { runId, outputContainer } = run.manifest;
    const { jobId, poolId = '' } = attemptOf(run.manifest);
    await eventually(
      () => parts.batch.job(jobId),
      (job) => job?.state === 'completed',
    );
    const chosen = (await listed()).filter((resource) => resource.runId === runId || resource.id === poolId);
    assert.deepEqual(chosen.map(({ kind, isLive }) => [kind, isLive]).sort(), [
      ['container', false],
      ['job', false],
      ['pool', false],
    ]);
    const remove = async () => {
      const remaining = await deleteResources(parts.batch, parts.storage, chosen, () => undefined, never);
      return Object.fromEntries(
        remaining.map(({ resource, problem }) => [
          resource.kind,
          problem.kind === 'resourceKept' ? problem.why : problem.kind,
        ]),
      );
    };
    // Another program has a disabled job on the pool, and a window is about to retry the run.
    await parts.batch.addJob({ id: 'disabled', poolInfo: { poolId } });
    await parts.batch.disableJob('disabled', 'requeue');
    await parts.batch.addTasks('disabled', [{ id: 't', commandLine: '/bin/true' }]);
    const again = await Run.open(parts, outputContainer, never);
    assert.deepEqual(await remove(), { job: 'used', pool: 'used', container: 'used' });
    await again.retry(['0001'], never);
    await again.close();
    // No window works on the run any longer, but one can continue it.
    assert.deepEqual(await remove(), { pool: 'used', container: 'used' });
    const now = await listed();
    assert.equal(now.find(({ id }) => id === poolId)?.isLive, true);
    assert.equal(now.find(({ id }) => id === outputContainer)?.isUnfinished, true);
    await parts.batch.deleteJob('disabled');
    await parts.batch.deletePool(poolId);
    await eventually(
      () => parts.batch.pool(poolId),
      (pool) => pool === undefined,
    );
    const metadata = [{ name: madeBy.name, value: 'pool' }];
    await parts.batch.addPool({ id: poolId, ...machine, targetDedicatedNodes: 0, metadata });
    assert.deepEqual(await remove(), { pool: 'changed', container: 'used' });
    const left = (await listed()).filter((resource) => resource.runId === runId || resource.id === poolId);
    assert.deepEqual(await deleteResources(parts.batch, parts.storage, left, () => undefined, never), []);
  });

  it('leaves a pool that was just chosen for a job, unless that has ended or the user agreed to end its run', async () => {
    const { batch, storage } = fixture.parts().parts;
    const chosenFor = async (jobId: string) => {
      const value = `${jobId} ${new Date().toISOString()}`;
      const metadata = [
        { name: madeBy.name, value: 'pool' },
        { name: madeBy.chosenFor, value },
      ];
      await batch.addPool({ id: `transcode-${jobId}`, ...machine, targetDedicatedNodes: 0, metadata });
      const pool = (await listed()).find(({ id }) => id === `transcode-${jobId}`);
      assert.ok(pool);
      return pool;
    };
    const remaining = (resource: OwnedResource) =>
      deleteResources(batch, storage, [resource], () => undefined, never);
    const ended = await chosenFor('chosen-and-ended');
    assert.equal((await remaining(ended)).length, 1);
    await batch.addJob({ id: 'chosen-and-ended', poolInfo: { poolId: ended.id } });
    assert.equal((await remaining(ended)).length, 1);
    await batch.terminateJob('chosen-and-ended', 'Canceled');
    assert.deepEqual(await remaining(ended), []);
    const agreed = await chosenFor('transcode-agreed-2');
    assert.equal((await remaining({ ...agreed, isLive: true, usedBy: ['agree'] })).length, 1);
    assert.deepEqual(await remaining({ ...agreed, isLive: true, usedBy: ['agreed'] }), []);
  });

  it('asks once for each kind of resource whether a run is at work', async () => {
    const { run, parts } = await fixture.start(fixture.folder(['a.mp4']).paths, { spotNodes: 1 });
    await run.advance('fetched', never);
    await run.close();
    const { runId, outputContainer } = run.manifest;
    const metadata = { [madeBy.name]: 'input', [madeBy.run]: runId };
    for (const number of [2, 3, 4])
      await parts.storage.createContainer(`transcode-${runId}-input-${number}`, metadata, never);
    const containers = (await listed()).filter((each) => each.runId === runId && each.kind === 'container');
    assert.ok(containers.length >= 4, String(containers.length));
    const asked: string[] = [];
    fixture.batch.fault = ({ url = '' }) => {
      if (url.startsWith('/jobs?')) asked.push(url);
      return false;
    };
    assert.deepEqual(
      await deleteResources(parts.batch, parts.storage, containers, () => undefined, never),
      [],
    );
    assert.equal(asked.length, 1, asked.join(' '));
    assert.ok(!(await listed()).some(({ id }) => id === outputContainer));
  });

  it('knows what a run left that nobody works on, and what its user only wanted to upload', async () => {
    const { paths } = fixture.folder(['a.mp4']);
    const { run, parts } = await fixture.start(paths);
    const { runId } = run.manifest;
    const left = async (known: readonly string[] = []) => {
      const isKnown = (id: string) => known.includes(id);
      return (await findLeftovers(parts.batch, parts.storage, { isKnown, signal: never })).runIds;
    };
    await run.advance('uploaded', never);
    assert.ok(!(await left()).includes(runId), 'a window works on it');
    await run.close();
    assert.ok(!(await left()).includes(runId), 'its user wanted no more');
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    await again.cancel(never);
    await again.close();
    const found = await findLeftovers(parts.batch, parts.storage, { isKnown: () => false, signal: never });
    assert.ok(found.runIds.includes(runId));
    assert.ok(found.bytes > 0);
    assert.deepEqual(await left(found.runIds), []);
    const resources = (await listed()).filter((resource) => resource.runId === runId);
    await deleteResources(parts.batch, parts.storage, resources, () => undefined, never);
    assert.ok(!(await left()).includes(runId));
  });

  it('offers nothing with our metadata name and another value', async () => {
    const { batch, storage } = fixture.parts().parts;
    const metadata = [{ name: madeBy.name, value: 'somebody else' }];
    await batch.addPool({ id: 'transcode-foreign', ...machine, targetDedicatedNodes: 0, metadata });
    await batch.addJob({ id: 'transcode-foreign', poolInfo: { poolId: 'transcode-foreign' }, metadata });
    await storage.createContainer('transcode-foreign', { [madeBy.name]: 'somebody else' }, never);
    assert.deepEqual(
      (await listed()).filter(({ id }) => id === 'transcode-foreign'),
      [],
    );
    // The metadata of a run can be copied, for example with a container of an account.
    const copied = { [madeBy.name]: 'input', [madeBy.run]: '20261126-000000-copied' };
    await storage.createContainer('transcode-20261126-000000-copied-input', copied, never);
    await storage.createContainer('transcode-copy', copied, never);
    await storage.createContainer('transcode-output', { ...copied, [madeBy.name]: 'output' }, never);
    const own = (await listed()).filter(({ runId }) => runId === '20261126-000000-copied');
    assert.deepEqual(
      own.map(({ id }) => id),
      ['transcode-20261126-000000-copied-input'],
    );
    assert.ok(
      (await runsOf(storage, never)).every(({ outputContainer }) => outputContainer !== 'transcode-output'),
    );
  });
});
