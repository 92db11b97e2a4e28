import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Workbench } from '../../scripts/workbench.mjs';

const pictures = 'out/test-artifacts';

describe('A new user, in Chinese', function () {
  this.timeout(180_000);
  const folder = mkdtempSync(join(tmpdir(), 'transcode-guidance-'));
  let workbench: Workbench;

  before(async () => {
    mkdirSync(pictures, { recursive: true });
    workbench = await Workbench.open(folder, { locale: 'zh-cn' });
  });

  after(async () => {
    await workbench?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  afterEach(async function () {
    if (this.currentTest?.state === 'failed')
      await workbench.screenshot(pictures, `guidance-${this.currentTest.title.replace(/\W+/g, '-')}`);
  });

  it('sees views that say what to do', async () => {
    await workbench.openView('Azure Batch');
    await workbench.page.getByText('使用本地 Batch 帐户').first().waitFor();
    await workbench.screenshot(pictures, 'welcome-zh');
    await workbench.openView('Explorer');
  });

  it('follows a walkthrough whose first step creates a video and transcodes it', async () => {
    await workbench.run('Welcome: Open Walkthrough...');
    await workbench.pick('Azure Batch 转码入门');
    const start = workbench.page.getByRole('button', { name: '使用示例视频试用' });
    await start.first().waitFor();
    await workbench.screenshot(pictures, 'walkthrough-zh');
    await start.first().click();
    await workbench.pick('MP3 音频');
    await workbench.toast('转码').filter({ hasText: '1' }).waitFor();
    const end = Date.now() + 30_000;
    while (!readdirSync(folder).includes('sample.mp3') && Date.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 200));
    assert.deepEqual(readdirSync(folder).sort(), ['sample.mp3', 'sample.mp4']);
    // The run ends by showing its output in the Explorer.
    await workbench.page.locator('[role=treeitem][aria-selected=true]', { hasText: 'sample.mp3' }).waitFor();
  });

  it('reads every state of the views in Chinese', async () => {
    await workbench.openView('Azure Batch');
    await workbench.treeItem('全部完成').or(workbench.treeItem('MP3 音频')).first().waitFor();
    await workbench.treeItem('作业').click();
    await workbench.treeItem(/MP3 音频 × 1/).click();
    await workbench.treeItem('成功').click();
    await workbench.treeItem('sample.mp4').waitFor();
    await workbench.screenshot(pictures, 'tree-zh');
  });
});
