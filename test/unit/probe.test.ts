import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Content } from '../../src/core/files/bytes';
import { DiskFiles } from '../../src/core/files/localFiles';
import type { MediaInfo } from '../../src/core/media/mediaInfo';
import { findFfprobe } from '../../src/core/media/probe/ffprobe';
import { probeMedia } from '../../src/core/media/probe/probeMedia';
import { judge } from '../../src/core/plan/judge';
import { probeFiles } from '../../src/core/plan/probeFiles';
import { builtInPresets } from '../../src/core/presets/builtIn';
import type { Preset } from '../../src/core/presets/preset';
import { ffmpeg, temporaryFolder } from '../media';

const never = new AbortController().signal;
const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=2'];
const tone = ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=2:sample_rate=48000'];
const both = [...picture, ...tone];
const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'];

interface Format {
  readonly args: readonly string[];
  /** Kinds of its tracks, in any order. */
  readonly tracks: string;
  /** Whether the parser alone knows the tracks; ffprobe always does. */
  readonly isParsed: boolean;
}

const formats: Readonly<Record<string, Format>> = {
  'clip.mp4': { args: [...both, ...x264, '-c:a', 'aac'], tracks: 'audio video', isParsed: true },
  'clip.mkv': { args: [...both, ...x264, '-c:a', 'aac'], tracks: 'audio video', isParsed: true },
  'clip.avi': { args: [...both, '-c:v', 'mpeg4', '-c:a', 'mp3'], tracks: 'audio video', isParsed: true },
  'silent.avi': { args: [...picture, '-c:v', 'mpeg4'], tracks: 'video', isParsed: true },
  'clip.flv': { args: [...both, '-c:v', 'flv1', '-ar', '44100'], tracks: 'audio video', isParsed: true },
  'silent.flv': { args: [...picture, '-c:v', 'flv1'], tracks: 'video', isParsed: true },
  'clip.wmv': { args: [...both, '-c:v', 'wmv2', '-c:a', 'wmav2'], tracks: 'audio video', isParsed: true },
  'clip.wma': { args: [...tone, '-c:a', 'wmav2'], tracks: 'audio', isParsed: true },
  'clip.mxf': {
    args: [...both, '-c:v', 'mpeg2video', '-c:a', 'pcm_s16le'],
    tracks: 'audio video',
    isParsed: false,
  },
  'clip.mpg': {
    args: [...both, '-c:v', 'mpeg2video', '-c:a', 'mp2'],
    tracks: 'audio video',
    isParsed: false,
  },
  'clip.ts': { args: [...both, ...x264, '-c:a', 'aac'], tracks: 'audio video', isParsed: false },
  'clip.ogv': { args: [...picture, '-c:v', 'libtheora'], tracks: 'video', isParsed: true },
  'clip.ogg': { args: [...tone, '-c:a', 'libvorbis'], tracks: 'audio', isParsed: true },
  'clip.dv': { args: [...both, '-target', 'pal-dv'], tracks: 'audio video', isParsed: false },
  'clip.caf': { args: tone, tracks: 'audio', isParsed: true },
  'clip.aiff': { args: tone, tracks: 'audio', isParsed: true },
  'clip.w64': { args: tone, tracks: 'audio', isParsed: true },
};

