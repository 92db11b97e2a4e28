import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UnzipError, unzip } from '../../src/service/tasks/packages/unzip';
import { zipOf } from '../zip';

describe('An archive of an application package', () => {
  let folder = '';
  const never = new AbortController().signal;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'unzip-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function unpack(archive: Buffer, limits?: { bytes: number; entries: number }): Promise<void> {
    writeFileSync(join(folder, 'a.zip'), archive);
    await unzip(join(folder, 'a.zip'), join(folder, 'out'), never, limits);
  }

  it('is unpacked with its folders and execution rights', async () => {
    await unpack(
      zipOf([
        { name: 'bin/', mode: 0o040755 },
        { name: 'bin/tool', text: '#!/bin/sh\n', mode: 0o100755 },
        { name: 'data/deep/text.txt', text: 'hello' },
        { name: 'dos.txt', text: 'x', mode: 0 },
      ]),
    );
    assert.equal(readFileSync(join(folder, 'out/data/deep/text.txt'), 'utf8'), 'hello');
    if (process.platform !== 'win32')
      assert.equal(statSync(join(folder, 'out/bin/tool')).mode & 0o777, 0o755);
  });

  it('leaves nothing behind if it is malformed or would write outside its folder', async () => {
    const good = { name: 'good.txt', text: 'good' };
    const torn = zipOf([good]);
    for (const archive of [
      zipOf([good, { name: '../outside.txt', text: 'x' }]),
      zipOf([good, { name: 'a/../../outside.txt', text: 'x' }]),
      zipOf([good, { name: '/tmp/outside-of-unzip.txt', text: 'x' }]),
      zipOf([good, { name: 'C:\\outside.txt', text: 'x' }]),
      zipOf([good, { name: 'link', text: '/etc', mode: 0o120777 }]),
      zipOf([good, { name: 'pipe', mode: 0o010644 }]),
      zipOf([good, good]),
      torn.subarray(0, torn.length - 30),
      Buffer.from('this is no archive'),
    ]) {
      await assert.rejects(unpack(archive), UnzipError);
      assert.deepEqual(readdirSync(folder), ['a.zip']);
    }
    assert.ok(!existsSync('/tmp/outside-of-unzip.txt'));
  });

  it('is refused wherever the second entry of a name is noticed, and ends no process', async () => {
    const good = { name: 'good.txt', text: 'good' };
    writeFileSync(join(folder, 'a.zip'), zipOf([good, good]));
    const tries = Array.from({ length: 100 }, (_, index) =>
      assert.rejects(
        unzip(join(folder, 'a.zip'), join(folder, `out-${index}`), new AbortController().signal),
        UnzipError,
      ),
    );
    await Promise.all(tries);
    assert.deepEqual(readdirSync(folder), ['a.zip']);
  });

  it('is refused if it becomes too large, whatever its header states', async () => {
    const zeros = Buffer.alloc(2_000_000);
    await assert.rejects(unpack(zipOf([{ name: 'zeros', text: zeros }]), { bytes: 1_000_000, entries: 10 }), {
      message: /more than 1000000 bytes/,
    });
    const lying = zipOf([{ name: 'zeros', text: zeros }]);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(zeros.length);
    for (let at = lying.indexOf(size); at >= 0; at = lying.indexOf(size, at + 1)) lying.writeUInt32LE(10, at);
    await assert.rejects(unpack(lying, { bytes: 1_000_000, entries: 10 }), UnzipError);
    const many = Array.from({ length: 11 }, (_, index) => ({ name: `f${index}` }));
    await assert.rejects(unpack(zipOf(many), { bytes: 1_000_000, entries: 10 }), { message: /10 entries/ });
    assert.deepEqual(readdirSync(folder), ['a.zip']);
  });
});
