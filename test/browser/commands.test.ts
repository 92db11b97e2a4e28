import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Workbench } from '../../scripts/workbench.mjs';
import { clip, ffmpeg } from '../media';

const pictures = 'out/test-artifacts';

interface MenuItem {
  readonly command: string;
  readonly when?: string;
}

const titles: Record<string, string> = JSON.parse(readFileSync('package.nls.json', 'utf8'));
const { contributes } = JSON.parse(readFileSync('package.json', 'utf8'));
const palette: MenuItem[] = contributes.menus.commandPalette;
const titleOf = (id: string) => titles[`command.${id.replace('batchTranscode.', '')}`] ?? id;

/** Commands that the palette never shows. */
const hidden = new Set(palette.filter(({ when }) => when === 'false').map(({ command }) => command));
const inPalette: string[] = contributes.commands
  .map(({ command }: MenuItem) => command)
  .filter((command: string) => !hidden.has(command));

describe('Every command of the palette, with nothing selected', function () {
  this.timeout(400_000);
  let folder = '';
  let workbench: Workbench;

  before(async () => {
    mkdirSync(pictures, { recursive: true });
    folder = mkdtempSync(join(tmpdir(), 'transcode-commands-'));
    await clip(join(folder, 'one.mp4'));
    writeFileSync(join(folder, 'text.mp4'), 'these are only words\n');
    writeFileSync(join(folder, 'code.ts'), 'export const answer = 42;\n');
    await ffmpeg('-i', join(folder, 'one.mp4'), '-c', 'copy', '-f', 'mpegts', join(folder, 'stream.ts'));
    mkdirSync(join(folder, 'mixed/node_modules'), { recursive: true });
    await clip(join(folder, 'mixed/trip.mp4'));
    await clip(join(folder, 'mixed/node_modules/trip.mp4'));
    writeFileSync(join(folder, 'mixed/._trip.mp4'), 'attributes');
    writeFileSync(join(folder, 'mixed/code.ts'), 'export const answer = 42;\n');
    symlinkSync(join(folder, 'mixed/trip.mp4'), join(folder, 'mixed/link.mp4'));
    symlinkSync(join(folder, 'mixed'), join(folder, 'mixed/loop'));
    symlinkSync(tmpdir(), join(folder, 'mixed/outside'));
    workbench = await Workbench.open(folder);
  });

  after(async () => {
    await workbench?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    await workbench.screenshot(pictures, `commands-${this.currentTest.title.replace(/\W+/g, '-')}`);
  });

  const input = () => workbench.page.locator('.quick-input-widget:visible input[type=text]').first();
  const rows = () => workbench.page.locator('.quick-input-widget:visible .monaco-list-row');

  /** Titles of our commands that the palette shows. */
  async function shown(): Promise<string[]> {
    await workbench.page.keyboard.press('F1');
    await input().fill('>Azure Batch:');
    await rows().first().waitFor();
    const found = new Set<string>();
    // A long list is drawn as far as it can be seen.
    for (let page = 0; page < 5; page++) {
      for (const text of await rows().allTextContents()) {
        const [, title] = /Azure Batch: (.*)/.exec(text) ?? [];
        if (title) found.add(title);
      }
      await workbench.page.keyboard.press('PageDown');
    }
    await workbench.page.keyboard.press('Escape');
    return [...found].map((title) => title.replace(/(recently|other) (used|commands).*$/, '').trim());
  }

  const isShown = (list: readonly string[], id: string) =>
    list.some((title) => title.startsWith(titleOf(`batchTranscode.${id}`)));

  /** Closes whatever a command has opened, also what opens a moment later. */
  async function closeAll(): Promise<void> {
    const open = workbench.page.locator('.quick-input-widget:visible, .monaco-dialog-box');
    for (let attempt = 0, quiet = 0; quiet < 2 && attempt < 30; attempt++) {
      if (await open.first().isVisible()) {
        quiet = 0;
        // A question that stays open without the focus receives no keys.
        if (await input().isVisible()) await input().focus();
        await workbench.page.keyboard.press('Escape');
      } else quiet++;
      await workbench.page.waitForTimeout(200);
    }
    assert.ok(!(await open.first().isVisible()), 'something stays open');
  }

  async function runAll(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      await workbench.run(`Azure Batch: ${titleOf(id)}`);
      await workbench.page.waitForTimeout(400);
      const unexpected = workbench.toast('An unexpected error occurred');
      assert.ok(!(await unexpected.isVisible()), id);
      await closeAll();
    }
    await workbench.run('Notifications: Clear All Notifications');
    await workbench.run('View: Close All Editors');
  }

  it('shows only commands that have an effect without an account, and each runs without an error', async () => {
    let list = await shown();
    // VS Code adds what an extension shows to the palette a moment after its window has opened.
    for (let attempt = 1; attempt < 10 && !isShown(list, 'transcode'); attempt++) {
      await workbench.page.waitForTimeout(1_000);
      list = await shown();
    }
    for (const id of ['cancelRun', 'retryFailed', 'showFailures', 'showOutputs', 'exportReport', 'forgetRun'])
      assert.ok(!isShown(list, id), `${id} is shown: ${list.join(', ')}`);
    for (const id of ['removeAccount', 'renameAccount', 'signIn', 'cleanUp', 'copyConnectionSettings'])
      assert.ok(!isShown(list, id), `${id} is shown: ${list.join(', ')}`);
    const runnable = inPalette.filter(
      (command) =>
        isShown(list, command.replace('batchTranscode.', '')) && !/Sample|useLocal|startLocal/.test(command),
    );
    assert.ok(runnable.length >= 8, runnable.join(', '));
    await runAll(runnable);
  });

  it('offers .ts files that are transport streams, and no TypeScript', async () => {
    await workbench.rightClick('stream.ts');
    await workbench.see('Transcode on Azure Batch');
    await workbench.page.keyboard.press('Escape');
    await workbench.rightClick('code.ts');
    await workbench.page.getByRole('menuitem').first().waitFor();
    const entry = workbench.page.getByRole('menuitem', { name: 'Transcode on Azure Batch', exact: true });
    assert.equal(await entry.count(), 0);
    await workbench.page.keyboard.press('Escape');
  });

  it('counts each file of a folder once, without links out of it, excluded files and TypeScript', async () => {
    await workbench.openMenu(workbench.file('mixed'));
    await workbench.choose('Transcode on Azure Batch');
    await workbench.quickPick('Transcode 1 File').first().waitFor();
    await workbench.quickPick('excluded files and folders: 2').first().waitFor();
    await workbench.screenshot(pictures, 'folder');
    await workbench.pick('Transcode 1 File');
    await workbench.pick('Use the local Batch account');
    await workbench.pick('MP3 audio');
    await workbench.toast('1 of 1 transcoded').waitFor();
    assert.deepEqual(
      readdirSync(join(folder, 'mixed')).filter((name) => name.endsWith('.mp3')),
      ['trip.mp3'],
    );
    await workbench.run('Notifications: Clear All Notifications');
    await workbench.openMenu(workbench.file('mixed'));
    await workbench.choose('Transcode on Azure Batch');
    await workbench.quickPick('outputs of earlier runs: 1').first().waitFor();
    await workbench.page.keyboard.press('Escape');
  });

  it('shows a refused file as a row with its reason, and transcodes it once it is repaired', async () => {
    await workbench.rightClick('one.mp4', 'text.mp4');
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('MP3 audio');
    await workbench.toast('1 of 2 transcoded, 1 failed').waitFor();
    await workbench.openView('Azure Batch');
    await workbench.treeItem('2 files, MP3 audio').click();
    const refused = workbench.treeItem(/text\.mp4.*not transcoded: isn't a media file/);
    await refused.waitFor();
    await workbench.screenshot(pictures, 'refused');
    await workbench.run('Notifications: Clear All Notifications');
    await clip(join(folder, 'text.mp4'));
    await workbench.openMenu(refused);
    await workbench.choose('Retry Failed Files');
    await workbench.toast('2 of 2 transcoded').waitFor();
    assert.ok(readdirSync(folder).includes('text.mp3'));
    await workbench.treeItem(/2 files, MP3 audio.*all done/).waitFor();
    await workbench.run('Notifications: Clear All Notifications');
  });

  it('runs without an error once there are runs, each from its menu on its row, too', async () => {
    await workbench.openView('Explorer');
    const list = await shown();
    for (const id of ['showReport', 'exportReport', 'showOutputs', 'forgetRun', 'copyConnectionSettings'])
      assert.ok(isShown(list, id), `${id} is not shown: ${list.join(', ')}`);
    const runnable = inPalette.filter(
      (command) =>
        isShown(list, command.replace('batchTranscode.', '')) && !/Sample|useLocal|startLocal/.test(command),
    );
    await runAll(runnable);
    await workbench.openView('Azure Batch');
    const run = workbench.treeItem('2 files, MP3 audio');
    for (const name of ['Show Outputs', 'Show Report', 'Export Report…', 'Clean Up…', 'Remove from List…']) {
      await workbench.openView('Azure Batch');
      await workbench.openMenu(run);
      await workbench.choose(name);
      await workbench.page.waitForTimeout(500);
      assert.ok(!(await workbench.toast('An unexpected error occurred').isVisible()), name);
      await closeAll();
    }
    await workbench.run('Notifications: Clear All Notifications');
  });

  it('shows the report with a timeline that a screen reader reads as a table', async () => {
    await workbench.openView('Azure Batch');
    await workbench.openMenu(workbench.treeItem('2 files, MP3 audio'));
    await workbench.choose('Show Report');
    const report = workbench.page.frameLocator('iframe.webview.ready').frameLocator('iframe');
    await report.getByRole('img', { name: /Timeline of the run/ }).waitFor();
    await report.getByText('Expected and actual').waitFor();
    await report.locator('svg rect.tl-slot').first().waitFor();
    await report.getByText('Timeline as a table').click();
    await report.getByRole('cell', { name: 'Upload' }).first().waitFor();
    await workbench.screenshot(pictures, 'timeline');
    await workbench.run('View: Close All Editors');
  });

  it('asks before a terminal gets the keys of the account', async () => {
    await workbench.openView('Azure Batch');
    await workbench.openMenu(workbench.treeItem('Local Batch account'));
    await workbench.choose('Open Terminal on This Account');
    await workbench.page.getByText('AZURE_BATCH_ACCESS_KEY (secret)').first().waitFor();
    await workbench.screenshot(pictures, 'terminal-question');
    await workbench.page.getByRole('button', { name: 'Open Terminal' }).click();
    await workbench.page.locator('.terminal-wrapper, .xterm').first().waitFor();
    await workbench.page.locator('.xterm-helper-textarea').first().focus();
    const proof = join(folder, 'variables.txt');
    await workbench.page.keyboard.type(`env | grep -c '^AZURE_BATCH_\\|^AZURE_STORAGE_' > '${proof}'`);
    await workbench.page.keyboard.press('Enter');
    for (const end = Date.now() + 30_000; Date.now() < end; ) {
      if (readdirSync(folder).includes('variables.txt') && readFileSync(proof, 'utf8').trim() !== '') break;
      await workbench.page.waitForTimeout(200);
    }
    assert.equal(readFileSync(proof, 'utf8').trim(), '7');
    await workbench.openView('Explorer');
    await workbench.run('Terminal: Kill All Terminals');
  });

  it('empties the local account when that is confirmed', async () => {
    await workbench.run('Azure Batch: Reset the Local Batch Account…');
    await workbench.page.getByRole('button', { name: 'Delete Everything' }).click();
    await workbench.toast('The local Batch account is empty').waitFor();
    await workbench.openView('Azure Batch');
    await workbench.page.getByText('No files have been transcoded').first().waitFor();
  });
});