describe('A probe', function () {
  this.timeout(240_000);
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let program: string;

  before(async () => {
    root = await temporaryFolder('probe');
    program = (await findFfprobe('')) ?? assert.fail('ffprobe is on the PATH');
  });

  after(() => root.remove());

  const make = (name: string, args: readonly string[]) => ffmpeg(...args, join(root.path, name));

  async function probe(path: string, withFfprobe: boolean): Promise<MediaInfo | undefined> {
    const bytes = readFileSync(path);
    const content: Content = {
      size: bytes.length,
      read: async (position, length) => bytes.subarray(position, position + length),
    };
    const ffprobe = withFfprobe ? { program, path } : undefined;
    return (await probeMedia(content, { signal: never, ffprobe, wantsDetails: withFfprobe })).media;
  }

  const preset = (id: string) => builtInPresets.find((one) => one.id === id) as Preset;

  it('knows the tracks of every format, with ffprobe and where possible without', async () => {
    for (const [name, { args, tracks, isParsed }] of Object.entries(formats)) {
      const path = await make(name, args);
      for (const withFfprobe of isParsed ? [true, false] : [true]) {
        const media = await probe(path, withFfprobe);
        const told = `${name} ${withFfprobe ? 'with' : 'without'} ffprobe`;
        const kinds = new Set(media?.tracks.map(({ kind }) => kind));
        assert.equal([...kinds].sort().join(' '), tracks, told);
        assert.ok(media?.knows.includes('audio') && media.knows.includes('video'), told);
        const file = { path: name, size: 1 };
        assert.equal(
          judge(preset('mp3'), media, file)?.kind,
          kinds.has('audio') ? undefined : 'noAudioTrack',
          told,
        );
        const video = judge(preset('h264-480p'), media, file)?.kind;
        assert.equal(video, kinds.has('video') ? undefined : 'noVideoTrack', told);
      }
    }
  });

  it('knows the length that the header of half a file states', async () => {
    for (const name of ['clip.avi', 'clip.flv', 'clip.wmv', 'clip.w64', 'clip.caf']) {
      const whole = readFileSync(await make(name, formats[name]?.args ?? []));
      const path = join(root.path, `half-${name}`);
      writeFileSync(path, whole.subarray(0, whole.length / 2));
      for (const withFfprobe of [true, false]) {
        const seconds = (await probe(path, withFfprobe))?.tracks[0]?.seconds ?? 0;
        assert.ok(Math.abs(seconds - 2) < 0.15, `${name}: ${seconds} s`);
      }
    }
  });

  it('knows what presets choose filters from', async () => {
    const path = await make('details.mov', [
      ...['-f', 'lavfi', '-i', 'testsrc2=size=720x576:rate=25:duration=1,setsar=64/45,setfield=tff'],
      ...['-f', 'lavfi', '-i', 'aevalsrc=0|0|0|0|0|0:c=5.1(side):d=1:s=48000'],
      ...[...x264, '-flags', '+ilme+ildct', '-x264opts', 'tff=1', '-c:a', 'ac3'],
      ...['-color_trc', 'smpte2084', '-color_primaries', 'bt2020', '-colorspace', 'bt2020nc'],
    ]);
    const media = await probe(path, true);
    const [video, audio] = media?.tracks ?? [];
    assert.deepEqual(
      [video?.width, video?.height, video?.codedWidth, video?.fieldOrder, video?.colorTransfer],
      [1024, 576, 720, 'tt', 'smpte2084'],
    );
    assert.deepEqual([audio?.channels, audio?.channelLayout, audio?.sampleRate], [6, '5.1(side)', 48_000]);
  });

  it('lists text subtitles in Matroska, and refuses subtitles that are only pictures', async () => {
    const words = join(root.path, 'words.srt');
    writeFileSync(words, '1\n00:00:00,000 --> 00:00:01,000\nHello\n');
    const languages = ['-metadata:s:s:0', 'language=ger', '-disposition:s:0', 'forced'];
    const text = await make('text.mkv', [...picture, '-i', words, ...x264, '-c:s', 'srt', ...languages]);
    for (const withFfprobe of [true, false]) {
      const media = await probe(text, withFfprobe);
      const subtitle = media?.tracks.find(({ kind }) => kind === 'subtitle');
      assert.deepEqual([subtitle?.codec, subtitle?.language, subtitle?.isForced], ['subrip', 'ger', true]);
      assert.equal(judge(preset('subtitles'), media, { path: 'text.mkv', size: 1 }), undefined);
    }
    const pictures = readFileSync(text);
    // The codec id of VobSub has as many letters as that of SubRip needs bytes.
    pictures.write('S_VOBSUB\0\0\0', pictures.indexOf('S_TEXT/UTF8', 0, 'latin1'), 'latin1');
    const path = join(root.path, 'pictures.mkv');
    writeFileSync(path, pictures);
    const problem = judge(preset('subtitles'), await probe(path, false), { path: 'pictures.mkv', size: 1 });
    assert.equal(problem?.kind, 'pictureSubtitles');
  });

  it('states no length of a codec whose rate the header gives roughly', async () => {
    const media = await probe(await make('adpcm.wav', [...tone, '-c:a', 'adpcm_ms']), false);
    assert.deepEqual([media?.tracks.length, media?.tracks[0]?.seconds], [1, undefined]);
  });

  it('refuses an animated WebP, and knows a still one', async () => {
    const animated = await make('animated.webp', [...picture, '-c:v', 'libwebp_anim']);
    const still = await make('still.webp', [...picture, '-frames:v', '1', '-c:v', 'libwebp']);
    const file = { path: 'picture.webp', size: 1 };
    assert.equal(judge(preset('thumbnail'), await probe(animated, true), file)?.kind, 'animatedWebp');
    assert.equal(judge(preset('thumbnail'), await probe(still, true), file), undefined);
  });

  it('knows that a file is encrypted', async () => {
    const path = await make('encrypted.mp4', [
      ...[...both, ...x264, '-c:a', 'aac', '-encryption_scheme', 'cenc-aes-ctr'],
      ...[
        '-encryption_key',
        '76a6c65c5ea762046bd749a2e632ccbb',
        '-encryption_kid',
        'a7e61c373e219033c21091fa607bf3b8',
      ],
    ]);
    for (const withFfprobe of [true, false]) {
      const media = await probe(path, withFfprobe);
      assert.equal(judge(preset('mp3'), media, { path: 'encrypted.mp4', size: 1 })?.kind, 'protectedContent');
    }
  });

  it('reads little more than the tables of a file, whatever its size', async () => {
    const path = join(root.path, 'tables.mp4');
    const tone = ['-f', 'lavfi', '-i', 'sine=frequency=440', '-t', '1', '-c:a', 'aac'];
    await ffmpeg('-f', 'lavfi', '-i', 'testsrc2=size=160x120', ...tone, '-movflags', '+faststart', path);
    const bytes = Buffer.concat([readFileSync(path), Buffer.alloc(4_000_000)]);
    const reads: number[] = [];
    const content: Content = {
      size: bytes.length,
      read: async (position, length) => {
        const part = bytes.subarray(position, position + length);
        reads.push(part.length);
        return part;
      },
    };
    const { media } = await probeMedia(content, { signal: never });
    assert.ok(media);
    const total = reads.reduce((sum, read) => sum + read, 0);
    assert.ok(total <= 300_000 && reads.length <= 6, `${reads.length} reads of ${total} bytes`);
  });

  it('opens no file or address that a file refers to', async () => {
    let requests = 0;
    const server = createServer((_, answer) => {
      requests++;
      answer.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/0.ts`;
    try {
      const playlists = {
        'list.m3u8': `#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n${url}\n#EXT-X-ENDLIST\n`,
        'list.mp4': `#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n${url}\n#EXT-X-ENDLIST\n`,
        'list.ffconcat': `ffconcat version 1.0\nfile '${url}'\n`,
        'list.wav': Buffer.from(`\xff\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n`, 'latin1'),
        'list.sdp': `v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n`,
      };
      for (const [name, text] of Object.entries(playlists)) {
        const path = join(root.path, name);
        writeFileSync(path, text);
        assert.equal((await probe(path, true))?.instead, 'playlist', name);
      }
      assert.equal(requests, 0);
      // On a node, ffmpeg opens what they name: a preset has to ask for that, and the file has to be called a playlist.
      const asks: Preset = {
        ...preset('h264-480p'),
        arguments: ['-protocol_whitelist', 'file,https', ...preset('h264-480p').arguments],
      };
      for (const name of Object.keys(playlists)) {
        const media = await probe(join(root.path, name), false);
        const problem = judge(preset('h264-480p'), media, { path: name, size: 1 });
        assert.equal(problem?.kind, /mp4|wav/.test(name) ? 'notMedia' : 'playlist', name);
        const asked = judge(asks, media, { path: name, size: 1 });
        assert.equal(asked?.kind, /mp4|wav/.test(name) ? 'notMedia' : undefined, name);
      }
    } finally {
      server.close();
    }
  });
});

describe('A file that vanishes before it is probed', () => {
  it('is refused by the name that the user knows', async () => {
    const chosen = [{ uri: 'file:///nowhere/videos/gone.mp4', path: 'videos/gone.mp4' }];
    const [preset] = builtInPresets;
    assert.ok(preset);
    const { sources, refused } = await probeFiles(new DiskFiles(), chosen, preset, never);
    assert.deepEqual(sources, []);
    assert.deepEqual(refused, [{ ...chosen[0], problem: { kind: 'fileMissing', file: 'videos/gone.mp4' } }]);
  });
});
