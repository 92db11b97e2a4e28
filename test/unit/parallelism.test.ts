import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { blockBytes, Slots } from '../../src/core/transfers/blocks';
import { Parallelism } from '../../src/core/transfers/parallelism';

const block = 6 * 1024 * 1024;

describe('The number of parallel transfers', () => {
  let now = 0;
  beforeEach(() => {
    now = 0;
  });
  const make = (max: number) => new Parallelism(max, () => now);

  /** Moves blocks for so many seconds over a connection with this throughput, in bytes per second, by requests. */
  function transfer(parallel: Parallelism, seconds: number, throughput: (count: number) => number): void {
    const end = now + seconds * 1000;
    while (now < end) {
      now += (block / throughput(parallel.count)) * 1000;
      parallel.moved(block, true);
    }
  }

  /** Each request has its share of a connection of 1 Gbit/s, and is limited by a long round trip. */
  const longConnection = (count: number) => Math.min(count * 6e6, 125e6);
  /** Two requests fill it. */
  const shortConnection = (count: number) => Math.min(count * 60e6, 125e6);

  it('grows on a long connection, up to its maximum', () => {
    const parallel = make(16);
    assert.equal(parallel.count, 8);
    transfer(parallel, 30, longConnection);
    assert.equal(parallel.count, 16);
  });

  it('grows no further than the connection gains', () => {
    const parallel = make(64);
    transfer(parallel, 30, longConnection);
    assert.ok(parallel.count >= 21 && parallel.count <= 41, `${parallel.count}`);
  });

  it('stays as it is on a short connection, apart from trials', () => {
    const parallel = make(64);
    const counts = new Map<number, number>();
    for (let second = 0; second < 120; second++) {
      transfer(parallel, 1, shortConnection);
      counts.set(parallel.count, (counts.get(parallel.count) ?? 0) + 1);
    }
    assert.ok((counts.get(8) ?? 0) > 90, JSON.stringify([...counts]));
  });

  it('is halved once for a burst of refusals, and again for the next one', () => {
    const parallel = make(16);
    for (let count = 0; count < 8; count++) parallel.throttled();
    assert.equal(parallel.count, 4);
    now += 6_000;
    parallel.throttled();
    assert.equal(parallel.count, 2);
    transfer(parallel, 20, longConnection);
    assert.equal(parallel.count, 2);
    transfer(parallel, 120, longConnection);
    assert.equal(parallel.count, 16);
  });

  it('starts with a smaller maximum', () => {
    const parallel = make(3);
    assert.equal(parallel.count, 3);
    transfer(parallel, 30, longConnection);
    assert.equal(parallel.count, 3);
  });

  it('does not count a time without transfers, nor one with too few of them', () => {
    const parallel = make(16);
    now += 60_000;
    parallel.restart();
    for (let count = 0; count < 100; count++) {
      now += 100;
      parallel.moved(block, false);
    }
    assert.equal(parallel.count, 8);
  });

  it('decides how many requests are in flight', async () => {
    const slots = new Slots(12, () => now);
    let inFlight = 0;
    const answers: (() => void)[] = [];
    const all = Array.from({ length: 120 }, () =>
      slots.runWithBuffer(async () => {
        inFlight++;
        await new Promise<void>((resolve) => answers.push(resolve));
        inFlight--;
        slots.moved(blockBytes);
      }),
    );
    const seen: number[] = [];
    for (let round = 0; round < 12; round++) {
      await turn();
      seen.push(inFlight);
      if (round === 7) slots.throttled();
      // As on a long connection, an answer takes the same time however many requests there are.
      now += 500;
      for (const answer of answers.splice(0)) answer();
    }
    while (inFlight > 0 || answers.length > 0) {
      for (const answer of answers.splice(0)) answer();
      await turn();
    }
    await Promise.all(all);
    assert.equal(seen[0], 8);
    assert.equal(seen[7], 12);
    assert.equal(seen.at(-1), 6);
  });
});
