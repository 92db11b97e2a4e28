import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Workbench } from '../../scripts/workbench.mjs';
import { clip, probe } from '../media';
import { randomOf } from '../random';
import { descendantsOf } from '../service/descendants';
import { eventually } from '../service/harness';
import { deleting } from './connectedWorkbench';

/** How often the extension host is killed; HOST_KILLS=100 is a soak run. */
const kills = Number(process.env.HOST_KILLS ?? 20);
const seed = Number(process.env.TEST_SEED ?? 20261126);
const filesEach = 6;
const seconds = 90;

describe(`Runs of a VS Code whose extension host is killed ${kills} times (seed ${seed})`, function () {
  this.timeout(Math.max(600_000, kills * 60_000));
  let folder = '';
  let workbench: Workbench;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'transcode-kills-'));
    await clip(join(folder, 'source.mp4'), seconds, '160x120');
    for (let run = 1; run <= kills; run++) mkdirSync(join(folder, `run ${run}`));
    workbench = await Workbench.open(folder);
  });

  after(async () => {
    await workbench?.close();
    rmSync(folder, deleting);
  });

  const names = Array.from({ length: filesEach }, (_, index) => `clip ${index}.mp4`);
  const outputs = (run: number) =>
    readdirSync(join(folder, `run ${run}`)).filter((name) => name.endsWith('.mp3'));

  async function start(run: number): Promise<void> {
    for (const name of names) copyFileSync(join(folder, 'source.mp4'), join(folder, `run ${run}`, name));
    await workbench.openView('Explorer');
    await workbench.openMenu(workbench.file(`run ${run}`));
    await workbench.choose('Transcode on Azure Batch');
    await workbench.pick(`Transcode ${filesEach} Files`);
    if (run === 1) await workbench.pick('Use the local Batch account');
    await workbench.pick('MP3 audio');
  }

  /** Kills the extension hosts. False if none had started. */
  function killHosts(): boolean {
    let isKilled = false;
    for (const pid of descendantsOf(workbench.server.pid, '--type=extensionHost')) {
      try {
        process.kill(pid, 'SIGKILL');
        isKilled = true;
      } catch {
        // It has ended by itself.
      }
    }
    return isKilled;
  }

  it('end with every output, complete and once', async () => {
    const random = randomOf(seed);
    let killed = 0;
    let runs = 0;
    while (killed < kills) {
      runs++;
      await start(runs);
      while (outputs(runs).length < filesEach && killed < kills) {
        await pause(300 + random() * 3_000);
        if (!killHosts()) continue;
        killed++;
        await workbench.reload();
      }
      const all = [...names, ...names.map((name) => name.replace('.mp4', '.mp3'))].sort();
      await eventually(
        async () => readdirSync(join(folder, `run ${runs}`)).sort(),
        (found) => found.join() === all.join(),
        300,
      );
    }
    for (let run = 1; run <= runs; run++) {
      for (const name of outputs(run)) {
        const length = (await probe(join(folder, `run ${run}`, name))).seconds;
        assert.ok(Math.abs(length - seconds) < 0.2, `run ${run}, ${name}: ${length} s`);
      }
    }
  });
});
