import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import parseArgs from 'string-argv';
import { DiskFiles } from '../../src/core/files/localFiles';
import { plan } from '../../src/core/plan/plan';
import { probeFiles } from '../../src/core/plan/probeFiles';
import { builtInPresets } from '../../src/core/presets/builtIn';
import type { Preset } from '../../src/core/presets/preset';
import { ffmpeg, temporaryFolder } from '../media';

const run = promisify(execFile);
const never = new AbortController().signal;

/** An empty ID3 tag: ffmpeg recognizes a format by what follows it. */
const tag = Buffer.from('ID3\x03\0\0\0\0\0\x0f' + 'TIT2\0\0\0\x05\0\0\0Song', 'latin1');
const hls = '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n';
const concat = 'ffconcat version 1.0\nfile other.ts\n';
const profile = 'urn:mpeg:dash:profile:isoff-on-demand:2011';
const dash =
  `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="${profile}" type="static" mediaPresentationDuration="PT1S">` +
  '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1000"><BaseURL>other.mp4</BaseURL>' +
  '<SegmentBase/></Representation></AdaptationSet></Period></MPD>';
const latin = Buffer.from('<?xml version="1.0" encoding="ISO-8859-1"?><!-- \xe9 -->', 'latin1');
/** Longer than what a probe reads of a file. */
const padding = `<!-- ${'x'.repeat(8192)} -->`;

/** Files that name others, by the name that they have in the workspace. */
const hostile: Readonly<Record<string, string | Buffer>> = {
  'hls.mp4': hls,
  'hls.m3u8': hls,
  'hls.srt': hls,
  'tagged hls.mp3': Buffer.concat([tag, Buffer.from(hls)]),
  'concat.mkv': concat,
  'concat.ffconcat': concat,
  'tagged concat.mp3': Buffer.concat([tag, Buffer.from(concat)]),
  'dash.mpd': dash,
  'dash.mp4': dash,
  'dash.srt': dash,
  'dash in Latin-1.mp4': Buffer.concat([latin, Buffer.from(dash)]),
  'late dash.srt': `<?xml version="1.0"?>${padding}${dash}`,
  'tagged dash.mp3': Buffer.concat([tag, Buffer.from(dash)]),
};

/** Pictures whose bytes are all text. */
const drawn: Readonly<Record<string, string>> = {
  'drawn.xpm':
    '/* XPM */\nstatic char *x[] = {\n"2 2 2 1",\n"a c #ff0000",\n"b c #00ff00",\n"ab",\n"ba"\n};\n',
  'drawn.xbm': '#define x_width 8\n#define x_height 2\nstatic unsigned char x_bits[] = { 0xff, 0x0f };\n',
  'drawn.pbm': 'P1\n2 2\n0 1\n1 0\n',
  'drawn.pgm': 'P2\n2 2\n255\n0 100\n200 255\n',
  'drawn.ppm': 'P3\n2 1\n255\n255 0 0 0 255 0\n',
};

const ownPreset: Preset = {
  id: 'user:copy',
  label: 'Copy',
  needs: 'any',
  arguments: ['-i', '${input}', '-c', 'copy', '${output}'],
  extension: 'mkv',
  proof: 'none',
};

describe('On a node, ffmpeg', function () {
  this.timeout(120_000);
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let node: string;

  before(async () => {
    root = await temporaryFolder('opened');
    node = join(root.path, 'node');
    await mkdir(node);
    const both = [
      '-f',
      'lavfi',
      '-i',
      'testsrc2=size=64x64:duration=1',
      '-f',
      'lavfi',
      '-i',
      'sine=duration=1',
    ];
    const encoders = ['-c:v', 'libx264', '-preset', 'ultrafast', '-c:a', 'aac'];
    await ffmpeg(...both, ...encoders, join(node, 'other.mp4'));
    await ffmpeg('-i', join(node, 'other.mp4'), '-c', 'copy', join(node, 'other.ts'));
  });
  after(() => root.remove());

  /** The exit code of ffmpeg beside the files that the input names; undefined for a file that is refused before. */
  async function exitCodeOn(
    name: string,
    preset: Preset,
    content = hostile[name] ?? '',
  ): Promise<number | undefined> {
    const uri = pathToFileURL(join(root.path, name)).href;
    const { sources } = await probeFiles(new DiskFiles(), [{ uri, path: name }], preset, never);
    const [file] = plan({ sources, preset }).files;
    if (file === undefined) return undefined;
    const input = join(node, file.nodeInput);
    await writeFile(input, content);
    const [program = '', ...args] = parseArgs(file.commandLine);
    const code = await run(program, args, { cwd: node }).then(
      () => 0,
      (error: { code: number }) => error.code,
    );
    assert.ok(code !== 0 || existsSync(join(node, file.output.nodePath)));
    await rm(input);
    return code;
  }

  for (const name of Object.keys(hostile)) {
    it(`opens no file that ${name} names`, async () => {
      await writeFile(join(root.path, name), hostile[name] ?? '');
      const presets = builtInPresets.filter(({ id }) =>
        ['mp3', 'thumbnail', 'remux', 'subtitles'].includes(id),
      );
      for (const preset of [...presets, ownPreset]) {
        assert.notEqual(await exitCodeOn(name, preset), 0, preset.label);
      }
    });
  }

  for (const [name, content] of Object.entries(drawn)) {
    it(`reads a picture that is text: ${name}`, async () => {
      await writeFile(join(root.path, name), content);
      const args = ['-i', '${input}', '-frames:v', '1', '${output}'];
      assert.equal(await exitCodeOn(name, { ...ownPreset, arguments: args, extension: 'png' }, content), 0);
    });
  }

  it('reads text subtitles', async () => {
    const srt = '1\n00:00:00,200 --> 00:00:00,900\nHello\n';
    await writeFile(join(node, 'input.srt'), srt);
    await writeFile(join(root.path, 'text.srt'), srt);
    const preset = builtInPresets.find(({ id }) => id === 'subtitles');
    assert.ok(preset);
    const uri = pathToFileURL(join(root.path, 'text.srt')).href;
    const { sources } = await probeFiles(new DiskFiles(), [{ uri, path: 'text.srt' }], preset, never);
    const [file] = plan({ sources, preset }).files;
    const [program = '', ...args] = parseArgs(file?.commandLine ?? '');
    await run(program, args, { cwd: node });
    assert.ok(existsSync(join(node, 'output.srt')));
  });
});
