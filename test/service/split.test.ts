import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { taskCount } from '../../src/core/plan/pieces';
import { Run } from '../../src/core/runs/run';
import { ffmpeg, printed, temporaryFolder } from '../media';
import { compare, describeOutput } from '../outputs';
import { randomOf } from '../random';
import { eventually, TestService } from './harness';
import { startRunProcess } from './runProcess';
import { type ManifestOptions, manifestOf, partsOf } from './runSetup';

const { signal } = new AbortController();
const closed = ['-flags', '+cgop', '-sc_threshold', '1000000000'];
const seconds = 9;
const partSeconds = 3;
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);

/** Videos that differ in what a cut and a join can break, by name: arguments of ffmpeg. */
const sources: Readonly<Record<string, readonly string[]>> = {
  'video-23.976.mp4': [...picture('24000/1001'), ...tone(), ...h264(), '-c:a', 'aac'],
  'ntsc-29.97.mp4': [...picture('30000/1001'), ...tone(), ...h264('-bf', '3'), '-c:a', 'aac'],
  'fast-59.94.mp4': [...picture('60000/1001'), ...tone(), ...h264(), '-c:a', 'aac'],
  'fast-50.mp4': [...picture('50'), ...tone(), ...h264(), '-c:a', 'aac'],
  'late-audio.mp4': [...picture('25'), '-itsoffset', '0.5', ...tone(), ...h264(), '-c:a', 'aac'],
  'late-video.mp4': [
    '-itsoffset',
    '0.6',
    ...picture('25'),
    ...tone(),
    ...h264(),
    '-c:a',
    'aac',
    '-vsync',
    'vfr',
  ],
  'anamorphic.mp4': [...picture('25'), ...tone(), '-vf', 'setsar=64/45', ...h264(), '-c:a', 'aac'],
  'silent.mp4': [...picture('25'), ...h264()],
  'short-audio.mp4': [...picture('25'), ...tone(7), ...h264(), '-c:a', 'aac'],
  'long-audio.mp4': [...picture('25'), ...tone(14), ...h264(), '-c:a', 'aac'],
  'surround.mp4': [...picture('25'), ...tone(), ...h264(), '-c:a', 'ac3', '-ac', '6'],
  'hdr10.mov': [...picture('25'), ...tone(), ...hdr('smpte2084'), '-c:a', 'aac'],
  'hlg.mov': [...picture('25'), ...tone(), ...hdr('arib-std-b67'), '-c:a', 'aac'],
  'variable.mp4': [
    ...picture('30'),
    ...tone(),
    ...['-vf', "select='not(mod(n\\,3))+not(mod(n\\,5))'", '-vsync', 'vfr'],
    ...h264(),
    ...['-c:a', 'aac'],
  ],
  'matroska.mkv': [...picture('25'), ...tone(), ...h264(), '-c:a', 'libopus'],
  'open-hevc.mkv': [...picture('25'), ...tone(), ...hevc('open-gop=1:bframes=3:keyint=25'), '-c:a', 'aac'],
  'broadcast.ts': [...picture('25'), ...tone(), ...h264(), '-c:a', 'aac'],
  // Fragments with negative composition offsets, and audio that begins after the video.
  'recording.mp4': [
    ...[...picture('30000/1001'), '-itsoffset', '0.5', ...tone(), ...h264('-bf', '3'), '-c:a', 'aac'],
    ...['-movflags', '+cmaf+frag_keyframe'],
  ],
  'hybrid.mp4': [...picture('25'), ...tone(), ...h264(), '-c:a', 'aac', '-movflags', '+frag_keyframe'],
  'time-code.mov': [...picture('25'), ...h264(), '-timecode', '01:00:00:00'],
  'late-video.mkv': [
    ...['-itsoffset', '0.6', ...picture('25'), ...tone(), ...h264(), '-c:a', 'aac', '-vsync', 'vfr'],
  ],
  // The clock wraps after 7 seconds, and the audio begins after the video.
  'wrapping.ts': [
    ...[...picture('25'), '-itsoffset', '0.5', ...tone(), ...h264(), '-c:a', 'aac'],
    ...['-output_ts_offset', '95435'],
  ],
  'closed-mpeg2.ts': [...picture('25'), ...tone(), ...mpeg2(), '-c:a', 'mp2'],
  'web.webm': [...picture('25'), ...tone(), ...vp9(), '-c:a', 'libopus'],
};

