import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beginHash, hashFile, hashOf, sharedBuffer } from '../../src/core/files/hashing';
import { randomOf } from '../random';

function shared(data: Uint8Array): Buffer {
  const buffer = sharedBuffer(data.length);
  buffer.set(data);
  return buffer;
}

const md5 = (data: Uint8Array) => createHash('md5').update(data).digest('hex');
const hex = (digest: Uint8Array) => Buffer.from(digest).toString('hex');

describe('Hashes of transfers', () => {
  const data = shared(randomBytes(3 * 1024 * 1024 + 17));
  const bytes = {
    read: async (position: number, length: number) => data.subarray(position, position + length),
  };

  it('are the MD5 of small and of large data', async () => {
    for (const size of [0, 1, 128 * 1024, 128 * 1024 + 1, data.length]) {
      assert.equal(hex(await hashOf(data.subarray(0, size))), md5(data.subarray(0, size)));
      assert.equal(
        hex(await hashFile(bytes, size, new AbortController().signal)),
        md5(data.subarray(0, size)),
      );
    }
  });

  it('end when they are canceled', async () => {
    const canceled = new AbortController();
    let reads = 0;
    const large = {
      async read(position: number, length: number) {
        if (++reads === 2) canceled.abort(new Error('canceled'));
        return bytes.read(position % length, length);
      },
    };
    await assert.rejects(hashFile(large, 10 * 2 ** 30, canceled.signal), /canceled/);
    assert.equal(reads, 2);
  });

  it('of many files at once do not mix', async () => {
    const size = 256 * 1024;
    await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const file = data.subarray(index * 1000, index * 1000 + 2 * size);
        const whole = beginHash(file.length);
        for (const block of [file.subarray(0, size), file.subarray(size)]) await whole.update(block);
        assert.equal(hex(await whole.digest()), md5(file));
      }),
    );
  });

  it('are those of a file that is written in any order', async () => {
    const seed = Number(process.env.TEST_SEED ?? 20261127);
    const random = randomOf(seed);
    const folder = mkdtempSync(join(tmpdir(), 'hashing-'));
    for (let round = 0; round < 10; round++) {
      const path = join(folder, `${round}`);
      const fd = openSync(path, 'w+');
      const hash = beginHash(data.length);
      const ranges: { readonly position: number; readonly data: Buffer }[] = [];
      for (let position = 0; position < data.length; ) {
        const end = position + 1 + Math.floor(random() * 700_000);
        ranges.push({ position, data: data.subarray(position, end) });
        position = end;
      }
      ranges.sort(() => random() - 0.5);
      await Promise.all(ranges.map(({ position, data }) => hash.updateAndWrite?.(data, { fd, position })));
      assert.equal(hex(await hash.digest()), md5(data), `seed ${seed}, round ${round}`);
      assert.ok(readFileSync(path).equals(data), `seed ${seed}, round ${round}`);
      closeSync(fd);
    }
    rmSync(folder, { recursive: true });
  });

  // Other systems have no such device.
  if (process.platform === 'linux') {
    it('of a file that cannot be written can be dropped', async () => {
      const fd = openSync('/dev/full', 'w');
      const hash = beginHash(data.length);
      const half = data.subarray(0, 1024 * 1024);
      const writing = hash.updateAndWrite?.(half, { fd, position: 0 });
      await assert.rejects(Promise.resolve(writing), { code: 'ENOSPC' });
      await hash.drop();
      closeSync(fd);
    });
  }

  it('can be dropped, before and after their end', async () => {
    const dropped = beginHash(data.length);
    await dropped.update(data);
    await dropped.drop();
    const ended = beginHash(data.length);
    await ended.update(data);
    assert.equal(hex(await ended.digest()), md5(data));
    await ended.drop();
  });

  it('end with the bytes that they were begun for, or earlier', async () => {
    const size = 1024 * 1024;
    const whole = beginHash(size);
    await whole.update(data.subarray(0, size));
    await assert.rejects(whole.update(data.subarray(0, 1)), /more data/);
    assert.equal(hex(await whole.digest()), md5(data.subarray(0, size)));
    const short = beginHash(size);
    await short.update(data.subarray(0, 1000));
    assert.equal(hex(await short.digest()), md5(data.subarray(0, 1000)));
  });
});
