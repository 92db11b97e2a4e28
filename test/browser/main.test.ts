import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Locator } from 'playwright-core';
import { becomesTrue, repeat, Workbench } from '../../scripts/workbench.mjs';
import { clip, ffmpeg, probe } from '../media';
import { deleting } from './connectedWorkbench';

const pictures = 'out/test-artifacts';

describe('The workbench, driven by clicks and keys', () => {
  let folder = '';
  let workbench: Workbench;
  let hasAccount = false;

  before(async () => {
    mkdirSync(pictures, { recursive: true });
    folder = mkdtempSync(join(tmpdir(), 'transcode-browser-'));
    for (const name of ['one.mp4', 'two.MP4', 'three.mkv', 'four.mp4']) await clip(join(folder, name));
    mkdirSync(join(folder, 'series'));
    await clip(join(folder, 'series/part 1.mp4'));
    await clip(join(folder, 'series/part 2.mov'));
    await long(join(folder, 'long.mp4'));
    writeFileSync(join(folder, 'text.mp4'), 'these are only words\n');
    workbench = await Workbench.open(folder, { settings: { 'batchTranscode.split': 'never' } });
  });

  after(async () => {
    await workbench?.close();
    rmSync(folder, deleting);
  });

  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    await workbench.screenshot(pictures, this.currentTest.title.replace(/\W+/g, '-'));
  });

  /** Makes a small file of ten minutes: a run of it is canceled, and mustn't end before, however busy the machine is. */
  async function long(path: string): Promise<void> {
    const part = join(tmpdir(), `${basename(folder)}.mp4`);
    const video = ['-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=25:duration=20'];
    const audio = ['-f', 'lavfi', '-i', 'sine=duration=20'];
    await ffmpeg(...video, ...audio, '-c:v', 'libx264', '-preset', 'veryfast', '-crf', '40', part);
    await ffmpeg('-stream_loop', '29', '-i', part, '-c', 'copy', path);
    rmSync(part);
  }

  /** Connects the local account for a test that runs without the first one, which does so as a new user does. */
  async function connected(): Promise<void> {
    if (hasAccount) return;
    await workbench.run('Azure Batch: Use the Local Batch Account');
    await workbench.treeItem('Local Batch account').waitFor();
    hasAccount = true;
  }

  function outputs(place = ''): string[] {
    return readdirSync(join(folder, place)).filter((name) => name.endsWith('.mp3'));
  }

  it('offers the local account at first use, and transcodes the file that was right-clicked', async () => {
    await workbench.rightClick('one.mp4');
    await workbench.choose('Transcode on Azure Batch');
    await workbench.quickPick('Connect an Azure Batch account…').first().waitFor();
    await workbench.pick('Use the local Batch account');
    await workbench.pick('MP3 audio');
    await workbench.toast(/1 of 1 transcoded in 0:\d\d: one\.mp4/).waitFor();
    assert.deepEqual(outputs(), ['one.mp3']);
    hasAccount = true;
    assert.ok(Math.abs((await probe(join(folder, 'one.mp3'))).seconds - 1) < 0.1);
    await workbench.run('Notifications: Clear All Notifications');
  });

  it('transcodes a selection, whatever the case and kind of the extensions, and says why one failed', async () => {
    await connected();
    await workbench.rightClick('two.MP4', 'three.mkv', 'four.mp4', 'text.mp4');
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('MP3 audio');
    await workbench.toast("3 of 4 transcoded, 1 failed: text.mp4 isn't a media file").waitFor();
    await workbench.press('3 of 4 transcoded, 1 failed', 'Show Failures');
    await workbench.quickPick('text.mp4').filter({ hasText: "isn't a media file" }).first().waitFor();
    await workbench.dismiss();
    for (const name of ['four.mp3', 'three.mp3', 'two.mp3']) assert.ok(outputs().includes(name), name);
  });

  it('has buttons in the title of the Transcodes view that are about no run, whichever row has the focus', async () => {
    await connected();
    await workbench.openView('Azure Batch');
    const button = (name: string) =>
      workbench.page.locator('.pane-header', { hasText: 'Transcodes' }).getByRole('button', { name });
    const press = (name: string, effect: Locator) =>
      repeat(`${name} has its effect`, async (wait) => {
        await workbench.dismiss();
        await workbench.treeItem(/^4 files, MP3 audio/).click({ timeout: wait });
        await button(name).click({ timeout: wait });
        return effect.waitFor({ timeout: wait }).then(
          () => true,
          () => false,
        );
      });
    await press('Transcode on Azure Batch', workbench.input);
    await workbench.page.getByText('Choose Files to Transcode').first().waitFor();
    await press('Clean Up…', workbench.quickPick('Outputs and record of the run').nth(1));
    await workbench.dismiss();
    await workbench.runToEnd('refreshRuns', () => button('Refresh').click());
  });

  it('shows the name of a file as it is, and makes no link of it', async () => {
    await connected();
    const name = '[x](command:workbench.action.files.newUntitledFile).mp4';
    writeFileSync(join(folder, name), 'these are only words\n');
    await workbench.rightClick(name);
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('MP3 audio');
    const toast = workbench.toast("isn't a media file");
    await toast.filter({ hasText: '[x]' }).waitFor();
    assert.equal(await toast.locator('.notification-list-item-message a').count(), 0);
    rmSync(join(folder, name));
    await workbench.run('Notifications: Clear All Notifications');
  });

  it('says how many files a folder holds before it transcodes them', async () => {
    await connected();
    await workbench.openView('Explorer');
    await workbench.openMenu(workbench.file('series'));
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('Transcode 2 Files');
    await workbench.pick('MP3 audio');
    await workbench.toast(/2 of 2 transcoded in 0:\d\d: part 1\.mp4, part 2\.mov/).waitFor();
    assert.deepEqual(outputs('series').sort(), ['part 1.mp3', 'part 2.mp3']);
    await workbench.run('Notifications: Clear All Notifications');
  });

  it('asks what to do with an output that exists, and leaves it unchanged', async () => {
    await connected();
    writeFileSync(join(folder, 'one.mp3'), 'kept');
    await workbench.rightClick('one.mp4');
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('MP3 audio');
    await workbench.pick('Keep Both');
    await workbench.toast('1 of 1 transcoded').waitFor();
    assert.ok(outputs().includes('one (2).mp3'));
    await workbench.run('Notifications: Clear All Notifications');
  });

  it('uploads, submits, and fetches a file in three steps', async () => {
    await connected();
    await clip(join(folder, 'steps.mp4'));
    await workbench.rightClick('steps.mp4');
    await workbench.choose('Azure Batch', 'Upload to Batch Storage');
    await workbench.page.getByText('Upload steps.mp4 to Local Batch account').first().waitFor();
    await workbench.pick('MP3 audio');
    await workbench.clear('1 of 1 file uploaded');
    await workbench.rightClick('steps.mp4');
    await workbench.choose('Azure Batch', 'Submit Transcode');
    await workbench.clear('1 of 1 file submitted');
    assert.ok(!outputs().includes('steps.mp3'));
    await workbench.rightClick('steps.mp4');
    await workbench.choose('Azure Batch', 'Fetch Outputs');
    await workbench.clear('1 of 1 transcoded');
    assert.ok(outputs().includes('steps.mp3'));
  });

  it('shows a review, uses a command that is edited for one run, and reports on the run', async () => {
    await connected();
    await clip(join(folder, 'options.mp4'));
    await workbench.rightClick('options.mp4');
    await workbench.choose('Azure Batch', 'Transcode on Azure Batch With Options…');
    await workbench.pick('MP3 audio');
    await workbench.quickPick('On this machine, with your own ffmpeg').first().waitFor();
    await workbench.screenshot(pictures, 'review');
    await workbench.pick('Preset: MP3 audio');
    await workbench.pick('FLAC audio');
    await workbench.pick('Preset: FLAC audio');
    await workbench.pick('MP3 audio');
    await workbench
      .quickPick(/On this machine, with your own ffmpeg\. About \d+ (seconds|minutes?)\./)
      .first()
      .waitFor();
    await workbench.pick('Show Command…');
    const { input } = workbench;
    await repeat('The input shows the command', async (wait) =>
      becomesTrue(async () => /^ffmpeg .*\$\{input\}.*\$\{output\}$/.test(await input.inputValue()), wait),
    );
    const command = await input.inputValue();
    await input.fill('ffmpeg -i ${input}');
    await workbench.page.getByText('${output} is missing').first().waitFor();
    await workbench.screenshot(pictures, 'command-wrong');
    await workbench.retype(
      command.replace('-i ${input}', '-t 0.4 -i ${input}').replace(/-b:a \S+/, '-b:a 64k'),
    );
    await workbench.quickPick('-b:a 64k').first().waitFor();
    mkdirSync(join(folder, 'saved'));
    await workbench.pick('Output Folder: beside each file');
    await workbench.screenshot(pictures, 'output-folder');
    await workbench.pick('Choose Folder…');
    await workbench.page.getByText('Choose a Folder for the Outputs').first().waitFor();
    // VS Code enters the folder first.
    await workbench.retype(join(folder, 'saved'));
    await workbench.quickPick('..').waitFor();
    await repeat('The folder is chosen', async (wait) => {
      const button = workbench.page.getByRole('button', { name: 'Save Outputs Here' });
      await button.click({ timeout: wait }).catch(() => undefined);
      return becomesTrue(async () => (await workbench.quickPick('Output Folder: saved').count()) > 0, wait);
    });
    await workbench.pick('$(play) Transcode'.slice(8));
    await workbench.toast('1 of 1 transcoded').waitFor();
    assert.ok(!outputs().includes('options.mp3'));
    const { seconds } = await probe(join(folder, 'saved/options.mp3'));
    assert.ok(Math.abs(seconds - 0.4) < 0.1, `${seconds} s`);
    await workbench.openView('Azure Batch');
    await workbench.expand(/^1 file, MP3 audio.*all done · options\.mp4/);
    await workbench.treeItem(/^options\.mp4/).waitFor();
    await workbench.screenshot(pictures, 'outcome');
    await workbench.openMenu(workbench.treeItem('1 file, MP3 audio'));
    await workbench.choose('Show Report');
    const report = workbench.webview();
    await report.getByText('1 of 1 done, 0 failed').waitFor();
    await workbench.screenshot(pictures, 'report');
    await workbench.run('View: Close All Editors');
    await workbench.openView('Explorer');
    await workbench.run('Notifications: Clear All Notifications');
  });

  it('shows pools and jobs in the tree', async () => {
    await connected();
    await clip(join(folder, 'tree.mp4'));
    await workbench.rightClick('tree.mp4');
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('MP3 audio');
    await workbench.clear('1 of 1 transcoded');
    await workbench.openView('Azure Batch');
    await workbench.expand('Pools');
    await workbench.treeItem('transco…').waitFor();
    await workbench.expand('Jobs');
    const job = workbench.treeItem(/MP3 audio × 1.*1\/1/);
    await workbench.expand(/MP3 audio × 1.*1\/1/);
    await workbench.expand('Succeeded');
    await workbench.treeItem('exit code 0').waitFor();
    await workbench.screenshot(pictures, 'tree');
    await workbench.run('Azure Batch: Toggle Task Grouping');
    await workbench.treeItem('Succeeded').waitFor({ state: 'detached' });
    await workbench.treeItem('exit code 0').waitFor();
    await workbench.run('Azure Batch: Toggle Task Grouping');
    await workbench.pressInRow(workbench.treeItem('Jobs'), 'Filter…');
    await workbench.retype('nothing-begins-so');
    await workbench.treeItem('Nothing matches the filter').waitFor();
    await workbench.pressInRow(workbench.treeItem('Jobs'), 'Filter…');
    await workbench.retype('');
    await job.waitFor();
    const pool = workbench.treeItem(/transco….*node/);
    await workbench.pressInRow(pool, 'Show Heat Map');
    const page = workbench.webview();
    await page.locator('#map .cell').first().waitFor();
    await page.locator('#map .cell').first().click();
    await workbench.treeItem('tvm…').waitFor();
    await workbench.screenshot(pictures, 'heatMap');
    await workbench.run('View: Close All Editors');
    await workbench.openView('Explorer');
  });

  it('checks a connection step by step, and shows each step in a document', async () => {
    await connected();
    await workbench.run('Azure Batch: Check Connection');
    await workbench.toast('Connected to Local Batch account').waitFor();
    const report = workbench.webview();
    await report.getByText('Upload and download a test blob').waitFor();
    await report.getByText('not required: tasks run on this machine').nth(1).waitFor();
    assert.equal(await report.getByText('signing in').count(), 0);
    await workbench.screenshot(pictures, 'check');
    await workbench.run('View: Close All Editors');
    await workbench.run('Notifications: Clear All Notifications');
  });

  it('counts refused files in every view, asks what to do when a run is canceled, and leaves no partial file', async () => {
    await connected();
    await workbench.rightClick('long.mp4', 'text.mp4');
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('H.265 video');
    await workbench
      .toast(/Azure Batch: H.265 video \(MP4\), 2 files: /)
      .filter({ hasText: /tasks: 0 completed, 1 running/ })
      .waitFor();
    await workbench.openView('Azure Batch');
    await workbench.treeItem(/long\.mp4\d+\s?%, [\d.]+× real time/).waitFor();
    const run = workbench.treeItem(/2 files, H\.265 .*0 of 2 done, 1 failed/);
    await run.waitFor();
    assert.match((await run.getAttribute('aria-label')) ?? '', /^2 files, H\.265 video \(MP4\), /);
    await workbench.statusBarItem('Transcode 0/2').waitFor();
    await workbench.page.locator('.activitybar .badge-content', { hasText: /^1$/ }).waitFor();
    await workbench.screenshot(pictures, 'progress');
    await workbench.expand('Jobs');
    await workbench.expand(/H\.265 .*0\/1/);
    await workbench.expand(/^Running1/);
    await workbench.pressInRow(workbench.treeItem(/^long\.mp4running/), 'Follow a Log…');
    await workbench.pick('stderr.txt');
    await workbench.page
      .locator('.terminal-tab, .tabs-list .monaco-list-row, .single-terminal-tab', { hasText: 'stderr.txt' })
      .first()
      .waitFor();
    await workbench.screenshot(pictures, 'tail');
    // Away from the terminal, which has the keys while it has the focus.
    await workbench.treeItem('Pools').click();
    await workbench.run('Terminal: Kill All Terminals');
    await workbench.openView('Explorer');
    await workbench.press(/Azure Batch: H.265 video/, 'Cancel');
    await workbench.page.getByText('Cancel “2 files, H.265 video (MP4)”?').waitFor();
    assert.equal(await workbench.input.getAttribute('placeholder'), 'long.mp4, text.mp4');
    await workbench.pick('Cancel This Run');
    await workbench.clear('0 of 2 outputs are complete');
    await workbench.openView('Azure Batch');
    const row = workbench.treeItem(/2 files, H\.265 .*canceled: 0 of 2 done, 1 failed/);
    await row.waitFor();
    await workbench.openMenu(row);
    await workbench.choose('Show Report');
    const report = workbench.webview();
    await report.getByText(/^Canceled: /).waitFor();
    assert.equal(await report.getByText('Expected and actual').count(), 0);
    await workbench.run('View: Close All Editors');
    await workbench.openView('Explorer');
    assert.deepEqual(
      readdirSync(folder).filter((name) => /^\.?long/.test(name)),
      ['long.mp4'],
    );
  });

  it('continues a run after the window was reloaded', async () => {
    await connected();
    await workbench.rightClick('long.mp4');
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('VP9 video');
    await workbench.toast(/tasks: 0 completed, 1 running/).waitFor();
    await workbench.reload();
    await workbench.toast(/tasks: 0 completed, 1 running/).waitFor();
    await workbench.openView('Azure Batch');
    await workbench.openMenu(workbench.treeItem(/^1 file, VP9 video.*0 of 1 done/));
    await workbench.choose('Cancel Run…');
    const dialog = workbench.page.getByRole('dialog', { name: 'Cancel “1 file, VP9 video (WebM)”?' });
    await dialog.getByRole('button', { name: 'Keep Running' }).click();
    await workbench.press(/Azure Batch/, 'Cancel');
    await workbench.pick('Cancel and Clean Up');
    await workbench.clear(/Deleted \d+ resource/);
    assert.deepEqual(
      readdirSync(folder).filter((name) => /^\.?long/.test(name)),
      ['long.mp4'],
    );
  });

  it('lists the files of a large run in pages, also once the account alone knows them', async () => {
    await connected();
    mkdirSync(join(folder, 'many'), { recursive: true });
    for (let index = 100; index < 349; index++) writeFileSync(join(folder, `many/empty ${index}.mp4`), '');
    await clip(join(folder, 'many/whole.mp4'));
    await workbench.openView('Explorer');
    await workbench.openMenu(workbench.file('many'));
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('Transcode 250 Files');
    await workbench.pick('MP3 audio');
    await workbench.toast('1 of 250 transcoded, 249 failed').waitFor();
    await workbench.run('Notifications: Clear All Notifications');
    await workbench.openView('Azure Batch');
    await workbench.expand(/^250 files, MP3 audio/);
    await workbench.treeItem(/^Files 1–100.*0 of 100 done, 100 failed/).waitFor();
    // The row of the run may name the file as well.
    assert.equal(await workbench.treeItem(/^whole\.mp4/).count(), 0);
    await workbench.treeItem(/^Files 201–250.*1 of 50 done, 49 failed/).waitFor();
    await workbench.expand(/^Files 201–250/);
    // The view draws only the rows that can be seen, and this one is the last of its page.
    await workbench.scrollTo(/^whole\.mp4/, 'End');
    await workbench.openView('Explorer');
  });
});

