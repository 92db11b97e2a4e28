import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { connectionTo } from './azurite';
import type { Orders, Report } from './transferAlone';
import { MiB, TransferSetup } from './transferSetup';

const run = promisify(execFile);

describe('Transfers of large and many files', function () {
  this.timeout(240_000);
  let setup: TransferSetup;

  beforeEach(async () => {
    setup = await TransferSetup.make();
    await mkdir(setup.path('source'));
    await mkdir(setup.path('target'));
  });

  afterEach(() => setup.remove());

  async function moveAlone(direction: Orders['direction'], folder: string): Promise<Report> {
    const { container, url } = setup;
    const orders: Orders = {
      direction,
      folder: setup.path(folder),
      container,
      connection: connectionTo(url),
    };
    const { stdout } = await run(
      process.execPath,
      [fileURLToPath(new URL('./transferAlone.js', import.meta.url))],
      {
        env: { ...process.env, TRANSFER: JSON.stringify(orders) },
      },
    );
    return JSON.parse(stdout);
  }

  it('use little memory for a file that is larger than it', async () => {
    const size = 640 * MiB + 1;
    const file = await open(setup.path('source/large.mp4'), 'w');
    await file.truncate(size);
    await file.write('in the middle', 300 * MiB);
    await file.close();
    const up = await moveAlone('up', 'source');
    const down = await moveAlone('down', 'target');
    assert.equal(up.bytes, size);
    assert.equal(down.bytes, size);
    assert.ok(up.peakBytes < 400 * MiB, `upload took ${up.peakBytes / MiB} MiB`);
    assert.ok(down.peakBytes < 400 * MiB, `download took ${down.peakBytes / MiB} MiB`);
    assert.equal(await md5Of(setup.path('target/large.mp4')), await md5Of(setup.path('source/large.mp4')));
  });

  it('transfer thousands of small files, each under its own name', async () => {
    const count = 1500;
    for (let index = 0; index < count; index++) {
      await writeFile(setup.path(`source/clip ${index} é#%.mp4`), `content of ${index}`);
    }
    const up = await moveAlone('up', 'source');
    const down = await moveAlone('down', 'target');
    assert.equal(up.files, count);
    assert.equal(down.bytes, up.bytes);
    assert.ok(down.peakBytes < 400 * MiB, `${down.peakBytes / MiB} MiB were taken`);
    const names = await readdir(setup.path('target'));
    assert.equal(names.length, count);
    for (const name of names) {
      const [index] = /\d+/.exec(name) ?? [];
      assert.equal(await readFile(setup.path(`target/${name}`), 'utf8'), `content of ${index}`);
    }
  });

  it('keep names that are special to shells, URLs and disks', async () => {
    const names = [
      "it's.mp4",
      'say "hi".mp4',
      '$(touch canary).mp4',
      '`touch canary`.mp4',
      'a;touch canary;&|.mp4',
      '50%.mp4',
      '%41%2F.mp4',
      '#1 take?.mp4',
      '--help.mp4',
      'a*b[1].mp4',
      'new\nline.mp4',
      'tab\ttab.mp4',
      '视频 测试.mp4',
      'emoji🎬.mp4',
      'cafe\u0301.mp4',
      'caf\u00e9.mp4',
      'UPPER.MP4',
      'upper.mp4',
      ' leading.mp4',
      'trailing .mp4',
      'dot..mp4',
      '.hidden.mp4',
      'no-ext',
      `${'l'.repeat(251)}.mp4`,
      'a+b=c,d@e!f~g^h{i}.mp4',
    ];
    for (const name of names) await writeFile(setup.path(`source/${name}`), name);
    await moveAlone('up', 'source');
    await moveAlone('down', 'target');
    assert.deepEqual((await readdir(setup.path('target'))).sort(), [...names].sort());
    for (const name of names) assert.equal(await readFile(setup.path(`target/${name}`), 'utf8'), name);
  });

  async function md5Of(path: string): Promise<string> {
    const hash = createHash('md5');
    for await (const chunk of createReadStream(path)) hash.update(chunk);
    return hash.digest('hex');
  }
});
