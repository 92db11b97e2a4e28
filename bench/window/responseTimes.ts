import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Workbench } from '../../scripts/workbench.mjs';
import { clip } from '../../test/media';
import { machine, type TestService } from '../../test/service/harness';
import type { Relay } from '../../test/service/relay';
import { median, type Table } from '../table';
import { addJobs, connect, hostOf, type Place, startOf } from './account';

const jobs = 1_000;
/** More bytes than any request without file content has. */
const fileBytes = 100_000;
const fileToUpload = 20;
/** After a window has opened, until its first work is done. */
const settledMs = 3_000;

/**
 * Response times in a new window for each round: the first page of a long list in a window that has just connected its
 * account and in one that has just been opened, beside the plain request; and the time from a click to the first byte of a
 * file beside a script with the SDK.
 */
export async function responseTimes(rounds: number, { root, service, blobs }: Place): Promise<Table> {
  const client = service.client();
  await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1 });
  await addJobs(client, 0, jobs);
  const times: Record<string, number[]> = {};
  const took = (what: string, ms: number) => {
    times[what] ??= [];
    times[what].push(ms);
  };
  for (let round = 0; round < rounds; round++) {
    const folder = join(root, `videos-${round}`);
    mkdirSync(folder);
    await clip(join(folder, 'one.mp4'), fileToUpload);
    const workbench = await Workbench.open(folder);
    try {
      await connect(workbench, service, blobs.url);
      await workbench.expand(hostOf(service));
      const known = await firstPage(workbench);
      took('first page', known.rows);
      took('first counts', known.counts);
      const asked = performance.now();
      await client.job.list({ jobListOptions: { maxResults: jobs } });
      took('plain request', performance.now() - asked);
      took('first byte', await clickToFirstByte(workbench, blobs));
      took('script', await scriptToFirstByte(join(folder, 'one.mp4'), service, blobs));
      await workbench.reload();
      await workbench.openView('Azure Batch');
      await workbench.treeItem(hostOf(service)).waitFor();
      await pause(settledMs);
      const fresh = await firstPage(workbench);
      took('first page of a new window', fresh.rows);
    } finally {
      await workbench.close();
    }
  }
  const row = (way: string, what: string, floor: string, note: string) => {
    const [own, other] = [median(times[what] ?? []), median(times[floor] ?? [])];
    const [min, max] = [Math.min(...(times[what] ?? [])), Math.max(...(times[what] ?? []))];
    return { way, figures: { own, min, max, other, ratio: own / other }, note };
  };
  return {
    title: `What a user waits for, ms, median of ${rounds}`,
    columns: [
      { key: 'own', label: 'this extension', digits: 0 },
      { key: 'min', label: 'shortest', digits: 0 },
      { key: 'max', label: 'longest', digits: 0 },
      { key: 'other', label: 'beside it', digits: 0 },
      { key: 'ratio', label: 'ratio', digits: 2 },
    ],
    rows: [
      row('first page of 1,000 jobs', 'first page', 'plain request', 'beside the plain request'),
      row('the same with task counts', 'first counts', 'plain request', 'beside the plain request'),
      row(
        'first page in a window just opened',
        'first page of a new window',
        'plain request',
        'beside the plain request',
      ),
      row('click to first byte', 'first byte', 'script', 'beside a script with the SDK, from its start'),
    ],
  };
}

/**
 * Expands the jobs. Milliseconds from the press of the mouse button, by the clock of the window, until the frame in which
 * the first job is drawn, and the first count of tasks.
 */
async function firstPage(workbench: Workbench): Promise<{ rows: number; counts: number }> {
  const { page } = workbench;
  await page.evaluate(`
    const isDrawn = (text) =>
      [...document.querySelectorAll('.sidebar [role=treeitem]')].some((row) => row.textContent.includes(text));
    window.drawn = new Promise((resolve) => {
      const times = {};
      addEventListener('mousedown', ({ timeStamp }) => {
        const look = (now) => {
          if (times.rows === undefined && isDrawn('job-0')) times.rows = now - timeStamp;
          if (times.counts === undefined && isDrawn('no tasks')) times.counts = now - timeStamp;
          if (times.counts === undefined) requestAnimationFrame(look);
          else resolve(times);
        };
        requestAnimationFrame(look);
      }, { capture: true, once: true });
    });
    undefined;
  `);
  const row = workbench.treeItem('Jobs');
  await row.locator('.monaco-tl-twistie').click();
  const times: { rows: number; counts: number } = await page.evaluate('window.drawn');
  return times;
}

async function clickToFirstByte(workbench: Workbench, relay: Relay): Promise<number> {
  // A preset that uses video, so that the whole file is uploaded, as by the script.
  const start = await startOf(workbench, 'Thumbnail');
  const clicked = performance.now();
  const before = relay.bytes.up;
  await start.click();
  const ms = await firstByte(relay, before, clicked);
  await workbench.toast('1 of 1 transcoded').waitFor();
  return ms;
}

const script = `
import { readFileSync } from 'node:fs';
import { BlobServiceClient } from '@azure/storage-blob';
const container = BlobServiceClient.fromConnectionString(process.env.STORAGE).getContainerClient('script-' + Date.now());
await container.create();
const data = readFileSync(process.env.FILE);
await container.getBlockBlobClient('one.mp4').upload(data, data.length);
await container.delete();
`;

async function scriptToFirstByte(file: string, service: TestService, relay: Relay): Promise<number> {
  const { storageName, storageKey } = service.credentials;
  const path = resolve('out/bench/script.mjs');
  writeFileSync(path, script);
  const before = relay.bytes.up;
  const started = performance.now();
  const child = spawn(process.execPath, [path], {
    stdio: 'inherit',
    env: {
      ...process.env,
      FILE: file,
      STORAGE: `DefaultEndpointsProtocol=http;AccountName=${storageName};AccountKey=${storageKey};BlobEndpoint=${relay.url}`,
    },
  });
  const ended = new Promise((done) => child.once('exit', done));
  const ms = await firstByte(relay, before, started);
  await ended;
  return ms;
}

/** Milliseconds until content of a file has passed. */
async function firstByte(relay: Relay, before: number, since: number): Promise<number> {
  while (relay.bytes.up - before < fileBytes) {
    if (performance.now() - since > 60_000) throw new Error('No file was sent.');
    await pause(2);
  }
  return performance.now() - since;
}
