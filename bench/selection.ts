import { closeSync, copyFileSync, ftruncateSync, mkdirSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { clip, temporaryFolder } from '../test/media';
import { manifestOf } from '../test/service/runSetup';

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { files: { type: 'string', default: '1000,5000' } },
  });
  const root = await temporaryFolder('bench-selection');
  const sample = await clip(join(root.path, 'sample.mp4'), 1);
  for (const n of values.files.split(',').map(Number)) {
    const paths = makeClips(sample, join(root.path, String(n)), n);
    const t = performance.now();
    const c = process.cpuUsage();
    const manifest = await manifestOf(paths);
    const { user, system } = process.cpuUsage(c);
    console.log(
      n,
      'probe+plan',
      Math.round(performance.now() - t),
      'cpu',
      Math.round((user + system) / 1000),
      'manifest',
      JSON.stringify(manifest).length,
      'rss',
      process.memoryUsage().rss / 1e6,
    );
  }
  await root.remove();
}

const clipBytes = 1024 * 1024;

function makeClips(sample: string, folder: string, count: number): string[] {
  mkdirSync(folder);
  const { size } = statSync(sample);
  const box = Buffer.from([0, 0, 0, 0, ...Buffer.from('free')]);
  box.writeUInt32BE(clipBytes - size);
  return Array.from({ length: count }, (_, index) => {
    const path = join(folder, `clip ${index}.mp4`);
    copyFileSync(sample, path);
    const file = openSync(path, 'r+');
    writeSync(file, box, 0, box.length, size);
    ftruncateSync(file, clipBytes);
    closeSync(file);
    return path;
  });
}
