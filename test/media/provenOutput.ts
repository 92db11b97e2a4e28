import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseArgsStringToArgv } from 'string-argv';
import { parseFfmpegLog } from '../../src/core/media/probe/ffmpegLog';
import { type Proof, proveOutput } from '../../src/core/media/probe/proof';
import { plan } from '../../src/core/plan/plan';
import { preset } from '../presets';
import type { Matrix } from './matrix';

const run = promisify(execFile);

/** Runs the plan's command for a source, and proves the output as after a download. */
export async function provenOutput(matrix: Matrix, path: string, id: string, name: string): Promise<Proof> {
  const source = { uri: `file://${path}`, path, size: 1, modified: 0, media: await matrix.media(path) };
  const [file] = plan({ sources: [source], preset: preset(id) }).files;
  if (file === undefined) throw new Error(`${path} is refused.`);
  const folder = matrix.path(`proven ${name} ${id}`);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, file.nodeInput), readFileSync(path));
  const [program = '', ...args] = parseArgsStringToArgv(file.commandLine);
  const { stderr } = await run(program, args, { cwd: folder, maxBuffer: 64 * 1024 * 1024 });
  const output = readFileSync(join(folder, file.output.nodePath));
  const content = {
    size: output.length,
    read: async (position: number, length: number) => output.subarray(position, position + length),
  };
  const {
    seconds,
    commandLine,
    output: { proof },
  } = file;
  const expected = { file: path, seconds, proof, commandLine };
  return proveOutput(content, expected, { statement: parseFfmpegLog(stderr) });
}
