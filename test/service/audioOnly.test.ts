import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import type { Bytes, Content } from '../../src/core/files/bytes';
import { audioOnlyLayout } from '../../src/core/media/parser/audioOnlyLayout';
import { RangedContent } from '../../src/core/media/parser/fileRanges';
import { probeMedia } from '../../src/core/media/probe/probeMedia';
import { builtInPresets } from '../../src/core/presets/builtIn';
import { commandOf, usesVideo } from '../../src/core/presets/ffmpegCommand';
import type { Preset } from '../../src/core/presets/preset';
import { withCommand } from '../../src/core/presets/presetText';
import { parseUserPreset } from '../../src/core/presets/userPreset';
import { Run } from '../../src/core/runs/run';
import { chanceOf } from '../chance';
import { ffmpeg, temporaryFolder } from '../media';
import { TestService } from './harness';
import { manifestOf, partsOf } from './runSetup';

const never = new AbortController().signal;

async function audioOnlyOf(file: Bytes, size: number): Promise<Content | undefined> {
  const layout = await audioOnlyLayout(file, size);
  return layout && new RangedContent(file, layout);
}
const exec = promisify(execFile);

/** Videos of two seconds by what is special about them, and the arguments that make them. */
const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25:duration=2'];
const tone = (frequency = 440, seconds = 2) => [
  ...['-f', 'lavfi', '-i', `sine=frequency=${frequency}:duration=${seconds}:sample_rate=48000`],
];
const x264 = ['-c:v', 'libx264', '-preset', 'veryfast', '-crf', '8', '-pix_fmt', 'yuv420p'];
const both = [...picture, ...tone(), ...x264];

const plain: Record<string, string[]> = {
  'tables last.mp4': [...both, '-c:a', 'aac'],
  'tables first.mp4': [...both, '-c:a', 'aac', '-movflags', '+faststart'],
  'titled.mp4': [...both, '-c:a', 'aac', '-metadata', 'title=A title', '-metadata', 'artist=Someone'],
  'no B-frames.mp4': [...both, '-bf', '0', '-c:a', 'aac'],
  'two chunks a second.mov': [...both, '-c:a', 'aac', '-max_interleave_delta', '0', '-g', '12'],
  'AC-3.mp4': [...both, '-c:a', 'ac3'],
  'ALAC.mov': [...both, '-c:a', 'alac'],
  'Opus.mp4': [...both, '-c:a', 'libopus'],
  'MP3.mp4': [...both, '-c:a', 'libmp3lame'],
  '16 bits.mov': [...both, '-c:a', 'pcm_s16le'],
  '24 bits, big-endian.mov': [...both, '-c:a', 'pcm_s24be'],
  'floats.mov': [...both, '-c:a', 'pcm_f32le'],
  'law.mov': [...both, '-c:a', 'pcm_mulaw', '-ar', '8000'],
  'short sound.mp4': [...picture, ...tone(440, 1), ...x264, '-c:a', 'aac'],
  'long sound.mp4': [...picture, ...tone(440, 3), ...x264, '-c:a', 'aac'],
  'late video.mp4': ['-itsoffset', '0.7', ...picture, ...tone(), ...x264, '-c:a', 'aac'],
  'two languages.mp4': [
    ...[...picture, ...tone(440), ...tone(880), '-map', '0:v', '-map', '1:a', '-map', '2:a', ...x264],
    ...['-c:a', 'aac', '-metadata:s:a:0', 'language=eng', '-metadata:s:a:1', 'language=zho'],
  ],
  'timecode.mov': [...both, '-c:a', 'pcm_s16le', '-timecode', '01:02:03:04'],
};

const notPlain: Record<string, string[]> = {
  'late sound.mp4': [...picture, '-itsoffset', '0.7', ...tone(), ...x264, '-c:a', 'aac'],
  'fragments.mp4': [...both, '-c:a', 'aac', '-movflags', '+frag_keyframe+empty_moov'],
  'early video.mp4': [
    ...[...both, '-bf', '2', '-c:a', 'aac'],
    ...['-use_editlist', '0', '-movflags', '+negative_cts_offsets'],
  ],
  'silent.mp4': [...picture, ...x264],
  'sound.m4a': [...tone(), '-c:a', 'aac'],
  'clip.mkv': [...both, '-c:a', 'aac'],
};

