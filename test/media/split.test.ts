import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ffmpeg, temporaryFolder } from '../media';
import { compare, describeOutput } from '../outputs';
import { preset } from '../presets';
import { type Edit, withEdits } from './patches';
import { transcodeBoth } from './splitRun';

const seconds = 5;
const picture = (rate = 25) => [
  ...['-f', 'lavfi', '-i', `testsrc2=size=160x90:rate=${rate}:duration=${seconds}`],
];
const tone = ['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${seconds}`];
const both = [...picture(), ...tone];
const h264 = ['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-g', '25'];
const realtime = ['-deadline', 'realtime', '-cpu-used', '8', '-g', '25'];
const leading = 'log-level=0:open-gop=0:radl=2:bframes=4:b-adapt=0:keyint=25';

/** Videos that are cut, by name: arguments of ffmpeg. */
const cutSources: Readonly<Record<string, readonly string[]>> = {
  'av1.mp4': [...both, '-c:v', 'libsvtav1', '-preset', '12', '-g', '25', '-c:a', 'aac'],
  'av1.webm': [...both, '-c:v', 'libsvtav1', '-preset', '12', '-g', '25', '-c:a', 'libopus'],
  'alpha.webm': [
    ...[...both, '-vf', 'format=yuva420p', '-c:v', 'libvpx-vp9', ...realtime, '-auto-alt-ref', '0'],
    ...['-c:a', 'libvorbis'],
  ],
  'prores.mov': [...both, '-c:v', 'prores_ks', '-profile:v', '1', '-c:a', 'pcm_s24le'],
  'motion-jpeg.mov': [...both, '-c:v', 'mjpeg', '-q:v', '3', '-c:a', 'pcm_s16le'],
  'leading.mkv': [...both, '-c:v', 'libx265', '-preset', 'fast', '-x265-params', leading, '-c:a', 'aac'],
  // The decoding times of its key frames are more than 0.1 seconds before those of the next frames.
  'variable.ts': [
    ...[...both, '-vf', "select='not(mod(n,3))+not(mod(n,5))'", '-vsync', 'vfr'],
    ...[...h264, '-g', '10', '-c:a', 'aac'],
  ],
  'camcorder.m2ts': [...both, ...h264, '-c:a', 'ac3', '-f', 'mpegts', '-mpegts_m2ts_mode', '1'],
  // An audio track that isn't used begins first, and a table of the network comes before that of the program.
  'early-track.ts': [
    ...['-itsoffset', '0.7', ...picture(), '-itsoffset', '0.6', ...tone, ...tone],
    ...[...['-map', '0', '-map', '1', '-map', '2', '-vsync', 'vfr'], ...h264, '-c:a', 'mp2'],
    ...['-mpegts_flags', '+nit'],
  ],
  // The clock wraps between a key frame and the next.
  'wrapping.ts': [...both, ...h264, '-c:a', 'aac', '-output_ts_offset', '95440'],
};

/** Videos that stay whole, and why. */
const wholeSources: Readonly<Record<string, readonly [reason: string, args: readonly string[]]>> = {
  'motion-jpeg.avi': ['format', [...both, '-c:v', 'mjpeg', '-q:v', '3', '-c:a', 'pcm_s16le']],
  'program.mpg': ['format', [...both, '-c:v', 'mpeg2video', '-q:v', '3', '-c:a', 'mp2']],
  'camera.mxf': ['format', [...both, '-c:v', 'mpeg2video', '-q:v', '3', '-c:a', 'pcm_s16le']],
  'programs.ts': [
    'format',
    [
      ...[...picture(), ...both, '-map', '0', '-map', '1', '-map', '2', ...h264, '-c:a', 'mp2'],
      ...['-program', 'title=A:st=1:st=2', '-program', 'title=B:st=0'],
    ],
  ],
  'open-hevc.ts': [
    'openGop',
    [
      ...[...both, '-c:v', 'libx265', '-preset', 'ultrafast', '-c:a', 'aac'],
      ...['-x265-params', 'log-level=0:open-gop=1:bframes=4:keyint=25'],
    ],
  ],
};

describe('A video in parts', function () {
  this.timeout(120_000);
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;

  before(async () => {
    folder = await temporaryFolder('parts');
  });
  after(() => folder.remove());

  async function transcode(name: string, args: readonly string[]) {
    const source = await ffmpeg(...args, join(folder.path, name));
    return transcodeBoth(source, join(folder.path, `${name} outputs`), preset('h264-480p'), 1.5);
  }

  for (const [name, args] of Object.entries(cutSources)) {
    it(`has the frames, times and audio of the whole ${name}`, async () => {
      const { whole, joined, reason } = await transcode(name, args);
      assert.ok(joined && joined.parts > 1, reason);
      const differences = compare(name, await describeOutput(whole), await describeOutput(joined.path));
      assert.deepEqual(differences, []);
    });
  }

  it('has the frames, times and audio of an MP4 of which an edit list shows a part', async () => {
    const source = await ffmpeg(...both, ...h264, '-c:a', 'aac', join(folder.path, 'edited.mp4'));
    // A frame has 512 units of the track. Parts of 1.5 seconds before and after the edit contain nothing that is shown.
    const lists: Readonly<Record<string, readonly Edit[]>> = {
      'to 2.2 s.mp4': [[2200, 1024]],
      'from 2.4 to 4.4 s.mp4': [[2000, 1024 + 512 * 60]],
      'late, from 0.4 to 3.4 s.mp4': [
        [700, -1],
        [3000, 1024 + 512 * 10],
      ],
    };
    for (const [name, edits] of Object.entries(lists)) {
      const path = join(folder.path, name);
      await writeFile(path, withEdits(await readFile(source), edits));
      const { whole, joined, reason } = await transcodeBoth(
        path,
        join(folder.path, `${name} outputs`),
        preset('h264-480p'),
        1,
      );
      assert.ok(joined && joined.parts > 1, `${name}: ${reason}`);
      assert.deepEqual(compare(name, await describeOutput(whole), await describeOutput(joined.path)), []);
    }
  });

  it('has the frames, times and audio of a transport stream with parity bytes', async () => {
    const source = await ffmpeg(...both, ...h264, '-c:a', 'aac', join(folder.path, 'plain.ts'));
    const bytes = await readFile(source);
    const path = join(folder.path, 'parity.ts');
    const packets = Array.from({ length: bytes.length / 188 }, (_, index) =>
      Buffer.concat([bytes.subarray(188 * index, 188 * index + 188), Buffer.alloc(16)]),
    );
    await writeFile(path, Buffer.concat(packets));
    const { whole, joined, reason } = await transcodeBoth(path, `${path} outputs`, preset('h264-480p'), 1.5);
    assert.ok(joined && joined.parts > 1, reason);
    assert.deepEqual(compare(path, await describeOutput(whole), await describeOutput(joined.path)), []);
  });

  it('has every frame where the size changes in the middle of a part', async () => {
    const part = (index: number, size: string, ...options: readonly string[]) =>
      ffmpeg(
        ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=25:duration=3`, ...h264, '-bf', '0', ...options],
        join(folder.path, `size ${index}.ts`),
      );
    const parts = [await part(1, '96x64'), await part(2, '64x96', '-output_ts_offset', '3')];
    const path = join(folder.path, 'size.ts');
    await writeFile(path, Buffer.concat(await Promise.all(parts.map((one) => readFile(one)))));
    const copy = await ffmpeg('-i', path, '-c', 'copy', join(folder.path, 'size.mp4'));
    for (const source of [path, copy]) {
      const { joined, reason } = await transcodeBoth(source, `${source} outputs`, preset('h264-480p'), 1.7);
      assert.ok(joined && joined.parts > 1, reason);
      const { times, stream } = await describeOutput(joined.path);
      assert.deepEqual([times.length, stream.width, stream.height], [150, 96, 64], source);
      const gaps = times.map((time, index) => time - (times[index - 1] ?? time - 0.04));
      assert.ok(
        gaps.every((gap) => Math.abs(gap - 0.04) < 0.011),
        `${source}: ${Math.max(...gaps)}`,
      );
    }
  });

  it('stays whole if an edit list joins parts', async () => {
    const source = await ffmpeg(...both, ...h264, '-c:a', 'aac', join(folder.path, 'unedited.mp4'));
    const path = join(folder.path, 'joined.mp4');
    const edits: readonly Edit[] = [
      [2000, 1024],
      [2000, 1024 + 512 * 75],
    ];
    await writeFile(path, withEdits(await readFile(source), edits));
    const { whole, ...made } = await transcodeBoth(path, `${path} outputs`, preset('h264-480p'), 1);
    assert.deepEqual(made, { reason: 'edits' });
    assert.equal((await describeOutput(whole)).times.length, 100);
  });

  for (const [name, [reason, args]] of Object.entries(wholeSources)) {
    it(`stays whole if it is ${name}`, async () => {
      const { whole, ...made } = await transcode(name, args);
      assert.deepEqual(made, { reason });
      assert.equal((await describeOutput(whole)).times.length, 25 * seconds);
    });
  }
});
