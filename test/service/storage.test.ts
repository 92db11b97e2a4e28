import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { RetryNotice } from '../../src/core/azure/retry';
import { Storage } from '../../src/core/azure/storage';
import { azurite, connectionTo, freshContainer } from './azurite';
import { answerNext, containersLinger, type FaultyProxy, faultyProxy } from './faultyProxy';
import { rejectsWith } from './problems';
import { Relay } from './relay';

describe('Storage', function () {
  this.timeout(240_000);
  const { signal } = new AbortController();
  let url: string;
  let storage: Storage;

  before(async () => {
    url = (await azurite()).blobUrl;
    storage = new Storage(connectionTo(url));
  });

  async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
    const all: T[] = [];
    for await (const item of items) all.push(item);
    return all;
  }

  async function container(): Promise<string> {
    const name = freshContainer();
    await storage.createContainer(name, {}, signal);
    return name;
  }

  describe('containers', () => {
    it('are created once, and reported as existing after that', async () => {
      const name = freshContainer();
      assert.equal(await storage.createContainer(name, {}, signal), 'created');
      assert.equal(await storage.createContainer(name, {}, signal), 'exists');
    });

    it('keep metadata with any characters', async () => {
      const name = freshContainer();
      const metadata = { workspace: 'Überträge/数据 🎬 100%\n"x"', cut: 'a\ud800b', empty: 'x' };
      await storage.createContainer(name, metadata, signal);
      const expected = { ...metadata, cut: 'a\ufffdb' };
      assert.deepEqual(await storage.containerMetadata(name, signal), expected);
      const [listed] = await collect(storage.containers(name, signal));
      assert.deepEqual(listed?.metadata, expected);
    });

    it('are listed by prefix', async () => {
      const prefix = freshContainer();
      for (const end of ['a', 'b']) await storage.createContainer(`${prefix}-${end}`, {}, signal);
      await storage.createContainer(freshContainer(), {}, signal);
      const names = (await collect(storage.containers(prefix, signal))).map(({ name }) => name);
      assert.deepEqual(names, [`${prefix}-a`, `${prefix}-b`]);
    });

    it('may not exist when they are deleted or read', async () => {
      const name = await container();
      await storage.deleteContainer(name, signal);
      await storage.deleteContainer(name, signal);
      assert.equal(await storage.containerMetadata(name, signal), undefined);
      assert.deepEqual(await collect(storage.blobs(name, { signal })), []);
    });
  });

  it('lists no folders of an account with a hierarchical namespace', async () => {
    const name = await container();
    const folder = storage.blob(name, '0001/clip/v0');
    await folder.upload('', 0, { metadata: { hdi_isfolder: 'true' }, abortSignal: signal });
    await storage.writeText(name, '0001/clip/v0/0.ts', 'x', { signal });
    const names = (await collect(storage.blobs(name, { signal }))).map((blob) => blob.name);
    assert.deepEqual(names, ['0001/clip/v0/0.ts']);
  });

  describe('texts', () => {
    it('are read as they were written', async () => {
      const name = await container();
      const text = '{"name":"Ünïcode 🎞"}';
      const etag = await storage.writeText(name, 'a/b.json', text, { signal });
      assert.deepEqual(await storage.readText(name, 'a/b.json', signal), { text, etag });
    });

    it('may be empty, or not exist', async () => {
      const name = await container();
      await storage.writeText(name, 'empty', '', { signal });
      assert.equal((await storage.readText(name, 'empty', signal))?.text, '');
      assert.equal(await storage.readText(name, 'none', signal), undefined);
    });

    it('do not replace another version', async () => {
      const name = await container();
      const first = await storage.writeText(name, 'text', 'one', { ifNoneMatch: '*', signal });
      await rejectsWith(storage.writeText(name, 'text', 'two', { ifNoneMatch: '*', signal }), {
        kind: 'service',
        status: 409,
      });
      await storage.writeText(name, 'text', 'two', { ifMatch: first, signal });
      await rejectsWith(storage.writeText(name, 'text', 'three', { ifMatch: first, signal }), {
        kind: 'service',
        code: 'ConditionNotMet',
      });
      assert.equal((await storage.readText(name, 'text', signal))?.text, 'two');
    });

    it('are read in part, also beyond their end', async () => {
      const name = await container();
      await storage.writeText(name, 'text', '0123456789', { signal });
      const read = async (position: number, length: number) =>
        Buffer.from(await storage.readRange(name, 'text', position, length, signal)).toString();
      assert.equal(await read(3, 4), '3456');
      assert.equal(await read(8, 100), '89');
      assert.equal(await read(10, 1), '');
    });

    it('may not exist when they are deleted', async () => {
      const name = await container();
      await storage.writeText(name, 'text', 'x', { signal });
      await storage.deleteBlob(name, 'text', signal);
      await storage.deleteBlob(name, 'text', signal);
      assert.equal(await storage.readText(name, 'text', signal), undefined);
    });
  });

  describe('a lease', () => {
    it('excludes others until it is released', async () => {
      const name = await container();
      await storage.writeText(name, 'claim', '1', { signal });
      const lease = await storage.lease(name, 'claim', randomUUID(), 15, signal);
      assert.ok(lease);
      assert.equal(await storage.lease(name, 'claim', randomUUID(), 15, signal), undefined);
      await rejectsWith(storage.writeText(name, 'claim', '2', { signal }), { kind: 'service', status: 412 });
      await storage.writeText(name, 'claim', '3', { leaseId: lease.id, signal });
      await lease.renew();
      await lease.release();
      const next = await storage.lease(name, 'claim', randomUUID(), 15, signal);
      assert.ok(next);
      await rejectsWith(lease.renew(), { kind: 'service', status: 409 });
    });
  });

  describe('a SAS', () => {
    const inAnHour = () => new Date(Date.now() + 3_600_000);

    function urlOf(sas: string, blob: string): string {
      const [base, query] = sas.split('?');
      return `${base}/${blob.split('/').map(encodeURIComponent).join('/')}?${query}`;
    }

    it('for reading opens every blob of its container, and nothing else', async () => {
      const name = await container();
      const blob = "task-1/100% #1?&+ 'q' 🎬.mp4";
      await storage.writeText(name, blob, 'content', { signal });
      const sas = await storage.sasUrl(name, 'r', inAnHour());
      assert.equal(await (await fetch(urlOf(sas, blob))).text(), 'content');
      const [base, query] = sas.split('?');
      assert.equal((await fetch(`${base}?restype=container&comp=list&${query}`)).status, 403);
      assert.equal((await put(urlOf(sas, 'new'))).status, 403);
    });

    it('for writing accepts blobs, and returns none', async () => {
      const name = await container();
      const sas = await storage.sasUrl(name, 'w', inAnHour());
      assert.equal((await put(urlOf(sas, 'new'))).status, 201);
      assert.equal((await fetch(urlOf(sas, 'new'))).status, 403);
    });

    it('expires at its time', async () => {
      const name = await container();
      await storage.writeText(name, 'text', 'x', { signal });
      const sas = await storage.sasUrl(name, 'r', new Date(Date.now() - 1000));
      assert.equal((await fetch(urlOf(sas, 'text'))).status, 403);
    });

    function put(to: string): Promise<Response> {
      return fetch(to, { method: 'PUT', headers: { 'x-ms-blob-type': 'BlockBlob' }, body: 'x' });
    }
  });

  describe('when the service is in trouble', () => {
    let proxy: FaultyProxy;
    let notices: RetryNotice[];
    let through: Storage;

    beforeEach(async () => {
      proxy = await faultyProxy(url);
      notices = [];
      through = new Storage(connectionTo(proxy.url), { onRetry: (notice) => notices.push(notice) });
    });

    afterEach(() => proxy.close());

    for (const [status, code] of [
      [429, 'TooManyRequests'],
      [500, 'InternalError'],
      [503, 'ServerBusy'],
    ] as const) {
      it(`continues after some answers with ${status}`, async () => {
        const name = await container();
        proxy.fault = answerNext(2, status, code);
        await through.writeText(name, 'text', 'x', { signal });
        assert.equal(notices.length, 2);
        assert.equal(notices[0]?.reason, status === 500 ? 'failing' : 'throttled');
      });
    }

    it('lists everything although the first answer failed', async () => {
      const name = await container();
      for (const blob of ['a', 'b', 'c']) await storage.writeText(name, blob, blob, { signal });
      proxy.fault = answerNext(1, 503, 'ServerBusy');
      const names = (await collect(through.blobs(name, { signal }))).map((blob) => blob.name);
      assert.deepEqual(names, ['a', 'b', 'c']);
    });

    it('reports throttling when patience is over', async () => {
      const impatient = new Storage(connectionTo(proxy.url), { patienceMs: 0 });
      proxy.fault = answerNext(1, 503, 'ServerBusy');
      await rejectsWith(impatient.check(signal), { kind: 'throttled', service: 'storage' });
    });

    it('stops waiting for Retry-After at once when aborted', async () => {
      const abort = new AbortController();
      const waiting = new Storage(connectionTo(proxy.url), {
        patienceMs: 600_000,
        onRetry: () => abort.abort(),
      });
      proxy.fault = answerNext(1, 503, 'ServerBusy', { 'retry-after': '100' });
      await assert.rejects(waiting.check(abort.signal), { name: 'AbortError' });
    });

    it('takes the date of Retry-After for one of the service, whose clock may differ', async () => {
      const abort = new AbortController();
      const waits: number[] = [];
      const onRetry = ({ waitMs }: { waitMs: number }) => {
        waits.push(waitMs);
        abort.abort();
      };
      const waiting = new Storage(connectionTo(proxy.url), { patienceMs: 600_000, onRetry });
      const date = Math.floor(Date.now() / 1000) * 1000 - 3_600_000;
      const [sent, retry] = [date, date + 60_000].map((time) => new Date(time).toUTCString());
      proxy.fault = answerNext(1, 503, 'ServerBusy', { date: sent ?? '', 'retry-after': retry ?? '' });
      await assert.rejects(waiting.check(abort.signal), { name: 'AbortError' });
      assert.deepEqual(waits, [60_000]);
    });

    it('waits while a container of that name is being deleted', async () => {
      const name = await container();
      proxy.fault = containersLinger(1_000);
      await through.deleteContainer(name, signal);
      await through.deleteContainer(name, signal);
      assert.deepEqual(await collect(through.blobs(name, { signal })), []);
      assert.equal(await through.readText(name, 'text', signal), undefined);
      assert.equal(await through.createContainer(name, {}, signal), 'created');
    });

    it('recognizes its own write whose answer was lost', async () => {
      const name = await container();
      let lost = false;
      proxy.change = (answer) => {
        const isLost = !lost && answer.request.method === 'PUT';
        lost ||= isLost;
        return isLost ? undefined : answer;
      };
      const etag = await through.writeText(name, 'text', 'mine', { ifNoneMatch: '*', signal });
      assert.ok(lost);
      assert.deepEqual(await storage.readText(name, 'text', signal), { text: 'mine', etag });
    });

    it('distinguishes a wrong clock from a wrong key', async () => {
      const date = new Date(Date.now() - 20 * 60_000).toUTCString();
      proxy.fault = answerNext(1, 403, 'AuthenticationFailed', { date });
      await rejectsWith(through.check(signal), { kind: 'clockSkew', minutes: 20 });
    });

    it('names the policy that forbids keys', async () => {
      proxy.fault = answerNext(1, 403, 'KeyBasedAuthenticationNotPermitted');
      await rejectsWith(through.check(signal), {
        kind: 'unauthorized',
        service: 'storage',
        code: 'KeyBasedAuthenticationNotPermitted',
      });
    });
  });

  it('is checked with one request', async () => {
    const proxy = await faultyProxy(url);
    await new Storage(connectionTo(proxy.url)).check(signal);
    assert.equal(proxy.requests.length, 1);
    await proxy.close();
  });

  it('reports a wrong key, without the string that was signed', async () => {
    const wrong = new Storage(connectionTo(url, Buffer.from('wrong key').toString('base64')));
    const problem = await rejectsWith(wrong.check(signal), { kind: 'unauthorized', service: 'storage' });
    assert.doesNotMatch(JSON.stringify(problem), /SharedKey|x-ms-date|signature '/i);
  });

  it('reports a host that cannot be reached', async () => {
    const nobody = new Storage(connectionTo('http://127.0.0.1:1/testaccount'), { patienceMs: 0 });
    await rejectsWith(nobody.check(signal), {
      kind: 'unreachable',
      host: '127.0.0.1:1',
      code: 'ECONNREFUSED',
    });
  });

  it('closes a silent connection, and opens another', async () => {
    const relay = await Relay.before(url);
    relay.goSilent();
    const through = new Storage(connectionTo(relay.url), {
      silenceMs: 1_000,
      onRetry: () => relay.speakAgain(),
    });
    await through.check(signal);
    // A slow machine may be taken for a silent one, and gets another connection.
    assert.ok(relay.connections >= 2);
    await relay.close();
  });

  it('reuses its connections', async () => {
    const relay = await Relay.before(url);
    const through = new Storage(connectionTo(relay.url));
    for (let call = 0; call < 5; call++) await through.check(signal);
    assert.equal(relay.connections, 1);
    await relay.close();
  });

  it('ends a call at once when aborted', async () => {
    const relay = await Relay.before(url);
    relay.goSilent();
    const abort = new AbortController();
    const call = new Storage(connectionTo(relay.url)).check(abort.signal);
    setImmediate(() => abort.abort());
    await assert.rejects(call, { name: 'AbortError' });
    await relay.close();
  });
});
