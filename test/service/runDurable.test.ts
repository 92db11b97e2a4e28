import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { deleteResources } from '../../src/core/cleanUp/deleteResources';
import { ownedResources } from '../../src/core/cleanUp/ownedResources';
import { ensureJob } from '../../src/core/jobs/jobLife';
import { attemptOf, type Manifest } from '../../src/core/plan/manifest';
import { idlePools } from '../../src/core/pools/idlePools';
import { nodeTargets } from '../../src/core/pools/nodeTargets';
import { readResults } from '../../src/core/records/resultJournal';
import { Run } from '../../src/core/runs/run';
import { clip, ffmpeg, probe, temporaryFolder } from '../media';
import { randomOf } from '../random';
import { faultyProxy } from './faultyProxy';
import { eventually, machine, prepare, TestService } from './harness';
import { startRunProcess } from './runProcess';
import { type ManifestOptions, manifestOf, namesIn, partsOf } from './runSetup';

const never = new AbortController().signal;
const kills = 50;
const filesEach = 20;
const seed = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);

describe('A run that is interrupted', function () {
  this.timeout(400_000);
  let service: TestService;
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let sample = '';
  let long = '';
  let claimFolder = '';
  let folders = 0;

  prepare(
    async () => {
      service = await TestService.start();
      root = await temporaryFolder('durable');
      claimFolder = join(root.path, 'claims');
      sample = await clip(join(root.path, 'sample.mp4'), 1.5);
      long = await ffmpeg('-f', 'lavfi', '-i', 'sine=duration=240', join(root.path, 'long.wav'));
    },
    async () => {
      await service.close();
      await root.remove();
    },
  );

  let slow: TestService | undefined;
  afterEach(async () => {
    await slow?.close();
    slow = undefined;
  });

  afterEach(async () => {
    const { batch, storage } = partsOf(service).parts;
    const things = await ownedResources(batch, storage, never);
    assert.deepEqual(await deleteResources(batch, storage, things, () => undefined, never), []);
    await eventually(
      () => ownedResources(batch, storage, never),
      (left) => left.length === 0,
    );
  });

  function folderOf(source: string, names: readonly string[]): { folder: string; paths: string[] } {
    const folder = join(root.path, `folder-${++folders}`);
    mkdirSync(folder);
    const paths = names.map((name) => join(folder, name));
    for (const path of paths) copyFileSync(source, path);
    return { folder, paths };
  }

  const work = (manifest: Manifest) =>
    startRunProcess({ connection: service.connection, manifest, claimFolder });

  async function start(paths: string[], options: ManifestOptions = {}) {
    const told = partsOf(service);
    return { ...told, run: await Run.create(told.parts, await manifestOf(paths, options), never) };
  }

  it(`ends with every output once, though its process is killed ${kills} times (seed ${seed})`, async () => {
    const random = randomOf(seed);
    const { batch, storage } = partsOf(service).parts;
    const names = Array.from({ length: filesEach }, (_, index) => `clip ${index}.mp4`);
    for (let killed = 0; killed < kills; ) {
      const { folder, paths } = folderOf(sample, names);
      const manifest = await manifestOf(paths);
      let summary: Record<string, unknown> | undefined;
      while (summary === undefined) {
        const child = work(manifest);
        const delay = random() * 2500;
        const said = await Promise.race([child.said, pause(killed < kills ? delay : 60_000)]);
        if (said) summary = said;
        else {
          child.kill('SIGKILL');
          const last = await child.said;
          if ('succeeded' in last) summary = last;
          else killed++;
        }
      }
      const results = await readResults(storage, manifest.outputContainer, never);
      assert.deepEqual(
        results.filter(({ problem }) => problem),
        [],
      );
      assert.equal(summary.succeeded, filesEach, JSON.stringify(summary));
      assert.deepEqual(namesIn(folder), names.flatMap((name) => [name, name.replace('.mp4', '.mp3')]).sort());
      const blob = await storage.readText(manifest.outputContainer, 'manifest.json', never);
      const { attempts, finished } = JSON.parse(blob?.text ?? '') as Manifest;
      assert.ok(finished);
      assert.equal(attempts.length, 1);
      const { items } = await batch.taskPage(attempts[0]?.jobId ?? '', {});
      assert.equal(items.length, filesEach);
      for (const { id, executionInfo } of items) {
        assert.deepEqual([executionInfo?.requeueCount, executionInfo?.retryCount], [0, 0], id);
      }
    }
    const [made] = namesIn(join(root.path, 'folder-1')).filter((name) => name.endsWith('.mp3'));
    assert.ok(Math.abs((await probe(join(root.path, 'folder-1', made ?? ''))).seconds - 1.5) < 0.1);
  });

  it('can be continued at once though its process was killed while it acquired the lease', async () => {
    const { folder, paths } = folderOf(sample, ['a.mp4']);
    const manifest = await manifestOf(paths);
    await (await Run.create(partsOf(service).parts, manifest, never)).close();
    const proxy = await faultyProxy(service.ready.blobUrl);
    const { connection } = service;
    const account = { ...connection.account, blobUrl: proxy.url };
    const child = startRunProcess({ connection: { ...connection, account }, manifest, claimFolder });
    proxy.change = (answer) => {
      if (answer.request.headers['x-ms-lease-action'] !== 'acquire') return answer;
      child.kill('SIGKILL');
      return undefined;
    };
    assert.deepEqual(await child.said, {});
    await proxy.close();
    // A process that is killed while it writes its note leaves a part of it.
    writeFileSync(join(claimFolder, `${manifest.runId}.00000000-0000-4000-8000-000000000000.json`), '{"pi');
    assert.equal((await work(manifest).said).succeeded, 1);
    assert.deepEqual(namesIn(folder), ['a.mp3', 'a.mp4']);
    assert.deepEqual(
      readdirSync(claimFolder).filter((name) => name.startsWith(manifest.runId)),
      [],
    );
  });

  it('is worked on by one of two windows that start at once', async () => {
    const { folder, paths } = folderOf(sample, ['a.mp4', 'b.mp4', 'c.mp4']);
    const manifest = await manifestOf(paths);
    await (await Run.create(partsOf(service).parts, manifest, never)).close();
    const said = await Promise.all([work(manifest).said, work(manifest).said]);
    const [done, refusal] = said[0]?.kind ? [said[1], said[0]] : said;
    assert.equal(done?.succeeded, 3);
    assert.ok(refusal?.kind === 'runTaken' || refusal?.succeeded === 3, JSON.stringify(refusal));
    assert.equal(namesIn(folder).length, 6);
  });

  it('leaves no pool of its own when no window continues it', async () => {
    const { paths } = folderOf(long, ['a.wav', 'b.wav', 'c.wav']);
    const manifest = await manifestOf(paths, { lifetime: 'run' });
    const { batch, storage } = partsOf(service).parts;
    const child = work(manifest);
    await eventually(
      async () => (await storage.readText(manifest.outputContainer, 'manifest.json', never))?.text ?? '',
      (text) => text.includes('"submitted"'),
    );
    child.kill('SIGKILL');
    await eventually(
      async () => (await batch.poolPage({ filter: "startswith(id,'transcode')" })).items,
      (pools) => pools.length === 0,
      90,
    );
    const job = await batch.job(attemptOf(manifest).jobId);
    assert.equal(job?.state, 'completed');
    const things = await ownedResources(batch, storage, never);
    assert.deepEqual(
      things.filter(({ unfetched }) => unfetched).map(({ unfetched }) => unfetched),
      [3],
    );
  });

  it('continues with files that were uploaded longer ago than a SAS lives', async () => {
    const { folder, paths } = folderOf(sample, ['a.mp4', 'b.mp4']);
    const { run, parts } = await start(paths);
    await run.advance('uploaded', never);
    attemptOf(run.manifest).sasExpiry = new Date(Date.now() - 60_000).toISOString();
    await run.state.save(never);
    await run.close();
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    const summary = await again.advance('fetched', never);
    await again.close();
    assert.equal(summary.succeeded, 2);
    assert.equal(namesIn(folder).length, 4);
  });

  it('retries tasks whose SAS had expired', async () => {
    const { paths } = folderOf(sample, ['a.mp4', 'b.mp4']);
    const { run, parts } = await start(paths);
    await run.advance('uploaded', never);
    for (const file of run.manifest.files)
      run.state.settle(file, { problem: { kind: 'inputExpired', file: file.path } });
    await run.state.saveResults(never);
    await run.close();
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    assert.equal((await again.advance('fetched', never)).succeeded, 2);
    await again.close();
  });

  it('makes another job when the first one ended before all its tasks were added', async () => {
    const { folder, paths } = folderOf(sample, ['a.mp4', 'b.mp4', 'c.mp4']);
    const { run, parts, steps } = await start(paths, { lifetime: 'run' });
    await run.advance('uploaded', never);
    const attempt = attemptOf(run.manifest);
    const nodes = nodeTargets(run.manifest.pool, 3);
    await ensureJob(parts.batch, run.manifest, attempt, {
      nodes,
      poolId: undefined,
      isNew: false,
      signal: never,
    });
    await parts.batch.terminateJob(attempt.jobId, 'MaxWallClockTimeExpiry', never);
    await run.close();
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    const summary = await again.advance('fetched', never);
    await again.close();
    assert.equal(summary.succeeded, 3);
    assert.equal(again.manifest.attempts.length, 2);
    assert.equal(steps.filter(({ kind }) => kind === 'alreadyUploaded').length, 3);
    assert.equal(namesIn(folder).length, 6);
  });

  it('ends with a reason for every file when its job was terminated', async () => {
    const { paths } = folderOf(long, ['a.wav', 'b.wav', 'c.wav', 'd.wav', 'e.wav']);
    const { run, parts } = await start(paths, { spotNodes: 1 });
    const advancing = run.advance('fetched', never);
    const { jobId } = attemptOf(run.manifest);
    await eventually(
      async () => [attemptOf(run.manifest).submitted, run.progress.tasks] as const,
      ([submitted, { running, active }]) => submitted !== undefined && running > 0 && active > 0,
    );
    await parts.batch.terminateJob(jobId, 'Somebody', never);
    const summary = await advancing;
    await run.close();
    assert.equal(summary.unfinished, 0);
    assert.ok(summary.failed >= 2, JSON.stringify(summary));
    for (const { problem } of run.results.values()) assert.ok(!problem || problem.kind === 'ended');
  });

  it('ends with every output while Spot nodes are preempted, and continues with dedicated ones when asked', async () => {
    const { paths } = folderOf(long, ['a.wav', 'b.wav', 'c.wav', 'd.wav']);
    // Slow enough to be seen, as they are in Azure.
    const other = await TestService.start('--node-step-ms', '700');
    slow = other;
    const { parts, steps } = partsOf(other);
    const run = await Run.create(parts, await manifestOf(paths, { spotNodes: 2 }), never);
    const advancing = run.advance('fetched', never);
    const hasTrouble = () =>
      steps.some((step) => step.kind === 'trouble' && step.problem.kind === 'preempted');
    const poolId = await eventually(
      async () => attemptOf(run.manifest).poolId,
      (id) => id !== undefined,
    );
    await eventually(async () => {
      if (run.progress.tasks.running > 0) await other.fault({ preempt: poolId }).catch(() => undefined);
      return hasTrouble();
    }, Boolean);
    assert.equal(await run.useDedicatedNodes(never), 2);
    const summary = await advancing;
    await run.close();
    assert.equal(summary.succeeded, 4);
    const pool = await parts.batch.pool(poolId ?? '');
    assert.deepEqual([pool?.targetDedicatedNodes, pool?.targetLowPriorityNodes], [2, 0]);
    const { nodeHours = 0, dedicatedNodeHours = 0 } = run.manifest;
    assert.ok(dedicatedNodeHours > 0 && dedicatedNodeHours < nodeHours, 'the hours of each kind are known');
    assert.ok([...run.results.values()].some(({ retries = 0 }) => retries > 0));
  });

  it('has its kept nodes reported when they have been idle for long', async () => {
    const { paths } = folderOf(sample, ['a.mp4']);
    const { run, parts } = await start(paths, { lifetime: 'keep', spotNodes: 1 });
    await run.advance('fetched', never);
    await run.close();
    const poolId = attemptOf(run.manifest).poolId ?? '';
    await eventually(
      () => parts.batch.nodePage(poolId),
      ({ items }) => items.every(({ state }) => state === 'idle'),
    );
    assert.deepEqual(await idlePools(parts.batch, 20, never), []);
    const later = Date.now() + 21 * 60_000;
    const [idle, ...others] = await idlePools(parts.batch, 20, never, later);
    assert.deepEqual([idle?.id, idle?.nodes, others.length], [poolId, 1, 0]);
    // A node that cannot work costs as much as an idle one.
    await service.fault({ setNodes: { pool: poolId, state: 'unusable' } });
    await eventually(
      () => parts.batch.nodePage(poolId),
      ({ items }) => items.every(({ state }) => state === 'unusable'),
    );
    const unusable = await idlePools(parts.batch, 20, never, later);
    assert.deepEqual(
      unusable.map(({ id, nodes }) => [id, nodes]),
      [[poolId, 1]],
    );
    await parts.batch.addPool({ id: 'transcode-not-ours', ...machine, targetDedicatedNodes: 1 });
    await eventually(
      () => parts.batch.nodePage('transcode-not-ours'),
      ({ items }) => items[0]?.state === 'idle',
    );
    assert.equal((await idlePools(parts.batch, 20, never, later)).length, 1);
    for (const id of ['transcode-not-ours', poolId]) await parts.batch.deletePool(id);
  });

  describe('on a disk of its own', () => {
    let disk = '';

    let isMounted = false;

    beforeEach(function () {
      disk = join(root.path, `disk-${++folders}`);
      mkdirSync(disk);
      try {
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk], { stdio: 'ignore' });
        isMounted = true;
      } catch {
        this.skip();
      }
    });

    afterEach(() => {
      if (isMounted) execFileSync('umount', [disk], { stdio: 'ignore' });
      isMounted = false;
    });

    it('reports a full disk, and downloads the rest once there is space', async () => {
      const path = join(disk, 'a.wav');
      await ffmpeg('-f', 'lavfi', '-i', 'anoisesrc=duration=20:sample_rate=44100', path);
      const filler = join(disk, 'filler');
      execFileSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=1k', 'count=2200'], { stdio: 'ignore' });
      const { run, parts } = await start([path]);
      const summary = await run.advance('fetched', never);
      await run.close();
      assert.equal(summary.failed, 1);
      assert.equal([...run.results.values()][0]?.problem?.kind, 'diskFull');
      assert.deepEqual(namesIn(disk), ['a.wav', 'filler']);
      execFileSync('rm', [filler]);
      const again = await Run.open(parts, run.manifest.outputContainer, never);
      assert.equal((await again.advance('fetched', never)).succeeded, 1);
      await again.close();
      assert.equal(attemptOf(again.manifest).jobId, attemptOf(run.manifest).jobId);
      assert.ok(statSync(join(disk, 'a.mp3')).size > 100_000);
    });

    it('reports a folder that cannot be written to', async () => {
      const path = join(disk, 'b.mp4');
      copyFileSync(sample, path);
      execFileSync('mount', ['-o', 'remount,ro', disk]);
      const { run } = await start([path]);
      const summary = await run.advance('fetched', never);
      await run.close();
      assert.equal(summary.failed, 1);
      assert.equal([...run.results.values()][0]?.problem?.kind, 'folderReadOnly');
    });
  });
});
