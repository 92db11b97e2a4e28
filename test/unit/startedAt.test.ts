import assert from 'node:assert/strict';
import { startedAt } from '../../src/service/tasks/processes/startedAt';

describe('The start of a process', () => {
  it('is what ps says where the system has no /proc', async function () {
    if (process.platform === 'win32') this.skip();
    const ms = await startedAt(process.pid, 'darwin');
    assert.ok(ms !== undefined && Math.abs(ms - performance.timeOrigin) < 30_000, String(ms));
    assert.equal(await startedAt(2 ** 30, 'darwin'), undefined);
  });
});
