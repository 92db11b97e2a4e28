import assert from 'node:assert/strict';
import type { Content } from '../../src/core/files/bytes';
import type { FfmpegStatement } from '../../src/core/media/probe/ffmpegLog';
import { type Expected, proveOutput } from '../../src/core/media/probe/proof';

const rate = 8000;

/** A WAV file of silence: 8 bits, one channel. */
function wave(seconds: number): Content {
  const samples = Math.round(seconds * rate);
  const header = Buffer.alloc(44);
  header.write('RIFF', 0, 'latin1');
  header.writeUInt32LE(36 + samples, 4);
  header.write('WAVEfmt ', 8, 'latin1');
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate, 28);
  header.writeUInt16LE(1, 32);
  header.writeUInt16LE(8, 34);
  header.write('data', 36, 'latin1');
  header.writeUInt32LE(samples, 40);
  const size = header.length + samples;
  return {
    size,
    async read(position, length) {
      const bytes = new Uint8Array(Math.max(0, Math.min(length, size - position)));
      bytes.set(header.subarray(Math.min(position, header.length), position + bytes.length));
      return bytes;
    },
  };
}

interface Source {
  readonly format?: string;
  /** Length by its time stamps. */
  readonly timeline?: number;
  readonly decoded: number;
  readonly changes: number;
  /** Seconds that ffmpeg said that it left out. */
  readonly overlaps?: number;
  readonly filter?: string;
}

/** What is wrong with an output of so many seconds. */
async function problemOf(
  { format = 'mpegts', timeline, decoded, changes, overlaps = 0, filter = 'aresample=async=1' }: Source,
  seconds: number,
): Promise<string | undefined> {
  const expected: Expected = {
    file: 'recording.ts',
    seconds: timeline,
    proof: 'audio',
    commandLine: `ffmpeg -i input.ts -af ${filter} output.wav`,
  };
  const statement: FfmpegStatement = {
    format,
    isFinished: true,
    streams: [{ kind: 'audio', packets: 1000, frames: 1000, decodeErrors: 0, seconds: decoded }],
    isReadWhole: true,
    laterTracks: new Set(),
    audioChanges: changes,
    overlapSeconds: overlaps,
    stopsAtChange: false,
    damage: 0,
    concealedFrames: 0,
    peaks: new Map(),
    blackSeconds: new Map(),
  };
  return (await proveOutput(wave(seconds), expected, { statement })).problem?.kind;
}

describe('The proof of an output whose source consists of parts', () => {
  it('does not count twice what parts of a recording have both', async () => {
    const source = { timeline: 2397.44, decoded: 2400, changes: 39 };
    assert.equal(await problemOf(source, 2398.18), undefined);
    assert.equal(await problemOf({ ...source, filter: 'loudnorm=I=-16' }, 2398.18), undefined);
    // Short parts, of which the usual tolerance is a smaller share.
    assert.equal(await problemOf({ timeline: 237.44, decoded: 240, changes: 39 }, 237.5), undefined);
    assert.equal(await problemOf({ timeline: 237.44, decoded: 240, changes: 0 }, 237.5), 'outputDamaged');
  });

  it('does not count twice what ffmpeg left out of parts with the same channels', async () => {
    const source = { timeline: 237.44, decoded: 240, changes: 0, overlaps: 2.5 };
    assert.equal(await problemOf(source, 237.5), undefined);
    assert.equal(await problemOf({ ...source, overlaps: 0.5 }, 237.5), 'outputDamaged');
    assert.equal(await problemOf(source, 230), 'outputDamaged');
  });

  it('does not count the frames that an encoder had not filled', async () => {
    const source = { format: 'ac3', decoded: 240, changes: 39 };
    assert.equal(await problemOf(source, 238.1), undefined);
    assert.equal(await problemOf({ ...source, changes: 1 }, 238.1), 'outputDamaged');
    assert.equal(await problemOf({ ...source, changes: 2000 }, 230), 'outputDamaged', 'many changes');
  });

  it('finds what filters that look ahead have lost', async () => {
    const filter = 'aresample=async=1,loudnorm=I=-16:TP=-2';
    assert.equal(await problemOf({ decoded: 2400, changes: 1, filter }, 2397), 'channelsChange');
    const overlapping = { timeline: 2397.44, decoded: 2400, changes: 39, filter };
    assert.equal(await problemOf(overlapping, 2300), 'channelsChange');
    assert.equal(await problemOf({ ...overlapping, changes: 0 }, 2397.44), undefined);
    const joined = { format: 'mp3', timeline: 2, decoded: 8, changes: 1, filter };
    assert.equal(await problemOf(joined, 5), 'channelsChange');
  });

  it('finds outputs that are cut off, also where time stamps say little', async () => {
    assert.equal(await problemOf({ timeline: 2397.44, decoded: 2400, changes: 39 }, 2340), 'outputDamaged');
    assert.equal(await problemOf({ timeline: 10, decoded: 20, changes: 1 }, 11), 'outputDamaged');
    assert.equal(
      await problemOf({ format: 'mp3', timeline: 10, decoded: 20, changes: 9 }, 16),
      'outputDamaged',
    );
  });
});