describe('A video that is transcoded in parts', function () {
  this.timeout(900_000);
  let service: TestService;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  /** Names of the outputs, by file: an MP4 has another than its source. */
  const outputNames = new Map<string, string>();
  const outputOf = (work: string, file: string) => join(work, outputNames.get(file) ?? '');
  /** Seconds of the cuts, by file. */
  const cutsOf = new Map<string, number[]>();

  before(async () => {
    service = await TestService.start('--node-step-ms', '20', '--max-processes', '4');
    folder = await temporaryFolder('split');
    mkdirSync(join(folder.path, 'sources'));
    for (const [name, args] of Object.entries(sources))
      await ffmpeg(...args, join(folder.path, 'sources', name));
    // The edit begins within the time of a frame.
    await ffmpeg(
      ...['-ss', '1.3', '-i', join(folder.path, 'sources', 'fast-50.mp4'), '-c', 'copy'],
      join(folder.path, 'sources', 'trimmed.mp4'),
    );
    const straight = join(folder.path, 'sources', 'video-23.976.mp4');
    await ffmpeg(
      '-i',
      straight,
      '-c',
      'copy',
      '-metadata:s:v',
      'rotate=90',
      join(folder.path, 'sources', 'turned.mp4'),
    );
  });

  after(async () => {
    await service?.close();
    await folder?.remove();
  });

  it('has the frames, times, color, shape and audio of one that is transcoded as a whole', async () => {
    const names = [...Object.keys(sources), 'turned.mp4', 'trimmed.mp4'];
    const [whole, split] = [
      await transcode('whole', names, {}),
      await transcode('split', names, { partSeconds }),
    ];
    const differences: string[] = [];
    for (const name of names) {
      const [expected, actual] = [
        await describeOutput(outputOf(whole, name)),
        await describeOutput(outputOf(split, name)),
      ];
      differences.push(...compare(name, expected, actual));
    }
    assert.deepEqual(differences, []);
  });

  it('shows no seams: frames around each cut are as similar to the source as the others', async () => {
    for (const name of ['video-23.976.mp4', 'surround.mp4', 'broadcast.ts']) {
      const source = join(folder.path, 'sources', name);
      const output = outputOf(join(folder.path, 'split'), name);
      const similar = await similarity(output, source);
      const usual = [...similar].sort((one, other) => one - other)[Math.floor(similar.length / 20)] ?? 0;
      const { times } = await describeOutput(output);
      const cuts = cutsOf.get(name) ?? [];
      assert.ok(cuts.length > 1, name);
      for (const cut of cuts) {
        const seam = times.findIndex((time) => time >= cut - 0.001);
        for (let frame = seam - 3; frame < seam + 3; frame++)
          assert.ok(
            (similar[frame] ?? 0) > usual - 0.01,
            `${name}: frame ${frame} has ${similar[frame]}, usual is ${usual}`,
          );
      }
    }
  });

  it('names the part that failed, and a retry encodes that part only', async () => {
    const { manifest, parts } = await planOf(await longVideo('retry'));
    const run = await Run.create(parts, manifest, signal);
    const { jobId } = manifest.attempts[0] ?? { jobId: '' };
    const failing = '0001-part-0002';
    const ended = eventually(
      () => parts.batch.task(jobId, failing, signal),
      (task) => task !== undefined,
    ).then(() => parts.batch.terminateTask(jobId, failing, signal));
    await run.advance('fetched', signal);
    await ended;
    const { startSeconds, endSeconds } = manifest.files[0]?.split?.parts[1] ?? {};
    assert.deepEqual(run.results.get('0001')?.problem, {
      kind: 'partFailed',
      file: 'long.mp4',
      startSeconds,
      endSeconds,
      problem: { kind: 'ended', file: 'long.mp4' },
    });
    await run.retry(['0001'], signal);
    const summary = await run.advance('fetched', signal);
    await run.close();
    assert.equal(summary.succeeded, 1);
    const again = manifest.attempts[1]?.jobId ?? '';
    const tasks = await parts.batch.taskPage(again, { select: 'id', signal });
    assert.deepEqual(tasks.items.map(({ id }) => id).sort(), ['0001', failing]);
    const { active, running, completed, total } = run.progress.tasks;
    assert.deepEqual([active, running, completed], [0, 0, total]);
  });

  it('is resumed after kills in any phase, and encodes each part once', async () => {
    console.log(`      seed ${seed}`);
    const random = randomOf(seed);
    const { manifest, parts } = await planOf(await longVideo('killed'));
    const claimFolder = join(folder.path, 'claims');
    let said: Record<string, unknown> = {};
    for (let kills = 0; said.succeeded === undefined; kills++) {
      assert.ok(kills < 60, `not done: ${JSON.stringify(said)}`);
      const child = startRunProcess({ connection: service.connection, manifest, claimFolder });
      const timer = kills < 20 ? setTimeout(() => child.kill('SIGKILL'), 250 + random() * 900) : undefined;
      said = await child.said;
      clearTimeout(timer);
    }
    assert.equal(said.succeeded, 1);
    const { jobId } = manifest.attempts[0] ?? { jobId: '' };
    const { items } = await parts.batch.taskPage(jobId, { select: 'id,executionInfo', signal });
    const repeated = items.filter(
      ({ executionInfo }) => (executionInfo?.retryCount ?? 0) + (executionInfo?.requeueCount ?? 0) > 0,
    );
    assert.deepEqual(repeated, []);
    assert.equal(items.length, taskCount(manifest.files[0] ?? {}));
  });

  /** A video that takes seconds to encode. */
  async function longVideo(name: string): Promise<string> {
    const work = join(folder.path, name);
    mkdirSync(work, { recursive: true });
    const source = ['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=25:duration=40'];
    return ffmpeg(...source, ...tone(40), ...h264(), '-c:a', 'aac', join(work, 'long.mp4'));
  }

  async function planOf(path: string) {
    const manifest = await manifestOf([path], { preset: 'h264-480p', partSeconds: 8 });
    return { manifest, ...partsOf(service) };
  }

  async function transcode(
    name: string,
    files: readonly string[],
    options: ManifestOptions,
  ): Promise<string> {
    const work = join(folder.path, name);
    mkdirSync(work);
    const paths = files.map((file) => join(work, file));
    for (const [index, file] of files.entries())
      copyFileSync(join(folder.path, 'sources', file), paths[index] as string);
    const manifest = await manifestOf(paths, { preset: 'h264-480p', ...options });
    for (const { path, output } of manifest.files) {
      assert.ok(!files.includes(output.name), `${output.name} is a source`);
      outputNames.set(path, output.name);
    }
    if (options.partSeconds) {
      const cut = manifest.files.filter(({ split }) => split !== undefined).map(({ path }) => path);
      assert.deepEqual(cut.sort(), [...files].sort(), 'files that are split');
      for (const { path, split } of manifest.files)
        cutsOf.set(path, split?.parts.slice(1).map(({ startSeconds }) => startSeconds) ?? []);
    }
    const { parts } = partsOf(service);
    const run = await Run.create(parts, manifest, signal);
    const summary = await run.advance('fetched', signal);
    await run.close();
    assert.deepEqual(
      [...run.results.values()].flatMap(({ problem }) => problem ?? []),
      [],
    );
    assert.equal(summary.succeeded, files.length);
    return work;
  }
});

