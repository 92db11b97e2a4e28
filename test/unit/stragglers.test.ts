import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { Stragglers } from '../../src/core/transfers/stragglers';

const MiB = 1024 * 1024;

describe('Slow requests', () => {
  let now = 0;
  beforeEach(() => {
    now = 0;
  });
  const make = () => new Stragglers(() => now);

  /** Begins and ends requests one after another. */
  function transferFour(stragglers: Stragglers, ms: number, bytes = MiB): void {
    for (let count = 0; count < 4; count++) {
      const end = stragglers.begin(bytes, () => assert.fail('a request that has ended is not slow'));
      now += ms;
      end();
    }
  }

  it('are repeated over another connection, once', async () => {
    const stragglers = make();
    const { signal } = new AbortController();
    const attempts: AbortSignal[] = [];
    let finish: (answer: string) => void = () => undefined;
    const answer = stragglers.run(MiB, signal, (own) => {
      attempts.push(own);
      return new Promise<string>((resolve, reject) => {
        finish = resolve;
        own.addEventListener('abort', () => reject(own.reason));
      });
    });
    now += 1;
    transferFour(stragglers, 200);
    while (attempts.length < 2) await delay(1);
    transferFour(stragglers, 200);
    await delay(5);
    assert.equal(attempts[0]?.aborted, true);
    assert.equal(attempts[1]?.aborted, false);
    finish('done');
    assert.equal(await answer, 'done');
  });

  it('are slow only beside others that began later and moved as many bytes', async () => {
    const stragglers = make();
    const slow: string[] = [];
    // It has eight times the bytes of each other one.
    const ends = [stragglers.begin(8 * MiB, () => slow.push('long'))];
    now += 1;
    transferFour(stragglers, 200);
    // Each began at the same time as those that end.
    const same = Array.from({ length: 6 }, (_, index) => stragglers.begin(MiB, () => slow.push(`${index}`)));
    now += 3_000;
    for (const end of same.splice(0, 5)) end();
    ends.push(
      ...same,
      stragglers.begin(MiB, () => slow.push('last')),
    );
    await delay(5);
    assert.deepEqual(slow, []);
    now += 100_000;
    transferFour(stragglers, 200);
    await delay(5);
    assert.deepEqual(slow.sort(), ['5', 'last', 'long']);
    for (const end of ends) end();
  });

  it('end with the error of the transfer when it is canceled', async () => {
    const stragglers = make();
    const canceled = new AbortController();
    const running = stragglers.run(MiB, canceled.signal, async (own) => {
      await delay(60_000, undefined, { signal: own }).catch(() => undefined);
      throw own.reason;
    });
    canceled.abort(new Error('canceled'));
    await assert.rejects(running, /canceled/);
  });
});
