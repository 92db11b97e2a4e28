import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFile, chmod, mkdir, rename, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { answerNext, faultyProxy } from './faultyProxy';
import { rejectsWith } from './problems';
import { Relay } from './relay';
import { asOrdinaryUser, MiB, TransferSetup } from './transferSetup';

describe('Upload', function () {
  this.timeout(240_000);
  const { signal } = new AbortController();
  let setup: TransferSetup;

  beforeEach(async () => {
    setup = await TransferSetup.make();
  });

  afterEach(() => setup.remove());

  async function blobInfo(name: string) {
    for await (const blob of setup.storage.blobs(setup.container, { signal })) {
      if (blob.name === name) return blob;
    }
    return undefined;
  }

  for (const size of [0, 1, 8 * MiB, 8 * MiB + 1, 30 * MiB]) {
    it(`uploads ${size} bytes, with their hash and source`, async () => {
      const content = await setup.file('clip.mp4', size);
      let told = 0;
      const onBytes = (count: number) => {
        told += count;
      };
      assert.deepEqual(await setup.upload('clip.mp4', { onBytes }), { skipped: false });
      assert.ok((await setup.blobContent('clip.mp4')).equals(content));
      assert.equal(told, size);
      const info = await blobInfo('clip.mp4');
      const md5 = createHash('md5').update(content);
      assert.equal(info?.md5, md5.copy().digest('base64'));
      assert.equal(info?.metadata.sourcemd5, md5.digest('hex'));
      assert.equal(info?.metadata.sourcesize, String(size));
    });
  }

  describe('to the name of an existing blob', () => {
    it('skips the same file', async () => {
      await setup.file('clip.mp4', 100);
      await setup.upload('clip.mp4');
      const there = await blobInfo('clip.mp4');
      const proxy = await faultyProxy(setup.url);
      assert.deepEqual(await setup.upload('clip.mp4', { there }, setup.transfers(proxy.url)), {
        skipped: true,
      });
      assert.deepEqual(proxy.requests, []);
      await proxy.close();
    });

    it('skips a file with another time and the same content', async () => {
      await setup.file('clip.mp4', 9 * MiB);
      await setup.upload('clip.mp4');
      await utimes(setup.path('clip.mp4'), 1, 1);
      const there = await blobInfo('clip.mp4');
      assert.deepEqual(await setup.upload('clip.mp4', { there }), { skipped: true });
    });

    it('uploads a file of that size with other content', async () => {
      await setup.file('clip.mp4', 100);
      await setup.upload('clip.mp4');
      const there = await blobInfo('clip.mp4');
      const content = await setup.file('clip.mp4', 100);
      await utimes(setup.path('clip.mp4'), 1, 1);
      assert.deepEqual(await setup.upload('clip.mp4', { there }), { skipped: false });
      assert.ok((await setup.blobContent('clip.mp4')).equals(content));
    });
  });

  describe('of a file that changes meanwhile', () => {
    const size = 30 * MiB;

    /** Uploads a file, and runs a step on the file once the first block has arrived. */
    async function meddle(step: (path: string) => Promise<unknown>): Promise<unknown> {
      await setup.file('clip.mp4', size);
      let meddling: Promise<unknown> | undefined;
      const transfers = setup.transfers(setup.url, { parallel: 1 });
      // The next block is read only after this one was reported.
      const onBytes = () => {
        meddling ??= step(setup.path('clip.mp4'));
      };
      const uploading = setup.upload('clip.mp4', { onBytes }, transfers);
      await uploading.catch(() => undefined);
      await meddling;
      return uploading;
    }

    afterEach(async () => assert.equal(await setup.blobExists('clip.mp4'), false));

    it('fails when it grows', () =>
      rejectsWith(
        meddle((path) => appendFile(path, 'more')),
        { kind: 'fileChanged', file: 'clip.mp4' },
      ));

    it('fails when it is truncated', () =>
      rejectsWith(
        meddle((path) => truncate(path, 9 * MiB)),
        { kind: 'fileChanged' },
      ));

    it('fails when it is rewritten', () =>
      rejectsWith(
        meddle((path) => writeFile(path, Buffer.alloc(size))),
        { kind: 'fileChanged' },
      ));

    it('fails when it is replaced', () =>
      rejectsWith(
        meddle(async (path) => {
          await writeFile(`${path}.new`, Buffer.alloc(size));
          await rename(`${path}.new`, path);
        }),
        { kind: 'fileChanged' },
      ));

    it('fails when it is deleted', () => rejectsWith(meddle(rm), { kind: 'fileMissing' }));

    it('fails when it changed after planning', async () => {
      await setup.file('clip.mp4', 10);
      const expected = { size: 10, modified: 1 };
      await rejectsWith(setup.upload('clip.mp4', { expected }), { kind: 'fileChanged' });
    });
  });

  it('reports a file that no longer exists', async () => {
    const upload = setup.transfers().upload({
      uri: setup.uri('gone.mp4'),
      container: setup.container,
      blob: 'gone.mp4',
      expected: { size: 1, modified: 1 },
      onBytes: () => undefined,
      signal,
    });
    await rejectsWith(upload, { kind: 'fileMissing', file: setup.path('gone.mp4') });
  });

  it('refuses a folder', async () => {
    await mkdir(setup.path('folder.mp4'));
    await rejectsWith(setup.upload('folder.mp4'), { kind: 'fileFailed', detail: 'EISDIR' });
  });

  it('reports a file that it may not read', async () => {
    await setup.file('mine.mp4', 10);
    await chmod(setup.folder, 0o755);
    await chmod(setup.path('mine.mp4'), 0);
    await asOrdinaryUser(() => rejectsWith(setup.upload('mine.mp4'), { kind: 'fileDenied' }));
  });

  describe('over a bad network', () => {
    let relay: Relay;

    beforeEach(async () => {
      relay = await Relay.before(setup.url);
    });

    afterEach(() => relay.close());

    it('continues after a lost connection', async () => {
      const content = await setup.file('clip.mp4', 30 * MiB);
      relay.cutAfter('up', 12 * MiB);
      await setup.upload('clip.mp4', {}, setup.transfers(relay.url));
      assert.equal(relay.cuts, 1);
      assert.ok((await setup.blobContent('clip.mp4')).equals(content));
    });

    it('sends a block over another connection when its own is much slower than the others', async () => {
      const content = await setup.file('clip.mp4', 80 * MiB);
      relay.stallAfter('up', 12 * MiB);
      const retries: string[] = [];
      const onRetry = ({ reason }: { reason: string }) => retries.push(reason);
      // A silent connection is closed after a minute.
      await setup.upload('clip.mp4', {}, setup.transfers(relay.url, { onRetry }));
      assert.equal(relay.stalls, 1);
      assert.deepEqual(retries, []);
      assert.ok((await setup.blobContent('clip.mp4')).equals(content));
    });

    it('continues after a connection that was silent', async () => {
      const content = await setup.file('clip.mp4', 20 * MiB);
      let silences = 0;
      const onBytes = () => {
        if (silences++ === 0) relay.goSilent();
      };
      const transfers = setup.transfers(relay.url, {
        parallel: 1,
        silenceMs: 2_000,
        onRetry: () => relay.speakAgain(),
      });
      await setup.upload('clip.mp4', { onBytes }, transfers);
      assert.ok((await setup.blobContent('clip.mp4')).equals(content));
    });

    it('fails when the network stays away, and later sends only what is missing', async () => {
      const content = await setup.file('clip.mp4', 40 * MiB);
      let sent = 0;
      const onBytes = (count: number) => {
        sent += count;
        if (sent >= 24 * MiB) relay.refuse(true);
      };
      const impatient = setup.transfers(relay.url, { parallel: 1, patienceMs: 0 });
      await rejectsWith(setup.upload('clip.mp4', { onBytes }, impatient), { kind: 'unreachable' });
      assert.equal(await setup.blobExists('clip.mp4'), false);

      relay.refuse(false);
      const before = relay.bytes.up;
      await setup.upload('clip.mp4', {}, setup.transfers(relay.url));
      assert.ok((await setup.blobContent('clip.mp4')).equals(content));
      assert.ok(relay.bytes.up - before < 17 * MiB, `${relay.bytes.up - before} bytes were sent again`);
    });

    it('never sends a block again that a canceled upload has staged', async () => {
      const content = await setup.file('clip.mp4', 60 * MiB);
      const proxy = await faultyProxy(setup.url);
      const abort = new AbortController();
      let sent = 0;
      const onBytes = (count: number) => {
        sent += count;
        if (sent >= 25 * MiB) abort.abort();
      };
      const canceled = setup.upload(
        'clip.mp4',
        { signal: abort.signal, onBytes },
        setup.transfers(proxy.url),
      );
      await assert.rejects(canceled, { name: 'AbortError' });
      const client = setup.storage.blob(setup.container, 'clip.mp4');
      const { uncommittedBlocks: staged = [] } = await client.getBlockList('uncommitted');
      assert.ok(staged.length >= 5, `${staged.length} blocks are staged`);
      const before = proxy.requests.length;
      await setup.upload('clip.mp4', {}, setup.transfers(proxy.url));
      const sentAgain = proxy.requests
        .slice(before)
        .flatMap((line) => /blockid=([^&]+)/.exec(line)?.slice(1).map(decodeURIComponent) ?? [])
        .filter((id) => staged.some(({ name }) => name === id));
      assert.deepEqual(sentAgain, []);
      assert.ok((await setup.blobContent('clip.mp4')).equals(content));
      await proxy.close();
    });

    it('does not reuse blocks of a file that has changed', async () => {
      await setup.file('clip.mp4', 20 * MiB);
      let blocks = 0;
      const onBytes = () => {
        if (++blocks === 2) relay.refuse(true);
      };
      const impatient = setup.transfers(relay.url, { parallel: 1, patienceMs: 0 });
      await rejectsWith(setup.upload('clip.mp4', { onBytes }, impatient), { kind: 'unreachable' });
      const content = await setup.file('clip.mp4', 20 * MiB);
      await setup.upload('clip.mp4');
      assert.ok((await setup.blobContent('clip.mp4')).equals(content));
    });

    it('stops at once when aborted, and leaves no blob', async () => {
      await setup.file('clip.mp4', 30 * MiB);
      const abort = new AbortController();
      const onBytes = () => {
        relay.goSilent();
        abort.abort();
      };
      const upload = setup.upload(
        'clip.mp4',
        { signal: abort.signal, onBytes },
        setup.transfers(relay.url, { parallel: 2 }),
      );
      await assert.rejects(upload, { name: 'AbortError' });
      assert.equal(await setup.blobExists('clip.mp4'), false);
    });
  });

  it('continues when the service throttles', async () => {
    const content = await setup.file('clip.mp4', 20 * MiB);
    const proxy = await faultyProxy(setup.url);
    proxy.fault = answerNext(3, 503, 'ServerBusy');
    const notices: string[] = [];
    const transfers = setup.transfers(proxy.url, { onRetry: ({ reason }) => notices.push(reason) });
    await setup.upload('clip.mp4', {}, transfers);
    assert.deepEqual(notices, ['throttled', 'throttled', 'throttled']);
    assert.ok((await setup.blobContent('clip.mp4')).equals(content));
    await proxy.close();
  });

  it('keeps its limit over the blocks of all files, and does not hold small files behind large ones', async () => {
    const proxy = await faultyProxy(setup.url);
    let running = 0;
    let most = 0;
    proxy.fault = (_request, response) => {
      most = Math.max(most, ++running);
      response.once('close', () => running--);
      return false;
    };
    const transfers = setup.transfers(proxy.url, { parallel: 3 });
    await setup.file('large.mp4', 80 * MiB);
    for (const small of ['a.mp4', 'b.mp4', 'c.mp4']) await setup.file(small, 1000);
    const ended: string[] = [];
    await Promise.all(
      ['large.mp4', 'a.mp4', 'b.mp4', 'c.mp4'].map(async (name) => {
        await setup.upload(name, {}, transfers);
        ended.push(name);
      }),
    );
    assert.equal(most, 3);
    assert.equal(ended.at(-1), 'large.mp4');
    await proxy.close();
  });

  it('removes a blob that was damaged on its way', async () => {
    await setup.file('clip.mp4', 100);
    const proxy = await faultyProxy(setup.url);
    proxy.change = (answer) => {
      const other = createHash('md5').update('other').digest('base64');
      return answer.request.method === 'PUT'
        ? { ...answer, headers: { ...answer.headers, 'content-md5': other } }
        : answer;
    };
    await rejectsWith(setup.upload('clip.mp4', {}, setup.transfers(proxy.url)), { kind: 'transferDamaged' });
    assert.equal(await setup.blobExists('clip.mp4'), false);
    await proxy.close();
  });
});
