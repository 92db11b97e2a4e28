import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { attemptOf, type Manifest } from '../../src/core/plan/manifest';
import { encodedBlob } from '../../src/core/plan/pieces';
import { Run, type RunParts } from '../../src/core/runs/run';
import { ffmpeg, temporaryFolder } from '../media';
import { prepare, TestService } from './harness';
import { manifestOf, partsOf } from './runSetup';

const { signal } = new AbortController();

describe('A video in parts', function () {
  this.timeout(120_000);
  let service: TestService;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let source = '';
  let folders = 0;

  prepare(
    async () => {
      service = await TestService.start('--node-step-ms', '20', '--max-processes', '4');
      folder = await temporaryFolder('split-faults');
      source = join(folder.path, 'source.mp4');
      await ffmpeg(
        ...['-f', 'lavfi', '-i', 'testsrc2=size=192x108:rate=25:duration=12'],
        ...['-f', 'lavfi', '-i', 'sine=frequency=440:duration=12'],
        ...[
          '-c:v',
          'libx264',
          '-preset',
          'veryfast',
          '-pix_fmt',
          'yuv420p',
          '-g',
          '25',
          '-c:a',
          'aac',
          source,
        ],
      );
    },
    async () => {
      await service.close();
      await folder.remove();
    },
  );

  /** A folder of its own with videos that are the source in another length. */
  async function videos(names: readonly string[]): Promise<string[]> {
    const work = join(folder.path, `run ${++folders}`);
    mkdirSync(work);
    return Promise.all(names.map((name) => ffmpeg('-i', source, '-c', 'copy', join(work, name))));
  }

  async function planOf(names: readonly string[]): Promise<{ manifest: Manifest; parts: RunParts }> {
    const manifest = await manifestOf(await videos(names), { preset: 'h264-480p', partSeconds: 4 });
    assert.ok(manifest.files.every(({ split }) => split !== undefined && split.parts.length >= 3));
    return { manifest, ...partsOf(service) };
  }

  const tasksOf = async ({ batch }: RunParts, jobId: string) =>
    (await batch.taskPage(jobId, { select: 'id', signal })).items.map(({ id }) => id).sort();

  /** Transcodes a video whose output is then taken for damaged. */
  async function damaged(): Promise<{ run: Run; parts: RunParts; blobs: string[] }> {
    const { manifest, parts } = await planOf(['a.mp4']);
    const run = await Run.create(parts, manifest, signal);
    assert.equal((await run.advance('fetched', signal)).succeeded, 1);
    const [file] = manifest.files;
    const { split } = file ?? {};
    assert.ok(file && split);
    run.state.settle(file, { problem: { kind: 'outputDamaged', file: file.path }, failedAt: 'download' });
    return {
      run,
      parts,
      blobs: split.parts.map((_, index) => encodedBlob(file.id, split, { kind: 'part', index })),
    };
  }

  /** Keeps only the beginning of a blob. */
  async function cut({ storage }: RunParts, container: string, blob: string): Promise<void> {
    const begin = Buffer.from(await storage.readRange(container, blob, 0, 3_000, signal));
    await storage.blob(container, blob).getBlockBlobClient().upload(begin, begin.length);
  }

  it('has the bad parts encoded again by a retry, and no others', async () => {
    const { run, parts, blobs } = await damaged();
    await cut(parts, run.manifest.outputContainer, blobs[1] ?? '');
    await run.retry(['0001'], signal);
    const summary = await run.advance('fetched', signal);
    await run.close();
    assert.equal(summary.succeeded, 1);
    assert.deepEqual(await tasksOf(parts, attemptOf(run.manifest).jobId), ['0001', '0001-part-0002']);
  });

  it('has all parts encoded again if its output was wrong though each of them seems right', async () => {
    const { run, parts } = await damaged();
    const [file] = run.manifest.files;
    await run.retry(['0001'], signal);
    const summary = await run.advance('fetched', signal);
    await run.close();
    assert.equal(summary.succeeded, 1);
    const { length } = await tasksOf(parts, attemptOf(run.manifest).jobId);
    assert.equal(length, (file?.split?.parts.length ?? 0) + 2);
  });

  it('is not continued if the task of a part was deleted before all tasks were added', async () => {
    const options = { ...{ preset: 'h264-480p', partSeconds: 4 }, lifetime: 'keep' as const, spotNodes: 0 };
    const manifest = await manifestOf(await videos(['a.mp4', 'b.mp4']), options);
    const { parts } = partsOf(service);
    const run = await Run.create(parts, manifest, signal);
    await run.advance('submitted', signal);
    const attempt = attemptOf(run.manifest);
    // As if the process had ended before it saved that.
    attempt.submitted = undefined;
    await parts.batch.deleteTask(attempt.jobId, '0001-part-0001');
    await run.advance('submitted', signal);
    const { problem } = run.results.get('0001') ?? {};
    assert.ok(
      problem?.kind === 'partFailed' && problem.problem.kind === 'taskDeleted',
      JSON.stringify(problem),
    );
    const { items } = await parts.batch.taskPage(attempt.jobId, { signal });
    const states = (file: string) =>
      new Set(items.filter(({ id }) => id?.startsWith(file)).map(({ state }) => state));
    assert.deepEqual([states('0001'), states('0002')], [new Set(['completed']), new Set(['active'])]);
    assert.ok(items.every(({ id }) => id !== '0001-part-0001'));
    await run.cancel(signal);
    await run.close();
  });

  it('fails alone if Batch refuses one of its tasks', async () => {
    const { manifest, parts } = await planOf(['a.mp4', 'b.mp4']);
    const [first] = manifest.files;
    assert.ok(first?.split);
    const refused = { ...first, split: { ...first.split, partCommandLine: '' } };
    const files = manifest.files.map((file) => (file === first ? refused : file));
    const run = await Run.create(parts, { ...manifest, files }, signal);
    const summary = await run.advance('fetched', signal);
    await run.close();
    assert.deepEqual([summary.succeeded, summary.failed, summary.unfinished], [1, 1, 0]);
    const { problem, failedAt } = run.results.get(first.id) ?? {};
    assert.ok(problem?.kind === 'partFailed' && problem.problem.kind === 'service', JSON.stringify(problem));
    assert.equal(failedAt, 'task');
    // Its other tasks were ended, and no more were added.
    const { items } = await parts.batch.taskPage(attemptOf(run.manifest).jobId, { signal });
    const others = items.filter(({ id }) => id?.startsWith(first.id));
    assert.ok(others.every(({ id, state }) => id === `${first.id}-audio` && state === 'completed'));
    assert.equal(run.progress.running.size, 0);
  });
});
