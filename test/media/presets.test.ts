import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import pLimit from 'p-limit';
import { type AudioSelection, audioTracks, stereoPair } from '../../src/core/media/audioTracks';
import type { MediaInfo } from '../../src/core/media/mediaInfo';
import { builtInPresets } from '../../src/core/presets/builtIn';
import type { Preset } from '../../src/core/presets/preset';
import { temporaryFolder } from '../media';
import { preset } from '../presets';
import { Matrix, type Output, type OutputStream, rungsOf } from './matrix';
import { original, parts, type Source, sounds, videos } from './sources';

/** Commands that run at a time. */
const limit = pLimit(2);

const audioPresets = builtInPresets.filter(({ needs }) => needs === 'audio');
const pictureIds = new Set(['thumbnail', 'contact-sheet', 'preview']);
const videoPresets = builtInPresets.filter(
  ({ id, needs }) => needs === 'video' && id !== 'hls' && !pictureIds.has(id),
);

describe('Presets', function () {
  this.timeout(240_000);
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let matrix: Matrix;

  before(async () => {
    root = await temporaryFolder('presets');
    matrix = new Matrix(root.path);
    await Promise.all(parts.map((part) => matrix.source(part)));
    await Promise.all([...videos, ...sounds].map((source) => limit(() => matrix.source(source))));
  });

  after(() => root.remove());

  const selection = (media: MediaInfo): AudioSelection => {
    const pair = stereoPair(audioTracks(media));
    return pair ? { kind: 'pair', indexes: pair } : { kind: 'track', index: 0 };
  };

  /** Runs presets on a source and checks each output, two at a time. */
  async function check(
    source: Source,
    presets: readonly Preset[],
    test: (preset: Preset, path: string) => Promise<void>,
  ) {
    const path = await matrix.source(source);
    const media = await matrix.media(path);
    const failures: string[] = [];
    await Promise.all(
      presets.map((one) =>
        limit(async () => {
          try {
            await test(one, await matrix.make(one, path, media, selection(media), source.name));
          } catch (error) {
            failures.push(`${one.id}: ${error instanceof Error ? error.message : String(error)}`);
          }
        }),
      ),
    );
    assert.equal(failures.join('\n'), '');
  }

  for (const source of [...videos, ...sounds].filter(({ channels }) => channels !== undefined)) {
    it(`make audio of ${source.name}`, () =>
      check(source, audioPresets, async (one, path) => checkAudio(source, one, await matrix.output(path))));
  }

  for (const source of videos) {
    it(`make video of ${source.name}`, () =>
      check(source, videoPresets, async (one, path) => {
        const output = await matrix.output(path);
        checkVideo(source, one, output);
        if (one.id !== 'h264-480p' || source.isOtherPicture) return;
        const rate = source.rate ?? 25;
        const likeness = await matrix.likeness(path, original(source.size?.join('x') ?? '', rate));
        assert.ok(likeness >= (source.minSsim ?? 0.85), `SSIM ${likeness}`);
      }));

    it(`make pictures of ${source.name}`, () =>
      check(
        source,
        builtInPresets.filter(({ id }) => pictureIds.has(id)),
        async (one, path) => checkPictures(source, one, path),
      ));

    it(`make HLS of ${source.name}`, () =>
      check(source, [preset('hls')], async (_, path) => checkHls(source, path)));
  }

  for (const source of [...videos, ...sounds]) {
    it(`put ${source.name} into an MP4 without re-encoding`, () =>
      check(source, [preset('remux')], async (_, path) => checkRemux(source, await matrix.output(path))));
  }

  async function checkPictures(source: Source, { id }: Preset, path: string) {
    const [width, height] = evenSize(source);
    const [stream] = (await matrix.output(path)).streams;
    assert.ok(stream);
    const isSheet = id === 'contact-sheet';
    const tileHeight = Math.round((320 * (source.size?.[1] ?? 0)) / (source.size?.[0] ?? 1) / 2) * 2;
    assert.deepEqual([stream.width, stream.height], isSheet ? [1280, tileHeight * 4] : [width, height]);
    assert.match(stream.sample_aspect_ratio ?? '1:1', /^(1:1|0:1)$/);
    if (source.isOtherPicture) return;
    const [columns, rows] = source.size ?? [];
    const seconds = source.seconds < 0.1 ? 0.04 : 1;
    if (isSheet) {
      // Sixteen moments of the original, each at its place.
      const expected = `${original(`${columns}x${rows}`, 25, seconds)},fps=16/${seconds},scale=320:${tileHeight},tpad=stop=15:stop_mode=clone,tile=4x4`;
      const likeness = await matrix.likeness(path, expected);
      assert.ok(likeness >= (source.minSsim ?? 0.8) - 0.1, `sheet: SSIM ${likeness}`);
    } else if (id === 'preview') {
      const frames = Number(stream.nb_read_packets);
      assert.ok(frames >= 1 && Math.abs(frames - 10 * seconds) <= 3, `${frames} pictures`);
    } else {
      // One of its pictures: the one that is most like it.
      const likeness = await matrix.likeness(
        path,
        original(`${columns}x${rows}`, 25, seconds),
        'loop=loop=24:size=1',
      );
      assert.ok(likeness >= 0.35, `thumbnail: SSIM ${likeness}`);
    }
  }

  async function checkHls(source: Source, folder: string) {
    const rungs = await rungsOf(folder);
    assert.equal(rungs.length, 1, 'no rung above the source');
    const [width, height] = evenSize(source);
    for (const { info, path, seconds } of rungs) {
      assert.ok(info.includes(`RESOLUTION=${width}x${height}`), info);
      assert.match(
        info,
        source.channels ? /CODECS="avc1\.[0-9a-f]{6},mp4a\.40\.2"/ : /CODECS="avc1\.[0-9a-f]{6}"/,
      );
      near(
        seconds,
        Math.max(source.seconds, 0.6),
        Math.max(0.2, source.tolerance ?? 0),
        'length of the playlist',
      );
      // Otherwise ffmpeg 8 leaves it out of the master playlist.
      assert.match(await readFile(path, 'utf8'), /#EXT-X-TARGETDURATION:[1-9]/);
      const { streams } = await matrix.output(path);
      const audio = streams.find(({ codec_type }) => codec_type === 'audio');
      assert.equal(audio?.channels, source.channels && Math.min(2, source.channels));
      assert.equal(streams.find(({ codec_type }) => codec_type === 'video')?.pix_fmt, 'yuv420p');
    }
  }
});

/** Channels that a preset gives of a source. */
function expectedChannels({ channels = 0 }: Source, { id }: Preset): number {
  switch (id) {
    case 'wav':
      return channels;
    case 'speech':
    case 'speech-recognition':
      return 1;
    case 'mp3':
      return Math.min(2, channels);
    case 'flac':
      return channels > 8 ? 2 : channels;
  }
  if (channels > 8) return 2;
  const isOpus = id === 'opus' || id === 'vp9';
  return channels <= 2 ? channels : isOpus && channels > 6 ? 8 : 6;
}

const layouts: Readonly<Record<number, string>> = { 1: 'mono', 2: 'stereo', 6: '5.1', 8: '7.1' };

function checkAudioStream(source: Source, one: Preset, stream: OutputStream | undefined) {
  assert.ok(stream, 'has audio');
  const channels = expectedChannels(source, one);
  assert.equal(stream.channels, channels, 'channels');
  const isPcm = stream.codec_name.startsWith('pcm_');
  if (!isPcm && stream.codec_name !== 'flac') {
    assert.equal(stream.channel_layout, layouts[channels], 'layout');
    assert.ok(Number(stream.sample_rate) <= 48_000, `${stream.sample_rate} Hz`);
  }
}

const audioCodecs: Readonly<Record<string, RegExp>> = {
  mp3: /^mp3$/,
  m4a: /^aac$/,
  opus: /^opus$/,
  flac: /^flac$/,
  wav: /^pcm_(s16|s24|s32|f32)le$/,
  speech: /^mp3$/,
  'speech-recognition': /^pcm_s16le$/,
};

function checkAudio(source: Source, one: Preset, { streams, format }: Output) {
  const [audio, cover, ...others] = streams;
  checkAudioStream(source, one, audio);
  assert.match(audio?.codec_name ?? '', audioCodecs[one.id] ?? /^$/);
  if (one.id === 'speech-recognition') assert.equal(audio?.sample_rate, '16000');
  const keepsCover = source.hasCover && ['mp3', 'm4a', 'flac'].includes(one.id);
  assert.equal(cover?.disposition.attached_pic, keepsCover ? 1 : undefined, 'cover');
  assert.deepEqual(others, []);
  near(Number(format.duration), source.seconds, Math.max(0.16, source.tolerance ?? 0), 'length');
}

/** The size of the output: the source's own, sides even. */
function evenSize({ size = [0, 0] }: Source): [number, number] {
  const even = (side: number) => Math.floor(side / 2 + 0.01) * 2;
  return [even(size[0]), even(size[1])];
}

const videoCodecs: Readonly<Record<string, string>> = { h265: 'hevc', vp9: 'vp9', av1: 'av1' };

function checkVideo(source: Source, one: Preset, { streams, format }: Output) {
  const [video, audio, ...others] = streams.filter(({ codec_type }) => codec_type !== 'data');
  assert.ok(video);
  assert.deepEqual(others, []);
  assert.equal(video.codec_name, videoCodecs[one.id] ?? 'h264');
  const [width, height] = [video.width ?? 0, video.height ?? 0];
  const [wide, high] = evenSize(source);
  assert.ok(
    Math.abs(width - wide) <= 2 && Math.abs(height - high) <= 2 && width % 2 === 0 && height % 2 === 0,
    `${width}x${height} is not ${wide}x${high}`,
  );
  assert.match(video.sample_aspect_ratio ?? '1:1', /^(1:1|0:1|N\/A)$/);
  assert.match(video.field_order ?? 'progressive', /^(progressive|unknown)$/);
  const keepsHdr = source.isHdr && (one.id === 'h265' || one.id === 'av1');
  assert.equal(video.pix_fmt, keepsHdr ? 'yuv420p10le' : 'yuv420p');
  if (source.isHdr) {
    assert.match(video.color_transfer ?? '', keepsHdr ? /^(smpte2084|arib-std-b67)$/ : /^bt709$/);
    assert.equal(video.color_primaries, keepsHdr ? 'bt2020' : 'bt709');
  }
  if (one.id === 'h265') assert.equal(video.codec_tag_string, 'hvc1');
  if (source.channels) checkAudioStream(source, one, audio);
  else assert.equal(audio, undefined);
  if (source.rate) {
    const [pictures = 0, per = 1] = (video.avg_frame_rate ?? '').split('/').map(Number);
    near(pictures / per, source.rate, 0.5, 'pictures a second');
  }
  near(Number(format.duration), source.seconds, Math.max(0.12, source.tolerance ?? 0), 'length');
  near(Number(format.start_time), 0, 0.05, 'start');
}

function checkRemux(source: Source, { streams, format }: Output) {
  const of = (kind: string) => streams.filter(({ codec_type }) => codec_type === kind);
  const expectedTracks = source.tracks ?? (source.channels ? 1 : 0);
  assert.equal(of('audio').length, expectedTracks, 'audio tracks');
  assert.equal(of('video').length, source.size ? 1 : 0, 'video tracks');
  for (const { codec_name } of of('audio')) {
    assert.match(codec_name, /^(aac|mp3|mp2|ac3|eac3|dts|alac|opus|flac)$/);
  }
  near(Number(format.duration), source.seconds, Math.max(0.15, source.tolerance ?? 0), 'length');
}

function near(actual: number, expected: number, tolerance: number, what: string) {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: ${actual} instead of ${expected}`);
}
