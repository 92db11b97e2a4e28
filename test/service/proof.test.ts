import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Problem } from '../../src/core/errors';
import type { Preset } from '../../src/core/presets/preset';
import { parseUserPreset } from '../../src/core/presets/userPreset';
import { Run } from '../../src/core/runs/run';
import { ffmpeg, probe, temporaryFolder } from '../media';
import { randomOf } from '../random';
import { TestService } from './harness';
import { manifestOf, partsOf } from './runSetup';

const never = new AbortController().signal;
const picture = (seconds = 4) => [
  ...['-f', 'lavfi', '-i', `testsrc2=size=160x90:rate=25:duration=${seconds}`],
];
const tone = (seconds = 4, frequency = 440) => [
  ...['-f', 'lavfi', '-i', `sine=frequency=${frequency}:duration=${seconds}:sample_rate=44100`],
];
const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '25'];
const both = [...picture(), ...tone()];

/** Files of four seconds, by name, and the arguments that make them. */
const sources: Record<string, string[]> = {
  'clip.avi': [...both, '-c:v', 'mpeg4', '-c:a', 'libmp3lame'],
  'clip.flv': [...both, '-c:v', 'flv1', '-c:a', 'libmp3lame'],
  'clip.wmv': [...both, '-c:v', 'wmv2', '-c:a', 'wmav2'],
  'clip.wma': [...tone(), '-c:a', 'wmav2'],
  'clip.mxf': [...both, '-c:v', 'mpeg2video', '-ar', '48000', '-c:a', 'pcm_s16le'],
  'clip.wav': tone(),
  'clip.w64': tone(),
  'clip.aiff': tone(),
  'clip.au': tone(),
  'clip.caf': tone(),
  'clip.tta': tone(),
  'clip.wv': tone(),
  'clip.flac': tone(),
  'clip.mp3': tone(),
  'clip.mp4': [...both, ...x264, '-c:a', 'aac', '-movflags', '+faststart'],
  'clip.mkv': [...both, ...x264, '-c:a', 'aac'],
};

interface Outcome {
  readonly output: string;
  readonly problem?: Problem;
  readonly warnings: readonly Problem[];
}

/** Seconds of silence at the beginning of a file. */
async function firstSound(path: string): Promise<number> {
  const { stderr } = await promisify(execFile)('ffmpeg', [
    ...['-hide_banner', '-nostdin', '-i', path, '-map', '0:a', '-af', 'silencedetect=noise=-30dB:d=0.1'],
    ...['-f', 'null', '-'],
  ]);
  return Number(/silence_end: ([\d.]+)/.exec(stderr)?.[1]);
}

