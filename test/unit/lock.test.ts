import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Lock } from '../../src/service/lock';

describe('The lock of a data folder', function () {
  this.timeout(60_000);
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lock-test-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('is taken from a process that left it empty, also if its time is in the future', async () => {
    const path = join(folder, 'service.lock');
    writeFileSync(path, '');
    const inAnHour = new Date(Date.now() + 3_600_000);
    utimesSync(path, inAnHour, inAnHour);
    assert.equal(await new Lock(path, async () => false).take(), undefined);
    assert.match(readFileSync(path, 'utf8'), new RegExp(`^${process.pid} `));
  });
});
