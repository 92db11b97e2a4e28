import assert from 'node:assert/strict';
import {
  existsSync,
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
import { becomesTrue, repeat, Workbench } from '../../scripts/workbench.mjs';
import { clip, ffmpeg } from '../media';
import { deleting } from './connectedWorkbench';

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

describe('Every command of the palette, with nothing selected', () => {
  let folder = '';
  let workbench: Workbench;
  let hasAccount = false;
  let hasRun = false;

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
    rmSync(folder, deleting);
  });

  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    await workbench.screenshot(pictures, `commands-${this.currentTest.title.replace(/\W+/g, '-')}`);
  });

  /** Transcodes a file, and one that is refused, on the local account. */
  async function transcoded(): Promise<void> {
    if (hasRun) return;
    if (!hasAccount) {
      await workbench.run('Azure Batch: Use the Local Batch Account');
      await workbench.treeItem('Local Batch account').waitFor();
      hasAccount = true;
    }
    await workbench.rightClick('one.mp4', 'text.mp4');
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('MP3 audio');
    await workbench.clear('1 of 2 transcoded, 1 failed');
    hasRun = true;
  }

  /** Titles of our commands that the palette shows. */
  async function shown(): Promise<string[]> {
    const rows = workbench.page.locator('.quick-input-widget:visible .monaco-list-row');
    await workbench.openPalette('>Azure Batch:');
    await rows.first().filter({ hasText: 'Azure Batch' }).waitFor();
    const found = new Set<string>();
    // A long list is drawn as far as it can be seen.
    await repeat('The palette is read to its end', async () => {
      for (const text of await rows.allTextContents()) {
        const [, title] = /Azure Batch: (.*)/.exec(text) ?? [];
        if (title) found.add(title.replace(/(recently|other) (used|commands).*$/, '').trim());
      }
      if (await workbench.page.locator('.quick-input-widget:visible [data-last-element=true]').isVisible())
        return true;
      await workbench.page.keyboard.press('PageDown');
      return false;
    });
    await workbench.dismiss();
    return [...found];
  }

  /** The titles that the palette shows, once it shows these. An extension adds to the palette a moment after it is ready. */
  async function shownWith(...ids: readonly string[]): Promise<string[]> {
    let list: string[] = [];
    await repeat(`The palette shows ${ids.join(', ')}`, async () => {
      list = await shown();
      return ids.every((id) => isShown(list, id));
    });
    return list;
  }

  const isShown = (list: readonly string[], id: string) =>
    list.some((title) => title.startsWith(titleOf(`batchTranscode.${id}`)));

  /** Commands of a list that can be run without an answer. */
  const runnableOf = (list: readonly string[]) =>
    inPalette
      .map((command) => command.replace('batchTranscode.', ''))
      .filter((id) => isShown(list, id) && !/Sample|useLocal|startLocal/.test(id));

  async function runAll(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      await workbench.runToEnd(id, () => workbench.run(`Azure Batch: ${titleOf(`batchTranscode.${id}`)}`));
    }
    await workbench.run('Notifications: Clear All Notifications');
    await workbench.run('View: Close All Editors');
  }

  it('shows only commands that have an effect without an account, and each runs without an error', async () => {
    const list = await shownWith('transcode');
    for (const id of ['cancelRun', 'retryFailed', 'showFailures', 'showOutputs', 'exportReport', 'forgetRun'])
      assert.ok(!isShown(list, id), `${id} is shown: ${list.join(', ')}`);
    for (const id of [
      'removeAccount',
      'renameAccount',
      'signIn',
      'cleanUp',
      'copyConnectionSettings',
      'refresh',
    ])
      assert.ok(!isShown(list, id), `${id} is shown: ${list.join(', ')}`);
    const runnable = runnableOf(list);
    assert.ok(runnable.length >= 8, runnable.join(', '));
    await runAll(runnable);
  });

  it('offers .ts files that are transport streams, and no TypeScript', async () => {
    await workbench.rightClick('stream.ts');
    await workbench.see('Transcode on Azure Batch');
    await workbench.closeMenu();
    await workbench.rightClick('code.ts');
    await workbench.see('Select for Compare');
    assert.equal(await workbench.menuItem('Transcode on Azure Batch').count(), 0);
    await workbench.closeMenu();
  });

  it('counts each file of a folder once, without links out of it, excluded files and TypeScript', async () => {
    await workbench.openView('Explorer');
    await workbench.openMenu(workbench.file('mixed'));
    await workbench.choose('Transcode on Azure Batch');
    await workbench.quickPick('Transcode 1 File').first().waitFor();
    await workbench.quickPick('excluded files and folders: 2').first().waitFor();
    await workbench.screenshot(pictures, 'folder');
    await workbench.pick('Transcode 1 File');
    if (!hasAccount) await workbench.pick('Use the local Batch account');
    await workbench.pick('MP3 audio');
    await workbench.toast('1 of 1 transcoded').waitFor();
    hasAccount = true;
    assert.deepEqual(
      readdirSync(join(folder, 'mixed')).filter((name) => name.endsWith('.mp3')),
      ['trip.mp3'],
    );
    await workbench.run('Notifications: Clear All Notifications');
    await workbench.openMenu(workbench.file('mixed'));
    await workbench.choose('Transcode on Azure Batch');
    await workbench.quickPick('outputs of earlier runs: 1').first().waitFor();
    await workbench.dismiss();
  });

  it('shows a refused file as a row with its reason, and transcodes it once it is repaired', async () => {
    await transcoded();
    await workbench.openView('Azure Batch');
    await workbench.expand('2 files, MP3 audio');
    const refused = workbench.treeItem(/text\.mp4.*not transcoded: isn't a media file/);
    await refused.waitFor();
    await workbench.screenshot(pictures, 'refused');
    await workbench.openMenu(refused);
    await workbench.choose('Show Failures');
    await workbench.quickPick('text.mp4').filter({ hasText: "isn't a media file" }).first().waitFor();
    await workbench.dismiss();
    await workbench.openMenu(refused);
    await workbench.choose('Reveal Source in Explorer');
    const selected = '.explorer-folders-view .monaco-list-row[aria-selected=true]';
    await workbench.page.locator(selected, { hasText: 'text.mp4' }).waitFor();
    await workbench.openView('Azure Batch');
    await clip(join(folder, 'text.mp4'));
    await workbench.openMenu(refused);
    await workbench.choose('Retry Failed Files');
    await workbench.toast('2 of 2 transcoded').waitFor();
    assert.ok(readdirSync(folder).includes('text.mp3'));
    await workbench.treeItem(/2 files, MP3 audio.*all done/).waitFor();
    await workbench.run('Notifications: Clear All Notifications');
  });

  it('runs without an error once there are runs, each from its menu on its row, too', async () => {
    await transcoded();
    await workbench.openView('Explorer');
    const ofRuns = ['showReport', 'exportReport', 'showOutputs', 'forgetRun'];
    await runAll(runnableOf(await shownWith(...ofRuns, 'copyConnectionSettings')));
    await workbench.openView('Azure Batch');
    const run = workbench.treeItem('2 files, MP3 audio');
    for (const id of ['showOutputs', 'showReport', 'exportReport', 'cleanUp', 'forgetRun']) {
      await workbench.openView('Azure Batch');
      await workbench.openMenu(run);
      await workbench.runToEnd(id, () => workbench.choose(titleOf(`batchTranscode.${id}`)));
    }
    await workbench.openMenu(run);
    await workbench.runToEnd('copyRunId', () => workbench.choose('Copy ID'));
    await workbench.run('Notifications: Clear All Notifications');
  });

  it('shows the report with a timeline that a screen reader reads as a table', async () => {
    await transcoded();
    await workbench.openView('Azure Batch');
    await workbench.openMenu(workbench.treeItem('2 files, MP3 audio'));
    await workbench.choose('Show Report');
    const report = workbench.webview();
    await report.getByRole('img', { name: /Timeline of the run/ }).waitFor();
    await report.getByText('Expected and actual').waitFor();
    await report.locator('svg rect.tl-slot').first().waitFor();
    await report.getByText('Timeline as a table').click();
    await report.getByRole('cell', { name: 'Upload' }).first().waitFor();
    await workbench.screenshot(pictures, 'timeline');
    await workbench.run('View: Close All Editors');
  });

  it('asks before a terminal gets the keys of the account', async () => {
    await transcoded();
    await workbench.openView('Azure Batch');
    await workbench.openMenu(workbench.treeItem('Local Batch account'));
    await workbench.choose('Open Terminal on This Account');
    await workbench.page.getByText('AZURE_BATCH_ACCESS_KEY (secret)').first().waitFor();
    await workbench.screenshot(pictures, 'terminal-question');
    await workbench.page.getByRole('button', { name: 'Open Terminal' }).click();
    const proof = join(folder, 'variables.txt');
    await repeat('The terminal runs a command', async (wait) => {
      await workbench.page.locator('.xterm-helper-textarea').first().focus({ timeout: wait });
      await workbench.page.keyboard.type(`env | grep -c '^AZURE_BATCH_\\|^AZURE_STORAGE_' > '${proof}'`);
      await workbench.page.keyboard.press('Enter');
      return becomesTrue(async () => existsSync(proof) && readFileSync(proof, 'utf8').trim() !== '', wait);
    });
    assert.equal(readFileSync(proof, 'utf8').trim(), '7');
    await workbench.openView('Explorer');
    await workbench.run('Terminal: Kill All Terminals');
  });

  it('empties the local account when that is confirmed', async () => {
    await transcoded();
    await workbench.run('Azure Batch: Reset the Local Batch Account…');
    await workbench.page.getByRole('button', { name: 'Delete Everything' }).click();
    await workbench.toast('The local Batch account is empty').waitFor();
    await workbench.openView('Azure Batch');
    await workbench.page.getByText('No files have been transcoded').first().waitFor();
  });
});
