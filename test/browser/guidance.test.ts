import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { becomesTrue, repeat, Workbench } from '../../scripts/workbench.mjs';
import { deleting } from './connectedWorkbench';

const pictures = 'out/test-artifacts';

describe('A new user, in Chinese', () => {
  const folder = mkdtempSync(join(tmpdir(), 'transcode-guidance-'));
  let workbench: Workbench;

  before(async () => {
    mkdirSync(pictures, { recursive: true });
    workbench = await Workbench.open(folder, { locale: 'zh-cn' });
  });

  after(async () => {
    await workbench?.close();
    rmSync(folder, deleting);
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
    await hasSample();
    // The run ends by showing its output in the Explorer.
    await workbench.page.locator('[role=treeitem][aria-selected=true]', { hasText: 'sample.mp3' }).waitFor();
  });

  async function hasSample(): Promise<void> {
    await repeat('The sample and its output are there, and nothing else', async (wait) =>
      becomesTrue(async () => readdirSync(folder).sort().join() === 'sample.mp3,sample.mp4', wait),
    );
  }

  it('reads every state of the views in Chinese', async () => {
    if (readdirSync(folder).length === 0) {
      await workbench.run('Azure Batch: 使用示例视频试用');
      await workbench.pick('MP3 音频');
      await hasSample();
    }
    await workbench.openView('Azure Batch');
    await workbench.treeItem('全部完成').or(workbench.treeItem('MP3 音频')).first().waitFor();
    await workbench.expand('作业');
    await workbench.expand(/MP3 音频 × 1/);
    await workbench.expand('成功');
    await workbench.treeItem(/^sample\.mp4/).waitFor();
    await workbench.screenshot(pictures, 'tree-zh');
  });
});
