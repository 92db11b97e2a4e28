import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { type Content, wholeOf } from '../../src/core/files/bytes';
import type { OpenFile } from '../../src/core/files/files';
import { DiskFiles } from '../../src/core/files/localFiles';
import { ParserError, ParserPool } from '../../src/core/media/parser/pool';
import { probeMedia } from '../../src/core/media/probe/probeMedia';
import { proveOutput } from '../../src/core/media/probe/proof';
import { ffmpeg, temporaryFolder } from '../media';
import { randomOf } from '../random';

const never = new AbortController().signal;
const both = [
  ...['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=1'],
  ...['-f', 'lavfi', '-i', 'sine=frequency=440:duration=1'],
];
const tone = ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=1'];
const h264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-c:a', 'aac'];

/** One small file of each format, and the arguments that make it. */
const formats: Record<string, string[]> = {
  mp4: [...both, ...h264, '-movflags', '+faststart'],
  mkv: [...both, ...h264],
  webm: [...both, '-c:v', 'libvpx', '-deadline', 'realtime', '-c:a', 'libopus'],
  flac: tone,
  mp3: tone,
  ogg: [...tone, '-c:a', 'libvorbis'],
  wav: tone,
  avi: [...both, '-c:v', 'mpeg4', '-c:a', 'libmp3lame'],
  ts: [...both, ...h264],
};

