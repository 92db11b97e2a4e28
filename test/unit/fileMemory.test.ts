import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { FileMemory } from '../../src/core/files/fileMemory';

describe('The memory of files that are read as a whole', () => {
  const limit = 1000;
  let memory: FileMemory;
  let reads: string[];

  beforeEach(() => {
    memory = new FileMemory(limit);
    reads = [];
  });

  const open = (name: string, bytes: number, options = {}) =>
    memory.open(
      name,
      bytes,
      async () => {
        reads.push(name);
        await turn();
        return new Uint8Array(bytes);
      },
      options,
    );

  it('is never more than its limit, in the order of the requests', async () => {
    let peak = 0;
    const ended: string[] = [];
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const file = await open(`file ${index}`, 300);
        peak = Math.max(peak, memory.used);
        await turn();
        ended.push(`file ${index}`);
        file.release();
      }),
    );
    assert.ok(peak <= limit, `${peak}`);
    assert.deepEqual(ended, reads);
    assert.equal(reads.length, 20);
  });

  it('holds a file that was closed, which is then not read again', async () => {
    (await open('a', 400)).release();
    const again = await open('a', 400);
    assert.deepEqual(reads, ['a']);
    again.release();
  });

  it('drops closed files to make room for others', async () => {
    (await open('a', 600)).release();
    (await open('b', 600)).release();
    assert.ok(memory.used <= limit);
    (await open('a', 600)).release();
    assert.deepEqual(reads, ['a', 'b', 'a']);
  });

  it('shares a file that several have open', async () => {
    const [one, other] = await Promise.all([open('a', 600), open('a', 600)]);
    assert.equal(one?.data, other?.data);
    assert.equal(memory.used, 600);
    one?.release();
    other?.release();
  });

  it('gives all of it to a file that is larger than the limit', async () => {
    const small = await open('small', 100);
    const large = open('large', 5000);
    let isOpen = false;
    const opened = large.then((file) => {
      isOpen = true;
      return file;
    });
    await turn();
    assert.equal(isOpen, false);
    small.release();
    (await opened).release();
    assert.ok(memory.used <= limit);
  });

  it('never blocks a caller that already holds memory', async () => {
    const part = await memory.reserve(limit);
    const compared = await open('a', 400, { mustNotWait: true });
    compared.release();
    part.release();
    part.release();
    (await open('b', limit)).release();
    assert.ok(memory.used <= limit, `${memory.used}`);
  });

  it('is given to the next file when one that waits is canceled', async () => {
    const held = await memory.reserve(limit - 100);
    const canceled = new AbortController();
    const large = memory.reserve(limit, canceled.signal);
    const small = memory.reserve(100);
    canceled.abort(new Error('canceled'));
    await assert.rejects(large, /canceled/);
    (await small).release();
    held.release();
    assert.equal(memory.used, 0);
  });

  it('is given back after a file that cannot be read', async () => {
    await assert.rejects(
      memory.open('bad', 900, async () => {
        throw new Error('no permission');
      }),
      /no permission/,
    );
    assert.equal(memory.used, 0);
    (await open('bad', 900)).release();
  });
});
