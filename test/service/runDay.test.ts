import assert from 'node:assert/strict';
import { parse } from 'tinyduration';
import { Storage } from '../../src/core/azure/storage';
import { planRunCleanUp } from '../../src/core/cleanUp/cleanUpRun';
import { deleteResources } from '../../src/core/cleanUp/deleteResources';
import { ownedResources } from '../../src/core/cleanUp/ownedResources';
import { DiskFiles } from '../../src/core/files/localFiles';
import { sasExpiryOf } from '../../src/core/jobs/taskSpec';
import { attemptOf, type Manifest } from '../../src/core/plan/manifest';
import { Run } from '../../src/core/runs/run';
import type { UploadRequest } from '../../src/core/transfers/requests';
import { Transfers } from '../../src/core/transfers/transfers';
import { FastClock } from '../clock';
import { eventually, prepare } from './harness';
import { never, RunFixture } from './runFixture';
import { manifestOf, namesIn } from './runSetup';

const minute = 60_000;
const hour = 60 * minute;

/** 20 Mbit/s in bytes per millisecond. */
const lineSpeed = 20_000_000 / 8 / 1000;
const files = 6;
const fileBytes = 10_000_000_000;
const blockBytes = 100_000_000;

/** How much faster the clock of the client runs: 3 seconds of this machine are 30 minutes. */
const rate = 600;

/** A few requests may take this long on the fast clock. */
const tolerance = 30 * minute;

/** Sends files of any announced size through a slow line, by the clock; what arrives is the small file on the disk. */
class SlowTransfers extends Transfers {
  #line: Promise<void> = Promise.resolve();
  /** Bytes that have gone through the line. */
  sent = 0;

  constructor(
    storage: Storage,
    private readonly clock: FastClock,
    private readonly sizes: ReadonlyMap<string, { size: number; modified: number }>,
  ) {
    super(storage, new DiskFiles());
  }

  override async upload(request: UploadRequest): Promise<{ skipped: boolean }> {
    const { expected, signal, onBytes, uri } = request;
    if (request.there === undefined) {
      for (let sent = 0; sent < expected.size; sent += blockBytes) {
        const before = this.#line;
        this.#line = before
          .then(() => this.clock.pause(blockBytes / lineSpeed, signal))
          .catch(() => undefined);
        await this.#line;
        signal.throwIfAborted();
        this.sent += Math.min(blockBytes, expected.size - sent);
        onBytes(Math.min(blockBytes, expected.size - sent));
      }
    }
    const real = this.sizes.get(uri) ?? expected;
    return super.upload({ ...request, expected: real, onBytes: () => undefined });
  }
}

