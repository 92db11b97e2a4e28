import assert from 'node:assert/strict';
import { staysBelow } from '../../src/core/files/files';

describe('The name of an output', () => {
  it('stays below its folder unless a segment leads out of it', () => {
    for (const name of ['clip.mp3', 'a/b.ts', 'new\nline.mp3', 'tab\t.mp3', '..mp3', 'a..b/...', '~', 'C:x'])
      for (const isWindows of [true, false]) assert.ok(staysBelow(name, isWindows), `${name} ${isWindows}`);
    for (const name of ['', '/etc/x', '..', '.', '../x', 'a/../x', 'a/..', 'a//b', 'a/', 'x\0.mp3'])
      for (const isWindows of [true, false]) assert.ok(!staysBelow(name, isWindows), `${name} ${isWindows}`);
  });

  it('may have a backslash where that separates no folders', () => {
    assert.ok(staysBelow('back\\slash.mp3', false));
    assert.ok(staysBelow('..\\x', false));
    assert.ok(staysBelow('a\\b.ts', true));
    for (const name of ['..\\x', 'a\\..\\..\\x', '\\x', 'a/..\\x']) assert.ok(!staysBelow(name, true), name);
  });
});
