import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manifestOf } from '../test/service/runSetup';

/** A folder with an `ffmpeg` that copies an MP3 made before, and prints the log that ffmpeg printed then. */
export async function preparedFfmpeg(root: string, sample: string): Promise<string> {
  const folder = join(root, 'prepared');
  mkdirSync(folder);
  const [file] = (await manifestOf([sample])).files;
  if (file === undefined) throw new Error('The sample is refused.');
  copyFileSync(sample, join(folder, file.nodeInput));
  const { status, stderr } = spawnSync('sh', ['-c', file.commandLine], { cwd: folder });
  if (status !== 0) throw new Error(`ffmpeg ended with ${status}: ${stderr}`);
  writeFileSync(join(folder, 'log'), stderr);
  const script = `#!/bin/sh
for argument; do case "$argument" in *.mp3) output=$argument ;; esac; done
cat '${join(folder, 'log')}' >&2
exec cp '${join(folder, file.output.nodePath)}' "$output"
`;
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'ffmpeg'), script, { mode: 0o755 });
  return bin;
}
