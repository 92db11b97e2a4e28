import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { copyFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../src/core/errors';
import { Run } from '../../src/core/runs/run';
import { clip, temporaryFolder } from '../media';
import { prepare, TestService } from './harness';
import { manifestOf, partsOf } from './runSetup';

describe('A signal that lives for long', function () {
  this.timeout(240_000);
  let service: TestService;
  let root: Awaited<ReturnType<typeof temporaryFolder>>;

  prepare(
    async () => {
      service = await TestService.start();
      root = await temporaryFolder('signals');
    },
    async () => {
      await service.close();
      await root.remove();
    },
  );

  it('keeps no listeners of calls that have ended, however they ended', async () => {
    const { signal } = new AbortController();
    const { parts } = partsOf(service);
    const { batch, storage } = parts;
    const folder = join(root.path, 'videos');
    await mkdir(folder);
    const source = await clip(join(folder, 'a.mp4'));
    copyFileSync(source, join(folder, 'b.mp4'));
    const manifest = await manifestOf([source, join(folder, 'b.mp4')], { lifetime: 'keep' });
    const run = await Run.create(parts, manifest, signal);
    assert.equal((await run.advance('fetched', signal)).succeeded, 2);
    await run.close();

    const [attempt] = run.manifest.attempts;
    const place = { jobId: attempt?.jobId ?? '', taskId: '0001' };
    const container = run.manifest.outputContainer;
    const calls: Record<string, () => Promise<unknown>> = {
      counts: () => batch.taskCounts(place.jobId, signal),
      'counts of a job that is not there': () => batch.taskCounts('none', signal),
      'a page': () => batch.taskPage(place.jobId, { pageSize: 1, signal }),
      'a page with a filter that is none': () => batch.taskPage(place.jobId, { filter: 'what', signal }),
      'a part of a file': () => batch.readFile(place, 'stderr.txt', 0, 10, signal),
      'what lies beyond its end': () => batch.readFile(place, 'stderr.txt', 1e9, 10, signal),
      'a file that is not there': () => batch.readFile(place, 'none.txt', 0, 10, signal),
      'its properties': () => batch.fileProperties(place, 'none.txt', signal),
      'a job that is there already': () =>
        batch.addJob({ id: place.jobId, poolInfo: { poolId: attempt?.poolId ?? '' } }, signal),
      'a blob': () => storage.readText(container, 'manifest.json', signal),
      'a blob that is not there': () => storage.readText(container, 'none', signal),
      'a part of a blob': () => storage.readRange(container, 'manifest.json', 0, 10, signal),
      'what lies beyond its end, too': () => storage.readRange(container, 'manifest.json', 1e9, 10, signal),
      'a container that is there already': () => storage.createContainer(container, {}, signal),
      'one that is not': () => storage.containerMetadata('none', signal),
    };
    for (const [name, call] of Object.entries(calls)) {
      await call().catch((error) => assert.ok(error instanceof UserError, `${name}: ${error}`));
      assert.deepEqual(getEventListeners(signal, 'abort'), [], name);
    }
  });
});
