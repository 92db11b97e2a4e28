import assert from 'node:assert/strict';
import { open, writeFile } from 'node:fs/promises';
import pLimit from 'p-limit';
import type { AudioSelection } from '../../src/core/media/audioTracks';
import { builtInPresets } from '../../src/core/presets/builtIn';
import { ffmpeg, temporaryFolder } from '../media';
import { preset } from '../presets';
import { Matrix } from './matrix';

const limit = pLimit(2);

const audioPresets = builtInPresets.filter(({ needs }) => needs === 'audio');

describe('Sound', function () {
  this.timeout(240_000);
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let matrix: Matrix;

  before(async () => {
    root = await temporaryFolder('sound');
    matrix = new Matrix(root.path);
  });

  after(() => root.remove());

  /** Makes a source by ffmpeg's arguments and gives its path. */
  const made = (name: string, ...args: string[]) => ffmpeg(...args, matrix.path(name));

  async function run(id: string, path: string, audio?: AudioSelection): Promise<string> {
    return matrix.make(
      preset(id),
      path,
      await matrix.media(path),
      audio,
      `${path.split('/').at(-1)} ${audio?.kind}`,
    );
  }

  describe('for speech', () => {
    // Bursts of noise in the shape of syllables, whose peaks stand far above their mean level as those of a voice do.
    const voice = '0.4*(random(0)-0.5)*pow(abs(sin(2*PI*1.7*t))\\,4)*(0.3+0.7*gt(sin(2*PI*0.31*t)\\,-0.2))';
    const channels: Readonly<Record<string, string>> = {
      'alike.wav': 'pan=stereo|c0=c0|c1=c0',
      'out of phase.wav': 'pan=stereo|c0=c0|c1=-1*c0',
      'left only.wav': 'pan=stereo|c0=c0|c1=0*c0',
      'right only.wav': 'pan=stereo|c0=0*c0|c1=c0',
      'mono.wav': 'anull',
      'surround.wav': 'pan=5.1|c2=c0',
      'quiet.wav': 'volume=-30dB,pan=stereo|c0=c0|c1=c0',
    };

    for (const [name, filter] of Object.entries(channels)) {
      it(`is at −16 LUFS within 1 LU, with peaks below −1.5 dB: ${name}`, async () => {
        const path = await made(
          name,
          ...['-f', 'lavfi', '-i', `aevalsrc=${voice}:d=12:s=48000`, '-af', filter, '-c:a', 'pcm_s16le'],
        );
        const { integrated, peak } = await matrix.loudness(await run('speech', path));
        assert.ok(Math.abs(integrated + 16) <= 1, `${integrated} LUFS`);
        assert.ok(peak <= -1.5, `${peak} dB`);
        const source = await matrix.level(path);
        const recognized = await matrix.level(await run('speech-recognition', path));
        assert.ok(recognized.mean > source.mean - 9, `${recognized.mean} of ${source.mean} dB`);
      });
    }

    it('of silence is silence', async () => {
      const path = await made('silence.wav', '-f', 'lavfi', '-i', 'anullsrc=r=48000:cl=stereo', '-t', '2');
      const { max } = await matrix.level(await run('speech', path));
      assert.ok(max < -60, `${max} dB`);
    });
  });

  it('that begins late keeps its lead', async () => {
    const path = await made(
      'late.mkv',
      ...['-f', 'lavfi', '-i', 'testsrc2=size=64x64:rate=10:duration=3', '-itsoffset', '1.5'],
      ...['-f', 'lavfi', '-i', 'sine=frequency=440:duration=1.5', '-c:v', 'mpeg4', '-c:a', 'pcm_s16le'],
    );
    await Promise.all(
      [...audioPresets, preset('h264-480p')].map(({ id }) =>
        limit(async () => {
          const output = await run(id, path);
          const { format } = await matrix.output(output);
          assert.ok(Math.abs(Number(format.duration) - 3) < 0.15, `${id}: ${format.duration} s`);
          if (id === 'speech') return;
          const before = await matrix.level(output, 'atrim=end=1.4');
          const after = await matrix.level(output, 'atrim=start=1.6');
          assert.ok(before.max < -60 && after.max > -25, `${id}: ${before.max} dB, ${after.max} dB`);
        }),
      ),
    );
  });

  it('of two mono tracks is stereo, left and right in their order', async () => {
    const path = await made(
      'pair.mov',
      ...[
        '-f',
        'lavfi',
        '-i',
        'sine=frequency=440:duration=1',
        '-f',
        'lavfi',
        '-i',
        'sine=frequency=4400:duration=1',
      ],
      ...['-map', '0', '-map', '1', '-c:a', 'pcm_s16le'],
    );
    for (const id of ['mp3', 'wav']) {
      const output = await run(id, path, { kind: 'pair', indexes: [0, 1] });
      const low = (channel: number) => matrix.level(output, `pan=mono|c0=c${channel},lowpass=f=1000:p=2`);
      const [left, right] = [await low(0), await low(1)];
      assert.ok(left.mean - right.mean > 10, `${id}: ${left.mean} dB left, ${right.mean} dB right`);
    }
  });

  it('of all tracks mixed has each of them, as loud as it was', async () => {
    const path = await made(
      'tracks.mkv',
      ...['-f', 'lavfi', '-i', 'testsrc2=size=64x64:rate=10:duration=2'],
      ...['-f', 'lavfi', '-i', 'sine=frequency=440:duration=2', '-itsoffset', '1'],
      ...['-f', 'lavfi', '-i', 'aevalsrc=0.125*sin(2*PI*6000*t)|0.125*sin(2*PI*6000*t):d=1:s=44100'],
      ...[
        '-map',
        '0',
        '-map',
        '1',
        '-map',
        '2',
        '-c:v',
        'libx264',
        '-preset',
        'ultrafast',
        '-c:a',
        'pcm_s16le',
      ],
    );
    for (const id of ['mp3', 'h264-480p', 'hls']) {
      const output = await run(id, path, { kind: 'mix', indexes: [0, 1] });
      const file = id === 'hls' ? `${output}/0/index.m3u8` : output;
      const band = (filter: string, from: number, to: number) =>
        matrix.level(file, `pan=mono|c0=0.5*c0+0.5*c1,${filter},atrim=start=${from}:end=${to}`);
      const low = await band('lowpass=f=1500:p=2', 0.2, 1.9);
      const [early, late] = [
        await band('highpass=f=4000:p=2', 0.2, 0.9),
        await band('highpass=f=4000:p=2', 1.1, 1.9),
      ];
      assert.ok(low.mean > -27, `${id}: first track ${low.mean} dB`);
      assert.ok(
        late.mean > -27 && early.mean < late.mean - 12,
        `${id}: second track ${early.mean}, ${late.mean} dB`,
      );
    }
  });

  it('of any layout gets one that players of the format support', async () => {
    const layouts = [
      ...['mono', 'stereo', 'downmix', '2.1', '3.0', '3.0(back)', '4.0', 'quad', 'quad(side)', '3.1', '5.0'],
      ...['5.0(side)', '5.1', '5.1(side)', '4.1', '6.0', '6.0(front)', 'hexagonal', '6.1', '6.1(back)'],
      ...['6.1(front)', '7.0', '7.0(front)', '7.1', '7.1(wide)', '7.1(wide-side)', 'octagonal'],
    ];
    const known: Readonly<Record<string, readonly string[]>> = {
      m4a: ['mono', 'stereo', '5.1'],
      opus: ['mono', 'stereo', '5.1', '7.1'],
      mp3: ['mono', 'stereo'],
    };
    await Promise.all(
      layouts.map((layout) =>
        limit(async () => {
          const path = await made(
            `${layout}.wav`,
            ...[
              '-f',
              'lavfi',
              '-i',
              `sine=duration=0.2,aformat=channel_layouts=${layout}`,
              '-c:a',
              'pcm_s16le',
            ],
          );
          for (const [id, expected] of Object.entries(known)) {
            const { streams } = await matrix.output(await run(id, path));
            assert.ok(
              expected.includes(streams[0]?.channel_layout ?? ''),
              `${layout}: ${streams[0]?.channel_layout}`,
            );
          }
        }),
      ),
    );
  });

  it('of more channels than players know is as loud in two, and not later', async () => {
    const tones = Array.from({ length: 24 }, (_, index) => `0.3*sin(2*PI*${200 + 137 * index}*t)`);
    const click = Array(24).fill('0.5*between(t\\,1\\,1.002)');
    const source = (name: string, channels: readonly string[]) =>
      made(name, '-f', 'lavfi', '-i', `aevalsrc=${channels.join('|')}:d=2:s=48000`, '-c:a', 'pcm_s16le');
    const path = await source('many.wav', tones);
    const { mean } = await matrix.level(path);
    for (const id of ['mp3', 'opus', 'flac']) {
      const output = await matrix.level(await run(id, path));
      assert.ok(Math.abs(output.mean - mean) < 1.5, `${id}: ${output.mean} of ${mean} dB`);
    }
    const alike = await matrix.level(
      await run('flac', await source('many alike.wav', Array(24).fill(tones[0]))),
    );
    assert.ok(alike.max < 0, `${alike.max} dB`);
    const clicked = await run('flac', await source('click.wav', click));
    const before = await matrix.level(clicked, 'atrim=start=0.9:end=0.999');
    const after = await matrix.level(clicked, 'atrim=start=1:end=1.003');
    assert.ok(before.max < -60 && after.max > -20, `${before.max}, ${after.max} dB`);
  });

  it('of a decoder that names no layout is made into any format', async () => {
    const path = await made('mono.tta', '-f', 'lavfi', '-i', 'sine=duration=0.2', '-c:a', 'tta');
    await Promise.all(
      ['mp3', 'm4a', 'opus', 'remux'].map((id) =>
        limit(async () => {
          const [audio] = (await matrix.output(await run(id, path))).streams;
          assert.deepEqual([audio?.channels, audio?.channel_layout], [1, 'mono'], id);
        }),
      ),
    );
  });

  it('of six channels in WavPack, whose blocks have two each, is not taken for stereo', async () => {
    const hexagonal = 'sine=duration=0.2,aformat=channel_layouts=hexagonal';
    const path = await made('six.wv', '-f', 'lavfi', '-i', hexagonal, '-c:a', 'wavpack');
    for (const id of ['opus', 'm4a']) {
      const [audio] = (await matrix.output(await run(id, path))).streams;
      assert.equal(audio?.channel_layout, '5.1', id);
    }
  });

  it('in WAV keeps the bit depth of its source, and can exceed 4 GiB', async () => {
    const noise = ['-f', 'lavfi', '-i', 'anoisesrc=d=0.5:r=48000:a=0.3'];
    const depths: Readonly<Record<string, readonly string[]>> = {
      pcm_s16le: ['16.flac', '-sample_fmt', 's16'],
      pcm_s24le: ['24.flac', '-sample_fmt', 's32'],
      pcm_s32le: ['32.wav', '-c:a', 'pcm_s32le'],
      pcm_f32le: ['floats.wav', '-c:a', 'pcm_f32le'],
    };
    for (const [encoder, [name = '', ...options]] of Object.entries(depths)) {
      const path = await made(name, ...noise, ...options);
      const output = await run('wav', path);
      assert.equal((await matrix.output(output)).streams[0]?.codec_name, encoder);
      assert.equal(await matrix.hash(output, encoder), await matrix.hash(path, encoder), name);
      const file = await open(output);
      const head = await file.read(Buffer.alloc(16), 0, 16, 0).finally(() => file.close());
      assert.equal(head.buffer.toString('latin1', 12), 'JUNK', 'space for the 64-bit sizes of RF64');
    }
  });

  it('of Ogg and Opus keeps title and artist', async () => {
    for (const [name, encoder] of [
      ['song.ogg', 'libvorbis'],
      ['song.opus', 'libopus'],
    ] as const) {
      const path = await made(
        name,
        ...['-f', 'lavfi', '-i', 'sine=duration=0.5', '-c:a', encoder, '-metadata', 'title=A "song" 🎵'],
        ...['-metadata', 'artist=Someone'],
      );
      for (const id of ['mp3', 'm4a', 'flac', 'wav', 'opus']) {
        const { format, streams } = await matrix.output(await run(id, path));
        const tags = Object.entries({ ...streams[0]?.tags, ...format.tags }).map(
          ([key, value]) => [key.toLowerCase(), value] as const,
        );
        assert.equal(new Map(tags).get('title'), 'A "song" 🎵', `${name} to ${id}`);
        assert.equal(new Map(tags).get('artist'), 'Someone', `${name} to ${id}`);
      }
    }
  });

  it('keeps its cover, also without ffprobe', async () => {
    const cover = await made('cover.png', '-f', 'lavfi', '-i', 'color=red:size=32x32', '-frames:v', '1');
    for (const [name, codec] of [
      ['song.mp3', 'libmp3lame'],
      ['song.flac', 'flac'],
      ['song.m4a', 'aac'],
    ] as const) {
      const path = await made(
        name,
        ...['-f', 'lavfi', '-i', 'sine=duration=0.5', '-i', cover, '-map', '0', '-map', '1', '-c:a', codec],
        ...['-c:v', 'copy', '-disposition:v', 'attached_pic'],
      );
      const media = await matrix.media(path, false);
      for (const id of ['mp3', 'm4a', 'flac']) {
        const output = await matrix.make(preset(id), path, media, undefined, name);
        const { streams } = await matrix.output(output);
        assert.deepEqual([streams.length, streams[1]?.disposition.attached_pic], [2, 1], `${name} to ${id}`);
      }
      const { streams } = await matrix.output(await matrix.make(preset('wav'), path, media, undefined, name));
      assert.equal(streams.length, 1);
    }
  });

  it('keeps chapters where the format has them', async () => {
    const chapters = [
      '[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n',
      '[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1000\ntitle=Two\n',
    ];
    await writeFile(matrix.path('chapters.txt'), `;FFMETADATA1\n${chapters.join('')}`);
    const path = await made(
      'book.m4b',
      ...['-f', 'lavfi', '-i', 'sine=duration=1', '-i', matrix.path('chapters.txt'), '-map_metadata', '1'],
      ...['-c:a', 'aac', '-f', 'mp4'],
    );
    for (const id of ['mp3', 'm4a', 'opus', 'remux']) {
      assert.equal((await matrix.output(await run(id, path))).chapters.length, 2, id);
    }
  });
});