describe('The audio-only upload', function () {
  this.timeout(240_000);
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  const at = (name: string) => join(root.path, name);

  before(async () => {
    root = await temporaryFolder('audio-only');
    writeFileSync(at('words.srt'), '1\n00:00:00,200 --> 00:00:01,500\nHello there\n');
    writeFileSync(
      at('chapters.txt'),
      [
        ...[';FFMETADATA1', '[CHAPTER]', 'TIMEBASE=1/1000', 'START=0', 'END=1000', 'title=One'],
        ...['[CHAPTER]', 'TIMEBASE=1/1000', 'START=1000', 'END=2000', 'title=Two', ''],
      ].join('\n'),
    );
  });

  after(() => root.remove());

  /** The path of one of the videos, which is made when it is first needed. */
  async function videoPath(name: string): Promise<string> {
    const path = at(name);
    if (!existsSync(path)) await ffmpeg(...({ ...plain, ...notPlain }[name] ?? []), path);
    return path;
  }

  const bytesOf = (content: Buffer) => ({
    read: async (position: number, length: number) => content.subarray(position, position + length),
  });

  async function leftOf(content: Buffer): Promise<Buffer | undefined> {
    const left = await audioOnlyOf(bytesOf(content), content.length);
    if (left === undefined) return undefined;
    const whole = Buffer.from(await left.read(0, left.size));
    assert.equal(whole.length, left.size);
    return whole;
  }

  /** The output of a preset; by default without the random numbers of Ogg files. */
  async function madeOf(
    preset: Preset,
    input: string,
    track = 0,
    options = ['-fflags', '+bitexact'],
  ): Promise<Buffer> {
    const output = at(`out.${preset.extension}`);
    const outputs = [{ name: output, audio: { kind: 'track' as const, index: track } }];
    const [, ...args] = commandOf(preset, { nodeInput: input, outputs });
    await exec('ffmpeg', [...args.slice(0, -1), ...options, output], { cwd: root.path });
    return readFile(output);
  }

  const soundPresets = builtInPresets.filter(({ needs }) => needs === 'audio');

  /** Asserts that every preset makes the same output of the audio-only file, to the bit. */
  async function mustBeAsGood(source: string, presets = soundPresets, track = 0) {
    const whole = readFileSync(source);
    const left = await leftOf(whole);
    assert.ok(left, 'something is left out');
    assert.ok(left.length < whole.length * 0.9, `${left.length} of ${whole.length} bytes`);
    const reduced = at(`left${source.slice(source.lastIndexOf('.'))}`);
    writeFileSync(reduced, left);
    for (const preset of presets) {
      const [expected, made] = [await madeOf(preset, source, track), await madeOf(preset, reduced, track)];
      assert.ok(expected.length > 0);
      assert.ok(expected.equals(made), `${preset.id}: ${expected.length} and ${made.length} bytes`);
    }
  }

  for (const name of Object.keys(plain)) {
    it(`gives the same audio: ${name}`, async () => {
      await mustBeAsGood(await videoPath(name));
    });
  }

  it('keeps the order of the audio tracks', async () => {
    await mustBeAsGood(await videoPath('two languages.mp4'), soundPresets.slice(0, 1), 1);
  });

  it('keeps subtitles, chapters and the cover', async () => {
    await ffmpeg(
      ...[...picture, ...tone(), '-i', at('words.srt'), '-i', at('chapters.txt'), '-map_metadata', '3'],
      ...[...x264, '-c:a', 'aac', '-c:s', 'mov_text', at('chapters.mp4')],
    );
    const subtitles = builtInPresets.filter(({ id }) => ['mp3', 'm4a', 'subtitles'].includes(id));
    await mustBeAsGood(at('chapters.mp4'), subtitles);
    await ffmpeg('-f', 'lavfi', '-i', 'color=red:size=300x300', '-frames:v', '1', at('cover.jpg'));
    await ffmpeg(
      ...[
        '-i',
        await videoPath('tables last.mp4'),
        '-i',
        at('cover.jpg'),
        '-map',
        '0',
        '-map',
        '1',
        '-c',
        'copy',
      ],
      ...['-disposition:v:1', 'attached_pic', at('covered.mp4')],
    );
    await mustBeAsGood(at('covered.mp4'), soundPresets.slice(0, 2));
    const left = await leftOf(readFileSync(at('covered.mp4')));
    assert.ok(left?.includes('covr'));
  });

  for (const name of Object.keys(notPlain)) {
    it(`uploads the whole file: ${name}`, async () => {
      assert.equal(await leftOf(readFileSync(await videoPath(name))), undefined);
    });
  }

  it('uploads the whole file if it was cut off, or refers to another file', async () => {
    copyFileSync(await videoPath('tables first.mp4'), at('cut.mp4'));
    truncateSync(at('cut.mp4'), readFileSync(at('cut.mp4')).length - 5_000);
    assert.equal(await leftOf(readFileSync(at('cut.mp4'))), undefined);
    const elsewhere = readFileSync(await videoPath('tables last.mp4'));
    const flag = elsewhere.indexOf('url \0\0\0\x01', 0, 'latin1') + 7;
    elsewhere[flag] = 0;
    assert.equal(await leftOf(elsewhere), undefined);
  });

  it('gives the same bytes in reads of any size as in one', async () => {
    const whole = readFileSync(await videoPath('16 bits.mov'));
    const content = await audioOnlyOf(bytesOf(whole), whole.length);
    assert.ok(content);
    const expected = Buffer.from(await content.read(0, content.size));
    await fc.assert(
      fc.asyncProperty(
        fc.nat(content.size + 10),
        fc.integer({ min: 0, max: content.size }),
        fc.boolean(),
        async (position, length, isInto) => {
          const into = isInto ? new Uint8Array(length + 3) : undefined;
          const read = await content.read(position, length, into);
          assert.ok(expected.subarray(position, position + length).equals(read));
          if (into) assert.equal(read.buffer, into.buffer);
        },
      ),
      chanceOf(200),
    );
  });

  it('survives tables that are damaged in any way', async () => {
    const whole = readFileSync(await videoPath('tables first.mp4'));
    const tables = whole.indexOf('mdat', 0, 'latin1');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(tables), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        async (damage) => {
          const damaged = Buffer.from(whole);
          for (const [position, value] of damage) damaged[position] = value;
          const left = await audioOnlyOf(bytesOf(damaged), damaged.length);
          if (left) assert.equal((await left.read(0, left.size)).length, left.size);
        },
      ),
      chanceOf(300),
    );
  });

  it('returns fewer bytes of a file that becomes shorter', async () => {
    const whole = readFileSync(await videoPath('16 bits.mov'));
    let length = whole.length;
    const shrinking = {
      read: async (position: number, count: number) =>
        whole.subarray(position, Math.min(position + count, length)),
    };
    const content = await audioOnlyOf(shrinking, whole.length);
    assert.ok(content);
    length = Math.floor(length / 2);
    assert.ok((await content.read(0, content.size)).length < content.size);
  });

  it('is for commands that use no video', () => {
    const blind = builtInPresets.filter((preset) => !usesVideo(preset)).map(({ id }) => id);
    assert.deepEqual(blind, [
      'mp3',
      'm4a',
      'opus',
      'flac',
      'wav',
      'speech',
      'speech-recognition',
      'subtitles',
    ]);
    const [mp3] = builtInPresets as [Preset];
    const of = (command: string) => usesVideo(withCommand(mp3, command));
    assert.equal(of('ffmpeg -i ${input} -map 0:a -c:a libmp3lame -q:a 2 ${output}'), false);
    for (const command of [
      'ffmpeg -i ${input} ${output}',
      'ffmpeg -i ${input} -map 0:v -c copy ${output}',
      'ffmpeg -i ${input} -map 0 -c:a aac ${output}',
      'ffmpeg -i ${input} -map 0:a -map_metadata 0:s:v:0 ${output}',
      'ffmpeg -i ${input} -map 0:a -filter_complex [0:v]null[v] -map [v] ${output}',
      'ffmpeg -i ${input} -map 0:a -af amovie=${input}:s=v ${output}',
      'ffmpeg -i ${input} -map 0:a ${output} -map 0:v other.mp4',
      'ffmpeg -ss 1 -i ${input} -map 0:a ${output}',
    ]) {
      assert.equal(of(command), true, command);
    }
    const own = {
      name: 'Own',
      arguments: ['-i', '${input}', '-map', '0:a:0', '${output}'],
      extension: 'ogg',
    };
    assert.equal(usesVideo(parseUserPreset(own)), false);
  });

  describe('in a run', () => {
    let service: TestService;
    before(async () => {
      service = await TestService.start();
    });
    after(() => service.close());

    it('uploads the audio only, and the whole file after a failed task', async () => {
      const folder = at('run');
      await mkdir(folder);
      const source = join(folder, 'clip.mp4');
      copyFileSync(await videoPath('tables last.mp4'), source);
      const size = readFileSync(source).length;
      const { parts, steps } = partsOf(service);
      const manifest = await manifestOf([source]);
      const run = await Run.create(parts, manifest, never);
      await run.advance('uploaded', never);
      const uploaded = async () => {
        const container = run.manifest.attempts.at(-1)?.inputContainer ?? '';
        for await (const blob of parts.storage.blobs(container, { signal: never })) return blob;
        return undefined;
      };
      const blob = await uploaded();
      assert.equal(blob?.size, manifest.files[0]?.audioOnlyBytes);
      assert.ok((blob?.size ?? size) < size / 2);
      assert.equal(run.progress.upload.bytes, blob?.size);
      assert.equal(run.progress.upload.bytesTotal, blob?.size);
      assert.ok(
        steps.some((step) => step.kind === 'picturesLeft' && step.bytes === blob?.size && step.of === size),
      );
      await run.advance('uploaded', never);
      assert.ok(steps.some(({ kind }) => kind === 'alreadyUploaded'));
      // Of a task that failed on its input.
      const [file] = run.manifest.files;
      assert.ok(file);
      run.state.settle(file, { problem: { kind: 'transcodeFailed', file: file.path }, failedAt: 'task' });
      await run.retry(['0001'], never);
      await run.advance('uploaded', never);
      assert.equal((await uploaded())?.size, size);
      const summary = await run.advance('fetched', never);
      assert.equal(summary.succeeded, 1);
      await run.close();
    });

    it('uploads the whole file for a preset that uses video', async () => {
      const source = await videoPath('tables last.mp4');
      const { parts } = partsOf(service);
      const manifest = await manifestOf([source], { preset: 'thumbnail' });
      assert.equal(manifest.files[0]?.audioOnlyBytes, undefined);
      const run = await Run.create(parts, manifest, never);
      assert.equal((await run.advance('uploaded', never)).failed, 0);
      assert.equal(run.progress.upload.bytes, readFileSync(source).length);
      await run.close();
    });

    it('uploads audio that is larger than a block', async () => {
      const folder = at('large');
      await mkdir(folder);
      const source = join(folder, 'clip.mov');
      await ffmpeg(
        ...['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25:duration=60', ...tone(440, 60), ...x264],
        ...['-crf', '12', '-c:a', 'pcm_s32le', '-ac', '2', source],
      );
      const { parts } = partsOf(service);
      const manifest = await manifestOf([source]);
      assert.ok((manifest.files[0]?.audioOnlyBytes ?? 0) > 16 * 1024 * 1024);
      const run = await Run.create(parts, manifest, never);
      const summary = await run.advance('fetched', never);
      assert.equal(summary.succeeded, 1);
      const [mp3] = builtInPresets as [Preset];
      const expected = await madeOf(mp3, source, 0, []);
      assert.ok(readFileSync(join(folder, 'clip.mp3')).equals(expected));
      await run.close();
    });
  });

  it('has the size that the probe reports', async () => {
    const whole = Buffer.concat([readFileSync(await videoPath('tables last.mp4'))]);
    const file = { ...bytesOf(whole), size: whole.length };
    assert.equal(
      (await probeMedia(file, { signal: never })).media?.audioOnlyBytes,
      (await leftOf(whole))?.length,
    );
    const noise = { ...file, ...bytesOf(randomBytes(50_000)) };
    assert.equal((await probeMedia(noise, { signal: never })).media?.audioOnlyBytes, undefined);
  });
});