describe('The parser of media files', function () {
  // Every file that the parser fails on costs a process.
  this.timeout(400_000);
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  const made = new Map<string, Buffer>();
  const file = (format: string) => Buffer.from(made.get(format) as Buffer);

  before(async () => {
    root = await temporaryFolder('parser');
    for (const [format, args] of Object.entries(formats)) {
      made.set(format, readFileSync(await ffmpeg(...args, join(root.path, `clip.${format}`))));
    }
  });

  after(() => root.remove());

  const contentOf = (bytes: Buffer): Content => ({
    size: bytes.length,
    read: async (position, length) => bytes.subarray(position, position + length),
  });

  /** The file with a 32-bit number of one of its boxes replaced. */
  function withNumber(type: string, offset: number, value: number): Buffer {
    const bytes = file('mp4');
    bytes.writeUInt32BE(value, bytes.indexOf(type, 0, 'latin1') + 4 + offset);
    return bytes;
  }

  function zeroTail(format: string): Buffer {
    const bytes = file(format);
    return bytes.fill(0, Math.floor(bytes.length / 2));
  }

  /** A FLAC file that holds no frames, and says so: the number of samples begins in the 22nd byte. */
  function emptyFlac(): Buffer {
    const bytes = file('flac');
    bytes.fill(0, 22, 26).writeUInt8(bytes.readUInt8(21) & 0xf0, 21);
    return bytes.subarray(0, bytes.indexOf('\xff\xf8', 0, 'latin1'));
  }

  const freeBoxes = () => {
    const box = Buffer.from([0, 0, 0, 8, ...Buffer.from('free')]);
    return Buffer.concat([file('mp4'), Buffer.alloc(16 * 1024 * 1024, box)]);
  };

  /** Inputs that make a parser loop, or fill its memory. */
  const hostile: Record<string, () => Buffer> = {
    'a WebM file whose second half is zeros': () => zeroTail('webm'),
    'an MKV file whose second half is zeros': () => zeroTail('mkv'),
    'a FLAC file without a frame': emptyFlac,
    'a sample count of 2,147,483,647': () => withNumber('stts', 8, 0x7fffffff),
    'a composition offset count of 2,147,483,647': () => withNumber('stsc', 8, 0x7fffffff),
    'a first chunk of 2,147,483,647': () => withNumber('stsc', 4, 0x7fffffff),
    'millions of boxes': freeBoxes,
    'a movie box of 32 bytes': () => Buffer.from(`\0\0\0\x20moov${'\xff'.repeat(24)}`, 'latin1'),
  };

  it('ends by its limits on every hostile file, and parses the next one', async () => {
    const parser = new ParserPool({ busyMs: 1_000 });
    const before = process.memoryUsage.rss();
    await Promise.all(
      Object.entries(hostile).map(async ([name, make]) => {
        const probe = await probeMedia(contentOf(make()), { signal: never, parser });
        assert.ok(probe.media === undefined || probe.media.tracks.length > 0 || probe.media.instead, name);
      }),
    );
    const { media } = await probeMedia(contentOf(file('mp4')), { signal: never, parser });
    assert.deepEqual(
      media?.tracks.map(({ kind }) => kind),
      ['video', 'audio'],
    );
    assert.ok(process.memoryUsage.rss() - before < 300 * 1024 * 1024);
  });

  it('reports an output that it cannot read as damaged', async () => {
    const parser = new ParserPool({ busyMs: 1_000 });
    const expected = { file: 'clip.mp4', seconds: 1, proof: 'audio' } as const;
    const { problem } = await proveOutput(contentOf(emptyFlac()), expected, { parser });
    assert.deepEqual(problem, { kind: 'outputDamaged', file: 'clip.mp4' });
  });

  (process.platform === 'win32' ? it.skip : it)(
    'ends by itself when the process that started it is gone',
    async () => {
      const path = join(root.path, 'zeros.webm');
      writeFileSync(path, zeroTail('webm'));
      const parent = spawn(process.execPath, ['out/test/unit/parserParent.js', path], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [line] = (await once(parent.stdout, 'data')) as [Buffer];
      const parserId = Number(line.toString());
      assert.ok(parserId > 0, line.toString());
      parent.kill('SIGKILL');
      while (isAlive(parserId)) await delay(50);
    },
  );

  it('reads a file of a disk by itself, without the process that opened it', async () => {
    const parser = new ParserPool();
    for (const format of ['mp4', 'mkv', 'mp3']) {
      const opened = await openedFile(`alone.${format}`, file(format));
      const alone: Content = {
        size: opened.opened.size,
        onDisk: opened.onDisk,
        read: () => Promise.reject(new Error('Nothing is asked.')),
      };
      const [own, other] = [await parser.parse('probe', alone), await parser.parse('probe', wholeOf(opened))];
      assert.ok((own.media?.tracks.length ?? 0) > 0, format);
      assert.deepEqual(own, other);
      assert.deepEqual(own, await parser.parse('probe', contentOf(file(format))), format);
      await opened.close();
    }
  });

  it('asks for the bytes of a file that another one has replaced', async () => {
    const parser = new ParserPool();
    const opened = await openedFile('replaced.mp4', file('mp4'));
    const other = join(root.path, 'other.wav');
    writeFileSync(other, file('wav'));
    renameSync(other, join(root.path, 'replaced.mp4'));
    const { media } = await parser.parse('probe', wholeOf(opened));
    assert.deepEqual(
      media?.tracks.map(({ kind }) => kind),
      ['video', 'audio'],
    );
    await opened.close();
  });

  function openedFile(name: string, bytes: Buffer): Promise<OpenFile> {
    const path = join(root.path, name);
    writeFileSync(path, bytes);
    return new DiskFiles().open(pathToFileURL(path).href);
  }

  it('fails with the error of the file when the file cannot be read', async () => {
    const parser = new ParserPool();
    const broken: Content = { size: 1_000_000, read: () => Promise.reject(new Error('The disk is gone.')) };
    await assert.rejects(probeMedia(broken, { signal: never, parser }), /The disk is gone/);
    const { media } = await probeMedia(contentOf(file('wav')), { signal: never, parser });
    assert.equal(media?.tracks.length, 1);
  });

  it('stops when the probe is canceled', async () => {
    const parser = new ParserPool();
    const cancel = new AbortController();
    const silent: Content = { size: 1_000_000, read: () => new Promise(() => cancel.abort()) };
    await assert.rejects(probeMedia(silent, { signal: cancel.signal, parser }), { name: 'AbortError' });
  });

  it('survives 3,000 files with damaged headers', async () => {
    const seed = Number(process.env.TEST_SEED ?? 20261126);
    const random = randomOf(seed);
    const parser = new ParserPool({ busyMs: 150 });
    const outcomes = { parsed: 0, unknown: 0, failed: 0 };
    const names = Object.keys(formats);
    const works = Array.from({ length: 3_000 }, async (_, index) => {
      const damaged = damage(file(names[index % names.length] as string), random);
      try {
        const { media } = await parser.parse('probe', contentOf(damaged));
        outcomes[media ? 'parsed' : 'unknown']++;
      } catch (error) {
        assert.ok(error instanceof ParserError, `seed ${seed}, file ${index}: ${error}`);
        outcomes.failed++;
      }
    });
    await Promise.all(works);
    assert.equal(outcomes.parsed + outcomes.unknown + outcomes.failed, 3_000, `seed ${seed}`);
    // Most damage leaves a file that can be parsed in part; otherwise this test would try nothing.
    assert.ok(outcomes.parsed > 300, `seed ${seed}: ${JSON.stringify(outcomes)}`);
    const { media } = await parser.parse('probe', contentOf(file('mkv')));
    assert.equal(media?.tracks.length, 2);
  });
});

function isAlive(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch {
    return false;
  }
}

const headerBytes = 2048;
const badNumbers = [0, 1, 0x7fffffff, 0x80000000, 0xffffffff];

/** Changes bytes or numbers of a file's header, or cuts, clears or fills its tail. */
function damage(bytes: Buffer, random: () => number): Buffer {
  const upTo = (count: number) => Math.floor(random() * count);
  const end = Math.min(headerBytes, bytes.length - 4);
  switch (upTo(6)) {
    case 0:
      return bytes.subarray(0, upTo(bytes.length));
    case 1:
      return bytes.fill(0, upTo(bytes.length));
    case 2:
      return bytes.fill(randomBytesOf(random), upTo(bytes.length));
    case 3:
      for (let count = 1 + upTo(8); count > 0; count--) bytes[upTo(end)] = upTo(256);
      return bytes;
    case 4:
      for (let count = 1 + upTo(3); count > 0; count--) {
        bytes.writeUInt32BE(badNumbers[upTo(badNumbers.length)] as number, upTo(end));
      }
      return bytes;
    default: {
      const [from, to] = [upTo(end), upTo(end)];
      bytes.copy(bytes, to, from, from + upTo(64));
      return bytes;
    }
  }
}

function randomBytesOf(random: () => number): Buffer {
  return Buffer.from(Array.from({ length: 97 }, () => Math.floor(random() * 256)));
}
