#!/usr/bin/env node
// Demonstrates the main job: opens VS Code on five sample MP4s, right-clicks them, and gets five MP3s.
//   npm run demo                        runs it and prints the log and the results
//   npm run demo -- --open              keeps VS Code open until Ctrl+C
//   npm run demo -- --screenshots DIR   saves the screenshots in DIR instead of demo-output/
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bootstrap, root, say } from './bootstrap.mjs';

const { values: flags } = parseArgs({
  options: {
    open: { type: 'boolean', default: false },
    screenshots: { type: 'string', default: join(root, 'demo-output') },
  },
});

bootstrap();
await import('./build.mjs');
const { makeSamples, probe } = await import('./samples.mjs');
const { Workbench } = await import('./workbench.mjs');

const workspace = mkdtempSync(join(tmpdir(), 'transcode-demo-'));
const pictures = resolve(flags.screenshots);
mkdirSync(pictures, { recursive: true });
say('Creating five sample MP4s');
const sources = await makeSamples(workspace, 5);
const names = sources.map((path) => basename(path));

say('Opening VS Code');
const workbench = await Workbench.open(workspace);
let failed = false;
try {
  if (flags.open) await leaveOpen();
  else await show();
} catch (error) {
  console.error(`${transcript()}\n`);
  await workbench.screenshot(pictures, 'failure');
  throw error;
} finally {
  await workbench.close();
  rmSync(workspace, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);

async function leaveOpen() {
  console.log(
    `\nVS Code is open at ${workbench.opened.url}\nThe samples are in ${workspace}\nPress Ctrl+C to stop.`,
  );
  await new Promise((done) => process.once('SIGINT', done));
}

async function show() {
  say('Right-clicking the samples: Transcode on Azure Batch');
  await workbench.rightClick(...names);
  await workbench.see('Transcode on Azure Batch');
  await workbench.screenshot(pictures, '1-menu');
  await workbench.choose('Transcode on Azure Batch');
  await workbench.pick('Use the local Batch account');
  await workbench.quickPick('MP3 audio').first().waitFor();
  await workbench.screenshot(pictures, '2-preset');
  await workbench.pick('MP3 audio');
  await workbench.openView('Azure Batch');
  // Five short samples may be done before the progress shows.
  await workbench.toast(/tasks: \d|of 5 transcoded/).waitFor();
  await workbench.screenshot(pictures, '3-progress');
  await workbench.toast(/of 5 transcoded/).waitFor({ timeout: 180_000 });
  await workbench.expand('Jobs');
  await workbench.expand('Pools');
  await workbench.page.waitForTimeout(1500);
  await workbench.screenshot(pictures, '4-tree');
  await workbench.openView('Explorer');
  await workbench.file(names[0].replace('.mp4', '.mp3')).waitFor();
  await workbench.screenshot(pictures, '5-result');
  console.log(`\n${transcript()}\n`);
  await report();
  console.log(`\nScreenshots are in ${pictures}`);
}

/** The extension's log, from the file behind its output channel. */
function transcript() {
  const lines = workbench.log().trim().split('\n');
  const shown = lines.filter((line) => !line.includes('[debug]')).join('\n');
  return shown || '(no log file: VS Code runs without its native log module)';
}

async function report() {
  const rows = [];
  for (const source of sources) {
    const output = source.replace(/\.mp4$/, '.mp3');
    const [from, to] = [await probe(source), await probe(output)];
    const agrees = to.codec === 'mp3' && Math.abs(from.seconds - to.seconds) <= 0.1;
    failed ||= !agrees;
    rows.push({
      output,
      codec: to.codec,
      seconds: to.seconds.toFixed(2),
      'source audio': from.seconds.toFixed(2),
      bytes: to.bytes,
      agrees,
    });
  }
  console.table(rows);
}