describe('An untrusted workspace', () => {
  const folder = mkdtempSync(join(tmpdir(), 'transcode-untrusted-'));
  let workbench: Workbench | undefined;

  after(async () => {
    await workbench?.close();
    rmSync(folder, deleting);
  });

  it('can be looked at, and nothing that it names is run or used', async () => {
    await clip(join(folder, 'clip.mp4'));
    for (const name of ['.vscode', 'bin']) mkdirSync(join(folder, name));
    const proof = join(folder, 'proof');
    writeFileSync(join(folder, 'bin/ffmpeg'), `#!/bin/sh\ntouch '${proof}'\n`, { mode: 0o755 });
    const settings = {
      'batchTranscode.local.ffmpegPath': join(folder, 'bin'),
      'batchTranscode.account': 'other.eastus.batch.azure.com',
    };
    writeFileSync(join(folder, '.vscode/settings.json'), JSON.stringify(settings));
    workbench = await Workbench.open(folder, {
      trust: true,
      settings: {
        'security.workspace.trust.enabled': true,
        'security.workspace.trust.startupPrompt': 'never',
      },
    });
    await workbench.openView('Azure Batch');
    await workbench.page.getByText('You can browse accounts').first().waitFor();
    await workbench.rightClick('clip.mp4');
    await workbench.see('Select for Compare');
    assert.equal(await workbench.menuItem('Transcode on Azure Batch').count(), 0);
    await workbench.closeMenu();
    await workbench.run('Azure Batch: Check for ffmpeg');
    const found = (await workbench.toast(/ffmpeg \S+ was found/).textContent()) ?? '';
    assert.ok(!found.includes(folder), found);
    // The account that the workspace names is ignored, so that nothing is asked.
    await workbench.run('Azure Batch: Use the Local Batch Account');
    await workbench.treeItem('Local Batch account').waitFor();
    assert.ok(!existsSync(workbench.server.localService), 'the service was started');
    assert.ok(!existsSync(proof), 'a program of the workspace was run');
  });
});

describe('A machine without ffmpeg', () => {
  const folder = mkdtempSync(join(tmpdir(), 'transcode-bare-'));
  let workbench: Workbench | undefined;

  after(async () => {
    await workbench?.close();
    rmSync(folder, deleting);
  });

  it('shows how to get ffmpeg, before anything is uploaded', async () => {
    await clip(join(folder, 'clip.mp4'));
    // A path on a machine is set on that machine or in the workspace, not in the settings that a browser brings.
    mkdirSync(join(folder, '.vscode'));
    const settings = { 'batchTranscode.local.ffmpegPath': join(folder, 'none') };
    writeFileSync(join(folder, '.vscode/settings.json'), JSON.stringify(settings));
    workbench = await Workbench.open(folder);
    await workbench.rightClick('clip.mp4');
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick('Use the local Batch account');
    const toast = workbench.toast('The local Batch account requires ffmpeg');
    await toast.getByRole('button', { name: 'Get ffmpeg' }).waitFor();
    assert.ok(!existsSync(workbench.server.localService), 'the service was started');
  });
});
