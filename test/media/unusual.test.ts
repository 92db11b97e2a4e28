import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseArgsStringToArgv } from 'string-argv';
import type { MediaInfo } from '../../src/core/media/mediaInfo';
import { parseFfmpegLog } from '../../src/core/media/probe/ffmpegLog';
import { parseFirstFrame } from '../../src/core/media/probe/ffprobeOutput';
import { proveOutput } from '../../src/core/media/probe/proof';
import { plan } from '../../src/core/plan/plan';
import { adaptationsOf } from '../../src/core/presets/adaptations';
import { builtInPresets } from '../../src/core/presets/builtIn';
import type { Preset } from '../../src/core/presets/preset';
import { ffmpeg, temporaryFolder } from '../media';
import { Matrix } from './matrix';
import {
  asAc4,
  asReference,
  coverMetadata,
  type Edit,
  withEdits,
  withLaterMedia,
  withoutPackets,
  withoutSamples,
  withStatedLength,
} from './patches';
import { provenOutput } from './provenOutput';

const run = promisify(execFile);
const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=2'];
const tone = ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=2:sample_rate=48000'];
const x264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
const video: MediaInfo['tracks'][number] = { kind: 'video', isDefault: true, codec: 'hevc' };
const firstTrack = { kind: 'track', index: 0 } as const;

function preset(id: string): Preset {
  return builtInPresets.find((one) => one.id === id) ?? assert.fail(id);
}

