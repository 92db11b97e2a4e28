import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { connectionTo } from './network/connection';
import type { LargeUpload, LargeUploadFigures } from './network/largeUpload';
import { firstLine } from './network/namespaces';
import { optionsOf } from './options';
import { type BenchResult, report } from './table';

const runFile = promisify(execFile);

/**
 * Uploads one large sparse file to a store on this machine that keeps no data: cancels at half, and resumes in another
 * process. Throws if a block was sent twice, if the cancellation took a second, or the memory reached 200 MB.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const values = optionsOf(args, { gib: '20' });
  const bytes = Number(values.gib) * 2 ** 30;
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  const path = join(folder, 'large.mp4');
  writeFileSync(path, '');
  truncateSync(path, bytes);
  const store = spawn(process.execPath, [scriptOf('blockStore')], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const { port }: { port: number } = JSON.parse(await firstLine(store));
    const connection = connectionTo('127.0.0.1', port);
    const canceled = await upload({ connection, path, cancelAtBytes: bytes / 2 });
    const resumed = await upload({ connection, path });
    const answer = await fetch(`${connection.account.blobUrl}/?comp=stats`);
    const { blocks, repeated } = (await answer.json()) as { blocks: number; repeated: number };
    const { cancelSeconds: _, ...figures } = { ...resumed, blocks, repeated };
    const result: BenchResult = {
      name: 'largeFile',
      tables: [
        {
          title: `One sparse file of ${values.gib} GiB`,
          columns: [
            { key: 'seconds', label: 'seconds' },
            { key: 'cancelSeconds', label: 'until canceled, s', digits: 3 },
            { key: 'peakMB', label: 'peak MB', digits: 0 },
            { key: 'cpuSeconds', label: 'CPU s' },
            { key: 'blocks', label: 'blocks', digits: 0 },
            { key: 'repeated', label: 'sent twice', digits: 0 },
          ],
          rows: [
            { way: 'canceled at half', figures: { ...canceled } },
            { way: 'resumed', figures },
          ],
        },
      ],
    };
    report(result);
    if (repeated > 0) throw new Error(`${repeated} blocks were sent twice`);
    if (!(canceled.cancelSeconds < 1)) throw new Error(`the cancellation took ${canceled.cancelSeconds} s`);
    const peakMB = Math.max(canceled.peakMB, resumed.peakMB);
    if (peakMB >= 200) throw new Error(`the upload took ${peakMB} MB`);
    return result;
  } finally {
    store.stdin.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function upload(options: LargeUpload): Promise<LargeUploadFigures> {
  const { stdout } = await runFile(process.execPath, [scriptOf('largeUpload')], {
    env: { ...process.env, UPLOAD: JSON.stringify(options) },
  });
  return JSON.parse(stdout);
}

function scriptOf(name: string): string {
  return fileURLToPath(new URL(`./network/${name}.js`, import.meta.url));
}
