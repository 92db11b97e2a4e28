import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Content } from '../../src/core/files/bytes';
import { RangedContent } from '../../src/core/media/parser/fileRanges';
import { findFfprobe } from '../../src/core/media/probe/ffprobe';
import { probeMedia } from '../../src/core/media/probe/probeMedia';
import { plan } from '../../src/core/plan/plan';
import { builtInPresets } from '../../src/core/presets/builtIn';
import { splitCommandLine } from '../../src/service/tasks/commandLine';
import { ffmpeg, temporaryFolder } from '../media';
import { randomOf } from '../random';

const never = new AbortController().signal;
const exec = promisify(execFile);

/** Files that are tried; TEST_RUNS=10 tries 300. */
const files = 30 * Number(process.env.TEST_RUNS ?? 1);
const seed = Number(process.env.TEST_SEED ?? 20261126);

const presets = builtInPresets.filter(({ id }) => id === 'mp3' || id === 'wav' || id === 'm4a');

describe('The audio-only upload of random files', function () {
  this.timeout(600_000);
  let root: Awaited<ReturnType<typeof temporaryFolder>>;

  before(async () => {
    root = await temporaryFolder('audio-only');
  });

  after(() => root.remove());

  it(`gives the same audio as the whole file: ${files} files, seed ${seed}`, async () => {
    const random = randomOf(seed);
    const ffprobe = await findFfprobe('');
    let reduced = 0;
    for (let index = 0; index < files; index++) {
      const { extension, args } = randomFile(random);
      const path = join(root.path, `${index}.${extension}`);
      const told = `seed ${seed}, file ${index}: ${args.join(' ')}`;
      const isMade = await ffmpeg(...args, path).then(
        () => true,
        () => false,
      );
      // A container that cannot hold the codec.
      if (!isMade) continue;
      const whole = readFileSync(path);
      const content: Content = {
        size: whole.length,
        read: async (position, length) => whole.subarray(position, position + length),
      };
      const probe = await probeMedia(content, {
        signal: never,
        ffprobe: ffprobe === undefined ? undefined : { program: ffprobe, path },
      });
      if (probe.audioOnly === undefined) continue;
      reduced++;
      const upload = new RangedContent(content, probe.audioOnly);
      const left = Buffer.from(await upload.read(0, upload.size));
      const preset = presets[index % presets.length];
      assert.ok(preset);
      const source = { uri: `file://${path}`, path, size: whole.length, modified: 0, media: probe.media };
      const [file] = plan({ sources: [source], preset }).files;
      assert.ok(file, told);
      const [expected, made] = [
        await outputOf(whole, file.nodeInput, file.commandLine, file.output.nodePath),
        await outputOf(left, file.nodeInput, file.commandLine, file.output.nodePath),
      ];
      assert.ok(expected.length > 0 && expected.equals(made), `${preset.id}, ${told}`);
      rmSync(path);
    }
    // Otherwise nothing was tried.
    assert.ok(reduced > files / 4, `seed ${seed}: ${reduced} of ${files} files were reduced`);
  });

  /** Runs a planned command on a node's folder, with the file under its name there. */
  async function outputOf(input: Buffer, name: string, commandLine: string, output: string): Promise<Buffer> {
    const folder = join(root.path, 'node');
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    writeFileSync(join(folder, name), input);
    const [program = '', ...args] = splitCommandLine(commandLine);
    await exec(program, args, { cwd: folder, maxBuffer: 64 * 1024 * 1024 });
    return readFileSync(join(folder, output));
  }
});

/** The arguments of ffmpeg that make a short MP4 or QuickTime file, of any kind that cameras and editors write. */
function randomFile(random: () => number): { extension: string; args: string[] } {
  const chance = (share: number) => random() < share;
  const one = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const number = (from: number, to: number) => from + random() * (to - from);
  const extension = one(['mp4', 'mov', 'm4v']);
  const inputs: string[] = [];
  const maps: string[] = [];
  const options: string[] = [];
  const input = (source: string) => {
    if (chance(0.2)) inputs.push('-itsoffset', number(-0.3, 0.5).toFixed(3));
    inputs.push('-f', 'lavfi', '-i', source);
  };
  const seconds = () => number(0.4, 2).toFixed(2);
  const kinds = ['v', ...Array.from({ length: chance(0.3) ? 2 : 1 }, () => 'a')];
  if (chance(0.3)) kinds.reverse();
  kinds.forEach((kind, index) => {
    const rate = one([8000, 22050, 32000, 44100, 48000]);
    input(
      kind === 'v'
        ? `testsrc2=size=320x180:rate=${one([12, 24, 25, '30000/1001', 50])}:duration=${seconds()}`
        : `sine=frequency=${Math.round(number(200, 2000))}:sample_rate=${rate}:duration=${seconds()}`,
    );
    maps.push('-map', String(index));
  });
  options.push('-c:v', one(['libx264', 'libx264', 'mpeg4', 'mjpeg']), '-q:v', '2', '-pix_fmt', 'yuvj420p');
  if (chance(0.5)) options.push('-bf', one(['0', '2', '3']));
  options.push(
    '-c:a',
    one(['aac', 'aac', 'aac', 'ac3', 'alac', 'libmp3lame', 'pcm_s16le', 'pcm_s24be', 'libopus']),
  );
  if (chance(0.3)) options.push('-ac', one(['1', '2', '6']));
  if (chance(0.4))
    options.push('-movflags', one(['+faststart', '+negative_cts_offsets', '+use_metadata_tags']));
  if (chance(0.2)) options.push('-use_editlist', one(['0', '1']));
  if (chance(0.2)) options.push('-max_interleave_delta', '0');
  if (chance(0.2)) options.push('-metadata', 'title=A title', '-metadata', 'comment=of a file');
  if (chance(0.15)) options.push('-timecode', '01:00:00:00');
  if (chance(0.15)) options.push('-video_track_timescale', one(['600', '90000', '30000']));
  if (chance(0.15)) options.push('-ss', number(0.05, 0.2).toFixed(3));
  return {
    extension,
    args: [...inputs, ...maps, ...options, '-preset', 'ultrafast', '-crf', '4', '-strict', '-2'],
  };
}