describe('Unusual sources', function () {
  this.timeout(120_000);
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let matrix: Matrix;

  before(async () => {
    root = await temporaryFolder('unusual');
    matrix = new Matrix(root.path);
  });
  after(() => root.remove());

  const make = (name: string, ...args: readonly string[]) =>
    matrix.source({ name, make: [...picture, ...tone, ...args], seconds: 2 });

  /** A changed copy of a file. */
  function changed(path: string, name: string, change: (bytes: Buffer) => Buffer): string {
    const copy = matrix.path(name);
    writeFileSync(copy, change(readFileSync(path)));
    return copy;
  }

  function request(path: string, media: MediaInfo, id: string) {
    const source = { uri: `file://${path}`, path, size: 1, modified: 0, media };
    return { sources: [source], preset: preset(id) };
  }

  function planned(path: string, media: MediaInfo, id: string) {
    return plan(request(path, media, id));
  }

  it('of an FLV, the length is that of its last tags, whatever its header states', async () => {
    const path = await make('whole.flv', ...x264);
    for (const seconds of [0, 0.5, 1e6, -5, Number.NaN]) {
      const flv = changed(path, 'stated.flv', (bytes) => withStatedLength(bytes, seconds));
      const media = await matrix.media(flv, false);
      for (const track of media.tracks) {
        assert.ok(Math.abs((track.seconds ?? 0) - 2) < 0.1, `${seconds}: ${track.kind} ${track.seconds}`);
      }
    }
    const later = changed(path, 'later.flv', (bytes) => withLaterMedia(bytes, 5 * 3600));
    for (const track of (await matrix.media(later, false)).tracks) {
      assert.ok(Math.abs((track.seconds ?? 0) - 2) < 0.1, `later: ${track.kind} ${track.seconds}`);
    }
    // A file that is cut has no whole tag at its end.
    const half = changed(path, 'half.flv', (bytes) => bytes.subarray(0, bytes.length / 2));
    assert.ok(((await matrix.media(half, false)).seconds ?? 0) > 1.9);
  });

  it('with AC-4, which ffmpeg does not decode, are refused, or their other audio is used', async () => {
    const one = changed(await make('one.mp4', ...x264), 'ac4.mp4', asAc4);
    const twoTracks = await make('two.mp4', '-map', '0', '-map', '1', '-map', '1', ...x264);
    const two = changed(twoTracks, 'ac4 and aac.mp4', asAc4);
    for (const withFfprobe of [true, false]) {
      const media = await matrix.media(one, withFfprobe);
      for (const id of ['mp3', 'h264-480p', 'hls', 'remux']) {
        const problem = planned(one, media, id).refused[0]?.problem;
        assert.deepEqual(problem, { kind: 'audioUndecodable', file: one, codec: 'AC-4' }, id);
      }
      assert.deepEqual(planned(one, media, 'thumbnail').refused, []);
      const both = await matrix.media(two, withFfprobe);
      assert.match(planned(two, both, 'mp3').files[0]?.commandLine ?? '', /-map 0:a:1 /);
      assert.match(planned(two, both, 'remux').files[0]?.commandLine ?? '', / -map -0:a:0 /);
      const all = (id: string) =>
        plan({ ...request(two, both, id), audio: 'all' }).files[0]?.commandLine ?? '';
      assert.match(all('mp3'), /-map 0:a:1 /);
      assert.doesNotMatch(all('mp3'), /-map 0:a:0 /);
      assert.match(all('h264-480p'), /-map '?0:a:1\?/);
      assert.ok(
        planned(two, both, 'remux').notes.some(
          (note) => note.kind === 'adapted' && note.adaptation.kind === 'leftOut',
        ),
      );
      const remuxed = await matrix.output(await matrix.make(preset('remux'), two, both, firstTrack, 'ac4'));
      assert.deepEqual(
        remuxed.streams.map(({ codec_name: codec }) => codec),
        ['h264', 'aac'],
      );
    }
  });

  it('with an edit list that joins or cuts off parts become an MP4 of these parts', async () => {
    const path = await make('edited.mp4', ...x264);
    const joined: readonly Edit[] = [
      [500, 0],
      [1000, 512 * 20],
    ];
    const cases: readonly (readonly [string, readonly Edit[], number])[] = [
      ['joined.mp4', joined, 1.5],
      ['cut off.mp4', [[1000, 0]], 1],
      ['whole.mp4', [[2000, 0]], 2],
    ];
    for (const [name, edits, seconds] of cases) {
      const edited = changed(path, name, (bytes) => withEdits(bytes, edits));
      const media = await matrix.media(edited, true);
      const output = await matrix.output(await matrix.make(preset('remux'), edited, media, firstTrack, name));
      const [track] = output.streams;
      assert.ok(Math.abs(Number(track?.duration) - seconds) < 0.05, `${name}: ${track?.duration} s`);
      assert.ok(Math.abs(Number(track?.nb_read_packets) - seconds * 25) <= 1, name);
      const isTold = adaptationsOf(preset('remux'), media, firstTrack).some(
        ({ kind }) => kind === 'editsApplied',
      );
      assert.equal(isTold, seconds < 2, name);
    }
  });

  it('with a cover in Ogg or Matroska keep it', async () => {
    const cover = await ffmpeg(
      ...['-f', 'lavfi', '-i', 'color=red:size=64x64', '-frames:v', '1', matrix.path('cover.png')],
    );
    const metadata = matrix.path('cover.txt');
    writeFileSync(metadata, coverMetadata(readFileSync(cover)));
    const described = ['-i', metadata, '-map', '0', '-map_metadata', '1'];
    const attachment = ['-attach', cover, '-metadata:s:t', 'mimetype=image/png', '-metadata:s:t'];
    const sources = [
      await ffmpeg(...tone, ...described, '-c:a', 'libvorbis', matrix.path('cover.ogg')),
      await ffmpeg(...tone, ...described, '-c:a', 'libopus', matrix.path('cover.opus')),
      await ffmpeg(...tone, ...attachment, 'filename=cover.png', '-c:a', 'flac', matrix.path('cover.mka')),
    ];
    for (const source of sources) {
      for (const withFfprobe of [true, false]) {
        const media = await matrix.media(source, withFfprobe);
        const output = await matrix.make(preset('mp3'), source, media, firstTrack, 'covered');
        const { streams } = await matrix.output(output);
        assert.deepEqual(
          streams.map(({ codec_name: codec, disposition }) => [codec, disposition.attached_pic]),
          [
            ['mp3', 0],
            ['png', 1],
          ],
          `${source} ${withFfprobe}`,
        );
      }
    }
  });

  it('that name other files for their media are refused', async () => {
    const path = changed(await make('self-contained.mov', ...x264), 'reference.mov', asReference);
    const records = Buffer.from('\0\0\0\x10moov\0\0\0\x08rmra', 'latin1');
    const empty = changed(path, 'records.mov', () => records);
    for (const file of [path, empty]) {
      const { files, refused } = planned(file, await matrix.media(file), 'h264-480p');
      assert.deepEqual([files, refused[0]?.problem], [[], { kind: 'referenceMovie', file }]);
    }
  });

  it('with samples that are no numbers are silent there', async () => {
    const expression = 'aevalsrc=if(lt(t\\,1)\\,0.3*sin(2764*t)\\,0/0)|0.3*sin(2764*t):d=2:s=48000';
    const path = await ffmpeg(
      ...['-f', 'lavfi', '-i', expression, '-c:a', 'pcm_f32le', matrix.path('invalid.wav')],
    );
    for (const withFfprobe of [true, false]) {
      const media = await matrix.media(path, withFfprobe);
      for (const id of ['mp3', 'm4a', 'opus', 'speech']) {
        const output = await matrix.make(preset(id), path, media, firstTrack, 'invalid');
        const { mean } = await matrix.level(output);
        assert.ok(mean > -30, `${id}: ${mean} dB`);
      }
    }
  });

  it('whose audio changes from stereo to 5.1 and back are as long as before', async () => {
    const sound = (name: string, channels: number) =>
      ffmpeg(...tone, '-ac', String(channels), '-c:a', 'ac3', matrix.path(name));
    const [stereo, surround] = [await sound('stereo.ac3', 2), await sound('surround.ac3', 6)];
    const parts = [stereo, surround, stereo].map((path) => readFileSync(path));
    const joined = matrix.path('changing.ac3');
    writeFileSync(joined, Buffer.concat(parts));
    const long = ['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=6', '-i', joined];
    const broadcast = await ffmpeg(...long, ...x264, '-c:a', 'copy', matrix.path('changing.ts'));
    const seconds = Number((await matrix.output(broadcast)).streams[1]?.duration);
    for (const path of [broadcast, joined]) {
      for (const id of path === joined ? ['mp3'] : ['mp3', 'h264-480p']) {
        const media = await matrix.media(path);
        const output = await matrix.make(preset(id), path, media, firstTrack, 'changing');
        const made = (await matrix.output(output)).streams.find(({ codec_type: type }) => type === 'audio');
        const packets = Number(made?.nb_read_packets);
        const length = (packets * (id === 'mp3' ? 1152 : 1024)) / Number(made?.sample_rate);
        assert.ok(Math.abs(length - seconds) < 0.15, `${path} ${id}: ${length} of ${seconds} s`);
      }
    }
  });

  it('that declare a track of which there is nothing are transcoded without it', async () => {
    const whole = await make('declared.ts', ...x264);
    const silent = changed(whole, 'declared audio.ts', (bytes) => withoutPackets(bytes, 0x101));
    const dark = changed(whole, 'declared video.ts', (bytes) => withoutPackets(bytes, 0x100));
    const sampleless = changed(await make('sampled.mp4', ...x264), 'sampleless.mp4', withoutSamples);
    const cases = [
      [sampleless, 'hls', 'video'],
      [sampleless, 'h264-480p', 'video'],
      [silent, 'h264-480p', 'video'],
      [silent, 'hls', 'video'],
      [silent, 'remux', 'video'],
      [dark, 'mp3', 'audio'],
      [dark, 'remux', 'audio'],
    ] as const;
    for (const [path, id, kind] of cases) {
      const media = await matrix.media(path);
      const commandLine = planned(path, media, id).files[0]?.commandLine ?? assert.fail(`${path} ${id}`);
      await writeFile(join(root.path, `input.${path.slice(path.lastIndexOf('.') + 1)}`), readFileSync(path));
      await mkdir(join(root.path, 'output'), { recursive: true });
      const [program = '', ...args] = parseArgsStringToArgv(commandLine);
      await run(program, args, { cwd: root.path });
      const name = { hls: 'output/0/index.m3u8', mp3: 'output.mp3' }[id as string] ?? 'output.mp4';
      const { streams } = await matrix.output(matrix.path(name));
      assert.deepEqual(
        streams.map(({ codec_type: type }) => type),
        [kind],
      );
    }
    for (const [path, id, problem] of [
      [silent, 'mp3', 'noAudioTrack'],
      [sampleless, 'mp3', 'noAudioTrack'],
      [dark, 'h264-480p', 'noVideoTrack'],
    ] as const)
      assert.equal(planned(path, await matrix.media(path), id).refused[0]?.problem.kind, problem);
  });

  it('keep audio that begins later than ffprobe reads by default', async () => {
    const seconds = ['-f', 'lavfi', '-i', 'testsrc2=size=64x64:rate=25:duration=12'];
    const sound = ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=12:sample_rate=48000'];
    const whole = await ffmpeg(...seconds, ...sound, ...x264, matrix.path('twelve seconds.ts'));
    const late = changed(whole, 'late audio.ts', (bytes) => {
      const middle = 188 * Math.floor((bytes.length * 10) / (12 * 188));
      return Buffer.concat([withoutPackets(bytes.subarray(0, middle), 0x101), bytes.subarray(middle)]);
    });
    const media = await matrix.media(late);
    const audio = media.tracks.find(({ kind }) => kind === 'audio');
    assert.deepEqual([audio?.isEmpty, audio?.channels], [undefined, 1]);
    assert.ok((audio?.startSeconds ?? 0) > 9, `${audio?.startSeconds} s`);
    for (const id of ['mp3', 'h264-480p', 'remux']) {
      const { streams } = await matrix.output(await matrix.make(preset(id), late, media));
      assert.ok(streams.some(({ codec_type: type }) => type === 'audio'));
    }
  });

  it('keep audio that begins later than ffprobe reads at all', async () => {
    const whole = await make('before.ts', ...x264);
    const nullPacket = Buffer.concat([Buffer.from([0x47, 0x1f, 0xff, 0x10]), Buffer.alloc(184, 0xff)]);
    const filling = Buffer.alloc(188 * Math.ceil(130e6 / 188), nullPacket);
    const late = changed(whole, 'very late.ts', (bytes) => {
      const middle = 188 * Math.floor(bytes.length / 2 / 188);
      const first = withoutPackets(bytes.subarray(0, middle), 0x101);
      return Buffer.concat([first, filling, bytes.subarray(middle)]);
    });
    const media = await matrix.media(late);
    assert.equal(media.tracks.find(({ kind }) => kind === 'audio')?.isEmpty, undefined);
    for (const id of ['mp3', 'h264-480p', 'remux']) {
      const { streams } = await matrix.output(await matrix.make(preset(id), late, media, firstTrack, 'late'));
      const audio = streams.find(({ codec_type: type }) => type === 'audio');
      assert.ok(Number(audio?.duration) > 0.8, `${id}: ${audio?.duration} s`);
      if (id !== 'mp3') assert.ok(Number(audio?.start_time) > 0.8, `${id}: from ${audio?.start_time} s`);
    }
    // A track of which there is nothing anywhere is empty.
    const empty = changed(late, 'very empty.ts', (bytes) => withoutPackets(bytes, 0x101));
    const tracks = (await matrix.media(empty)).tracks;
    assert.equal(tracks.find(({ kind }) => kind === 'audio')?.isEmpty, true);
  });

  it('of unknown length with little damage give pictures, and a warning', async () => {
    const whole = await make('long.ts', ...x264);
    const path = changed(whole, 'input.ts', (bytes) => {
      const middle = 188 * Math.floor(bytes.length / 376);
      return Buffer.concat([bytes.subarray(0, middle), bytes]);
    });
    const media = await matrix.media(path);
    const [program = '', ...args] = parseArgsStringToArgv(
      planned(path, media, 'contact-sheet').files[0]?.commandLine ?? '',
    );
    const { stderr } = await run(program, args, { cwd: root.path });
    const statement = parseFfmpegLog(stderr);
    assert.ok((statement?.damage ?? 0) > 0, stderr);
    const output = readFileSync(matrix.path('output.jpg'));
    const content = {
      size: output.length,
      read: async (position: number, length: number) => output.subarray(position, position + length),
    };
    const proof = await proveOutput(content, { file: path, proof: 'none' }, { statement });
    assert.deepEqual([proof.problem, proof.warning?.kind], [undefined, 'sourceDamaged']);
  });

  it('of broadcasts with lost packets become an MP4 without re-encoding', async () => {
    const path = changed(await make('whole.ts', ...x264), 'lost.ts', (bytes) => {
      const packets = Array.from({ length: bytes.length / 188 }, (_, index) =>
        bytes.subarray(188 * index, 188 * index + 188),
      );
      return Buffer.concat(packets.filter((_, index) => index % 97 !== 50));
    });
    const output = await matrix.make(preset('remux'), path, await matrix.media(path, true));
    const { streams } = await matrix.output(output);
    assert.equal(streams.length, 2);
    for (const { codec_type: type, duration } of streams) assert.ok(Number(duration) > 1.5, type);
  });

  /** A transport stream whose tables change after some seconds: `ids` of the second part. */
  async function continued(name: string, seconds: number, ids: readonly string[]): Promise<string> {
    const part = (index: number, length: number, ...options: readonly string[]) =>
      ffmpeg(
        ...['-f', 'lavfi', '-i', `testsrc2=size=64x64:rate=25:duration=${length}`],
        ...[
          '-f',
          'lavfi',
          '-i',
          `sine=frequency=440:duration=${length}:sample_rate=48000`,
          ...x264,
          ...options,
        ],
        matrix.path(`${name} ${index}.ts`),
      );
    const later = ['-tables_version', '1', '-output_ts_offset', String(seconds)];
    const parts = [await part(1, seconds), await part(2, 3, ...ids, ...later)];
    const path = matrix.path(name);
    writeFileSync(path, Buffer.concat(parts.map((one) => readFileSync(one))));
    return path;
  }

  const proven = (path: string, id: string, name: string) => provenOutput(matrix, path, id, name);

  it('of broadcasts whose audio gets another packet id are transcoded to their end', async () => {
    const path = await continued('other ids.ts', 3, ['-streamid', '0:256', '-streamid', '1:600']);
    const media = await matrix.media(path);
    assert.deepEqual(
      media.tracks.map(({ kind }) => kind),
      ['video', 'audio'],
    );
    for (const id of ['mp3', 'h264-480p', 'remux']) {
      const output = await matrix.output(await matrix.make(preset(id), path, media, firstTrack, 'other ids'));
      for (const { codec_type: kind, duration } of output.streams)
        assert.ok(Math.abs(Number(duration) - 6) < 0.1, `${id}: ${kind} of ${duration} s`);
    }
  });

  it('of broadcasts that get another language, listed first, keep the one that they have', async () => {
    const name = (part: number) => matrix.path(`language ${part}.ts`);
    const other = ['-f', 'lavfi', '-i', 'sine=frequency=3000:duration=2:sample_rate=48000'];
    const encoders = [...x264, '-c:a', 'mp2', '-streamid', '0:256'];
    const later = ['-tables_version', '1', '-output_ts_offset', '2'];
    const parts = [
      await ffmpeg(...picture, ...tone, ...encoders, '-streamid', '1:257', name(1)),
      await ffmpeg(
        ...[...picture, ...other, ...tone, '-map', '0', '-map', '1', '-map', '2', ...encoders],
        ...['-streamid', '1:258', '-streamid', '2:257', ...later, name(2)],
      ),
    ];
    const path = matrix.path('language.ts');
    writeFileSync(path, Buffer.concat(parts.map((one) => readFileSync(one))));
    const { problem, seconds } = await proven(path, 'mp3', 'language');
    assert.equal(problem, undefined);
    assert.ok(Math.abs((seconds ?? 0) - 4) < 0.2, `${seconds} s`);
  });

  it('that go on in a program with other tables come with a warning', async () => {
    const path = await continued('other program.ts', 14, [
      '-mpegts_start_pid',
      '0x200',
      '-mpegts_pmt_start_pid',
      '0x1010',
    ]);
    for (const id of ['mp3', 'thumbnail']) {
      const { problem, warning } = await proven(path, id, 'other program');
      assert.deepEqual([problem, warning], [undefined, { kind: 'tracksChange', file: path }], id);
    }
  });

  it('whose channels change are not missing seconds unnoticed', async () => {
    const parts = await Promise.all(
      [2, 6].map((channels) =>
        ffmpeg(...tone, '-ac', String(channels), matrix.path(`channels ${channels}.ac3`)),
      ),
    );
    const path = matrix.path('channels.ac3');
    writeFileSync(path, Buffer.concat(parts.flatMap((one) => [readFileSync(one), readFileSync(one)])));
    const { problem } = await proven(path, 'speech', 'channels');
    assert.equal(problem?.kind, 'channelsChange');
    assert.equal((await proven(path, 'wav', 'channels')).problem, undefined);
  });

  /** A transport stream of audio, each part of which begins before the last one ends. */
  async function overlapping(name: string, channelsOf: (part: number) => number): Promise<string> {
    const starts = Array.from({ length: 16 }, (_, part) => 10 + part * (2 - 0.064));
    const parts = [];
    for (const [part, start] of starts.entries()) {
      const channels = String(channelsOf(part));
      const times = ['-output_ts_offset', String(start), '-muxdelay', '0', '-muxpreload', '0'];
      parts.push(
        await ffmpeg(...tone, '-ac', channels, '-c:a', 'ac3', ...times, matrix.path(`part ${part}.ts`)),
      );
    }
    const path = matrix.path(name);
    writeFileSync(path, Buffer.concat(parts.map((one) => readFileSync(one))));
    return path;
  }

  it('whose parts overlap are not said to lack audio', async () => {
    const path = await overlapping('stereo overlaps.ts', () => 2);
    const { problem, seconds } = await proven(path, 'mp3', 'stereo overlaps');
    assert.equal(problem, undefined, `${seconds} s`);
  });

  it('whose channels change often, before the last part ends, are not said to lack audio', async () => {
    const path = await overlapping('overlaps.ts', (part) => (part % 2 === 0 ? 2 : 6));
    for (const id of ['mp3', 'flac', 'opus']) {
      const { problem, seconds } = await proven(path, id, 'overlaps');
      assert.deepEqual(problem, undefined, `${id}: ${seconds} s`);
    }
    assert.equal((await proven(path, 'speech', 'overlaps')).problem?.kind, 'channelsChange');
  });

  it('of encoders that count packets wrong keep every packet without re-encoding', async () => {
    const path = changed(await make('counted.ts', ...x264), 'not counted.ts', (bytes) => {
      const changed = Buffer.from(bytes);
      for (let at = 3; at < changed.length; at += 188) changed.writeUInt8((changed[at] ?? 0) & 0xf0, at);
      return changed;
    });
    const output = await matrix.make(preset('remux'), path, await matrix.media(path, true));
    const [pictures, sound] = (await matrix.output(output)).streams;
    assert.equal(Number(pictures?.nb_read_packets), 50);
    assert.ok(Number(sound?.nb_read_packets) >= 94, sound?.nb_read_packets);
  });

  it('in HDR10+ lose its dynamic metadata, which is said', () => {
    for (const name of ['SMPTE2094-40', 'SMPTE2094-40 (HDR10+)']) {
      const frames = [{ side_data_list: [{ side_data_type: `HDR Dynamic Metadata ${name}` }] }];
      const found = parseFirstFrame(JSON.stringify({ frames }));
      const tracks = [{ ...video, colorTransfer: 'smpte2084', ...found }];
      const media: MediaInfo = { tracks, knows: ['audio', 'video'] };
      assert.deepEqual(adaptationsOf(preset('h265'), media, firstTrack), [{ kind: 'hdr10PlusLost' }]);
    }
  });

  it('with several videos become the first of them, which is said', () => {
    const media: MediaInfo = { tracks: [video, video, { ...video, isAttachedPicture: true }], knows: [] };
    assert.deepEqual(adaptationsOf(preset('h265'), media, firstTrack), [{ kind: 'videoChosen', tracks: 2 }]);
    assert.deepEqual(adaptationsOf(preset('mp3'), media, firstTrack), []);
  });
});