describe('A day of a laptop', function () {
  this.timeout(240_000);
  let fixture: RunFixture;

  prepare(
    async () => {
      fixture = await RunFixture.make();
    },
    () => fixture.close(),
  );

  it('with 60 GB at 20 Mbit/s, two sleeps and a lost Spot node ends with every output and nothing left', async () => {
    const names = Array.from({ length: files }, (_, index) => `clip ${index}.mp4`);
    const { folder, paths } = fixture.folder(names);
    const clock = new FastClock(rate, () =>
      [fixture.batch, fixture.blobs].some((proxy) => proxy.waitingMs() > 100),
    );
    const { parts, steps } = fixture.parts({ clock });
    const small = await manifestOf(paths, { monitorMinutes: 24 * 60 });
    const manifest: Manifest = {
      ...small,
      files: small.files.map((file) => ({ ...file, size: fileBytes, audioOnlyBytes: undefined })),
    };
    const sizes = new Map(small.files.map(({ uri, size, modified }) => [uri, { size, modified }]));
    const transfers = new SlowTransfers(new Storage(fixture.connection), clock, sizes);
    const run = await Run.create({ ...parts, transfers }, manifest, never);
    const started = clock.now();

    const jobs = new Map<string, number>();
    let bytesBeforeJob = 0;
    /** When the service would end a job, on the clock of this test. */
    const endOf = async (jobId: string) => {
      const job = await parts.batch.job(jobId);
      if (job?.state !== 'active') return Number.POSITIVE_INFINITY;
      if (!jobs.has(jobId)) {
        jobs.set(jobId, clock.now());
        bytesBeforeJob ||= run.progress.upload.bytes;
      }
      const { days = 0, hours = 0, minutes = 0 } = parse(job.constraints?.maxWallClockTime ?? 'PT0S');
      const limit = ((days * 24 + hours) * 60 + minutes) * minute;
      const created = limit === 30 * minute ? (jobs.get(jobId) ?? 0) : (job.creationTime?.getTime() ?? 0);
      return created + limit;
    };
    const lateJobs: string[] = [];
    const sleep = async (ms: number) => {
      const { jobId } = attemptOf(run.manifest);
      const end = await endOf(jobId);
      clock.sleep(ms);
      if (end < clock.now()) await parts.batch.terminateJob(jobId, 'MaxWallClockTimeExpiry');
      return end < clock.now();
    };

    const advancing = run.advance('fetched', never);
    let isOver = false;
    advancing.then(
      () => {
        isOver = true;
      },
      () => {
        isOver = true;
      },
    );
    const sleeps: boolean[] = [];
    let isPreempted = false;
    while (!isOver) {
      const { jobId, poolId, submitted } = attemptOf(run.manifest);
      const end = await endOf(jobId);
      if (submitted === undefined && end + tolerance < clock.now()) lateJobs.push(jobId);
      // The progress of the run begins anew with its second job.
      const uploaded = transfers.sent / fileBytes;
      if (sleeps.length === 0 && uploaded > 2.5) sleeps.push(await sleep(2 * hour));
      else if (sleeps.length === 1 && uploaded > 4.5) sleeps.push(await sleep(5 * minute));
      if (!isPreempted && uploaded > 3 && poolId !== undefined) {
        isPreempted = await fixture.service.fault({ preempt: poolId }).then(
          () => true,
          () => false,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const summary = await advancing;
    await run.close();

    assert.deepEqual([summary.succeeded, summary.unfinished], [files, 0]);
    assert.deepEqual(
      namesIn(folder),
      [...names, ...names.map((name) => name.replace('.mp4', '.mp3'))].sort(),
    );
    assert.ok(clock.now() - started > 8 * hour, 'the day passed');
    assert.deepEqual(sleeps, [true, false], 'a long sleep ends the job, a short one does not');
    assert.ok(isPreempted, 'a Spot node was lost');
    assert.deepEqual(lateJobs, [], 'a job lives while files are uploaded');
    assert.equal(run.manifest.attempts.length, 2);
    assert.ok(bytesBeforeJob > 0.7 * fileBytes, `nodes were asked for after ${bytesBeforeJob} bytes`);
    const asked = steps.find(({ kind }) => kind === 'poolCreated');
    assert.deepEqual(asked?.kind === 'poolCreated' && [asked.dedicated, asked.spot], [0, 1]);
    for (const { jobId } of run.manifest.attempts) {
      const { items } = await parts.batch.taskPage(jobId, { select: 'id,resourceFiles,creationTime' });
      for (const task of items) {
        const left = (sasExpiryOf(task)?.getTime() ?? 0) - (jobs.get(jobId) ?? 0);
        assert.ok(left >= manifest.limits.jobMinutes * minute, `the SAS of ${task.id} ends too soon`);
      }
    }

    const all = await ownedResources(parts.batch, parts.storage, never);
    const { runId, outputContainer } = run.manifest;
    const plan = await planRunCleanUp(parts.storage, all, runId, outputContainer, never);
    await deleteResources(parts.batch, parts.storage, plan.resources, () => undefined, never);
    await eventually(
      () => ownedResources(parts.batch, parts.storage, never),
      (left) => left.length === 0,
    );
  });
});
