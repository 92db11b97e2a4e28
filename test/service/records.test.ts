import assert from 'node:assert/strict';
import { type IncomingMessage, request as sendTo } from 'node:http';
import { Storage } from '../../src/core/azure/storage';
import { type FileResult, type Manifest, newAttempt } from '../../src/core/plan/manifest';
import { AddedTasks } from '../../src/core/records/addedTasks';
import { ManifestStore, readManifest } from '../../src/core/records/manifestStore';
import { ResultJournal, readResults } from '../../src/core/records/resultJournal';
import { runsOf } from '../../src/core/records/runList';
import { Claim } from '../../src/core/runs/claim';
import { Run } from '../../src/core/runs/run';
import { FastClock } from '../clock';
import { clip, temporaryFolder } from '../media';
import { type FaultyProxy, faultyProxy } from './faultyProxy';
import { TestService } from './harness';
import { rejectsWith } from './problems';
import { manifestOf, partsOf } from './runSetup';

const { signal: never } = new AbortController();
const count = 1_200;

describe('The record of a run in the account', () => {
  let root: Awaited<ReturnType<typeof temporaryFolder>>;
  let service: TestService;
  let sample: Manifest;

  before(async () => {
    root = await temporaryFolder('records');
    service = await TestService.start();
    // As it is read again: JSON has no undefined members.
    sample = JSON.parse(JSON.stringify(await manifestOf([await clip(`${root.path}/a.mp4`)])));
  });

  after(async () => {
    await service.close();
    await root.remove();
  });

  /** A run of as many files, under a name of its own. */
  function manifestWith(name: string, files: number): Manifest {
    const runId = `20261126-000000-${name}`;
    const [file] = sample.files;
    assert.ok(file);
    const all = Array.from({ length: files }, (_, index) => ({
      ...file,
      id: String(index + 1).padStart(4, '0'),
    }));
    const base = { runId, attempts: [], limits: sample.limits };
    const attempt = newAttempt(
      base,
      all.map(({ id }) => id),
    );
    return {
      ...sample,
      ...base,
      files: all,
      outputContainer: `transcode-${runId}-output`,
      attempts: [attempt],
    };
  }

  const blobsOf = async (container: string) => {
    const blobs = new Map<string, { size: number; etag: string }>();
    const { storage } = partsOf(service).parts;
    for await (const { name, size, etag } of storage.blobs(container, { signal: never }))
      blobs.set(name, { size, etag });
    return blobs;
  };

  it('is written in parts for a large run: a save writes neither the files nor all results again', async () => {
    const manifest = manifestWith('large1', count);
    const { parts } = partsOf(service);
    const run = await Run.create(parts, manifest, never);
    const [first] = manifest.files;
    assert.ok(first);
    run.state.settle(first, { outputUri: 'file:///a.mp3' });
    await run.state.saveResults(never);
    const before = await blobsOf(manifest.outputContainer);
    for (const file of manifest.files.slice(1, 11)) run.state.settle(file, { outputUri: 'file:///b.mp3' });
    await run.state.saveResults(never);
    await run.state.save(never);
    const after = await blobsOf(manifest.outputContainer);
    const size = (name: string, blobs = after) => blobs.get(name)?.size ?? Number.NaN;
    assert.ok(size('manifest.json') < 5_000, `manifest.json: ${size('manifest.json')} bytes`);
    assert.ok(size('results.jsonl') - size('results.jsonl', before) < 1_000);
    const chunks = [...after.keys()].filter((name) => name.startsWith('files-'));
    assert.equal(chunks.length, 2);
    for (const name of chunks) assert.deepEqual(after.get(name), before.get(name));
    await run.close();
    const opened = await Run.open(parts, manifest.outputContainer, never);
    assert.deepEqual(opened.manifest.files, manifest.files);
    assert.deepEqual(opened.manifest.attempts, manifest.attempts);
    assert.equal(opened.results.size, 11);
    await opened.close();
  });

  it('names complete files at every moment, also when some of them change', async () => {
    const manifest = manifestWith('large2', count);
    const { storage } = partsOf(service).parts;
    await storage.createContainer(manifest.outputContainer, {}, never);
    const store = new ManifestStore(storage, manifest.outputContainer);
    await store.write(manifest, { signal: never });
    const before = await blobsOf(manifest.outputContainer);
    const fewer = manifest.files.slice(0, 1_000);
    await store.write({ ...manifest, files: fewer }, { signal: never });
    const after = await blobsOf(manifest.outputContainer);
    // A reader that has just read the old manifest finds the old files.
    for (const [name, blob] of before) if (name !== 'manifest.json') assert.deepEqual(after.get(name), blob);
    const read = await readManifest(storage, manifest.outputContainer, never);
    assert.deepEqual(read.files, fewer);
  });

  describe('whose write was aborted and arrives late', () => {
    let blobs: FaultyProxy;
    let storage: Storage;

    beforeEach(async () => {
      blobs = await faultyProxy(service.ready.blobUrl);
      const { connection } = service;
      storage = new Storage({ ...connection, account: { ...connection.account, blobUrl: blobs.url } });
    });
    afterEach(() => blobs.close());

    /** Aborts the first write that matches before it reaches the service. Returns what sends it then. */
    async function abortedWrite(
      matches: (request: IncomingMessage) => boolean,
      write: (signal: AbortSignal) => Promise<unknown>,
    ): Promise<() => Promise<number | undefined>> {
      const abort = new AbortController();
      let send: (() => Promise<number | undefined>) | undefined;
      blobs.fault = async (request) => {
        if (send !== undefined || !matches(request)) return false;
        const { method, url, headers } = request;
        const body = Buffer.concat(await request.toArray());
        const { origin } = new URL(service.ready.blobUrl);
        send = () =>
          new Promise((resolve, reject) => {
            sendTo(`${origin}${url}`, { method, headers }, (reply) => {
              reply.resume().once('end', () => resolve(reply.statusCode));
            })
              .once('error', reject)
              .end(body);
          });
        abort.abort();
        return true;
      };
      await assert.rejects(write(abort.signal), { name: 'AbortError' });
      assert.ok(send);
      return send;
    }

    it('has the results of the later one', async () => {
      const container = 'late-results';
      await storage.createContainer(container, {}, never);
      const results = new Map<string, FileResult>();
      const journal = new ResultJournal(storage, container, results, new AddedTasks());
      await journal.create(never);
      const save = (outputUri: string, signal: AbortSignal) => {
        results.set('0001', { id: '0001', outputUri });
        journal.note('0001');
        return journal.save(signal);
      };
      const send = await abortedWrite(
        ({ url = '' }) => url.includes('comp=appendblock'),
        (signal) => save('file:///old.mp3', signal),
      );
      await save('file:///new.mp3', never);
      assert.equal(await send(), 412);
      await save('file:///newest.mp3', never);
      assert.deepEqual(await readResults(storage, container, never), [
        { id: '0001', outputUri: 'file:///newest.mp3' },
      ]);
    });

    it('has the results of the later one also after the earlier one', async () => {
      const container = 'early-results';
      await storage.createContainer(container, {}, never);
      const results = new Map<string, FileResult>();
      const journal = new ResultJournal(storage, container, results, new AddedTasks());
      const save = (outputUri: string, signal: AbortSignal) => {
        results.set('0001', { id: '0001', outputUri });
        journal.note('0001');
        return journal.save(signal);
      };
      const isAppend = ({ url = '' }: IncomingMessage) => url.includes('comp=appendblock');
      const send = await abortedWrite(isAppend, (signal) => save('file:///old.mp3', signal));
      let isSent = false;
      // It arrives between the question for the length and the append.
      blobs.fault = async (request) => {
        if (isAppend(request) && !isSent) {
          isSent = true;
          assert.equal(await send(), 201);
        }
        return false;
      };
      await save('file:///new.mp3', never);
      assert.ok(isSent);
      assert.equal((await readResults(storage, container, never))[0]?.outputUri, 'file:///new.mp3');
    });

    it('has the files of the later one', async () => {
      const manifest = manifestWith('late1', count);
      const { outputContainer: container } = manifest;
      await storage.createContainer(container, {}, never);
      const store = new ManifestStore(storage, container);
      const fewer = { ...manifest, files: manifest.files.slice(200) };
      const send = await abortedWrite(
        ({ method, url = '' }) => method === 'PUT' && url.includes('/files-1-1-'),
        (signal) => store.write(manifest, { signal }),
      );
      await store.write(fewer, { signal: never });
      await send();
      assert.deepEqual((await readManifest(storage, container, never)).files, fewer.files);
    });
  });

  it('is read and continued as earlier versions wrote it', async () => {
    const manifest = manifestWith('early1', 300);
    const { parts } = partsOf(service);
    const { storage } = parts;
    const container = manifest.outputContainer;
    await storage.createContainer(container, {}, never);
    await storage.writeText(container, 'manifest.json', JSON.stringify(manifest), { signal: never });
    const early = [{ id: '0001', outputUri: 'file:///a.mp3' }];
    await storage.writeText(container, 'results.json', JSON.stringify(early), { signal: never });
    const run = await Run.open(parts, container, never);
    assert.deepEqual(run.manifest, manifest);
    const second = manifest.files[1];
    assert.ok(second);
    run.state.settle(second, { outputUri: 'file:///b.mp3' });
    await run.state.saveResults(never);
    await run.state.save(never);
    await run.close();
    assert.deepEqual(
      (await readResults(storage, container, never)).map(({ id }) => id),
      ['0001', '0002'],
    );
    assert.deepEqual((await readManifest(storage, container, never)).files, manifest.files);
  });

  it('is not read from a manifest that is damaged or names containers of others', async () => {
    const manifest = manifestWith('others1', 1);
    const { parts } = partsOf(service);
    const container = manifest.outputContainer;
    await parts.storage.createContainer(container, {}, never);
    const [attempt] = manifest.attempts;
    const texts = [
      '{"version":1,',
      'null',
      ...[
        { runId: '../../20261126-000000-others1' },
        { outputContainer: 'photos' },
        { attempts: [] },
        { attempts: [{ ...attempt, inputContainer: 'photos' }] },
        { attempts: [{ ...attempt, inputContainer: 'transcode-20261126-000000-others2-input' }] },
        { attempts: [{ ...attempt, jobId: 'nightly' }] },
        { attempts: [null] },
        { attempts: [{ ...attempt, fileIds: 'all' }] },
        { attempts: [{ ...attempt, created: 'yesterday' }] },
        { files: undefined },
        { files: [null] },
        { files: manifest.files.map((file) => ({ ...file, output: null })) },
        { files: manifest.files.map((file) => ({ ...file, id: '../0001' })) },
        { refused: [{ path: 'a.mp4', uri: 'file:///a.mp4', problem: null }] },
        { pool: { ...manifest.pool, lifetime: 'forever' } },
        { pool: { ...manifest.pool, spotNodes: -1 } },
        { limits: null },
        { preset: 'mp3' },
        { version: 2, chunks: 'all' },
        { version: 2, chunks: [], attempts: [{ ...attempt, fileIds: ['1-99999999999'] }] },
      ].map((change) => JSON.stringify({ ...manifest, ...change })),
    ];
    for (const text of texts) {
      await parts.storage.writeText(container, 'manifest.json', text, { signal: never });
      await assert.rejects(
        Run.open(parts, container, never),
        { problem: { kind: 'runNotFound', run: container } },
        text,
      );
    }
  });

  it('is free at once when its claim is released while the lease is being acquired again', async () => {
    const container = 'released-claim';
    const blob = 'manifest.json';
    const { storage } = partsOf(service).parts;
    await storage.createContainer(container, {}, never);
    await storage.writeText(container, blob, '{}', { signal: never });
    const proxy = await faultyProxy(service.ready.blobUrl);
    const { account } = service.connection;
    const slow = new Storage({ ...service.connection, account: { ...account, blobUrl: proxy.url } });
    const options = { isCurrent: async () => true, signal: never };
    const claim = await Claim.take(slow, container, blob, 'run', options);
    let forward: () => void = () => undefined;
    const forwarded = new Promise<void>((resolve) => {
      forward = resolve;
    });
    const held = new Promise<void>((resolve) => {
      proxy.fault = async ({ headers }) => {
        if (headers['x-ms-lease-action'] !== 'acquire') return false;
        resolve();
        await forwarded;
        return false;
      };
    });
    const regained = assert.rejects(claim.regain(), { problem: { kind: 'runTaken', run: 'run' } });
    await held;
    await claim.release();
    forward();
    await regained;
    const next = await Claim.take(storage, container, blob, 'run', options);
    await next.release();
    await proxy.close();
  });

  it('gets blocks less often the longer a run takes', async () => {
    const manifest = manifestWith('long1', 3);
    const clock = new FastClock();
    const { parts } = partsOf(service, { clock });
    const run = await Run.create(parts, manifest, never);
    const saved: number[] = [];
    for (const [index, sleepMs] of [24 * 3_600_000, 60_000, 60_000].entries()) {
      clock.sleep(sleepMs);
      const file = manifest.files[index];
      assert.ok(file);
      run.state.settle(file, { outputUri: 'file:///a.mp3' });
      await run.state.saveResultsInTime(never);
      saved.push((await readResults(parts.storage, manifest.outputContainer, never)).length);
    }
    await run.close();
    assert.deepEqual(saved, [1, 1, 3]);
  });

  it('is not followed when a task could have written it', async () => {
    const manifest = manifestWith('altered', 2);
    const { parts } = partsOf(service);
    const { storage } = parts;
    const container = manifest.outputContainer;
    await (await Run.create(parts, manifest, never)).close();
    const { text = '' } = (await storage.readText(container, 'manifest.json', never)) ?? {};
    const url = await storage.sasUrl(container, 'w', new Date(Date.now() + 3_600_000), never);
    const [path, sas] = url.split('?');
    const [file] = manifest.files;
    assert.ok(file);
    for (const changed of [
      { files: [{ ...file, uri: 'file:///etc/passwd' }] },
      { files: [file, { ...file, output: { ...file.output, name: '.bashrc' } }] },
      { refused: [{ path: 'a', uri: 'file:///etc/passwd', problem: { kind: 'emptyFile', file: 'a' } }] },
      { files: [{ ...file, output: { ...file.output, folder: 'file:///etc/' } }] },
      { onConflict: 'overwrite' },
      { pool: { ...manifest.pool, spotNodes: 500 } },
    ]) {
      const body = JSON.stringify({ ...JSON.parse(text), ...changed });
      const headers = { 'x-ms-blob-type': 'BlockBlob', 'x-ms-version': '2024-11-04' };
      const reply = await fetch(`${path}/manifest.json?${sas}`, { method: 'PUT', headers, body });
      assert.equal(reply.status, 201);
      await rejectsWith(Run.open(parts, container, never), { kind: 'runAltered', run: container });
    }
    for (const folder of ['/etc/', 'file:///etc', 'file:////etc/', 'memfs://', 'file:///%zz/']) {
      const changed = { ...manifest, files: [{ ...file, output: { ...file.output, folder } }] };
      await storage.writeText(container, 'manifest.json', JSON.stringify(changed), { signal: never });
      await rejectsWith(readManifest(storage, container, never), { kind: 'runNotFound', run: container });
    }
    const refused = await fetch(`${path}?restype=container&comp=metadata&${sas}`, { method: 'PUT' });
    assert.equal(refused.status, 403);
    await storage.writeText(container, 'manifest.json', text, { signal: never });
    await (await Run.open(parts, container, never)).close();
  });

  it('is followed with files that were repaired for a retry', async () => {
    const manifest = manifestWith('repaired', 2);
    const { parts } = partsOf(service);
    const run = await Run.create(parts, manifest, never);
    const [file] = manifest.files;
    assert.ok(file);
    run.manifest.files = [...manifest.files, { ...file, id: '0003' }];
    await run.state.save(never);
    await run.close();
    const opened = await Run.open(parts, manifest.outputContainer, never);
    await opened.close();
    assert.equal(opened.manifest.files.length, 3);
    assert.deepEqual(
      (await runsOf(parts.storage, never)).filter(({ runId }) => runId === manifest.runId).length,
      1,
    );
  });

  it('keeps the seals that another window has written', async () => {
    const manifest = manifestWith('seals', 1);
    const { storage } = partsOf(service).parts;
    const container = manifest.outputContainer;
    const run = await Run.create(partsOf(service).parts, manifest, never);
    const seals = async () => {
      const metadata = Object.entries((await storage.containerMetadata(container, never)) ?? {});
      const [name = '', value = ''] = metadata.find(([key]) => /seal$/i.test(key)) ?? [];
      return { name, value, metadata: Object.fromEntries(metadata) };
    };
    const { name, value, metadata } = await seals();
    await storage.setContainerMetadata(container, { ...metadata, [name]: `${value} other` }, never);
    for (let repaired = 1; repaired <= 20; repaired++) {
      run.manifest.files = manifest.files.map((file) => ({ ...file, path: `${repaired}` }));
      await run.state.save(never);
      if (repaired === 1) assert.ok((await seals()).value.split(' ').includes('other'));
    }
    await run.close();
    assert.ok((await seals()).value.length < 1_000);
    await (await Run.open(partsOf(service).parts, container, never)).close();
  });

  it('of a later version is not touched', async () => {
    const manifest = manifestWith('later1', 1);
    const { parts } = partsOf(service);
    const container = manifest.outputContainer;
    await parts.storage.createContainer(container, {}, never);
    const text = JSON.stringify({ ...manifest, version: 3 });
    await parts.storage.writeText(container, 'manifest.json', text, { signal: never });
    await assert.rejects(Run.open(parts, container, never), {
      problem: { kind: 'runNewer', run: container },
    });
    assert.equal((await parts.storage.readText(container, 'manifest.json', never))?.text, text);
  });
});