describe('The proof of an output', function () {
  this.timeout(240_000);
  let service: TestService;
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  const at = (name: string) => join(root.path, name);

  before(async () => {
    service = await TestService.start();
    root = await temporaryFolder('proof');
  });

  after(async () => {
    await service.close();
    await root.remove();
  });

  const made = new Map<string, Promise<string>>();

  /** The path of a source, which is made when it is first needed. */
  function source(name: string): Promise<string> {
    const making = made.get(name) ?? ffmpeg(...(sources[name] ?? []), at(name));
    made.set(name, making);
    return making;
  }

  /** The first part of a file, under another name. */
  async function cut(name: string, share = 0.5): Promise<string> {
    const whole = await source(name);
    const path = at(`cut-${name}`);
    writeFileSync(path, readFileSync(whole));
    truncateSync(path, Math.floor(readFileSync(whole).length * share));
    return path;
  }

  /** Overwrites a share in the middle of a file with noise. */
  async function withHole(name: string, share: number): Promise<string> {
    const bytes = readFileSync(await source(name));
    const random = randomOf(7);
    const from = Math.floor(bytes.length * 0.6);
    const to = from + Math.floor(bytes.length * share);
    for (let index = from; index < to; index++) bytes[index] = Math.floor(random() * 256);
    const path = at(`hole-${share}-${name}`);
    writeFileSync(path, bytes);
    return path;
  }

  async function transcode(paths: readonly string[], preset: string | Preset = 'mp3'): Promise<Outcome[]> {
    const { parts, steps } = partsOf(service);
    const run = await Run.create(parts, await manifestOf(paths, { preset }), never);
    await run.advance('fetched', never);
    await run.close();
    const { files, refused } = run.manifest;
    return paths.map((path) => {
      const file = files.find(({ uri }) => decodeURIComponent(uri).endsWith(path));
      const result = file && run.results.get(file.id);
      const output = result?.outputUri && decodeURIComponent(new URL(result.outputUri).pathname);
      const problem =
        result?.problem ?? refused.find(({ uri }) => decodeURIComponent(uri).endsWith(path))?.problem;
      const warnings = steps.flatMap((step) => {
        const isOwn = step.kind === 'trouble' && 'file' in step.problem && step.problem.file === file?.path;
        return isOwn ? [step.problem] : [];
      });
      return { output: output ?? '', problem, warnings };
    });
  }

  /** Whether a problem states the actual and the expected length, or that the source is incomplete. */
  function isIncomplete(problem: Problem | undefined): boolean {
    if (problem?.kind === 'cutOff' || problem?.kind === 'transcodeFailed') return true;
    if (problem?.kind === 'sourceDamaged') return (problem.share ?? 0) > 0.2;
    if (problem?.kind !== 'outputDamaged') return false;
    const { expectedSeconds = 0, actualSeconds = 0 } = problem;
    return Math.abs(expectedSeconds - 4) < 0.3 && actualSeconds < 3.3;
  }

  it('distinguishes half a file of any format from a whole one', async () => {
    const names = Object.keys(sources);
    const paths = await Promise.all(names.flatMap((name) => [source(name), cut(name)]));
    const outcomes = await transcode(paths);
    names.forEach((name, index) => {
      const [whole, half] = outcomes.slice(2 * index, 2 * index + 2);
      assert.equal(whole?.problem, undefined, `${name}: ${JSON.stringify(whole?.problem)}`);
      assert.ok(isIncomplete(half?.problem), `${name}: ${JSON.stringify(half?.problem)}`);
    });
  });

  it('distinguishes half a video from a whole one, also as HLS and copied', async () => {
    for (const preset of ['h264-480p', 'hls', 'remux']) {
      const paths = await Promise.all(['clip.mp4', 'clip.mkv'].map((name) => cut(name)));
      for (const [index, { problem }] of (await transcode(paths, preset)).entries()) {
        assert.ok(isIncomplete(problem), `${preset} ${paths[index]}: ${JSON.stringify(problem)}`);
      }
    }
  });

  it('accepts an output that is longer than a header claims', async () => {
    const parts = [tone(1, 440), tone(3, 880)];
    for (const extension of ['mp3', 'ts']) {
      const encoding = extension === 'ts' ? ['-c:a', 'aac', '-f', 'mpegts'] : [];
      const made = await Promise.all(
        parts.map((part, index) => ffmpeg(...part, ...encoding, at(`part${index}.${extension}`))),
      );
      writeFileSync(at(`joined.${extension}`), Buffer.concat(made.map((path) => readFileSync(path))));
    }
    const [mp3, ts] = await transcode([at('joined.mp3'), at('joined.ts')], 'wav');
    assert.equal(mp3?.problem, undefined);
    assert.equal(ts?.problem, undefined);
    assert.ok(Math.abs((await probe(mp3?.output ?? '')).seconds - 4) < 0.2);
  });

  it('reports a hole in the middle of a source, and warns of a small one', async () => {
    for (const preset of ['mp3', 'h264-480p', 'hls']) {
      const names = ['clip.mp4', 'clip.mkv'];
      const paths = await Promise.all(names.map((name) => withHole(name, 0.2)));
      for (const [index, { problem }] of (await transcode(paths, preset)).entries()) {
        const isReported = problem?.kind === 'sourceDamaged' || isIncomplete(problem);
        assert.ok(isReported, `${preset} ${names[index]}: ${JSON.stringify(problem)}`);
      }
    }
    const [small] = await transcode([await withHole('clip.mp4', 0.003)], 'h264-480p');
    assert.equal(small?.problem, undefined, JSON.stringify(small?.problem));
    assert.deepEqual(
      small?.warnings.map(({ kind }) => kind),
      ['sourceDamaged'],
    );
  });

  it('keeps audio in step with the video after a gap of 60 ms', async () => {
    // A fragmented recording whose second audio frame comes late, and a picture and a tone burst at the same time.
    const path = at('gap.mkv');
    await ffmpeg(
      ...[
        '-f',
        'lavfi',
        '-i',
        'color=black:size=160x90:rate=50:duration=4,drawbox=c=white:t=fill:enable=gte(t\\,2)',
      ],
      ...['-f', 'lavfi', '-i', "aevalsrc='if(gte(t,2),0.5*sin(2*PI*440*t),0)':s=48000:d=4"],
      ...['-af', 'asetpts=if(lt(T\\,0.02)\\,PTS\\,PTS+0.06/TB)', ...x264, '-c:a', 'aac', path],
    );
    for (const preset of ['mp3', 'h264-480p']) {
      const [{ output, problem } = { output: '', problem: undefined }] = await transcode([path], preset);
      assert.equal(problem, undefined, JSON.stringify(problem));
      const sound = await firstSound(output);
      assert.ok(Math.abs(sound - 2.06) < 0.03, `${preset}: ${sound} s`);
    }
  });

  it('refuses an output of a source in which there is nothing to decode', async () => {
    const whole = readFileSync(await source('clip.flac'));
    const path = at('empty.flac');
    writeFileSync(path, whole.subarray(0, whole.indexOf('\xff\xf8', 0, 'latin1')));
    for (const preset of ['mp3', 'flac']) {
      const [outcome] = await transcode([path], preset);
      assert.equal(outcome?.problem?.kind, 'outputDamaged', `${preset}: ${JSON.stringify(outcome)}`);
    }
  });

  it('refuses an output that is silent or black while its source is not', async () => {
    const silent = parseUserPreset({
      name: 'Silent',
      arguments: ['-i', '${input}', '-map', '0:a:0', '-af', 'volume=0', '-c:a', 'libmp3lame', '${output}'],
      extension: 'mp3',
      needs: 'audio',
    });
    const black = parseUserPreset({
      name: 'Black',
      arguments:
        '-i ${input} -map 0:V:0 -vf lutyuv=y=16:u=128:v=128 -c:v libx264 -pix_fmt yuv420p ${output}'.split(
          ' ',
        ),
      extension: 'mp4',
      needs: 'video',
    });
    const clip = await source('clip.mp4');
    const blank = await ffmpeg(
      ...['-f', 'lavfi', '-i', 'color=black:size=160x90:rate=25:duration=2', '-f', 'lavfi', '-i', 'anullsrc'],
      ...['-t', '2', ...x264, '-c:a', 'aac', at('blank.mp4')],
    );
    const [heard, ofSilence] = await transcode([clip, blank], silent);
    assert.deepEqual(heard?.problem, { kind: 'outputBlank', file: 'clip.mp4', what: 'audio' });
    assert.equal(ofSilence?.problem, undefined);
    const [seen, ofBlack] = await transcode([clip, blank], black);
    assert.deepEqual(seen?.problem, { kind: 'outputBlank', file: 'clip.mp4', what: 'video' });
    assert.equal(ofBlack?.problem, undefined);
    for (const preset of ['h264-480p', 'hls']) {
      for (const { problem } of await transcode([clip, blank], preset)) assert.equal(problem, undefined);
    }
  });

  it('refuses renditions of a filter graph that are black or silent while their source is not', async () => {
    const ladder = parseUserPreset({
      name: 'Black ladder',
      arguments: [
        ...['-i', '${input}', '-filter_complex'],
        '[0:V:0]lutyuv=y=16:u=128:v=128,split=2[a][b];[a]scale=80:-2[v0];[b]scale=40:-2[v1]',
        ...['-map', '[v0]', '-map', '0:a:0', '-map', '[v1]', '-map', '0:a:0', '-c:a', 'aac'],
        ...['-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-f', 'hls', '-hls_playlist_type', 'vod'],
        ...[
          '-var_stream_map',
          'v:0,a:0 v:1,a:1',
          '-master_pl_name',
          'master.m3u8',
          '${output}/%v/index.m3u8',
        ],
      ],
      extension: 'm3u8',
      needs: 'video',
      folder: true,
    });
    const silent = parseUserPreset({
      name: 'Silent graph',
      arguments: [
        ...['-i', '${input}', '-filter_complex', '[0:a:0]volume=0[quiet];[quiet]aresample=44100[a0]'],
        ...['-map', '[a0]', '-c:a', 'libmp3lame', '${output}'],
      ],
      extension: 'mp3',
      needs: 'audio',
    });
    const clip = await source('clip.mp4');
    const [seen] = await transcode([clip], ladder);
    assert.deepEqual(seen?.problem, { kind: 'outputBlank', file: 'clip.mp4', what: 'video' });
    const [heard] = await transcode([clip], silent);
    assert.deepEqual(heard?.problem, { kind: 'outputBlank', file: 'clip.mp4', what: 'audio' });
  });
});