/** Structural similarity of each frame of an output with that of its source. */
async function similarity(output: string, source: string): Promise<number[]> {
  const log = await printed('ffmpeg', [
    ...['-v', 'error', '-nostdin', '-i', output, '-i', source],
    ...[
      '-lavfi',
      '[0:v]settb=1/90000,setpts=N[a];[1:v]settb=1/90000,setpts=N[b];[a][b]ssim=f=-',
      '-f',
      'null',
      '/dev/null',
    ],
  ]);
  return [...log.matchAll(/ All:([\d.]+)/g)].map(([, value]) => Number(value));
}

function picture(rate: string): string[] {
  return ['-f', 'lavfi', '-i', `testsrc2=size=192x108:rate=${rate}:duration=${seconds}`];
}

function tone(length = seconds): string[] {
  return ['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=48000:duration=${length}`];
}

function h264(...options: string[]): string[] {
  return ['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-g', '30', ...options];
}

function hevc(parameters: string): string[] {
  return [
    '-c:v',
    'libx265',
    '-preset',
    'ultrafast',
    '-pix_fmt',
    'yuv420p',
    '-x265-params',
    `log-level=0:${parameters}`,
  ];
}

function hdr(transfer: string): string[] {
  const colour = `colorprim=bt2020:transfer=${transfer}:colormatrix=bt2020nc`;
  return [
    ...['-c:v', 'libx265', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p10le'],
    ...['-x265-params', `log-level=0:keyint=25:${colour}`, '-tag:v', 'hvc1'],
    ...['-color_primaries', 'bt2020', '-color_trc', transfer, '-colorspace', 'bt2020nc'],
  ];
}

/** Closed groups of pictures with B-frames. */
function mpeg2(): string[] {
  return ['-c:v', 'mpeg2video', '-q:v', '4', '-g', '12', '-bf', '2', ...closed];
}

function vp9(): string[] {
  return ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-g', '50', '-b:v', '200k'];
}
