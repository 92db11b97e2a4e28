import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { judge } from '../../src/core/plan/judge';
import { adaptationsOf } from '../../src/core/presets/adaptations';
import { parseUserPreset } from '../../src/core/presets/userPreset';
import { ffmpeg, temporaryFolder } from '../media';
import { preset } from '../presets';
import { Matrix, rungsOf } from './matrix';
import { original, type Source, videos } from './sources';

const exec = promisify(execFile);

const videoNamed = (name: string): Source => {
  const found = videos.find((one) => one.name === name);
  assert.ok(found, name);
  return found;
};

const hevc10 = [
  ...['-c:v', 'libx265', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p10le', '-tag:v', 'hvc1'],
  ...['-x265-params', 'log-level=0', '-color_primaries', 'bt2020', '-color_trc', 'smpte2084'],
  ...['-colorspace', 'bt2020nc'],
];

/** An MP4 whose `moov` box comes last, with a configuration of Dolby Vision added to its H.265 track. */
function withDolbyVision(movie: Buffer, profile: number): Buffer {
  const path = ['moov', 'trak', 'mdia', 'minf', 'stbl', 'stsd', 'hvc1'];
  const configuration = Buffer.alloc(32);
  configuration.writeUInt32BE(configuration.length);
  configuration.write('dvcC', 4, 'latin1');
  configuration.set([1, 0, profile << 1, (6 << 3) | 5, profile === 8 ? 0x10 : 0], 8);
  const bytes = Buffer.from(movie);
  let end = 0;
  for (let from = 0; path.length > 0; ) {
    const at = bytes.indexOf(path.shift() ?? '', from, 'latin1') - 4;
    end = at + bytes.readUInt32BE(at);
    bytes.writeUInt32BE(bytes.readUInt32BE(at) + configuration.length, at);
    from = at + 8;
  }
  return Buffer.concat([bytes.subarray(0, end), configuration, bytes.subarray(end)]);
}

/** Luma of the first picture that ffmpeg reads with these options, 160 by 90. */
async function firstPicture(...options: string[]): Promise<number[]> {
  const args = [
    '-v',
    'error',
    '-nostdin',
    ...options,
    '-frames:v',
    '1',
    '-f',
    'rawvideo',
    '-pix_fmt',
    'gray',
    '-',
  ];
  const { stdout } = await exec('ffmpeg', args, { encoding: 'buffer' });
  assert.equal(stdout.length, 160 * 90);
  return [...stdout];
}

/** Whether a picture of 160 by 90 is a bright square between dark bars. */
function isSquare(luma: readonly number[]): boolean {
  const row = luma.slice(45 * 160, 46 * 160).map((value) => value > 40);
  const hasBars = !row[5] && row[80] === true && !row[154];
  return hasBars && Math.abs(row.filter(Boolean).length - 90) <= 4;
}

describe('Video', function () {
  this.timeout(240_000);
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let matrix: Matrix;

  before(async () => {
    root = await temporaryFolder('video');
    matrix = new Matrix(root.path);
  });

  after(() => root.remove());

  it('of which nothing is known is converted correctly', async () => {
    for (const name of ['tidy.mp4', 'anamorphic.mp4', 'interlaced.ts', 'surround.mp4', 'late sound.mkv']) {
      const source = videoNamed(name);
      const path = await matrix.source(source);
      const [width, height] = source.size ?? [];
      const output = await matrix.make(preset('h264-480p'), path, undefined, undefined, `unknown ${name}`);
      const [video, audio] = (await matrix.output(output)).streams;
      assert.deepEqual(
        [video?.width, video?.height, video?.field_order],
        [width, height, 'progressive'],
        name,
      );
      assert.match(audio?.channel_layout ?? '', /^(mono|5\.1)$/, name);
      const likeness = await matrix.likeness(output, original(`${width}x${height}`));
      assert.ok(likeness > 0.75, `${name}: SSIM ${likeness}`);
      for (const id of ['thumbnail', 'contact-sheet', 'preview']) {
        await matrix.make(preset(id), path, undefined, undefined, `unknown ${name}`);
      }
    }
  });

  it('without a key frame that is flagged has a thumbnail', async () => {
    const whole = await ffmpeg(
      ...['-f', 'lavfi', '-i', original('160x90', 25, 6), '-c:v', 'libx264', '-preset', 'ultrafast'],
      ...[
        '-pix_fmt',
        'yuv420p',
        '-x264-params',
        'intra-refresh=1:keyint=50:scenecut=0',
        matrix.path('whole.ts'),
      ],
    );
    const bytes = await readFile(whole);
    const path = matrix.path('no key.ts');
    await writeFile(path, bytes.subarray(Math.floor(bytes.length / 2 / 188) * 188));
    for (const id of ['thumbnail', 'contact-sheet', 'preview', 'h264-480p']) {
      const output = await matrix.make(preset(id), path, await matrix.media(path), undefined, 'no key');
      assert.equal((await matrix.output(output)).streams[0]?.codec_type, 'video', id);
    }
  });

  it('in HDR keeps its transfer function and primaries in H.265 and AV1', async () => {
    const bright =
      'master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400';
    const source = videoNamed('hdr10.mov');
    const path = await matrix.source({
      ...source,
      name: 'mastered.mov',
      make: source.make.map((arg) => (arg.startsWith('log-level') ? `${arg}:hdr10=1:${bright}` : arg)),
    });
    for (const id of ['h265', 'av1']) {
      const output = await matrix.make(preset(id), path, await matrix.media(path), undefined, 'mastered');
      const [video] = (await matrix.output(output)).streams;
      assert.deepEqual(
        [video?.pix_fmt, video?.color_transfer, video?.color_primaries, video?.color_space],
        ['yuv420p10le', 'smpte2084', 'bt2020', 'bt2020nc'],
        id,
      );
    }
  });

  it('in PQ that names nothing but its transfer function is tone-mapped', async () => {
    const path = await ffmpeg(
      ...['-f', 'lavfi', '-i', original('160x90'), '-c:v', 'libx265', '-preset', 'ultrafast'],
      ...['-pix_fmt', 'yuv420p10le', '-x265-params', 'log-level=0:transfer=smpte2084'],
      matrix.path('transfer.mp4'),
    );
    const media = await matrix.media(path);
    assert.deepEqual([media.tracks[0]?.colorTransfer, media.tracks[0]?.colorSpace], ['smpte2084', undefined]);
    for (const id of ['h264-480p', 'thumbnail']) {
      const [video] = (await matrix.output(await matrix.make(preset(id), path, media))).streams;
      assert.notEqual(video?.color_transfer, 'smpte2084', id);
    }
  });

  it('in high definition without a label keeps its colors and square pixels in small sizes', async () => {
    const path = await ffmpeg(
      ...['-f', 'lavfi', '-i', 'color=0x20c040:size=1920x1080:rate=10:duration=0.4'],
      ...[
        '-vf',
        'scale=out_color_matrix=bt709,format=yuv420p,setparams=colorspace=unknown',
        '-c:v',
        'libx264',
        '-preset',
        'ultrafast',
      ],
      matrix.path('unlabelled.mp4'),
    );
    const media = await matrix.media(path);
    assert.equal(media.tracks[0]?.colorSpace, undefined);
    for (const id of ['h264-480p', 'thumbnail', 'contact-sheet', 'preview']) {
      const output = await matrix.make(preset(id), path, media);
      const [video] = (await matrix.output(output)).streams;
      assert.match(video?.sample_aspect_ratio ?? '1:1', /^(1:1|0:1|N\/A)$/, id);
      if (id === 'h264-480p') {
        assert.deepEqual([video?.width, video?.height, video?.color_space], [854, 480, 'bt709']);
      }
      const { stdout } = await exec(
        'ffmpeg',
        [
          ...[
            '-v',
            'error',
            '-nostdin',
            '-i',
            output,
            '-frames:v',
            '1',
            '-vf',
            'crop=8:8,format=rgb24,scale=1:1',
          ],
          ...['-f', 'rawvideo', '-'],
        ],
        { encoding: 'buffer' },
      );
      const difference = Math.max(
        ...[0x20, 0xc0, 0x40].map((value, at) => Math.abs((stdout[at] ?? 0) - value)),
      );
      assert.ok(difference <= 6, `${id}: ${[...stdout]}`);
    }
  });

  it('that begins 21 ms after the audio, as in many Matroska files, stays in step with it', async () => {
    const path = await ffmpeg(
      ...['-f', 'lavfi', '-i', original('160x90'), '-f', 'lavfi', '-i', 'sine=duration=1:sample_rate=48000'],
      ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac'],
      ...['-output_ts_offset', '10', matrix.path('primed.mkv')],
    );
    const [source] = (await matrix.media(path)).tracks.filter(({ kind }) => kind === 'video');
    assert.ok(Math.abs((source?.startSeconds ?? 0) - 0.021) < 0.002, `${source?.startSeconds}`);
    for (const id of ['h264-480p', 'h265', 'remux']) {
      const output = await matrix.make(preset(id), path, await matrix.media(path), undefined, 'primed');
      const [video, audio] = (await matrix.output(output)).streams;
      const lead = Number(video?.start_time) - Number(audio?.start_time);
      assert.ok(Math.abs(lead - 0.021) < 0.005, `${id}: ${lead}`);
    }
  });

  it('in HDR10 keeps its mastering display and light levels in H.265', async () => {
    const display = 'G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)';
    const parameters = `log-level=0:hdr10=1:repeat-headers=1:master-display=${display}:max-cll=1000,400`;
    const source = await ffmpeg(
      ...['-f', 'lavfi', '-i', original('160x90'), ...hevc10],
      ...['-x265-params', parameters, matrix.path('mastered.mp4')],
    );
    const media = await matrix.media(source);
    const [video] = media.tracks;
    assert.deepEqual([video?.masteringDisplay, video?.contentLight], [display, '1000,400']);
    const output = await matrix.media(await matrix.make(preset('h265'), source, media));
    assert.deepEqual(
      [output.tracks[0]?.masteringDisplay, output.tracks[0]?.contentLight],
      [display, '1000,400'],
    );
    // A turned video has a matrix among the side data in which the levels are looked for.
    for (const [path, levels] of [
      [source, [display, '1000,400']],
      [await ffmpeg('-f', 'lavfi', '-i', original('160x90'), ...hevc10, matrix.path('plain pq.mp4')), []],
    ] as const) {
      const turn = ['-c', 'copy', '-metadata:s:v', 'rotate=90'];
      const turned = await matrix.media(
        await ffmpeg('-i', path, ...turn, path.replace('.mp4', ' turned.mp4')),
      );
      const { rotation, masteringDisplay, contentLight } = turned.tracks[0] ?? {};
      assert.equal((rotation ?? 0) % 180, 90);
      assert.deepEqual([masteringDisplay, contentLight].filter(Boolean), levels);
    }
  });

  it('in Dolby Vision profile 5 is refused, and in profile 8 its base layer is kept', async () => {
    const plain = await ffmpeg('-f', 'lavfi', '-i', original('160x90'), ...hevc10, matrix.path('plain.mp4'));
    for (const profile of [5, 8]) {
      const path = matrix.path(`vision ${profile}.mp4`);
      await writeFile(path, withDolbyVision(await readFile(plain), profile));
      const media = await matrix.media(path);
      assert.equal(media.tracks[0]?.dolbyVisionProfile, profile);
      const problem = judge(preset('h265'), media, { path: 'vision.mp4', size: 1 });
      assert.equal(problem?.kind, profile === 5 ? 'dolbyVisionOnly' : undefined);
      const kinds = adaptationsOf(preset('h265'), media, { kind: 'track', index: 0 }).map(({ kind }) => kind);
      assert.ok(kinds.includes('dolbyVisionLost'));
      const copied = await matrix.media(await matrix.make(preset('remux'), path, media));
      assert.equal(copied.tracks[0]?.dolbyVisionProfile, profile);
    }
  });

  it('of two sizes within the stream keeps the shape of each', async () => {
    for (const part of [
      ['square 1.ts', '160x90', '0'],
      ['square 2.ts', '90x90', '1'],
    ] as const) {
      await ffmpeg(
        ...[
          '-f',
          'lavfi',
          '-i',
          `color=red:size=${part[1]}:rate=25:duration=1`,
          '-c:v',
          'libx264',
          '-preset',
        ],
        ...['ultrafast', '-pix_fmt', 'yuv420p', '-output_ts_offset', part[2], matrix.path(part[0])],
      );
    }
    const path = await ffmpeg(
      ...['-i', `concat:${matrix.path('square 1.ts')}|${matrix.path('square 2.ts')}`, '-c', 'copy'],
      matrix.path('square.ts'),
    );
    const copied = await ffmpeg('-i', path, '-c', 'copy', matrix.path('square.mp4'));
    for (const source of [path, copied]) {
      const media = await matrix.media(source);
      const made = (id: string) => matrix.make(preset(id), source, media, undefined, source.slice(-3));
      const output = await made('h264-720p');
      assert.ok(isSquare(await firstPicture('-sseof', '-0.2', '-i', output)), source);
      // A GIF and a sheet have pictures of both sizes.
      const gif = await made('preview');
      assert.equal(Number((await matrix.output(gif)).streams[0]?.nb_read_packets), 20);
      assert.ok(isSquare(await firstPicture('-ss', '1.8', '-i', gif)), source);
      const sheet = await made('contact-sheet');
      assert.ok(
        isSquare(await firstPicture('-i', sheet, '-vf', 'crop=320:180:960:540,scale=160:90')),
        source,
      );
      const first = await firstPicture('-i', sheet, '-vf', 'crop=320:180:0:0,scale=160:90');
      assert.ok(
        first.every((value) => value > 40),
        'the first tile has no bars',
      );
    }
  });

  it('as HLS has rungs of falling size, whose segments begin at the same pictures', async () => {
    const path = await ffmpeg(
      ...[
        '-f',
        'lavfi',
        '-i',
        'testsrc2=size=960x540:rate=30:duration=7',
        '-f',
        'lavfi',
        '-i',
        'sine=duration=7',
      ],
      ...[
        '-c:v',
        'libx264',
        '-preset',
        'ultrafast',
        '-pix_fmt',
        'yuv420p',
        '-c:a',
        'aac',
        matrix.path('large.mp4'),
      ],
    );
    const folder = await matrix.make(preset('hls'), path, await matrix.media(path), undefined, 'large');
    const rungs = await rungsOf(folder);
    assert.deepEqual(
      rungs.map(({ info }) => /RESOLUTION=(\d+x\d+)/.exec(info)?.[1]),
      ['960x540', '640x360'],
    );
    const keyTimes = await Promise.all(
      rungs.map(async (rung) => {
        const { stdout } = await exec('ffprobe', [
          ...[
            '-v',
            'error',
            '-select_streams',
            'v',
            '-show_entries',
            'packet=pts_time,flags',
            '-of',
            'csv=p=0',
          ],
          rung.path,
        ]);
        return stdout.split('\n').flatMap((line) => (line.includes(',K') ? line.split(',')[0] : []));
      }),
    );
    assert.deepEqual(keyTimes[0], keyTimes[1]);
    assert.equal(keyTimes[0]?.length, 4, 'every two seconds');
    const lengths = await Promise.all(
      rungs.map(async ({ path }) =>
        [...(await readFile(path, 'utf8')).matchAll(/#EXTINF:([\d.]+)/g)].map(String),
      ),
    );
    assert.deepEqual(lengths[0], lengths[1]);
    const bandwidths = rungs.map(({ info }) => Number(/BANDWIDTH=(\d+)/.exec(info)?.[1]));
    assert.ok((bandwidths[0] ?? 0) > (bandwidths[1] ?? 0), `${bandwidths}`);
  });

  it('with subtitles becomes an MP4 that has them as text, every audio track and the chapters', async () => {
    await writeFile(matrix.path('words.srt'), '1\n00:00:00,000 --> 00:00:00,900\nHello there\n');
    const chapter = '[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\n';
    await writeFile(matrix.path('chapters.txt'), `;FFMETADATA1\n${chapter}`);
    const path = await ffmpeg(
      ...['-f', 'lavfi', '-i', original('160x90'), '-f', 'lavfi', '-i', 'sine=duration=1'],
      ...['-i', matrix.path('words.srt'), '-i', matrix.path('chapters.txt'), '-map_metadata', '3'],
      ...[
        '-map',
        '0',
        '-map',
        '1',
        '-map',
        '1',
        '-map',
        '2',
        '-map',
        '2',
        '-c:v',
        'libx264',
        '-preset',
        'ultrafast',
      ],
      ...['-pix_fmt', 'yuv420p', '-c:a:0', 'aac', '-c:a:1', 'flac', '-c:s:0', 'srt', '-c:s:1', 'ass'],
      ...['-metadata:s:s:1', 'language=deu', matrix.path('rich.mkv')],
    );
    const output = await matrix.make(preset('remux'), path, await matrix.media(path), undefined, 'rich');
    const { streams, chapters } = await matrix.output(output);
    assert.deepEqual(
      streams.filter(({ codec_type }) => codec_type !== 'data').map(({ codec_name }) => codec_name),
      ['h264', 'aac', 'flac', 'mov_text', 'mov_text'],
    );
    assert.equal(chapters.length, 1);
    assert.equal(streams[4]?.tags?.language, 'deu');
  });

  it('by an own preset has the filters of the built-in ones', async () => {
    const own = parseUserPreset({
      name: 'Own',
      extension: 'mkv',
      needs: 'video',
      arguments: [
        ...[
          '-i',
          '${input}',
          '-map',
          '0:V:0',
          '-map',
          '${audio}?',
          '-vf',
          '${deinterlace},${fit:48},${tonemap}',
        ],
        ...[
          '-c:v',
          'libx264',
          '-preset',
          'medium',
          '-pix_fmt',
          'yuv420p',
          '-af',
          '${audioSync},${audioLayout}',
        ],
        ...['-c:a', 'aac', '${output}'],
      ],
    });
    for (const name of ['hdr10.mov', 'interlaced.mp4', 'surround.mp4', 'anamorphic.mp4']) {
      const path = await matrix.source(videoNamed(name));
      const output = await matrix.make(own, path, await matrix.media(path), undefined, `own ${name}`);
      const [video, audio] = (await matrix.output(output)).streams;
      assert.equal(video?.height, 48, name);
      assert.match(video?.field_order ?? 'progressive', /^progressive$/, name);
      assert.notEqual(video?.color_transfer, 'smpte2084', name);
      assert.match(audio?.channel_layout ?? '', /^(mono|5\.1)$/, name);
    }
  });
});
