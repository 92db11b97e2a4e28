import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigurationTarget, workspace } from 'vscode';
import { UserError } from '../../src/core/errors';
import { findFfmpeg, workingFfmpeg } from '../../src/vscode/accounts/ffmpeg';
import { section } from '../../src/vscode/contributions';
import { sentenceOf } from '../../src/vscode/words/sentences';

describe('The ffmpeg of the setting', () => {
  const folder = mkdtempSync(join(tmpdir(), 'transcode-ffmpeg-'));

  const setPath = async (path?: string) =>
    workspace.getConfiguration(section).update('local.ffmpegPath', path, ConfigurationTarget.Workspace);

  after(async () => {
    await setPath();
    rmSync(folder, { recursive: true });
  });

  const problemOf = async (path: string) => {
    await setPath(path);
    const error = await workingFfmpeg().catch((error: unknown) => error);
    assert.ok(error instanceof UserError, String(error));
    return error.problem;
  };

  it('is found with its version, by its path, by its folder, and through a link', async () => {
    await setPath();
    const { path, version, major } = await workingFfmpeg();
    assert.match(version, /\d/);
    assert.ok((major ?? 0) >= 4, `${major}`);
    const link = join(folder, 'ffmpeg');
    symlinkSync(path, link);
    for (const place of [link, folder]) {
      await setPath(place);
      assert.deepEqual(await workingFfmpeg(), { path: link, version, major });
    }
  });

  it('is refused where it is another program, or has a name by which no task finds it', async () => {
    const other = join(mkdtempSync(join(folder, 'other-')), 'ffmpeg');
    writeFileSync(other, '#!/bin/sh\necho hello\n', { mode: 0o755 });
    assert.deepEqual(await problemOf(other), {
      ...{ kind: 'notFfmpeg', path: other, fault: 'version', detail: 'hello' },
    });
    writeFileSync(other, '#!/bin/sh\necho no such library >&2\nexit 3\n', { mode: 0o755 });
    const broken = sentenceOf(await problemOf(other));
    assert.match(broken.text, /isn't ffmpeg, or it can't run on this machine\..* no such library$/);
    assert.deepEqual(broken.remedies, ['openLocalSettings']);
    const renamed = join(folder, 'ffmpeg-7');
    writeFileSync(renamed, '#!/bin/sh\nexec ffmpeg "$@"\n', { mode: 0o755 });
    assert.deepEqual(await problemOf(renamed), { kind: 'notFfmpeg', path: renamed, fault: 'name' });
    await assert.rejects(findFfmpeg());
  });
});
