import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { Slots } from '../../src/core/transfers/blocks';
import { Buffers, blockBytes } from '../../src/core/transfers/buffers';
import { Parallelism } from '../../src/core/transfers/parallelism';
import { Written } from '../../src/core/transfers/written';

/** Bytes that a connection moves at a time. */
const block = 256 * 1024;

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

  it('stops growing when the throughput no longer increases', () => {
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

  it('does not take connections that get faster by themselves for a gain of more requests', () => {
    const parallel = make(64);
    const seen = new Set<number>();
    for (let tenth = 0; tenth < 40; tenth++) {
      transfer(parallel, 0.1, () => Math.min(60e6, 10e6 + now * 20e3));
      seen.add(parallel.count);
    }
    assert.deepEqual([...seen], [8, 16]);
    assert.equal(parallel.count, 8);
  });

  it('starts with fewer for a large file, and grows only for a large gain', () => {
    const parallel = make(16);
    parallel.largeFile();
    assert.equal(parallel.count, 4);
    transfer(parallel, 4, (count) => (count > 4 ? 36e6 : 30e6));
    assert.equal(parallel.count, 4);
    transfer(parallel, 60, longConnection);
    assert.equal(parallel.count, 16);
    parallel.largeFile();
    assert.equal(parallel.count, 16);
  });

  it('tries no more while each request is fast', () => {
    const parallel = make(16);
    parallel.largeFile();
    for (let second = 0; second < 60; second++) {
      transfer(parallel, 1, () => 100e6);
      assert.equal(parallel.count, 4);
    }
  });

  it('does not take the end of a slow moment for a gain of more requests', () => {
    const parallel = make(64);
    transfer(parallel, 0.7, () => 60e6);
    assert.equal(parallel.count, 8);
    transfer(parallel, 0.4, () => 20e6);
    assert.equal(parallel.count, 16);
    transfer(parallel, 1, () => 60e6);
    assert.equal(parallel.count, 8);
  });

  it('measures whole blocks until there are enough of them', () => {
    const parallel = make(16);
    parallel.largeFile();
    const seen = new Set<number>();
    // Two blocks end at the same time, and none for a second.
    for (let second = 0; second < 40; second++) {
      now += second % 2 === 0 ? 1000 : 0;
      parallel.moved(20 * block, true);
      seen.add(parallel.count);
    }
    assert.ok(!seen.has(16), `${[...seen]}`);
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
    const { signal } = new AbortController();
    const all = Array.from({ length: 200 }, () =>
      slots.request(async () => {
        inFlight++;
        await new Promise<void>((resolve) => answers.push(resolve));
        inFlight--;
        slots.moved(block);
      }, signal),
    );
    const seen: number[] = [];
    for (let round = 0; round < 12; round++) {
      await turn();
      seen.push(inFlight);
      if (round === 8) slots.throttled();
      // As on a long connection, an answer takes the same time however many requests there are.
      now += 500;
      for (const answer of answers.splice(0)) answer();
    }
    while (inFlight > 0 || answers.length > 0) {
      for (const answer of answers.splice(0)) answer();
      await turn();
    }
    await Promise.all(all);
    assert.equal(seen[0], 12);
    assert.equal(seen[8], 12);
    assert.equal(seen.at(-1), 6);
  });

  it('has smaller blocks for more requests, in the same memory', async () => {
    const { signal } = new AbortController();
    const buffers = new Buffers(2);
    assert.equal(buffers.lengthFor(2), blockBytes);
    assert.equal(buffers.lengthFor(3), blockBytes / 2);
    assert.equal(buffers.lengthFor(1000), blockBytes / 16);
    const large = await buffers.take(blockBytes, signal);
    const small = await Promise.all(Array.from({ length: 4 }, () => buffers.take(blockBytes / 4, signal)));
    const memory = new Set([large, ...small].map(({ buffer }) => buffer.buffer));
    assert.equal(memory.size, 2);
    assert.equal(new Set(small.map(({ buffer }) => buffer.byteOffset)).size, 4);
    const order: string[] = [];
    const take = async (name: string, bytes: number) => {
      const lent = await buffers.take(bytes, signal);
      order.push(name);
      return lent;
    };
    const waiting = [take('large', blockBytes), take('small', 1)];
    small[0]?.release();
    small[0]?.release();
    await turn();
    assert.deepEqual(order, []);
    large.release();
    await turn();
    assert.deepEqual(order, ['large']);
    for (const { release } of small) release();
    await Promise.all(waiting);
    assert.deepEqual(order, ['large', 'small']);
  });

  it('makes the next request when another one only waits for its answer, but not more than twice as many', async () => {
    const slots = new Slots(64, () => now);
    slots.begin(1e9);
    const { signal } = new AbortController();
    const moving: (() => void)[] = [];
    const answers: (() => void)[] = [];
    const all = Array.from({ length: 20 }, () =>
      slots.request(async (endTurn) => {
        moving.push(endTurn);
        await new Promise<void>((resolve) => answers.push(resolve));
        slots.moved(block);
      }, signal),
    );
    await turn();
    // All connections begin at the same time.
    assert.equal(moving.length, 8);
    for (let count = 0; count < 8; count++) answers[count]?.();
    await turn();
    assert.equal(moving.length, 12);
    moving[8]?.();
    // Ending a turn twice ends no other.
    moving[8]?.();
    await turn();
    assert.equal(moving.length, 13);
    for (let next = 9; next < 13; next++) moving[next]?.();
    await turn();
    assert.equal(moving.length, 16);
    while (moving.length < 20) {
      for (const answer of answers) answer();
      await turn();
    }
    for (const answer of answers) answer();
    await Promise.all(all);
  });

  it('has shorter blocks towards the end of an upload, unless another file waits', async () => {
    const { signal } = new AbortController();
    const slots = new Slots(8);
    assert.equal(slots.uploadBytes(1e9), blockBytes);
    assert.equal(slots.uploadBytes(4 * blockBytes), blockBytes / 2);
    assert.equal(slots.uploadBytes(1), blockBytes / 8);
    const all = await Promise.all(Array.from({ length: 10 }, () => slots.memory(blockBytes, signal)));
    const waiting = slots.memory(blockBytes, signal);
    assert.equal(slots.uploadBytes(1), blockBytes);
    for (const { release } of all) release();
    (await waiting).release();
  });

  it('lets each range go on as soon as enough of the file before it is written', async () => {
    const { signal } = new AbortController();
    const written = new Written();
    const order: string[] = [];
    const wait = async (name: string, end: number) => {
      await written.reaches(end, signal);
      order.push(name);
    };
    const all = [wait('none', 0), wait('far', 30), wait('near', 20)];
    written.add(10, 10);
    await turn();
    assert.deepEqual(order, ['none']);
    written.add(0, 10);
    await turn();
    assert.equal(written.end, 20);
    assert.deepEqual(order, ['none', 'near']);
    written.add(20, 10);
    await Promise.all(all);
    assert.deepEqual(order, ['none', 'near', 'far']);
  });

  it('leaves the queue for memory and for a turn when a transfer is canceled', async () => {
    const slots = new Slots(1);
    const { signal } = new AbortController();
    const canceled = new AbortController();
    const held = await Promise.all([slots.memory(1, signal), slots.memory(blockBytes, signal)]);
    let answer: () => void = () => undefined;
    const request = slots.request(() => new Promise<void>((resolve) => (answer = resolve)), signal);
    const waiting = [
      slots.memory(blockBytes, canceled.signal),
      slots.request(async () => undefined, canceled.signal),
    ];
    const next = [slots.memory(blockBytes, signal), slots.request(async () => 'its turn', signal)];
    canceled.abort(new Error('canceled'));
    for (const one of waiting) await assert.rejects(Promise.resolve<unknown>(one), /canceled/);
    for (const { release } of held) release();
    answer();
    await request;
    assert.equal((await Promise.all(next))[1], 'its turn');
  });
});
