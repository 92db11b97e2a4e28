import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  DataFolder,
  makePrivate,
  OutsideError,
  pathInside,
  removeTree,
} from '../../src/service/guard/dataFolder';

describe('The data folder of the local service', () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'data-folder-'));
  });

  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('returns only paths inside it, whatever the parts are', () => {
    const part = fc.oneof(
      fc.constantFrom(
        '..',
        '.',
        '',
        '/',
        'a',
        '../..',
        'a/../..',
        'a/..',
        '/etc',
        '\0',
        'a\0',
        '..\\x',
        'x/./y',
      ),
      fc.string({ maxLength: 8 }),
    );
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (parts) => {
        try {
          assert.ok(pathInside(root, ...parts).startsWith(`${root}/`));
        } catch (error) {
          assert.ok(error instanceof OutsideError);
        }
      }),
    );
    for (const id of ['..', '.', '', 'a/b', '../x', 'a\\b', '\0'])
      assert.throws(() => new DataFolder(root).pool(id), OutsideError, id);
    assert.throws(() => new DataFolder(root).takeAway(root), OutsideError);
    assert.throws(() => new DataFolder(root).takeAway(join(root, 'nodes')), OutsideError);
  });

  it('empties its trash also after something that cannot be removed', async () => {
    const folder = new DataFolder(root);
    const good = Array.from({ length: 20 }, (_, index) => `good-${index}`);
    for (const name of good) mkdirSync(join(folder.trash, name, 'folder'), { recursive: true });
    // A path too long for the system, as a program makes step by step.
    const half = Array.from({ length: 15 }, () => 'n'.repeat(200)).join('/');
    const bad = join(folder.trash, 'bad');
    for (const path of [join(bad, half), join(root, 'half', half)]) mkdirSync(path, { recursive: true });
    renameSync(join(root, 'half'), join(bad, half, 'half'));
    try {
      await assert.rejects(folder.emptyTrash(), { code: 'ENAMETOOLONG' });
      assert.deepEqual(readdirSync(folder.trash), ['bad']);
    } finally {
      spawnSync('rm', ['-rf', bad]);
    }
  });

  it('takes folders away while earlier ones are removed', async () => {
    const folder = new DataFolder(root);
    const path = join(root, 'nodes', 'pool', 'node');
    const emptied: Promise<void>[] = [];
    for (let round = 0; round < 50; round++) {
      mkdirSync(join(path, 'file'), { recursive: true });
      const taken = folder.takeAway(path);
      assert.ok(taken?.startsWith(folder.trash));
      assert.ok(!existsSync(path));
      emptied.push(folder.emptyTrash());
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(emptied);
    assert.deepEqual(readdirSync(folder.trash), []);
    assert.equal(folder.takeAway(path), undefined);
  });

  it('removes protected files of tasks, and follows no link that leads out of it', async () => {
    const outside = join(root, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'kept'), '');
    const tree = join(root, 'tree');
    mkdirSync(join(tree, 'a/b'), { recursive: true });
    writeFileSync(join(tree, 'a/b/c'), '');
    symlinkSync(outside, join(tree, 'a/link'));
    for (const folder of ['a/b', 'a', '.']) chmodSync(join(tree, folder), 0o555);
    await removeTree(tree);
    assert.ok(!existsSync(tree));
    assert.ok(existsSync(join(outside, 'kept')));
    await removeTree(tree);
  });

  it('removes a folder at once, so that another one can take its place', async () => {
    const folder = new DataFolder(root);
    const node = folder.node('pool', 'node');
    mkdirSync(node, { recursive: true });
    writeFileSync(join(node, 'old'), 'old');
    const trash = folder.takeAway(node) ?? '';
    assert.ok(!existsSync(node));
    mkdirSync(node);
    assert.equal(readFileSync(join(trash, 'old'), 'utf8'), 'old');
    assert.equal(folder.takeAway(folder.node('pool', 'other')), undefined);
    await removeTree(trash);
    assert.ok(existsSync(node));
  });

  it('is inaccessible to other users, and is never a shared folder', async () => {
    const open = join(root, 'open');
    mkdirSync(open, { mode: 0o755 });
    await makePrivate(open);
    assert.equal(statSync(open).mode & 0o777, 0o700);
    for (const shared of ['/', tmpdir(), homedir()]) {
      const { mode } = statSync(shared);
      await assert.rejects(makePrivate(shared), /is not only for the service/);
      assert.equal(statSync(shared).mode, mode);
    }
  });
});
