import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { adaptationsOf } from '../../src/core/presets/adaptations';
import { ffmpeg, temporaryFolder } from '../media';
import { preset } from '../presets';
import { Matrix } from './matrix';
import { withCover, withoutLengths, withZeroMatrix } from './patches';
import { provenOutput } from './provenOutput';

const run = promisify(execFile);
const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=2'];
const tone = ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=2:sample_rate=48000'];
const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];

describe('Misleading sources', function () {
  this.timeout(120_000);
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let matrix: Matrix;

  before(async () => {
    root = await temporaryFolder('misleading');
    matrix = new Matrix(root.path);
  });
  after(() => root.remove());

  const made = (name: string, ...args: readonly string[]) => ffmpeg(...args, matrix.path(name));

  /** A changed video. */
  async function changed(name: string, change: (bytes: Buffer) => Buffer): Promise<string> {
    const path = matrix.path(name);
    writeFileSync(path, change(readFileSync(await made(`before ${name}`, ...picture, ...tone, ...x264))));
    return path;
  }

  it('whose sample rate changes are as long as before, or lack what the problem says', async () => {
    const long = ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=4:sample_rate=48000'];
    for (const [name, ...rates] of [
      ['falling.mp3', 48_000, 24_000],
      ['rising.mp3', 24_000, 48_000],
      ['falling.aac', 44_100, 22_050],
      ['rising.aac', 22_050, 44_100],
    ] as const) {
      const headers = name.endsWith('.mp3') ? ['-write_xing', '0', '-id3v2_version', '0'] : [];
      const parts = await Promise.all(
        rates.map((rate) => made(`${rate} ${name}`, ...long, '-ar', String(rate), ...headers)),
      );
      const path = matrix.path(name);
      writeFileSync(path, Buffer.concat(parts.map((one) => readFileSync(one))));
      for (const id of ['flac', 'm4a', 'opus']) {
        const { problem, seconds } = await provenOutput(matrix, path, id, name);
        assert.equal(problem, undefined, `${name} to ${id}`);
        assert.ok(Math.abs((seconds ?? 0) - 8) < 0.2, `${name} to ${id}: ${seconds} s`);
      }
      const { problem } = await provenOutput(matrix, path, 'speech', name);
      assert.equal(problem?.kind, 'channelsChange', name);
    }
  });

  it('whose headers say that their length is not known are copied as they are', async () => {
    const path = await changed('not stated.mp4', withoutLengths);
    for (const withFfprobe of [true, false]) {
      const media = await matrix.media(path, withFfprobe);
      assert.ok(Math.abs((media.seconds ?? 0) - 2) < 0.1, `${media.seconds} s`);
      assert.deepEqual(adaptationsOf(preset('remux'), media, { kind: 'track', index: 0 }), []);
    }
  });

  it('with a matrix that turns nothing keep their shape', async () => {
    const path = await changed('zeros.mp4', withZeroMatrix);
    const output = await matrix.make(preset('h264-480p'), path, await matrix.media(path));
    const [video] = (await matrix.output(output)).streams;
    assert.deepEqual([video?.width, video?.height], [160, 90]);
  });

  it('of which MP4 takes no copy, although it has their codec, are re-encoded', async () => {
    for (const [name, ...args] of [
      ['slow.mp3', '-ar', '8000'],
      ['message.caf', '-c:a', 'libopus'],
    ] as const) {
      const path = await made(name, ...tone, ...args);
      const { problem, seconds } = await provenOutput(matrix, path, 'remux', name);
      assert.equal(problem, undefined, name);
      assert.ok(Math.abs((seconds ?? 0) - 2) < 0.1, `${name}: ${seconds} s`);
    }
  });

  it('that say PCM and hold DTS get a layout that players support', async () => {
    const dts = await made('six.dts', ...tone, '-ac', '6', '-c:a', 'dca', '-strict', '-2');
    const wave = readFileSync(await made('two.wav', ...tone, '-ac', '2'));
    const path = matrix.path('dts.wav');
    writeFileSync(path, Buffer.concat([wave.subarray(0, wave.indexOf('data') + 8), readFileSync(dts)]));
    for (const id of ['opus', 'm4a']) {
      const output = await matrix.make(preset(id), path, await matrix.media(path));
      assert.equal((await matrix.output(output)).streams[0]?.channel_layout, '5.1', id);
    }
  });

  it('of 768 kHz are made into FLAC of half of it', async () => {
    const path = await made('fast.wav', '-f', 'lavfi', '-i', 'sine=duration=0.2:sample_rate=768000');
    const output = await matrix.make(preset('flac'), path, await matrix.media(path, false));
    assert.equal((await matrix.output(output)).streams[0]?.sample_rate, '384000');
  });

  it('of a recording to a pipe, which states no length, come without a warning', async () => {
    const wave = readFileSync(await made('piped.wav', ...tone, '-c:a', 'pcm_s24le'));
    wave.writeUInt32LE(0xffffffff, wave.indexOf('data') + 4);
    const path = matrix.path('open end.wav');
    writeFileSync(path, wave);
    const { problem, warning } = await provenOutput(matrix, path, 'mp3', 'open end');
    assert.deepEqual([problem, warning], [undefined, undefined]);
  });

  it('that are two Matroska files joined byte by byte are known to be as long as both', async () => {
    const one = readFileSync(await made('one.mkv', ...picture, ...tone, ...x264));
    const path = matrix.path('joined.mkv');
    writeFileSync(path, Buffer.concat([one, one]));
    for (const id of ['h264-480p', 'remux', 'mp3']) {
      const { problem } = await provenOutput(matrix, path, id, 'joined');
      assert.equal(problem?.kind, 'outputDamaged', id);
    }
  });

  it('with audio that begins late in AVI, whose header counts it from the beginning, are whole', async () => {
    const args = [...picture, '-itsoffset', '1', ...tone, '-t', '2', '-c:v', 'mpeg4', '-c:a', 'libmp3lame'];
    const path = await made('late.avi', ...args);
    assert.equal((await provenOutput(matrix, path, 'mp3', 'late')).problem, undefined);
  });

  it('whose clock does not begin at 0 are not longer for it', async () => {
    for (const name of ['later.ts', 'later.mkv']) {
      const path = await made(name, ...picture, ...tone, ...x264, '-output_ts_offset', '100');
      for (const withFfprobe of [true, false]) {
        const { seconds = 0 } = await matrix.media(path, withFfprobe);
        assert.ok(Math.abs(seconds - 2) < 0.1, `${name}: ${seconds} s`);
      }
    }
  });

  it('with a damaged key frame have a thumbnail, and a warning', async () => {
    const whole = readFileSync(await made('whole.mkv', ...picture, ...tone, ...x264, '-g', '10'));
    const path = matrix.path('damaged key frame.mkv');
    const { stdout } = await run('ffprobe', [
      ...['-v', 'error', '-select_streams', 'v', '-show_entries', 'packet=pos,size,flags', '-of', 'csv=p=0'],
      matrix.path('whole.mkv'),
    ]);
    const keys = stdout.split('\n').filter((line) => line.includes('K'));
    const [size = 0, position = 0] = (keys[2] ?? '').split(',').map(Number);
    whole.fill(0x55, position + Math.floor(size / 2), position + size - 20);
    writeFileSync(path, whole);
    const { problem, warning } = await provenOutput(matrix, path, 'thumbnail', 'damaged key frame');
    assert.deepEqual([problem, warning?.kind], [undefined, 'sourceDamaged']);
  });

  it('with a cover of another type than the tag states keep it, and lose a damaged one', async () => {
    const mp3 = readFileSync(await made('plain.mp3', ...tone));
    const jpeg = readFileSync(
      await made('cover.jpg', '-f', 'lavfi', '-i', 'color=red:size=32x32', '-frames:v', '1'),
    );
    for (const [name, content, type, covers] of [
      ['mislabeled.mp3', jpeg, 'image/png', 1],
      ['damaged.mp3', jpeg.subarray(0, 20), 'image/jpeg', 0],
      ['empty.mp3', Buffer.alloc(0), 'image/png', 0],
      ['linked.mp3', Buffer.from('http://localhost/cover.jpg'), '-->', 0],
    ] as const) {
      const path = matrix.path(name);
      writeFileSync(path, withCover(mp3, content, type));
      for (const withFfprobe of [true, false]) {
        const media = await matrix.media(path, withFfprobe);
        for (const id of ['mp3', 'm4a']) {
          const output = await matrix.make(preset(id), path, media, undefined, name);
          const { streams } = await matrix.output(output);
          assert.equal(streams.length, 1 + covers, `${name} to ${id}`);
        }
      }
    }
  });
});
