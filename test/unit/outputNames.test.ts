import assert from 'node:assert/strict';
import { staysBelow } from '../../src/core/files/files';
import type { ManifestOutput } from '../../src/core/plan/manifest';
import { nameOfCopy, savedName } from '../../src/core/plan/outputNames';

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

  it('is taken from a URI in the account only if the output can have it', () => {
    const output = (name: string, more: Partial<ManifestOutput> = {}): ManifestOutput => ({
      ...{ name, nodePath: 'output', blob: '0001/x', isFolder: false, proof: 'audio' },
      ...more,
    });
    const clip = output('clip (7) 100%.mp3');
    const uri = (name: string) => `vscode-remote://ssh-remote%2Bh/v/${encodeURIComponent(name)}`;
    for (const copy of [1, 2, 999])
      assert.equal(savedName(clip, uri(nameOfCopy(clip, copy))), nameOfCopy(clip, copy));
    const folder = output('clip.v2', { isFolder: true });
    assert.equal(nameOfCopy(folder, 3), 'clip.v2 (3)');
    for (const copy of [1, 3])
      assert.equal(savedName(folder, uri(nameOfCopy(folder, copy))), nameOfCopy(folder, copy));
    const beside = output('clip', { isFolder: true, isBeside: true });
    assert.equal(savedName(beside, uri('clip.eng.srt')), 'clip.eng.srt');
    assert.equal(savedName(beside, uri('clip (2).eng.srt')), 'clip (2).eng.srt');
    for (const forged of ['clip.sh', 'clip.mp3', 'xclip (7) 100%.mp3', 'clip (7) 100% (0x2).mp3'])
      assert.equal(savedName(clip, uri(forged)), undefined, forged);
    assert.equal(savedName(clip, 'command:workbench.action.quit'), undefined);
    assert.equal(savedName(beside, 'file:///v/clip.a/../../b'), undefined);
    assert.equal(savedName(beside, uri('other.srt')), undefined);
  });
});
