import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { wholeOf } from '../../src/core/files/bytes';
import { DiskFiles } from '../../src/core/files/localFiles';
import { ParserPool } from '../../src/core/media/parser/pool';
import { type ProbedFiles, type ProbeFilesOptions, probeFiles } from '../../src/core/plan/probeFiles';
import { builtInPresets } from '../../src/core/presets/builtIn';
import { ffmpeg, temporaryFolder } from '../media';

const never = new AbortController().signal;
const disk = new DiskFiles();
const mp3 = builtInPresets.find(({ id }) => id === 'mp3') ?? assert.fail();
const picture = ['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=1'];
const tone = ['-f', 'lavfi', '-i', 'sine=frequency=440:duration=1'];
const h264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-c:a', 'aac'];

describe('Files of disks that are probed in batches', function () {
  this.timeout(120_000);
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  /** Media files that can be parsed. */
  let sound: string[];
  let zeros: string;

  before(async () => {
    root = await temporaryFolder('batches');
    sound = [
      await ffmpeg(...picture, ...tone, ...h264, join(root.path, 'clip.mp4')),
      await ffmpeg(...picture, ...tone, ...h264, join(root.path, 'clip.mkv')),
      await ffmpeg(...picture, ...tone, ...h264, join(root.path, 'clip.ts')),
      await ffmpeg(...tone, join(root.path, 'clip.mp3')),
    ];
    // The parser never ends on a WebM file whose second half is zeros.
    const webm = readFileSync(
      await ffmpeg(
        ...picture,
        ...tone,
        '-c:v',
        'libvpx',
        '-deadline',
        'realtime',
        join(root.path, 'clip.webm'),
      ),
    );
    zeros = join(root.path, 'zeros.webm');
    writeFileSync(zeros, webm.fill(0, Math.floor(webm.length / 2)));
  });

  after(() => root.remove());

  const uriOf = (path: string) => pathToFileURL(path).href;

  function probe(
    paths: readonly string[],
    options?: ProbeFilesOptions,
    signal = never,
  ): Promise<ProbedFiles> {
    const chosen = paths.map((path) => ({ uri: uriOf(path), path }));
    return probeFiles(disk, chosen, mp3, signal, options);
  }

  it('have the size, time and tracks that each has when it is opened and parsed by itself', async () => {
    const parser = new ParserPool();
    const probed = await parser.probeFiles({ uris: sound.map(uriOf), wantsLayouts: true });
    assert.equal(probed.length, sound.length);
    for (const [index, path] of sound.entries()) {
      const file = await disk.open(uriOf(path));
      const parsed = await parser.parse('probe', wholeOf(file));
      const { size, modified } = file.opened;
      assert.deepEqual(probed[index], { size, modified, ...parsed }, path);
      await file.close();
    }
    assert.ok(probed[0]?.audioOnly);
    const [without] = await parser.probeFiles({ uris: sound.slice(0, 1).map(uriOf), wantsLayouts: false });
    assert.deepEqual(without, { ...probed[0], audioOnly: undefined });
  });

  it('do not fail with a file among them that the parser never ends on', async () => {
    const paths = [...sound, zeros, ...sound, join(root.path, 'gone.mp4'), ...sound];
    let told = 0;
    const { sources, refused } = await probe(paths, {
      parser: new ParserPool({ busyMs: 1_000 }),
      onProbed: () => told++,
    });
    const gone = paths.indexOf(join(root.path, 'gone.mp4'));
    assert.deepEqual(
      sources.map(({ path }) => path),
      paths.filter((_, index) => index !== gone),
    );
    for (const { path, media } of sources)
      assert.equal(media?.tracks.some(({ kind }) => kind === 'audio') ?? false, path !== zeros, path);
    assert.deepEqual(
      refused.map(({ problem }) => problem),
      [{ kind: 'fileMissing', file: paths[gone] }],
    );
    assert.equal(told, paths.length);
  });

  it('count as they are answered, before the batch ends', async () => {
    const paths = [...sound, join(root.path, 'gone.mp4'), ...sound];
    let told = 0;
    const counts: number[] = [];
    class OneByOne extends ParserPool {
      override async probeFiles(...[files, signal, onProbed]: Parameters<ParserPool['probeFiles']>) {
        const probed = await super.probeFiles(files, signal);
        for (const file of probed) {
          const before = told;
          onProbed?.([file]);
          if (file) counts.push(told - before);
        }
        return probed;
      }
    }
    await probe(paths, { parser: new OneByOne(), onProbed: () => told++ });
    assert.deepEqual(
      counts,
      Array.from({ length: 2 * sound.length }, () => 1),
    );
    assert.equal(told, paths.length);
  });

  it('are refused for the reason that keeps each from being read', async () => {
    const [folder, empty, pipe, text] = ['folder.mp4', 'empty.mp4', 'pipe.mp4', 'text.mp4'].map((name) =>
      join(root.path, name),
    ) as [string, string, string, string];
    mkdirSync(folder);
    writeFileSync(empty, '');
    writeFileSync(text, 'This is text.');
    const hasPipes = process.platform !== 'win32';
    if (hasPipes) execFileSync('mkfifo', [pipe]);
    const paths = [folder, ...sound, empty, ...(hasPipes ? [pipe] : []), text];
    const { sources, refused } = await probe(paths);
    assert.deepEqual(
      sources.map(({ path }) => path),
      sound,
    );
    assert.deepEqual(
      refused.map(({ path, problem }) => [path, problem.kind]),
      [
        [folder, 'fileFailed'],
        [empty, 'emptyFile'],
        ...(hasPipes ? [[pipe, 'fileFailed']] : []),
        [text, 'notMedia'],
      ],
    );
  });

  it('have the whole time limit for each of them', async () => {
    // Together they take about two seconds.
    const uris = Array.from({ length: 250 }, () => sound.map(uriOf)).flat();
    const answers: number[] = [];
    const onProbed = (answer: readonly unknown[]) => answers.push(answer.length);
    const pool = new ParserPool({ busyMs: 1_000 });
    const probed = await pool.probeFiles({ uris, wantsLayouts: false }, never, onProbed);
    assert.equal(probed.filter((file) => file?.media).length, uris.length);
    assert.ok(answers.length > 1);
    assert.equal(
      answers.reduce((sum, length) => sum + length, 0),
      uris.length,
    );
  });

  it('stop when the probe is canceled', async () => {
    const cancel = new AbortController();
    const paths = Array.from({ length: 500 }, () => sound).flat();
    let told = 0;
    const onProbed = () => {
      told++;
      cancel.abort();
    };
    await assert.rejects(probe(paths, { parser: new ParserPool(), onProbed }, cancel.signal), {
      name: 'AbortError',
    });
    assert.ok(told < paths.length);
    // A parser that hangs does not delay it.
    const hanging = new ParserPool({ busyMs: 100_000 });
    const begun = new AbortController();
    const work = hanging.probeFiles({ uris: [uriOf(zeros)], wantsLayouts: false }, begun.signal);
    begun.abort();
    await assert.rejects(work, { name: 'AbortError' });
  });
});
