import assert from 'node:assert/strict';
import { type Attempt, withinLimit } from '../../src/service/tasks/taskRunner';

describe('The time limit of a task', () => {
  const { setTimeout: realTimeout } = globalThis;
  afterEach(() => {
    globalThis.setTimeout = realTimeout;
  });

  it('may be longer than the timers of Node.js', async () => {
    const timers: { readonly work: () => void; readonly ms: number }[] = [];
    const fake = (work: () => void, ms: number) => {
      timers.push({ work, ms });
      return realTimeout(() => undefined, 0);
    };
    globalThis.setTimeout = fake as typeof setTimeout;
    const limitMs = 60 * 24 * 60 * 60 * 1000;
    let limit: AbortSignal | undefined;
    const outcome = withinLimit({ limitMs } as Attempt, new AbortController().signal, async (signal) => {
      limit = signal;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      signal.throwIfAborted();
      return {};
    });
    let passed = 0;
    while (!limit?.aborted) {
      const { work, ms } = timers.shift() ?? assert.fail('No timer is set.');
      assert.ok(ms <= 2 ** 31 - 1, String(ms));
      passed += ms;
      work();
    }
    assert.equal(passed, limitMs);
    assert.equal((await outcome).failureInfo?.code, 'TaskEnded');
  });
});
