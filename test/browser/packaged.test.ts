import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { installExtension } from '../../scripts/vscodeServer.mjs';
import { becomesTrue, repeat, Workbench } from '../../scripts/workbench.mjs';
import { clip } from '../media';
import { deleting } from './connectedWorkbench';

const pictures = 'out/test-artifacts';

const isLoaded = (image: unknown) => (image as { naturalWidth: number }).naturalWidth > 0;

describe('The packed extension, in an empty VS Code', () => {
  const folder = mkdtempSync(join(tmpdir(), 'transcode-packed-'));
  const dataDir = mkdtempSync(join(tmpdir(), 'vscw-'));
  const project = mkdtempSync(join(tmpdir(), 'transcode-project-'));
  let workbench: Workbench;

  before(async () => {
    mkdirSync(pictures, { recursive: true });
    await clip(join(folder, 'clip.mp4'));
    copyProject();
    execFileSync(process.execPath, ['scripts/package.mjs'], { cwd: project, stdio: 'ignore' });
    const vsix = readdirSync(project).find((name) => name.endsWith('.vsix')) ?? '';
    installExtension(join(project, vsix), { dataDir });
    workbench = await Workbench.open(folder, { dataDir, extensions: [] });
  });

  after(async () => {
    await workbench?.close();
    for (const path of [folder, dataDir, project]) rmSync(path, deleting);
  });

  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    await workbench.screenshot(pictures, `packaged-${this.currentTest.title.replace(/\W+/g, '-')}`);
  });

  it('does the main job with nothing beside it', async () => {
    await workbench.rightClick('clip.mp4');
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('Use the local Batch account');
    await workbench.pick('MP3 audio');
    await workbench.toast('1 of 1 transcoded').waitFor();
    assert.ok(existsSync(join(folder, 'clip.mp3')));
  });

  it('shows its README, and its documentation with pictures', async () => {
    await workbench.openView('Extensions');
    await workbench.page.locator('.extension-list-item', { hasText: 'Azure Batch Tran' }).first().click();
    const page = workbench.webview();
    await page.getByRole('heading', { name: 'Your first transcode' }).waitFor();
    assert.equal(await page.locator('img').count(), 0);
    const links = page.locator('a[href]:not([href^="http"]):not([href^="#"])');
    assert.equal(await links.count(), 0);
    await workbench.run('View: Close All Editors');
    await workbench.run('Azure Batch: Open Documentation…');
    await workbench.pick('User guide');
    const picture = workbench.webview().getByRole('img', { name: /Five videos become five MP3s/ });
    await repeat('The picture is loaded', async (wait) =>
      becomesTrue(() => picture.evaluate(isLoaded), wait),
    );
    await workbench.run('View: Close All Editors');
    await workbench.run('Azure Batch: Open Documentation…');
    await workbench.pick('Presets and their placeholders');
    await workbench.webview().getByRole('heading', { name: 'Presets', exact: true }).waitFor();
  });

  /** Packing builds again, and other tests run on the build that is there. */
  function copyProject(): void {
    const shared = ['node_modules', '.vscode-test'];
    const left = [...shared, '.git', 'out', 'dist'];
    cpSync('.', project, {
      recursive: true,
      filter: (path) => !left.includes(path) && !path.endsWith('.vsix') && basename(path) !== '.git',
    });
    for (const name of shared) symlinkSync(join(process.cwd(), name), join(project, name));
  }
});
