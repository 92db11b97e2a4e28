import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { builtInPresets } from '../../src/core/presets/builtIn';
import { parseUserPreset } from '../../src/core/presets/userPreset';
import { Run } from '../../src/core/runs/run';
import { ffmpeg, type Probed, probe, temporaryFolder } from '../media';
import { TestService } from './harness';
import { type ManifestOptions, manifestOf, partsOf } from './runSetup';

const never = new AbortController().signal;
const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'];
const picture = (size = '160x120', seconds = 2) => [
  ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=15:duration=${seconds}`],
];
const tone = (frequency = 440, seconds = 2) => [
  ...['-f', 'lavfi', '-i', `sine=frequency=${frequency}:duration=${seconds}`],
];

describe('Media', function () {
  this.timeout(240_000);
  let service: TestService;
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  const at = (name: string) => join(root.path, name);

  before(async () => {
    service = await TestService.start();
    root = await temporaryFolder('media');
    writeFileSync(at('words.srt'), '1\n00:00:00,000 --> 00:00:01,500\nHello there\n');
    await ffmpeg(
      ...[...picture('320x180'), ...tone(), '-i', at('words.srt')],
      ...[...x264, '-c:a', 'aac', '-c:s', 'srt', at('full.mkv')],
    );
  });

  after(async () => {
    await service.close();
    await root.remove();
  });

  /** Runs a preset on files and returns the result of each, in their order. */
  async function transcode(paths: readonly string[], options: ManifestOptions = {}) {
    const { parts } = partsOf(service);
    const run = await Run.create(parts, await manifestOf(paths, options), never);
    await run.advance('fetched', never);
    await run.close();
    const { files, refused } = run.manifest;
    return paths.map((path) => {
      const file = files.find(({ uri }) => new URL(uri).href === new URL(`file://${encodePath(path)}`).href);
      const result = file && run.results.get(file.id);
      const output = result?.outputUri && decodeURIComponent(new URL(result.outputUri).pathname);
      const problem =
        result?.problem ?? refused.find(({ uri }) => decodeURIComponent(uri).endsWith(path))?.problem;
      return { file, output: output ?? '', problem };
    });
  }

  const encodePath = (path: string) => path.split('/').map(encodeURIComponent).join('/');
  const kinds = ({ streams }: Probed) =>
    streams.map(({ codec_type, codec_name }) => `${codec_type}:${codec_name}`);
  const size = ({ streams }: Probed) => {
    const video = streams.find(({ codec_type }) => codec_type === 'video');
    return [video?.width, video?.height];
  };

  describe('Every preset', () => {
    const expected: Record<string, { kinds?: string[]; size?: [number, number]; seconds?: number }> = {
      mp3: { kinds: ['audio:mp3'], seconds: 2 },
      m4a: { kinds: ['audio:aac'], seconds: 2 },
      opus: { kinds: ['audio:opus'], seconds: 2 },
      flac: { kinds: ['audio:flac'], seconds: 2 },
      wav: { kinds: ['audio:pcm_s16le'], seconds: 2 },
      speech: { kinds: ['audio:mp3'], seconds: 2 },
      'speech-recognition': { kinds: ['audio:pcm_s16le'], seconds: 2 },
      'h264-1080p': { kinds: ['video:h264', 'audio:aac'], size: [320, 180], seconds: 2 },
      'h264-720p': { kinds: ['video:h264', 'audio:aac'], size: [320, 180], seconds: 2 },
      'h264-480p': { kinds: ['video:h264', 'audio:aac'], size: [320, 180], seconds: 2 },
      'h264-source': { kinds: ['video:h264', 'audio:aac'], size: [320, 180], seconds: 2 },
      h265: { kinds: ['video:hevc', 'audio:aac'], size: [320, 180], seconds: 2 },
      vp9: { kinds: ['video:vp9', 'audio:opus'], size: [320, 180], seconds: 2 },
      av1: { kinds: ['video:av1', 'audio:aac'], size: [320, 180], seconds: 2 },
      remux: { kinds: ['video:h264', 'audio:aac', 'subtitle:mov_text'], size: [320, 180], seconds: 2 },
      thumbnail: { kinds: ['video:mjpeg'], size: [320, 180] },
      'contact-sheet': { kinds: ['video:mjpeg'] },
      preview: { kinds: ['video:gif'], size: [320, 180] },
      subtitles: { kinds: ['subtitle:subrip'] },
      hls: {},
    };

    for (const { id } of builtInPresets) {
      it(`${id} gives the expected streams, size and length`, async () => {
        const wanted = expected[id];
        assert.ok(wanted, 'is expected');
        const [{ output, problem } = { output: '' }] = await transcode([at('full.mkv')], { preset: id });
        assert.equal(problem, undefined);
        if (id === 'hls') {
          const master = readFileSync(join(output, 'master.m3u8'), 'utf8');
          const rungs = master.split('\n').filter((line) => line.endsWith('.m3u8'));
          // None above the source, which is 180 lines high.
          assert.equal(rungs.length, 1);
          for (const rung of rungs) {
            const played = await probe(join(output, rung));
            assert.ok(Math.abs(played.seconds - 2) < 0.3, `${rung}: ${played.seconds}`);
          }
          return;
        }
        const made = await probe(output);
        if (wanted.kinds) assert.deepEqual(kinds(made), wanted.kinds);
        if (wanted.size) assert.deepEqual(size(made), wanted.size);
        if (wanted.seconds) assert.ok(Math.abs(made.seconds - wanted.seconds) < 0.2, `${made.seconds} s`);
        if (id === 'subtitles') assert.match(readFileSync(output, 'utf8'), /Hello there/);
      });
    }
  });

  describe('Any file', () => {
    before(async () => {
      await ffmpeg(...picture(), ...tone(), ...x264, '-c:a', 'aac', at('plain.mp4'));
      await ffmpeg(...picture(), ...x264, at('silent.mp4'));
      await ffmpeg(
        ...[...picture(), ...tone(440), ...tone(880, 1), '-map', '0:v', '-map', '1:a', '-map', '2:a'],
        ...['-metadata:s:a:0', 'language=eng', '-metadata:s:a:1', 'language=zho', ...x264, '-c:a', 'aac'],
        at('two.mp4'),
      );
      await ffmpeg(
        ...[...picture(), ...tone(440, 1), ...tone(880), '-map', '0:v', '-map', '1:a', '-map', '2:a'],
        ...['-disposition:a:0', '0', '-disposition:a:1', 'default', ...x264, '-c:a', 'aac', at('second.mkv')],
      );
      await ffmpeg(...picture('161x121'), ...tone(), '-c:v', 'mpeg4', '-c:a', 'aac', at('odd.mp4'));
      await ffmpeg(...picture('120x160'), ...tone(), ...x264, '-c:a', 'aac', at('upright.mp4'));
      await ffmpeg('-display_rotation', '90', '-i', at('upright.mp4'), '-c', 'copy', at('rotated.mp4')).catch(
        () => ffmpeg('-i', at('upright.mp4'), '-c', 'copy', '-metadata:s:v', 'rotate=90', at('rotated.mp4')),
      );
      await ffmpeg(
        ...[...picture(), '-f', 'lavfi', '-i', 'sine=duration=2,aformat=channel_layouts=5.1'],
        ...[...x264, '-c:a', 'aac', at('surround.mp4')],
      );
      await ffmpeg(
        ...['-f', 'lavfi', '-i', "testsrc=d=3:r=30,select='not(mod(n,3))+lt(n,20)'", ...tone(440, 3)],
        ...['-vsync', 'vfr', ...x264, '-c:a', 'aac', at('variable.mp4')],
      );
      await ffmpeg(
        ...picture(),
        ...tone(),
        '-c:v',
        'libvpx',
        '-b:v',
        '100k',
        '-c:a',
        'libopus',
        at('clip.webm'),
      );
      copyFileSync(at('clip.webm'), at('wrong-extension.mp4'));
      await ffmpeg(...tone(), '-c:a', 'aac', at('audio.m4a'));
      await ffmpeg(
        ...['-i', at('audio.m4a'), '-f', 'lavfi', '-i', 'color=red:size=64x64:duration=0.1', '-map', '0:a'],
        ...[
          '-map',
          '1:v',
          '-frames:v',
          '1',
          '-c:a',
          'copy',
          '-c:v',
          'mjpeg',
          '-disposition:v:0',
          'attached_pic',
        ],
        at('cover.m4a'),
      );
      copyFileSync(at('plain.mp4'), at('truncated.mp4'));
      truncateSync(at('truncated.mp4'), 9000);
      writeFileSync(at('zero.mp4'), '');
      writeFileSync(at('text.mp4'), 'this is not a video\n');
    });

    it('becomes an MP3 or fails with its reason, and the others of the run finish', async () => {
      const names = [
        ...['plain.mp4', 'silent.mp4', 'clip.webm', 'wrong-extension.mp4', 'audio.m4a', 'cover.m4a'],
        ...['surround.mp4', 'variable.mp4', 'truncated.mp4', 'zero.mp4', 'text.mp4'],
      ];
      const results = await transcode(names.map(at));
      const told = Object.fromEntries(
        names.map((name, index) => [name, results[index]?.problem?.kind ?? 'done']),
      );
      assert.deepEqual(told, {
        'plain.mp4': 'done',
        'silent.mp4': 'noAudioTrack',
        'clip.webm': 'done',
        'wrong-extension.mp4': 'done',
        'audio.m4a': 'done',
        'cover.m4a': 'done',
        'surround.mp4': 'done',
        'variable.mp4': 'done',
        'truncated.mp4': told['truncated.mp4'],
        'zero.mp4': 'emptyFile',
        'text.mp4': 'notMedia',
      });
      assert.ok(['cutOff', 'transcodeFailed', 'notMedia'].includes(String(told['truncated.mp4'])));
      const cover = await probe(results[5]?.output ?? '');
      assert.ok(kinds(cover).includes('audio:mp3'));
    });

    it('becomes a playable video of even size, upright and as long as its source', async () => {
      const names = [
        'odd.mp4',
        'rotated.mp4',
        'surround.mp4',
        'variable.mp4',
        'silent.mp4',
        'cover.m4a',
        'audio.m4a',
      ];
      const results = await transcode(names.map(at), { preset: 'h264-480p' });
      assert.deepEqual(
        results.map(({ problem }) => problem?.kind),
        [undefined, undefined, undefined, undefined, undefined, 'noVideoTrack', 'noVideoTrack'],
      );
      const [odd, rotated, surround, variable, silent] = await Promise.all(
        results.slice(0, 5).map(({ output }) => probe(output)),
      );
      assert.ok(odd && rotated && surround && variable && silent);
      for (const side of size(odd)) assert.equal(Number(side) % 2, 0);
      assert.deepEqual(size(rotated), [160, 120]);
      assert.ok(Math.abs(variable.seconds - 3) < 0.2);
      assert.deepEqual(kinds(silent), ['video:h264']);
    });

    it('uses the first audio track, the one flagged default, the one of a language, or all', async () => {
      const lengths = async (name: string, audio: ManifestOptions['audio']) => {
        const [{ output } = { output: '' }] = await transcode([at(name)], { audio, preset: 'mp3' });
        return Math.round((await probe(output)).seconds);
      };
      assert.equal(await lengths('two.mp4', 'default'), 2);
      assert.equal(await lengths('second.mkv', 'default'), 2);
      assert.equal(await lengths('two.mp4', { language: 'zh' }), 1);
      assert.equal(await lengths('two.mp4', { language: 'deu' }), 2);
      const [split] = await transcode([at('two.mp4')], { audio: 'all' });
      assert.equal(split?.problem, undefined);
      const folder = split?.output ?? '';
      assert.deepEqual(readdirSync(folder).sort(), ['1-eng.mp3', '2-zho.mp3']);
      const [{ output: video } = { output: '' }] = await transcode([at('two.mp4')], {
        audio: 'all',
        preset: 'h264-480p',
      });
      assert.deepEqual(kinds(await probe(video)), ['video:h264', 'audio:aac', 'audio:aac']);
    });
  });

  it('puts each text subtitle beside its source, named by its language', async () => {
    const folder = at('subtitled');
    mkdirSync(folder);
    writeFileSync(at('worte.srt'), '1\n00:00:00,000 --> 00:00:01,500\nGuten Tag\n');
    await ffmpeg(
      ...[...picture(), '-i', at('words.srt'), '-i', at('worte.srt'), '-map', '0', '-map', '1', '-map', '2'],
      ...[...x264, '-c:s', 'srt', '-metadata:s:s:0', 'language=eng', '-metadata:s:s:1', 'language=ger'],
      join(folder, 'two.mkv'),
    );
    const [{ output, problem } = { output: '', problem: undefined }] = await transcode(
      [join(folder, 'two.mkv')],
      {
        preset: 'subtitles',
      },
    );
    assert.equal(problem, undefined);
    assert.deepEqual(readdirSync(folder).sort(), ['two.eng.srt', 'two.ger.srt', 'two.mkv']);
    assert.match(readFileSync(join(folder, 'two.eng.srt'), 'utf8'), /Hello there/);
    assert.match(readFileSync(join(folder, 'two.ger.srt'), 'utf8'), /Guten Tag/);
    assert.ok(existsSync(output), output);
  });

  it('makes the folder that an own preset writes many files to', async () => {
    const { parts } = partsOf(service);
    const own = parseUserPreset({
      name: 'Pictures',
      extension: 'png',
      folder: true,
      arguments: ['-i', '${input}', '-vf', 'fps=2', '${output}/%02d.png'],
    });
    const run = await Run.create(parts, await manifestOf([at('full.mkv')], { preset: own }), never);
    await run.advance('fetched', never);
    await run.close();
    const [result] = run.results.values();
    assert.equal(result?.problem, undefined);
    const folder = decodeURIComponent(new URL(result?.outputUri ?? '').pathname);
    assert.deepEqual(readdirSync(folder).sort(), ['01.png', '02.png', '03.png', '04.png']);
  });

  describe('Any name', () => {
    const names = [
      ...['with space.mp4', "it's.mp4", 'say "hi".mp4', '$(touch canary).mp4', '`touch canary`.mp4'],
      ...[
        'a;touch canary;.mp4',
        'a&b|c.mp4',
        '50%.mp4',
        '%41%2F.mp4',
        '#1 take?.mp4',
        '-i.mp4',
        '--help.mp4',
      ],
      ...['a*b[1].mp4', 'back\\slash.mp4', 'new\nline.mp4', 'tab\ttab.mp4', '视频 测试.mp4', 'emoji🎬.mp4'],
      ...['cafe\u0301.mp4', 'caf\u00e9.mp4', 'مرحبا.mp4', 'UPPER.MP4', 'upper.mp4', 'v1.2/clip.v3.final.mp4'],
      ...[
        'same/a/clip.mp4',
        'same/b/clip.mp4',
        'same_a/clip.mp4',
        ' leading.mp4',
        'trailing .mp4',
        'dot..mp4',
      ],
      ...[
        '.hidden.mp4',
        'no-ext',
        `${'l'.repeat(251)}.mp4`,
        'con.mp4',
        'clip.mp4.mp4',
        'a+b=c,d@e!f~g^h{i}.mp4',
      ],
      ...['$HOME/${input}.mp4', '\u202egpj.mp4'],
    ];

    it('gives one output each, beside its source and named after it, and no command in a name is run', async () => {
      const folder = at('names');
      const source = await ffmpeg(
        ...picture('64x48', 1),
        ...tone(440, 1),
        ...x264,
        '-c:a',
        'aac',
        at('tiny.mp4'),
      );
      for (const name of names) {
        mkdirSync(dirname(join(folder, name)), { recursive: true });
        copyFileSync(source, join(folder, name));
      }
      symlinkSync(join(folder, 'with space.mp4'), join(folder, 'link.mp4'));
      const paths = [...names, 'link.mp4'].map((name) => join(folder, name));
      const { parts } = partsOf(service);
      const manifest = await manifestOf(paths, { root: folder });
      const run = await Run.create(parts, manifest, never);
      const summary = await run.advance('fetched', never);
      await run.close();
      const problems = [...run.results.values()].flatMap(({ problem }) => problem ?? []);
      assert.deepEqual([...problems, ...manifest.refused], []);
      assert.equal(summary.succeeded, paths.length);
      const outputs = [...run.results.values()].map(({ outputUri = '' }) => outputUri);
      assert.equal(new Set(outputs).size, paths.length);
      for (const { id, uri } of manifest.files) {
        const output = run.results.get(id)?.outputUri ?? '';
        assert.equal(output.slice(0, output.lastIndexOf('/')), uri.slice(0, uri.lastIndexOf('/')));
        assert.ok(existsSync(new URL(output)), output);
      }
      for (const [source, output] of [
        ['v1.2/clip.v3.final.mp4', 'v1.2/clip.v3.final.mp3'],
        ['视频 测试.mp4', '视频 测试.mp3'],
        ["it's.mp4", "it's.mp3"],
        ['$(touch canary).mp4', '$(touch canary).mp3'],
      ] as const) {
        const file = manifest.files.find(({ path }) => path === source);
        const uri = run.results.get(file?.id ?? '')?.outputUri ?? '';
        assert.equal(decodeURIComponent(new URL(uri).pathname), join(folder, output));
      }
      const everywhere = [folder, service.dataDir].flatMap((where) =>
        readdirSync(where, { recursive: true }).map(String),
      );
      assert.deepEqual(
        everywhere.filter((name) => /(^|\/)canary$/.test(name)),
        [],
      );
    });
  });
});
