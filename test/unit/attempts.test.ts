import assert from 'node:assert/strict';
import { openAttempts, retryAttempt } from '../../src/core/plan/attempts';
import type { Attempt, FileResult, Manifest } from '../../src/core/plan/manifest';
import { anyOf, pause, systemClock, together, withTicks } from '../../src/core/wait';
import { FastClock } from '../clock';

const never = new AbortController().signal;

describe('The attempts of a run', () => {
  const attempt = (number: number, fileIds: string[]): Attempt => ({
    jobId: `job-${number}`,
    inputContainer: `input-${number}`,
    created: '2026-11-26T00:00:00Z',
    fileIds,
    sasExpiry: '2026-11-27T00:00:00Z',
  });
  const manifest = (...attempts: Attempt[]): Pick<Manifest, 'attempts' | 'runId' | 'limits'> => ({
    runId: 'run',
    attempts,
    limits: { monitorMinutes: 30, taskMinutes: 60, jobMinutes: 180, retries: 0 },
  });
  const results = (...all: FileResult[]) => new Map(all.map((result) => [result.id, result]));

  it('own the files that no later attempt includes', () => {
    const open = openAttempts(manifest(attempt(1, ['1', '2', '3']), attempt(2, ['2'])), results({ id: '3' }));
    assert.deepEqual(
      open.map((each) => [each.attempt.jobId, each.open]),
      [
        ['job-1', ['1']],
        ['job-2', ['2']],
      ],
    );
  });

  it('reuse an input container only for intact inputs', () => {
    const run = manifest(attempt(1, ['1', '2'])) as Manifest;
    const ended = results({ id: '1', problem: { kind: 'ended', file: 'a' } });
    assert.equal(retryAttempt(run, ['1'], ended).inputContainer, 'input-1');
    const failed = results({ id: '1', problem: { kind: 'transcodeFailed', file: 'a' } });
    assert.notEqual(retryAttempt(run, ['1'], failed).inputContainer, 'input-1');
    // Its container is deleted by then.
    const finished: Manifest = { ...run, finished: '2026-11-26T01:00:00Z' };
    assert.notEqual(retryAttempt(finished, ['1'], ended).inputContainer, 'input-1');
  });
});

describe('Parallel work', () => {
  it('throws the first failure, after all of it has settled', async () => {
    let isSettled = false;
    const work = together(
      never,
      async () => {
        throw new Error('first');
      },
      async (signal) => {
        try {
          await pause(60_000, signal);
        } finally {
          isSettled = true;
        }
      },
    );
    await assert.rejects(work, /first/);
    assert.ok(isSettled);
  });

  it('keeps the reason of an abort through every pause', async () => {
    const abort = new AbortController();
    const reason = new Error('the reason');
    const work = together(abort.signal, (signal) => systemClock.pause(60_000, anyOf(signal)));
    abort.abort(reason);
    await assert.rejects(work, (error) => error === reason);
  });

  it('ticks until it ends, and fails with a tick', async () => {
    const clock = new FastClock(1_000);
    let ticks = 0;
    await withTicks(
      async (signal) => {
        while (ticks < 3) await clock.pause(1_000, signal);
      },
      async () => {
        ticks++;
      },
      { ms: 10_000, clock, signal: never },
    );
    assert.ok(ticks >= 3);
    const failing = withTicks(
      (signal) => pause(60_000, signal),
      async () => {
        throw new Error('tick');
      },
      { ms: 1_000, clock, signal: never },
    );
    await assert.rejects(failing, /tick/);
  });
});
