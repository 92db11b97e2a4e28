import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deleteResources } from '../../src/core/cleanUp/deleteResources';
import { ownedResources } from '../../src/core/cleanUp/ownedResources';
import { type Problem, UserError } from '../../src/core/errors';
import { Run } from '../../src/core/runs/run';
import { FastClock } from '../clock';
import { clip, ffmpeg, probe, temporaryFolder } from '../media';
import { eventually, prepare, TestService } from './harness';
import { type ManifestOptions, manifestOf, namesIn, partsOf } from './runSetup';

const never = new AbortController().signal;

/** Counts are exact, nodes arrive at once, and no request is refused. */
const obedient: Conditions = { title: 'A transcoding run', rate: 1, faults: {} };

/** As Azure can be, on a clock on which 3 minutes pass in 3 seconds. The seed decides which requests are refused. */
const rate = 60;
const seed = Number(process.env.TEST_SEED ?? 20261126);
const disobedient: Conditions = {
  title: `A transcoding run (counts 10 s late, nodes 3 min late, 1 request in 10 refused, seed ${seed})`,
  rate,
  faults: {
    countsLagMs: 10_000 / rate,
    nodeArrivalMs: 180_000 / rate,
    refuseShare: 0.1,
    seed,
  },
};

interface Conditions {
  readonly title: string;
  /** How much faster the clock of the client runs than the service's. */
  readonly rate: number;
  readonly faults: Record<string, number>;
}

for (const conditions of [obedient, disobedient]) {
  describe(conditions.title, function () {
    this.timeout(240_000);
    runSuite(conditions);
  });
}

