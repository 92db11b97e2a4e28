#!/usr/bin/env node
// Takes the pictures of README and walkthrough from a real VS Code: `npm run pictures` writes media/screenshots/*.png and
// the animation media/screenshots/demo.gif. Run it after a change of what users see.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootstrap, root, say } from './bootstrap.mjs';

bootstrap();
await import('./build.mjs');
const { makeSamples } = await import('./samples.mjs');
const { Workbench } = await import('./workbench.mjs');

const folder = join(root, 'media/screenshots');
const base = mkdtempSync(join(tmpdir(), 'pictures-'));
const workspace = join(base, 'recordings');
const frames = join(base, 'frames');
for (const path of [folder, frames]) mkdirSync(path, { recursive: true });
const names = ['harbor.mp4', 'interview.mp4', 'keynote.mp4', 'lecture.mp4', 'waterfall.mp4'];
mkdirSync(workspace);
for (const [index, path] of (await makeSamples(join(base, 'short'), names.length)).entries()) {
  // Long enough that the progress can be seen.
  const loop = ['-stream_loop', '99', '-i', path, '-c', 'copy', join(workspace, names[index])];
  execFileSync('ffmpeg', ['-v', 'error', '-nostdin', '-y', ...loop]);
}

say('Taking pictures');
const workbench = await Workbench.open(workspace, {
  viewport: { width: 1100, height: 700 },
  settings: { 'workbench.colorTheme': 'Default Dark Modern', 'batchTranscode.review': 'never' },
});
const seconds = [];
try {
  await demonstrate();
  await showFeatures();
} finally {
  await workbench.close();
}
animate();
rmSync(base, { recursive: true, force: true });
say(`The pictures are in ${folder}`);
process.exit(0);

/** The main job, as frames of the animation. */
async function demonstrate() {
  // The theme and the file icons arrive shortly after the workbench.
  await workbench.page.waitForTimeout(2_000);
  await frame(1);
  await workbench.rightClick(...names);
  await workbench.see('Transcode on Azure Batch');
  await picture('menu');
  await frame(2);
  await workbench.choose('Transcode on Azure Batch');
  await workbench.quickPick('Use the local Batch account').waitFor();
  await frame(1.5);
  await workbench.pick('Use the local Batch account');
  await workbench.quickPick('MP3 audio').first().waitFor();
  await picture('presets');
  await frame(1.5);
  await workbench.pick('MP3 audio');
  await workbench.openView('Azure Batch');
  const done = workbench.toast(/of 5 transcoded/).waitFor({ timeout: 180_000 });
  let isDone = false;
  done.then(
    () => {
      isDone = true;
    },
    () => undefined,
  );
  for (let count = 0; !isDone && count < 20; count++) {
    await frame(0.5);
    await workbench.page.waitForTimeout(500);
  }
  await done;
  await frame(2);
  await workbench.openView('Explorer');
  await workbench.file('keynote.mp3').waitFor();
  await frame(3);
}

/** A picture for each feature that README describes. */
async function showFeatures() {
  await workbench.run('Notifications: Clear All Notifications');
  await workbench.openView('Azure Batch');
  await workbench.expand('Pools');
  await workbench.expand('Jobs');
  await workbench.page.waitForTimeout(1_500);
  await picture('accounts');
  await workbench.run('Azure Batch: Show Report');
  const preview = workbench.webview();
  await preview.getByRole('heading', { name: 'Timeline' }).waitFor();
  await workbench.page.waitForTimeout(1_000);
  await picture('report');
  await workbench.run('View: Close All Editors');
  await workbench.run('Azure Batch: Clean Up…');
  await workbench.quickPick('Outputs and record of the run').first().waitFor();
  await picture('cleanUp');
  await workbench.page.keyboard.press('Escape');
  await workbench.run('Azure Batch: Connect an Azure Batch Account…');
  await workbench.quickPick('Account keys').first().waitFor();
  await picture('connect');
  await workbench.page.keyboard.press('Escape');
}

function picture(name) {
  return workbench.screenshot(folder, name);
}

/** Adds a frame that is shown for so many seconds. */
async function frame(duration) {
  await workbench.screenshot(frames, String(seconds.length).padStart(3, '0'));
  seconds.push(duration);
}

function animate() {
  const list = join(frames, 'list.txt');
  const lines = seconds.map((duration, index) => {
    const file = `${String(index).padStart(3, '0')}.png`;
    return `file '${file}'\nduration ${duration}`;
  });
  const last = `file '${String(seconds.length - 1).padStart(3, '0')}.png'`;
  writeFileSync(list, `ffconcat version 1.0\n${[...lines, last].join('\n')}\n`);
  execFileSync('ffmpeg', [
    ...['-v', 'error', '-nostdin', '-y', '-f', 'concat', '-safe', '0', '-i', list],
    ...[
      '-filter_complex',
      'scale=880:-1:flags=lanczos,split[a][b];[a]palettegen=max_colors=96[p];[b][p]paletteuse=dither=none',
    ],
    ...['-loop', '0', join(folder, 'demo.gif')],
  ]);
}
