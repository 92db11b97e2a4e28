import assert from 'node:assert/strict';
import { createReadStream, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, extname, join, normalize, relative } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser, patienceMs } from '../../scripts/vscodeServer.mjs';
import { builtInPresets } from '../../src/core/presets/builtIn';
import type { Preset } from '../../src/core/presets/preset';
import { temporaryFolder } from '../media';
import { Matrix } from '../media/matrix';
import { type Source, videos } from '../media/sources';

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.ts': 'video/mp2t',
  '.mp4': 'video/mp4',
  '.m4a': 'audio/mp4',
  '.webm': 'video/webm',
};

/** Serves the files of a folder with ranges, which players ask for, and hls.js beside them. */
async function serve(folder: string): Promise<{ server: Server; url: string }> {
  const scripts: Readonly<Record<string, string>> = {
    'hls.js': join(dirname(createRequire(import.meta.url).resolve('hls.js')), 'hls.min.js'),
    'player.js': 'test/browser/player.js',
  };
  const server = createServer((request, response) => {
    const name = decodeURIComponent((request.url ?? '/').slice(1));
    if (name === '') {
      response.setHeader('content-type', 'text/html');
      response.end(
        '<!doctype html><script src="hls.js"></script><script src="player.js"></script><video muted playsinline></video>',
      );
      return;
    }
    const path = scripts[name] ?? join(folder, normalize(name));
    const size = statSync(path, { throwIfNoEntry: false })?.size;
    if (size === undefined) {
      response.writeHead(404).end();
      return;
    }
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    const end = to ? Number(to) : size - 1;
    response.writeHead(from === undefined ? 200 : 206, {
      'content-type': contentTypes[extname(path)] ?? 'application/octet-stream',
      'accept-ranges': 'bytes',
      'content-length': end - start + 1,
      ...(from !== undefined && { 'content-range': `bytes ${start}-${end}/${size}` }),
    });
    createReadStream(path, { start, end }).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

interface Played {
  readonly seconds: number;
  readonly size: readonly number[];
  /** Pictures that differ from the one before. */
  readonly changes: number;
  /** Mean brightness of the last picture, 0 to 255. */
  readonly brightness: number;
  /** Bytes of sound that were decoded. */
  readonly audioBytes: number;
  readonly error?: string;
}

/** Plays a file or playlist of the page's server to its end, and watches its time and its pixels. */
function play(page: Page, path: string): Promise<Played> {
  return page.evaluate(`play(${JSON.stringify(path)})`);
}

describe('Outputs of the web presets', () => {
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let matrix: Matrix;
  let browser: Browser;
  let server: Server;
  let page: Page;
  let url = '';

  before(async () => {
    root = await temporaryFolder('playback');
    matrix = new Matrix(root.path);
    browser = await launchBrowser();
    ({ server, url } = await serve(root.path));
  });

  beforeEach(async () => {
    page = await browser.newPage();
    page.setDefaultTimeout(patienceMs);
    await page.goto(url);
  });

  afterEach(() => page.close());

  after(async () => {
    await browser.close();
    server.close();
    await root.remove();
  });

  const names = [
    'tidy.mp4',
    'camera.mts',
    'hdr10.mov',
    'surround.mp4',
    'xvid.avi',
    'anamorphic.mp4',
    'silent.avi',
  ];
  const sources = names.map((name) => videos.find((video) => video.name === name) as Source);

  for (const source of sources) {
    it(`play in Chromium: ${source.name}`, async () => {
      const path = await matrix.source(source);
      const media = await matrix.media(path);
      for (const id of ['h264-source', 'h264-480p', 'vp9', 'av1', 'hls']) {
        const one = builtInPresets.find((preset) => preset.id === id) as Preset;
        const output = await matrix.make(one, path, media, undefined, source.name.replaceAll(/\W/g, '-'));
        const played = await play(
          page,
          `/${relative(root.path, id === 'hls' ? join(output, 'master.m3u8') : output)}`,
        );
        assert.equal(played.error, undefined, id);
        assert.ok(Math.abs(played.seconds - source.seconds) < 0.3, `${id}: ${played.seconds} s`);
        assert.deepEqual(played.size, source.size, id);
        assert.ok(played.changes >= 2, `${id}: ${played.changes} changes`);
        // The picture's own is 128; the browser maps the HDR that AV1 keeps by itself, darker.
        const darkest = source.isHdr && id === 'av1' ? 60 : 80;
        const isBright = played.brightness > darkest && played.brightness < 175;
        assert.ok(isBright, `${id}: brightness ${played.brightness}`);
        if (source.channels) assert.ok(played.audioBytes > 0, `${id}: no sound`);
      }
    });
  }

  it('play in Chromium: MP4 without re-encoding of a camera’s file with PCM sound', async () => {
    const path = await matrix.source({
      name: 'pcm.mov',
      make: [
        ...[
          '-f',
          'lavfi',
          '-i',
          'testsrc2=size=160x90:rate=25:duration=1',
          '-f',
          'lavfi',
          '-i',
          'sine=duration=1',
        ],
        ...['-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-c:a', 'pcm_s16le'],
      ],
      seconds: 1,
    });
    const remux = builtInPresets.find(({ id }) => id === 'remux') as Preset;
    const output = await matrix.make(remux, path, await matrix.media(path), undefined, 'pcm');
    const played = await play(page, `/${relative(root.path, output)}`);
    assert.equal(played.error, undefined);
    assert.ok(played.changes >= 2 && played.audioBytes > 0);
  });
});