function runSuite({ rate, faults }: Conditions): void {
  const clock = new FastClock(rate);
  let service: TestService;
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let sample = '';
  let folders = 0;

  prepare(
    async () => {
      service = await TestService.start();
      await service.fault(faults);
      root = await temporaryFolder('run');
      sample = await clip(join(root.path, 'sample.mp4'), 1.5);
    },
    async () => {
      await service.close();
      await root.remove();
    },
  );

  afterEach(() => service.fault({ startTask: null, allocation: null, refuseShare: 0, ...faults }));

  /** A folder with clips of these names. */
  function folderWith(...names: string[]): { folder: string; paths: string[] } {
    const folder = join(root.path, `folder-${++folders}`);
    mkdirSync(folder);
    const paths = names.map((name) => join(folder, name));
    for (const path of paths) copyFileSync(sample, path);
    return { folder, paths };
  }

  async function start(paths: string[], options: ManifestOptions = {}) {
    const told = partsOf(service, { clock });
    const manifest = await manifestOf(paths, { monitorMinutes: 5 * rate, ...options });
    return { ...told, run: await Run.create(told.parts, manifest, never) };
  }

  it('puts a complete output beside every source, and nothing else', async () => {
    const { folder, paths } = folderWith('one.mp4', 'two.v2.mp4', "it's; $(three).mp4");
    const { run, steps, parts } = await start(paths);
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.equal(summary.succeeded, 3);
    assert.deepEqual(
      namesIn(folder),
      ["it's; $(three).mp3", "it's; $(three).mp4", 'one.mp3', 'one.mp4', 'two.v2.mp3', 'two.v2.mp4'].sort(),
    );
    const { streams, seconds } = await probe(join(folder, 'one.mp3'));
    assert.deepEqual(
      streams.map((stream) => stream.codec_name),
      ['mp3'],
    );
    assert.ok(Math.abs(seconds - 1.5) < 0.1, `${seconds} s`);
    const told = new Set(steps.map(({ kind }) => kind));
    for (const kind of [
      'started',
      'uploading',
      'jobCreated',
      'monitoring',
      'tasksAdded',
      'fetched',
    ] as const) {
      assert.ok(told.has(kind), kind);
    }
    assert.equal(steps.at(-1)?.kind, 'ended');
    // Each blob more is a request more for its task.
    const { outputContainer, files, attempts } = run.manifest;
    const blobs: string[] = [];
    for await (const { name } of parts.storage.blobs(outputContainer, { signal: never })) blobs.push(name);
    const logs = files.map(({ id }) => `logs/${attempts[0]?.jobId}/${id}/stderr.txt`);
    const outputs = files.map(({ output }) => output.blob);
    assert.deepEqual(blobs.sort(), [...logs, ...outputs, 'manifest.json', 'results.jsonl'].sort());
  });

  it('deletes the input container, has the job end itself, and uses the pool again', async () => {
    const first = folderWith('clip.mp4');
    const { run, parts } = await start(first.paths);
    await run.advance('fetched', never);
    await run.close();
    const [attempt] = run.manifest.attempts;
    assert.equal(await parts.storage.containerMetadata(attempt?.inputContainer ?? '', never), undefined);
    const job = await eventually(
      () => parts.batch.job(attempt?.jobId ?? ''),
      (seen) => seen?.state === 'completed',
    );
    assert.equal(job?.executionInfo?.terminateReason, 'AllTasksComplete');
    const second = await start(folderWith('clip.mp4').paths);
    await second.run.advance('fetched', never);
    await second.run.close();
    assert.equal(second.run.manifest.attempts[0]?.poolId, attempt?.poolId);
    assert.ok(second.steps.some(({ kind }) => kind === 'poolReused'));
  });

  it('transcodes the other files when some are not media, and gives each a reason', async () => {
    const { folder, paths } = folderWith('a.mp4', 'b.mp4');
    const bad = join(folder, 'bad.mp4');
    writeFileSync(bad, Buffer.alloc(5000, 7));
    const text = join(folder, 'text.mp4');
    writeFileSync(text, 'not a video\n');
    const { run } = await start([...paths, bad, text], { withoutFfprobe: true });
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.deepEqual([summary.succeeded, summary.failed, summary.total], [2, 2, 4]);
    const problems = [...run.results.values()].flatMap(({ problem }) => problem ?? []);
    const [problem] = problems as [Extract<Problem, { kind: 'transcodeFailed' }>];
    assert.equal(problem.kind, 'transcodeFailed');
    assert.match(problem.line ?? '', /moov atom not found|invalid data/i);
    assert.deepEqual(
      run.manifest.refused.map(({ problem }) => problem.kind),
      ['notMedia'],
    );
    assert.deepEqual(namesIn(folder), ['a.mp3', 'a.mp4', 'b.mp3', 'b.mp4', 'bad.mp4', 'text.mp4']);
  });

  it('does in three steps what it does in one', async () => {
    const { folder, paths } = folderWith('x.mp4', 'y.mp4');
    const { run, parts } = await start(paths);
    await run.advance('uploaded', never);
    await run.close();
    const submitted = await Run.open(parts, run.manifest.outputContainer, never);
    await submitted.advance('submitted', never);
    await submitted.close();
    const fetched = await Run.open(parts, run.manifest.outputContainer, never);
    const summary = await fetched.advance('fetched', never);
    await fetched.close();
    assert.equal(summary.succeeded, 2);
    assert.deepEqual(namesIn(folder), ['x.mp3', 'x.mp4', 'y.mp3', 'y.mp4']);
  });

  it('is acted on by one window at a time', async () => {
    const { paths } = folderWith('clip.mp4');
    const { run, parts } = await start(paths);
    await assert.rejects(
      Run.open(parts, run.manifest.outputContainer, never),
      (error) => error instanceof UserError && error.problem.kind === 'runTaken',
    );
    await run.advance('uploaded', never);
    await run.close();
    await (await Run.open(parts, run.manifest.outputContainer, never)).close();
  });

  it('never replaces an existing file, and recognizes its own earlier output', async () => {
    const { folder, paths } = folderWith('clip.mp4');
    writeFileSync(join(folder, 'clip.mp3'), 'mine');
    const { run, parts } = await start(paths);
    await run.advance('fetched', never);
    await run.close();
    assert.equal(readFileSync(join(folder, 'clip.mp3'), 'utf8'), 'mine');
    assert.deepEqual(namesIn(folder), ['clip (2).mp3', 'clip.mp3', 'clip.mp4']);
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    again.state.results.clear();
    await again.advance('fetched', never);
    await again.close();
    assert.deepEqual(namesIn(folder), ['clip (2).mp3', 'clip.mp3', 'clip.mp4']);
  });

  it('replaces the outputs that the user agreed to replace, and no others', async () => {
    const { folder, paths } = folderWith('a.mp4', 'b.mp4');
    for (const name of ['a.mp3', 'b.mp3']) writeFileSync(join(folder, name), 'mine');
    const { run } = await start(paths);
    const { manifest } = run;
    manifest.files = manifest.files.map((file) => ({ ...file, replacesOutput: file.path.endsWith('a.mp4') }));
    await run.advance('fetched', never);
    await run.close();
    assert.deepEqual(namesIn(folder), ['a.mp3', 'a.mp4', 'b (2).mp3', 'b.mp3', 'b.mp4']);
    assert.notEqual(readFileSync(join(folder, 'a.mp3'), 'latin1'), 'mine');
    assert.equal(readFileSync(join(folder, 'b.mp3'), 'utf8'), 'mine');
  });

  it('that is canceled leaves no incomplete file and no running task, and can be retried', async () => {
    const { folder, paths } = folderWith('a.wav', 'b.wav', 'c.wav', 'd.wav');
    const long = await ffmpeg('-f', 'lavfi', '-i', 'sine=duration=300', join(root.path, 'long.wav'));
    for (const path of paths) copyFileSync(long, path);
    const { run, parts, events } = await start(paths, { spotNodes: 1 });
    const abort = new AbortController();
    const advancing = run.advance('fetched', abort.signal);
    await eventually(
      async () => events.filter(({ kind }) => kind === 'file').length,
      (count) => count > 0,
    );
    abort.abort();
    await assert.rejects(advancing, { name: 'AbortError' });
    await run.cancel(never);
    await run.close();
    assert.deepEqual(
      namesIn(folder).filter((name) => !/^[a-d]\.(wav|mp3)$/.test(name)),
      [],
    );
    for (const name of namesIn(folder).filter((name) => name.endsWith('.mp3'))) {
      assert.ok(Math.abs((await probe(join(folder, name))).seconds - 300) < 0.1, name);
    }
    const jobId = run.manifest.attempts[0]?.jobId ?? '';
    await eventually(
      () => parts.batch.taskCounts(jobId),
      ({ running }) => running === 0,
    );
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    await again.retry(
      again.manifest.files.map(({ id }) => id),
      never,
    );
    const summary = await again.advance('fetched', never);
    await again.close();
    assert.equal(summary.succeeded, 4);
  });

  it('measures a retry by what the retry does', async () => {
    const { paths } = folderWith('a.mp4', 'b.mp4', 'c.mp4');
    const { run, parts } = await start(paths, { spotNodes: 3 });
    await run.advance('fetched', never);
    await run.close();
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    const [file] = again.manifest.files;
    assert.ok(file);
    await again.retry([file.id], never);
    await again.advance('fetched', never);
    await again.close();
    const { upload, tasks, nodes, settling } = again.progress;
    assert.deepEqual(
      [upload.files, upload.filesTotal, upload.bytes, upload.bytesTotal],
      [1, 1, file.size, file.size],
    );
    assert.deepEqual([tasks.total, nodes.target, settling.size], [1, 1, 0]);
  });

  it('continues after the service was killed', async () => {
    const { folder, paths } = folderWith('a.mp4', 'b.mp4', 'c.mp4');
    const { run } = await start(paths);
    await run.advance('uploaded', never);
    await run.close();
    const { parts } = partsOf(service, { clock });
    const again = await Run.open(parts, run.manifest.outputContainer, never);
    await again.advance('submitted', never);
    await again.close();
    await service.kill();
    await service.start();
    await service.fault(faults);
    const after = partsOf(service, { clock });
    const resumed = await eventually(
      () => Run.open(after.parts, run.manifest.outputContainer, never).catch((error: Error) => error),
      (opened) => opened instanceof Run,
    );
    assert.ok(resumed instanceof Run);
    const summary = await resumed.advance('fetched', never);
    await resumed.close();
    assert.equal(summary.succeeded, 3);
    assert.deepEqual(namesIn(folder), ['a.mp3', 'a.mp4', 'b.mp3', 'b.mp4', 'c.mp3', 'c.mp4']);
  });

  it('ends with every output while the service throttles', async () => {
    const { paths } = folderWith('a.mp4', 'b.mp4');
    await service.fault({ refuseShare: 0.3 });
    const { run } = await start(paths);
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.equal(summary.succeeded, 2);
  });

  it('reports at once why start tasks fail, with the line that says so', async () => {
    await service.fault({
      startTask: { exitCode: 100, stderr: 'Reading package lists...\nE: Unable to locate package ffmpeg' },
    });
    const { paths } = folderWith('a.mp4');
    const { run } = await start(paths, { lifetime: 'run' });
    await assert.rejects(run.advance('fetched', never), (error) => {
      assert.ok(error instanceof UserError && error.problem.kind === 'startTaskFailed');
      assert.equal(error.problem.exitCode, 100);
      assert.match(error.problem.line ?? '', /Unable to locate package ffmpeg/);
      return true;
    });
    await run.cancel(never);
    await run.close();
  });

  it('reports a used-up quota instead of waiting', async () => {
    await service.fault({ allocation: 'AccountLowPriorityCoreQuotaReached' });
    const { paths } = folderWith('a.mp4');
    const { run } = await start(paths, { lifetime: 'run' });
    await assert.rejects(
      run.advance('fetched', never),
      (error) =>
        error instanceof UserError && error.problem.kind === 'quota' && error.problem.what === 'spotCores',
    );
    await run.cancel(never);
    await run.close();
  });

  it('with a pool for this run only leaves no pool', async () => {
    const { paths } = folderWith('a.mp4');
    const { run, parts } = await start(paths, { lifetime: 'run' });
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.equal(summary.succeeded, 1);
    await eventually(
      async () => (await parts.batch.poolPage({ filter: "startswith(id,'transcode_')" })).items,
      (pools) => pools.length === 0,
    );
  });

  it('reports a source that changed after it was chosen', async () => {
    const { folder, paths } = folderWith('a.mp4', 'b.mp4');
    const { run } = await start(paths);
    writeFileSync(join(folder, 'a.mp4'), 'changed');
    rmSync(join(folder, 'b.mp4'));
    const summary = await run.advance('fetched', never);
    await run.close();
    assert.equal(summary.failed, 2);
    assert.deepEqual([...run.results.values()].map(({ id, problem }) => [id, problem]).sort(), [
      ['0001', { kind: 'fileChanged', file: 'a.mp4' }],
      ['0002', { kind: 'fileMissing', file: 'b.mp4' }],
    ]);
  });

  it('leaves nothing in the account after a clean-up', async () => {
    const { parts } = partsOf(service, { clock });
    const things = await ownedResources(parts.batch, parts.storage, never);
    assert.ok(things.some(({ kind }) => kind === 'pool') && things.some(({ kind }) => kind === 'container'));
    const remaining = await deleteResources(parts.batch, parts.storage, things, () => undefined, never);
    assert.deepEqual(remaining, []);
    await eventually(
      () => ownedResources(parts.batch, parts.storage, never),
      (left) => left.length === 0,
    );
  });
}
