import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat, writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { FileMemory } from '../../src/core/files/fileMemory';
import type { PartFile } from '../../src/core/files/files';
import { DiskFiles } from '../../src/core/files/localFiles';
import { connectionTo } from './azurite';
import type { Answer } from './faultyProxy';
import { type FaultyProxy, faultyProxy } from './faultyProxy';
import { eventually } from './harness';
import { rejectsWith } from './problems';
import { Relay } from './relay';
import type { Orders } from './transferAlone';
import { isRoot, MiB, mountSmallDisk, readOnlyFolder, TransferSetup } from './transferSetup';

/** Files that take memory while they are written, as those of virtual workspaces. */
class FilesInMemory extends DiskFiles {
  constructor(private readonly memory: FileMemory) {
    super();
  }

  override isInMemory(): boolean {
    return true;
  }

  override async part(
    uri: string,
    version: string,
    options: { bytes?: number; signal?: AbortSignal } = {},
  ): Promise<PartFile> {
    const { release } = await this.memory.reserve(options.bytes ?? 0, options.signal);
    const part = await super.part(uri, version, options);
    return {
      ...part,
      async commit(how) {
        await part.commit(how);
        release();
      },
    };
  }
}

describe('Download', function () {
  this.timeout(240_000);
  let setup: TransferSetup;

  beforeEach(async () => {
    setup = await TransferSetup.make();
  });

  afterEach(() => setup.remove());

  for (const hash of [true, false]) {
    for (const size of [1, 4 * MiB, 4 * MiB + 1, 30 * MiB]) {
      it(`downloads ${size} bytes of a blob ${hash ? 'with' : 'without'} a hash, and nothing else`, async () => {
        const content = await setup.blob('clip.mp3', size, { hash });
        let told = 0;
        const onBytes = (count: number) => {
          told += count;
        };
        assert.deepEqual(await setup.download('clip.mp3', { onBytes }), { bytes: size, skipped: false });
        assert.ok((await setup.content('clip.mp3')).equals(content));
        assert.deepEqual(await setup.names(), ['clip.mp3']);
        assert.equal(told, size);
      });
    }
  }

  it('downloads an empty blob', async () => {
    await setup.storage.writeText(setup.container, 'clip.mp3', '', { signal: new AbortController().signal });
    assert.deepEqual(await setup.download('clip.mp3'), { bytes: 0, skipped: false });
    assert.deepEqual(await setup.names(), ['clip.mp3']);
    assert.equal((await setup.content('clip.mp3')).length, 0);
  });

  it('reports a blob that does not exist, and leaves nothing', async () => {
    await rejectsWith(setup.download('none.mp3'), { kind: 'service', status: 404, code: 'BlobNotFound' });
    assert.deepEqual(await setup.names(), []);
  });

  it('creates the folders of an output of several files', async () => {
    const content = await setup.blob('clip/720p/1.ts', 10);
    await setup.download('clip/720p/1.ts');
    assert.ok((await setup.content('clip/720p/1.ts')).equals(content));
  });

  it('takes one request for a small file', async () => {
    const proxy = await faultyProxy(setup.url);
    await setup.blob('clip.mp3', 1000);
    await setup.download('clip.mp3', {}, setup.transfers(proxy.url));
    assert.equal(proxy.requests.length, 1);
    await proxy.close();
  });

  it('downloads many files at once when memory has room for a few of them', async () => {
    const size = 6 * MiB;
    const memory = new FileMemory(3 * size);
    const names = Array.from({ length: 8 }, (_, index) => `${index}.mp3`);
    const contents = await Promise.all(names.map((name) => setup.blob(name, size)));
    const transfers = setup.transfers(setup.url, { parallel: 4 });
    const files = new FilesInMemory(memory);
    await Promise.all(names.map((name) => setup.download(name, { files, size }, transfers)));
    for (const [index, name] of names.entries()) {
      assert.ok((await setup.content(name)).equals(contents[index] ?? Buffer.alloc(0)));
    }
    assert.equal(memory.used, 0);
  });

  it('takes names as long as a disk allows', async () => {
    const name = `${'ß'.repeat(125)}.mp3`;
    await setup.blob(name, 10);
    await setup.download(name);
    assert.deepEqual(await setup.names(), [name]);
  });

  describe('to the name of an existing file', () => {
    let proxy: FaultyProxy;

    beforeEach(async () => {
      proxy = await faultyProxy(setup.url);
    });

    afterEach(() => proxy.close());

    it('keeps the file, and downloads nothing', async () => {
      await setup.blob('clip.mp3', 20 * MiB);
      await writeFile(setup.path('clip.mp3'), 'precious');
      await rejectsWith(setup.download('clip.mp3', {}, setup.transfers(proxy.url)), { kind: 'outputExists' });
      assert.equal((await setup.content('clip.mp3')).toString(), 'precious');
      assert.deepEqual(await setup.names(), ['clip.mp3']);
      assert.deepEqual(methods(proxy), ['HEAD']);
    });

    it('keeps a file that was created during the download', async () => {
      await setup.blob('clip.mp3', 20 * MiB);
      let writing: Promise<void> | undefined;
      const onBytes = () => {
        writing ??= writeFile(setup.path('clip.mp3'), 'precious');
      };
      const transfers = setup.transfers(setup.url, { parallel: 1 });
      await rejectsWith(setup.download('clip.mp3', { onBytes }, transfers), { kind: 'outputExists' });
      await writing;
      assert.equal((await setup.content('clip.mp3')).toString(), 'precious');
      assert.deepEqual(await setup.names(), ['clip.mp3']);
    });

    it('replaces the file if asked to', async () => {
      const content = await setup.blob('clip.mp3', 1000);
      await writeFile(setup.path('clip.mp3'), 'old');
      await setup.download('clip.mp3', { overwrite: true });
      assert.ok((await setup.content('clip.mp3')).equals(content));
    });

    it('keeps a read-only file, even if asked to replace it', async () => {
      await setup.blob('clip.mp3', 1000);
      await writeFile(setup.path('clip.mp3'), 'precious', { mode: 0o444 });
      await rejectsWith(setup.download('clip.mp3', { overwrite: true }), { kind: 'fileDenied' });
      assert.equal((await setup.content('clip.mp3')).toString(), 'precious');
      assert.deepEqual(await setup.names(), ['clip.mp3']);
    });

    it('keeps the old file when the download fails', async () => {
      await setup.blob('clip.mp3', 20 * MiB);
      await writeFile(setup.path('clip.mp3'), 'precious');
      proxy.fault = ({ headers }, response) => {
        if (!isOfTheRest(headers)) return false;
        response.destroy();
        return true;
      };
      const impatient = setup.transfers(proxy.url, { patienceMs: 0 });
      await rejectsWith(setup.download('clip.mp3', { overwrite: true }, impatient), { kind: 'unreachable' });
      assert.equal((await setup.content('clip.mp3')).toString(), 'precious');
    });

    it('downloads nothing when the file has the hash of the blob', async () => {
      await setup.blob('clip.mp3', 9 * MiB);
      await setup.download('clip.mp3');
      const result = await setup.download('clip.mp3', {}, setup.transfers(proxy.url));
      assert.deepEqual(result, { bytes: 9 * MiB, skipped: true });
      assert.deepEqual(methods(proxy), ['HEAD']);
    });

    it('recognizes the file by its content when the blob has no hash', async () => {
      await setup.blob('clip.mp3', 9 * MiB, { hash: false });
      await setup.download('clip.mp3');
      assert.deepEqual(await setup.download('clip.mp3'), { bytes: 9 * MiB, skipped: true });
      assert.deepEqual(await setup.names(), ['clip.mp3']);
    });

    it('does not take a foreign file of the same size for the output of a blob without a hash', async () => {
      const content = await setup.blob('clip.mp3', 9 * MiB, { hash: false });
      const foreign = await setup.file('clip.mp3', 9 * MiB);
      await rejectsWith(setup.download('clip.mp3'), { kind: 'outputExists' });
      assert.ok((await setup.content('clip.mp3')).equals(foreign));
      assert.deepEqual(await setup.names(), ['clip.mp3']);
      const result = await setup.download('clip.mp3', { overwrite: true });
      assert.deepEqual(result, { bytes: 9 * MiB, skipped: false });
      assert.ok((await setup.content('clip.mp3')).equals(content));
    });
  });

  describe('over a bad network', () => {
    let relay: Relay;

    beforeEach(async () => {
      relay = await Relay.before(setup.url);
    });

    afterEach(() => relay.close());

    it('continues after two lost connections', async () => {
      const content = await setup.blob('clip.mp3', 40 * MiB);
      relay.cutAfter('down', 6 * MiB);
      let retries = 0;
      const onRetry = () => {
        if (++retries === 1) relay.cutAfter('down', 10 * MiB);
      };
      await setup.download('clip.mp3', {}, setup.transfers(relay.url, { onRetry }));
      assert.equal(relay.cuts, 2);
      assert.ok((await setup.content('clip.mp3')).equals(content));
    });

    it('continues within a range, at the byte that is missing', async () => {
      const content = await setup.blob('clip.mp3', 12 * MiB);
      relay.cutAfter('down', 9 * MiB);
      await setup.download('clip.mp3', {}, setup.transfers(relay.url));
      assert.ok((await setup.content('clip.mp3')).equals(content));
      // Beginning anew would take 21 MiB; what was on its way when the connection was cut comes twice.
      assert.ok(relay.bytes.down < 18 * MiB, `${relay.bytes.down} bytes came`);
    });

    it('reads the rest of a range over another connection when its own is much slower than the others', async () => {
      const content = await setup.blob('clip.mp3', 80 * MiB);
      relay.stallAfter('down', 12 * MiB);
      const retries: string[] = [];
      const onRetry = ({ reason }: { reason: string }) => retries.push(reason);
      // A silent connection is closed after a minute.
      await setup.download('clip.mp3', {}, setup.transfers(relay.url, { onRetry }));
      assert.equal(relay.stalls, 1);
      assert.deepEqual(retries, []);
      assert.ok((await setup.content('clip.mp3')).equals(content));
    });

    it('continues after a connection that was silent', async () => {
      const content = await setup.blob('clip.mp3', 20 * MiB);
      let told = 0;
      const onBytes = () => {
        if (told++ === 0) relay.goSilent();
      };
      const transfers = setup.transfers(relay.url, {
        parallel: 1,
        silenceMs: 2_000,
        onRetry: () => relay.speakAgain(),
      });
      await setup.download('clip.mp3', { onBytes }, transfers);
      assert.ok((await setup.content('clip.mp3')).equals(content));
    });

    for (const hash of [true, false]) {
      it(`has no file when the network stays away, and later fetches the rest (${hash ? 'with' : 'without'} a hash)`, async () => {
        const content = await setup.blob('clip.mp3', 40 * MiB, { hash });
        let arrived = 0;
        const onBytes = (count: number) => {
          arrived += count;
          if (arrived > 15 * MiB) relay.refuse(true);
        };
        const impatient = setup.transfers(relay.url, { parallel: 1, patienceMs: 0 });
        await rejectsWith(setup.download('clip.mp3', { onBytes }, impatient), { kind: 'unreachable' });
        assert.ok(!(await setup.names()).includes('clip.mp3'));

        relay.refuse(false);
        const before = relay.bytes.down;
        await setup.download('clip.mp3', {}, setup.transfers(relay.url));
        assert.ok((await setup.content('clip.mp3')).equals(content));
        assert.deepEqual(await setup.names(), ['clip.mp3']);
        // The first range tells which version it is, so it comes twice.
        const again = relay.bytes.down - before;
        assert.ok(again < 35 * MiB, `${again} bytes came again`);
      });
    }

    it('does not continue the part of another version', async () => {
      await setup.blob('clip.mp3', 20 * MiB, { hash: false });
      const onBytes = () => relay.refuse(true);
      const impatient = setup.transfers(relay.url, { parallel: 1, patienceMs: 0 });
      await rejectsWith(setup.download('clip.mp3', { onBytes }, impatient), { kind: 'unreachable' });
      const content = await setup.blob('clip.mp3', 20 * MiB, { hash: false });
      await setup.download('clip.mp3');
      assert.ok((await setup.content('clip.mp3')).equals(content));
    });

    /** Cancels a download when 24 MiB have arrived. */
    async function cancelHalfway(options: { keepsPart?: boolean } = {}): Promise<void> {
      const abort = new AbortController();
      let received = 0;
      const onBytes = (count: number) => {
        received += count;
        if (received >= 24 * MiB) abort.abort();
      };
      const slow = setup.transfers(relay.url, { parallel: 1 });
      const download = setup.download('clip.mp3', { onBytes, signal: abort.signal, ...options }, slow);
      await assert.rejects(download, { name: 'AbortError' });
    }

    it('keeps what a canceled download of a large file has written', async () => {
      const content = await setup.blob('clip.mp3', 40 * MiB);
      await cancelHalfway();
      const before = relay.bytes.down;
      await setup.download('clip.mp3', {}, setup.transfers(relay.url));
      assert.ok(relay.bytes.down - before < 34 * MiB, `${relay.bytes.down - before} bytes came again`);
      assert.ok((await setup.content('clip.mp3')).equals(content));
    });

    it('leaves nothing of a large file that was canceled where no other download follows', async () => {
      await setup.blob('clip.mp3', 40 * MiB);
      await cancelHalfway({ keepsPart: false });
      assert.deepEqual(await setup.names(), []);
    });

    it('stops at once when aborted, and leaves nothing', async () => {
      await setup.blob('clip.mp3', 30 * MiB);
      const abort = new AbortController();
      const onBytes = () => {
        relay.goSilent();
        abort.abort();
      };
      const download = setup.download(
        'clip.mp3',
        { onBytes, signal: abort.signal },
        setup.transfers(relay.url),
      );
      await assert.rejects(download, { name: 'AbortError' });
      assert.deepEqual(await setup.names(), []);
    });
  });

  it('continues at the gap that a killed process has left', async () => {
    const proxy = await faultyProxy(setup.url);
    const content = await setup.blob('clip.mp3', 40 * MiB);
    const ranges: number[] = [];
    proxy.fault = ({ headers }) => {
      const start = rangeStart(headers);
      ranges.push(start);
      return start === 15 * MiB && new Promise(() => undefined);
    };
    const { container, folder } = setup;
    const orders: Orders = { direction: 'down', folder, container, connection: connectionTo(proxy.url) };
    const alone = spawn(process.execPath, [fileURLToPath(new URL('./transferAlone.js', import.meta.url))], {
      env: { ...process.env, TRANSFER: JSON.stringify(orders) },
      stdio: 'inherit',
    });
    const part = async () => {
      const [name] = await setup.names();
      return name === undefined ? { size: 0, blocks: 0 } : stat(setup.path(name));
    };
    // Everything but the gap takes room on the disk.
    const minBlocks = (content.length - 5 * MiB) / 512;
    await eventually(part, ({ size, blocks }) => size === content.length && blocks >= minBlocks);
    alone.kill('SIGKILL');
    await once(alone, 'exit');

    ranges.length = 0;
    proxy.fault = ({ headers }) => {
      ranges.push(rangeStart(headers));
      return false;
    };
    await setup.download('clip.mp3', {}, setup.transfers(proxy.url, { parallel: 8 }));
    assert.ok((await setup.content('clip.mp3')).equals(content));
    // The first range tells which version it is.
    const expected = [0, 15, 20, 25, 30, 35].map((start) => start * MiB);
    assert.deepEqual(
      ranges.sort((a, b) => a - b),
      expected,
    );
    await proxy.close();
  });

  describe('of data that arrives damaged', () => {
    let proxy: FaultyProxy;

    beforeEach(async () => {
      proxy = await faultyProxy(setup.url);
    });

    afterEach(() => proxy.close());

    /** Changes a byte of the first so many bodies that are long enough. */
    function damage(count: number): (answer: Answer) => Answer {
      let left = count;
      return (answer) => {
        if (answer.body.length < MiB || left-- <= 0) return answer;
        const body = Buffer.from(answer.body);
        body[1000] = (body[1000] ?? 0) ^ 1;
        return { ...answer, body };
      };
    }

    for (const hash of [true, false]) {
      it(`fetches it again (${hash ? 'with' : 'without'} a hash)`, async () => {
        const content = await setup.blob('clip.mp3', 12 * MiB, { hash });
        proxy.change = damage(2);
        let told = 0;
        const onBytes = (count: number) => {
          told += count;
        };
        await setup.download('clip.mp3', { onBytes }, setup.transfers(proxy.url));
        assert.ok((await setup.content('clip.mp3')).equals(content));
        assert.equal(told, content.length);
      });
    }

    it('fails in the end, and leaves nothing', async () => {
      await setup.blob('clip.mp3', 12 * MiB);
      proxy.change = ({ request, ...answer }) => {
        return isOfTheRest(request.headers)
          ? { request, ...answer, body: Buffer.alloc(answer.body.length) }
          : { request, ...answer };
      };
      await rejectsWith(setup.download('clip.mp3', {}, setup.transfers(proxy.url)), {
        kind: 'transferDamaged',
      });
      assert.deepEqual(await setup.names(), []);
    });

    for (const hash of [true, false]) {
      it(`fails when answers end early, and leaves nothing (${hash ? 'with' : 'without'} a hash)`, async () => {
        await setup.blob('clip.mp3', 12 * MiB, { hash });
        proxy.change = ({ request, body, headers, ...answer }) => {
          const short = isOfTheRest(request.headers) ? body.subarray(0, body.length - 4096) : body;
          const { 'content-md5': _, ...others } = headers;
          const told = { ...others, 'content-length': String(short.length) };
          return { request, ...answer, body: short, headers: told };
        };
        await rejectsWith(setup.download('clip.mp3', {}, setup.transfers(proxy.url)), {
          kind: 'transferDamaged',
        });
        assert.deepEqual(await setup.names(), []);
      });
    }

    it('reads no answer that is longer than its range', async () => {
      await setup.blob('clip.mp3', 12 * MiB);
      proxy.change = ({ request, body, headers, ...answer }) => {
        const long = isOfTheRest(request.headers) ? Buffer.concat([body, body]) : body;
        const told = { ...headers, 'content-length': String(long.length) };
        return { request, ...answer, body: long, headers: told };
      };
      const impatient = setup.transfers(proxy.url, { patienceMs: 0 });
      await rejectsWith(setup.download('clip.mp3', {}, impatient), { kind: 'unreachable' });
      assert.ok(!(await setup.names()).includes('clip.mp3'));
    });

    it('downloads the new version when the blob is replaced meanwhile', async () => {
      await setup.blob('clip.mp3', 30 * MiB);
      let replaced: Buffer | undefined;
      let ofTheRest = 0;
      proxy.fault = async ({ headers }) => {
        if (isOfTheRest(headers) && ++ofTheRest === 2) replaced = await setup.blob('clip.mp3', 25 * MiB);
        return false;
      };
      await setup.download('clip.mp3', {}, setup.transfers(proxy.url, { parallel: 1 }));
      assert.ok(replaced);
      assert.ok((await setup.content('clip.mp3')).equals(replaced));
    });
  });

  describe('to a disk that cannot be written to', () => {
    it('reports a read-only folder before it downloads anything', async () => {
      const proxy = await faultyProxy(setup.url);
      await setup.blob('clip.mp3', 1000);
      const locked = readOnlyFolder(setup.path('locked'));
      try {
        const uri = setup.uri('locked/clip.mp3');
        await rejectsWith(setup.download('clip.mp3', { uri }, setup.transfers(proxy.url)), {
          kind: 'folderReadOnly',
          folder: setup.path('locked'),
        });
        assert.deepEqual(proxy.requests, []);
      } finally {
        locked.unlock();
        await proxy.close();
      }
    });

    it('reports too little space before it downloads anything more', async () => {
      const proxy = await faultyProxy(setup.url);
      await setup.blob('clip.mp3', 5 * MiB);
      const exabyte = 2 ** 50;
      proxy.change = (answer) => {
        const range = answer.headers['content-range'];
        const headers = { ...answer.headers, 'content-range': range?.replace(/\/\d+$/, `/${exabyte}`) };
        return range ? { ...answer, headers } : answer;
      };
      const problem = await rejectsWith(setup.download('clip.mp3', {}, setup.transfers(proxy.url)), {
        kind: 'diskFull',
        neededBytes: exabyte,
      });
      assert.ok(
        problem.kind === 'diskFull' && problem.freeBytes !== undefined && problem.freeBytes < exabyte,
      );
      assert.equal(proxy.requests.length, 1);
      assert.deepEqual(await setup.names(), []);
      await proxy.close();
    });
  });

  // Only root may mount a small disk.
  if (isRoot) {
    describe('to a disk that becomes full', () => {
      let small: string;
      let unmount: () => void;

      beforeEach(() => {
        small = setup.path('small');
        unmount = mountSmallDisk(small, 24 * MiB);
      });

      afterEach(() => unmount());

      it('reports it, and removes its part', async () => {
        // Either fits alone, both do not.
        const names = ['one.mp3', 'two.mp3'];
        for (const name of names) await setup.blob(name, 16 * MiB);
        const transfers = setup.transfers();
        const results = await Promise.allSettled(
          names.map((name) =>
            setup.download(name, { uri: pathToFileURL(join(small, name)).href }, transfers),
          ),
        );
        const failed = results.filter((result) => result.status === 'rejected');
        assert.ok(failed.length >= 1);
        for (const { reason } of failed) await rejectsWith(Promise.reject(reason), { kind: 'diskFull' });
        await writeFile(join(small, 'other'), Buffer.alloc(4 * MiB));
        assert.equal((await stat(join(small, 'other'))).size, 4 * MiB);
      });
    });
  }

  function methods(proxy: FaultyProxy): (string | undefined)[] {
    return proxy.requests.map((line) => line.split(' ')[0]);
  }
});

/** Where the range of a request begins; NaN for a request without one. */
function rangeStart(headers: IncomingHttpHeaders): number {
  return Number(/^bytes=(\d+)/.exec(String(headers['x-ms-range']))?.[1]);
}

/** Whether a request is for a range that is not the beginning. */
function isOfTheRest(headers: IncomingHttpHeaders): boolean {
  return rangeStart(headers) > 0;
}
