import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installExtension } from '../../scripts/vscodeServer.mjs';
import { Workbench } from '../../scripts/workbench.mjs';
import { clip } from '../media';

describe('The packed extension, in an empty VS Code', function () {
  this.timeout(300_000);
  const folder = mkdtempSync(join(tmpdir(), 'transcode-packed-'));
  const dataDir = mkdtempSync(join(tmpdir(), 'vscw-'));
  let workbench: Workbench | undefined;

  after(async () => {
    await workbench?.close();
    for (const path of [folder, dataDir])
      rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  });

  it('does the main job with nothing beside it', async () => {
    await clip(join(folder, 'clip.mp4'));
    execFileSync(process.execPath, ['scripts/package.mjs'], { stdio: 'ignore' });
    const vsix = readdirSync('.').find((name) => name.endsWith('.vsix')) ?? '';
    installExtension(vsix, { dataDir });
    workbench = await Workbench.open(folder, { dataDir, extensions: [] });
    await workbench.rightClick('clip.mp4');
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('Use the local Batch account');
    await workbench.pick('MP3 audio');
    await workbench.toast('1 of 1 transcoded').waitFor();
    assert.ok(existsSync(join(folder, 'clip.mp3')));
  });
});
