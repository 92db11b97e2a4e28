import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { wholeOf } from '../../src/core/files/bytes';
import { DiskFiles } from '../../src/core/files/localFiles';
import { cutLayouts } from '../../src/core/media/parser/cutContent';
import { probeFiles } from '../../src/core/plan/probeFiles';
import { builtInPresets } from '../../src/core/presets/builtIn';
import { ffmpeg, temporaryFolder } from '../media';

const picture = (seconds: number) => [
  ...['-f', 'lavfi', '-i', `testsrc2=size=96x64:rate=25:duration=${seconds}`],
];
const h264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '25'];
const openGop = [...h264.slice(0, 3), 'veryfast', ...h264.slice(4), '-bf', '3', '-x264opts', 'open-gop=1'];
const openMpeg2 = ['-c:v', 'mpeg2video', '-g', '12', '-bf', '2'];

/** Positions of the packets of ffmpeg's first video track in which a key frame begins. */
function keyPackets(stream: Buffer): number[] {
  const packets = Array.from({ length: Math.floor(stream.length / 188) }, (_, index) => 188 * index);
  return packets.filter((at) => {
    const isVideoStart = stream.readUInt16BE(at + 1) === 0x4100;
    return isVideoStart && (Number(stream[at + 3]) & 0x20) !== 0 && (Number(stream[at + 5]) & 0x40) !== 0;
  });
}

describe('Cutting a video', function () {
  this.timeout(240_000);
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;

  before(async () => {
    folder = await temporaryFolder('cut');
  });
  after(() => folder.remove());

  async function make(name: string, ...args: string[]): Promise<string> {
    return ffmpeg(...args, join(folder.path, name));
  }

  /** The number of parts of about two seconds, or the reason why there is one only. */
  async function cut(path: string): Promise<number | string> {
    const file = await new DiskFiles().open(pathToFileURL(path).href);
    try {
      const layouts = await cutLayouts(wholeOf(file), 2);
      return typeof layouts === 'string' ? layouts : layouts.parts.length;
    } finally {
      await file.close();
    }
  }

  it('makes longer parts where there would be too many', async () => {
    const intra = [...h264.slice(0, -2), '-g', '1'];
    const path = await make('intra.mp4', ...picture(120), ...intra);
    const preset = builtInPresets.find(({ split }) => split);
    assert.ok(preset);
    const chosen = [{ uri: pathToFileURL(path).href, path }];
    const { signal } = new AbortController();
    const { sources } = await probeFiles(new DiskFiles(), chosen, preset, signal, { partSeconds: 0.06 });
    const found = sources[0]?.cut;
    assert.ok(typeof found === 'object');
    const { length } = found.cuts.parts;
    assert.ok(length > 100 && length <= 200, `${length}`);
    const file = await new DiskFiles().open(chosen[0]?.uri ?? '');
    // The upload cuts it in the same way.
    const layouts = await cutLayouts(wholeOf(file), found.partSeconds);
    await file.close();
    assert.equal(typeof layouts === 'object' && layouts.parts.length, length);
  });

  it('says that groups of pictures are open, in each format', async () => {
    for (const [name, encoding] of Object.entries({
      'open.mp4': openGop,
      'open.mkv': openGop,
      'open.ts': openGop,
      'mpeg2.ts': openMpeg2,
      'mpeg2.mp4': openMpeg2,
    }))
      assert.equal(await cut(await make(name, ...picture(7), ...encoding)), 'openGop', name);
  });

  it('says that there are too few key frames, in each format', async () => {
    for (const name of ['rare.mp4', 'rare.mkv', 'rare.ts'])
      assert.equal(
        await cut(await make(name, ...picture(7), ...h264, '-g', '1000', '-sc_threshold', '0')),
        'keyFrames',
        name,
      );
  });

  it('leaves a transport stream whole that has its parameter sets only once', async () => {
    const [all, none] = await Promise.all([
      make('all.ts', ...picture(7), ...h264),
      make('none.ts', ...picture(7), ...h264, '-bsf:v', 'filter_units=remove_types=7-8'),
    ]);
    assert.ok(Number(await cut(all)) > 2);
    const [first, others] = [all, none].map((path) => {
      const bytes = readFileSync(path);
      return { bytes, second: keyPackets(bytes)[1] ?? assert.fail(path) };
    }) as [{ bytes: Buffer; second: number }, { bytes: Buffer; second: number }];
    const path = join(folder.path, 'once.ts');
    const joined = [first.bytes.subarray(0, first.second), others.bytes.subarray(others.second)];
    writeFileSync(path, Buffer.concat(joined));
    assert.equal(await cut(path), 'keyFrames');
  });

  it('leaves a transport stream whole whose clock jumps or starts again', async () => {
    const [first, second] = await Promise.all([
      make('first.ts', ...picture(6), ...h264),
      make('second.ts', ...picture(6), ...h264, '-output_ts_offset', '500'),
    ]);
    for (const [name, parts] of Object.entries({ jump: [first, second], again: [first, first] })) {
      const path = join(folder.path, `${name}.ts`);
      writeFileSync(path, Buffer.concat(parts.map((part) => readFileSync(part))));
      assert.equal(await cut(path), 'clock', name);
    }
  });

  it('cuts a transport stream of which a part is nearly still', async () => {
    const still = "select='lt(t,4)+not(mod(n,12))',geq=lum='if(lt(T,4),random(1)*255,128)':cb=128:cr=128";
    const path = await make('still.ts', ...picture(16), '-vf', still, '-vsync', 'vfr', ...h264, '-g', '12');
    assert.ok(Number(await cut(path)) > 2);
  });

  it('leaves a fragmented video whole that is cut off', async () => {
    const path = await make(
      'fragments.mp4',
      ...picture(7),
      ...h264,
      '-movflags',
      '+frag_keyframe+empty_moov',
    );
    assert.ok(Number(await cut(path)) > 2);
    const bytes = readFileSync(path);
    const cutOff = join(folder.path, 'cut-off.mp4');
    writeFileSync(cutOff, bytes.subarray(0, Math.floor(bytes.length * 0.7)));
    assert.equal(await cut(cutOff), 'index');
  });

  it('reads a fragmented video of thousands of fragments within the limits of the parser', async () => {
    const path = await make(
      'many.mp4',
      ...['-f', 'lavfi', '-i', 'testsrc2=size=32x32:rate=250:duration=40', ...h264],
      ...['-frag_duration', '4000', '-movflags', '+empty_moov'],
    );
    assert.ok(Number(await cut(path)) > 10);
  });
});
