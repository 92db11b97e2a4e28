import assert from 'node:assert/strict';
import { Lazy } from '../../src/vscode/lazy/lazy';

describe('A part that is loaded when it is first used', () => {
  it('is loaded once, whoever uses it, and not before', async () => {
    let loads = 0;
    const part = new Lazy(async () => ({ name: `part ${++loads}` }));
    assert.equal(loads, 0);
    const [one, other] = await Promise.all([part.get(), part.get()]);
    assert.equal(one, other);
    assert.equal(await part.use(({ name }) => name), 'part 1');
  });

  it('is loaded again after a load that failed', async () => {
    let loads = 0;
    const part = new Lazy(async () => {
      if (++loads === 1) throw new Error('The file is missing.');
      return {};
    });
    await assert.rejects(part.get(), /The file is missing/);
    await part.get();
    assert.equal(loads, 2);
  });

  it('is disposed of if it was loaded, also while it loads', async () => {
    let disposed = 0;
    const unused = new Lazy(async () => ({ dispose: () => disposed++ }));
    unused.dispose();
    assert.equal(disposed, 0);
    const used = new Lazy(async () => ({ dispose: () => disposed++ }));
    const loading = used.get();
    used.dispose();
    await loading;
    await new Promise(setImmediate);
    assert.equal(disposed, 1);
  });
});
