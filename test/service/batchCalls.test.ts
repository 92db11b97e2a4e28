import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { RenewableCredential } from '../../src/core/azure/account';
import { Batch, type Job } from '../../src/core/azure/batch';
import { CachedCredential } from '../../src/core/azure/identity';
import { Storage } from '../../src/core/azure/storage';
import { UserError } from '../../src/core/errors';
import { addTasks } from '../../src/core/jobs/addTasks';
import { anyOf } from '../../src/core/wait';
import { certificate, certificateKey } from '../azure/tokenStorage';
import { answerNext, type FaultyProxy, faultyProxy } from './faultyProxy';
import { eventually, machine, TestService } from './harness';
import { rejectsWith } from './problems';
import { Relay } from './relay';

const never = new AbortController().signal;

/** Lines of a log, by level. */
function linesLog() {
  const lines: { level: string; text: string }[] = [];
  const at = (level: string) => (text: string) => void lines.push({ level, text });
  return { lines, trace: at('trace'), debug: at('debug'), info: at('info'), warn: at('warn') };
}

/** A credential whose token changes when it is told that a service has refused it. */
function revocable(): RenewableCredential {
  let number = 1;
  return {
    getToken: async () => ({ token: `token-${number}`, expiresOnTimestamp: Date.now() + 3_600_000 }),
    forget: () => void number++,
  };
}

describe('A call to Batch', () => {
  let service: TestService;
  let batch: Batch;

  before(async function () {
    this.timeout(240_000);
    service = await TestService.start();
    batch = new Batch(service.connection);
    await batch.addPool({ id: 'calls', ...machine, targetLowPriorityNodes: 0 });
    await batch.addJob({ id: 'calls', poolInfo: { poolId: 'calls' } });
  });
  after(async () => {
    batch?.close();
    await service?.close();
  });

  let added = 0;
  const calls: Record<string, (batch: Batch) => Promise<unknown>> = {
    'GET /jobs/calls/taskcounts': (batch) => batch.taskCounts('calls'),
    'GET /supportedimages': (batch) => batch.images(),
    'GET /jobs/calls/tasks': (batch) => batch.taskPage('calls'),
    'POST /jobs/calls/addtaskcollection': (batch) =>
      batch.addTasks('calls', [{ id: `t${added++}`, commandLine: 'true' }]),
    'GET /jobs/calls?': (batch) => batch.job('calls'),
    'GET /nodecounts': (batch) => batch.nodeCounts('calls'),
  };
  for (const [path, call] of Object.entries(calls)) {
    it(`is made again when the answer to ${path} ends half-way`, async () => {
      await service.fault({ cutBody: { answers: 1, path, ending: 'close' } });
      await call(batch);
    });
  }

  it('reads the selected properties of a list as all properties are read, page by page', async () => {
    await batch.addJob({
      id: 'calls-other',
      displayName: 'Other',
      metadata: [{ name: 'a', value: 'b' }],
      poolInfo: { poolId: 'calls' },
    });
    await batch.terminateJob('calls-other', 'Enough');
    await eventually(
      async () => (await batch.job('calls-other'))?.state,
      (state) => state === 'completed',
    );
    const names = ['id', 'creationTime', 'displayName', 'state', 'metadata', 'executionInfo'] as const;
    const all = (await batch.jobPage()).items.map((job) =>
      Object.fromEntries(names.filter((name) => job[name] !== undefined).map((name) => [name, job[name]])),
    );
    const options = { select: names.join(), pageSize: 1 };
    const selected: Job[] = [];
    let next: string | undefined;
    do {
      const page = await batch.jobPage(options, next);
      selected.push(...page.items);
      next = page.next;
    } while (next !== undefined);
    assert.ok(selected.length >= 2 && selected.every(({ creationTime }) => creationTime instanceof Date));
    assert.ok(selected.some(({ executionInfo }) => executionInfo?.endTime instanceof Date));
    assert.deepEqual(selected, all);
  });

  it('asks again for a job and a pool that it has just added when the service does not know of them yet', async () => {
    const proxy = await faultyProxy(service.ready.batchUrl);
    const { connection } = service;
    const own = new Batch({ ...connection, account: { ...connection.account, batchUrl: proxy.url } });
    const add = async (id: string) => {
      await own.addPool({ id, ...machine, targetLowPriorityNodes: 0 });
      await own.addJob({ id, poolInfo: { poolId: id } });
    };
    await add('new');
    const denied: string[] = [];
    proxy.fault = ({ method, url = '' }, response) => {
      const [path = ''] = url.split('?');
      if (!path.startsWith('/jobs/new') && !path.startsWith('/pools/new')) return false;
      if (denied.includes(`${method} ${path}`)) return false;
      denied.push(`${method} ${path}`);
      const code = path.startsWith('/jobs') ? 'JobNotFound' : 'PoolNotFound';
      const message = { lang: 'en-US', value: 'It does not exist.' };
      response.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify({ code, message }));
      return true;
    };
    assert.equal((await own.job('new'))?.id, 'new');
    assert.equal((await own.pool('new'))?.id, 'new');
    await own.addTasks('new', [{ id: 't', commandLine: 'true' }]);
    await own.terminateJob('new');
    assert.equal(denied.length, 4);
    // A job or pool that does not exist is not waited for: not one that this client has deleted, and no other.
    proxy.fault = undefined;
    await own.deleteJob('new');
    await own.deletePool('new');
    await eventually(
      async () =>
        [await service.client().job.list(), await service.client().pool.list()].flat().map(({ id }) => id),
      (ids) => !ids.includes('new'),
    );
    const before = proxy.requests.length;
    assert.equal(await own.job('new'), undefined);
    assert.equal(await own.pool('none'), undefined);
    assert.equal(proxy.requests.length, before + 2);
    own.close();
    await proxy.close();
  });

  it('is made again when the body of an answer never ends', async () => {
    const brief = new Batch(service.connection, { attemptMs: 2_000 });
    await service.fault({ cutBody: { answers: 1, path: '/jobs', ending: 'hang' } });
    assert.equal((await brief.job('calls'))?.id, 'calls');
    brief.close();
  });

  it('fails when no body ever ends, instead of waiting', async () => {
    const brief = new Batch(service.connection, { attemptMs: 100, patienceMs: 200 });
    await service.fault({ cutBody: { answers: 1000, path: '/jobs', ending: 'hang' } });
    await assert.rejects(brief.job('calls'), (error) => {
      assert.ok(error instanceof UserError && error.problem.kind === 'unreachable');
      return error.problem.code === 'ETIMEDOUT';
    });
    await service.fault({ cutBody: { answers: 0 } });
    brief.close();
  });

  it('that exceeds a time limit is reported as unreachable, and one that its caller aborts throws the reason', async () => {
    const relay = await Relay.before(service.connection.account.batchUrl);
    const storageRelay = await Relay.before(service.connection.account.blobUrl);
    const { account } = service.connection;
    const silent = {
      ...service.connection,
      account: { ...account, batchUrl: relay.url, blobUrl: storageRelay.url },
    };
    relay.goSilent();
    storageRelay.goSilent();
    const batch = new Batch(silent);
    const storage = new Storage(silent);
    const limit = () => AbortSignal.timeout(100);
    const code = 'ETIMEDOUT';
    const host = (url: string) => new URL(url).host;
    await rejectsWith(batch.job('calls', { signal: limit() }), {
      kind: 'unreachable',
      host: host(relay.url),
      code,
    });
    await rejectsWith(storage.check(limit()), { kind: 'unreachable', host: host(storageRelay.url), code });
    await rejectsWith(storage.check(anyOf(limit(), never)), { kind: 'unreachable', code });
    const abort = new AbortController();
    const rejected = assert.rejects(storage.check(abort.signal), { message: 'enough' });
    abort.abort(new DOMException('enough', 'AbortError'));
    await rejected;
    batch.close();
    await Promise.all([relay.close(), storageRelay.close()]);
  });

  it('ends at once when it is aborted while it waits for a token', async () => {
    const { connection } = service;
    let isAsked: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => {
      isAsked = resolve;
    });
    const credential = new CachedCredential({
      getToken() {
        isAsked();
        // As an external program that waits for its user.
        return new Promise(() => undefined);
      },
    });
    const waiting = new Batch({ ...connection, batch: { kind: 'token', credential } });
    const abort = new AbortController();
    let hasEnded = false;
    const call = waiting.job('calls', { signal: abort.signal }).finally(() => {
      hasEnded = true;
    });
    const rejected = assert.rejects(call, { message: 'enough' });
    await asked;
    abort.abort(new DOMException('enough', 'AbortError'));
    // Not after the time that an attempt has which does not listen.
    for (let turn = 0; turn < 200 && !hasEnded; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(hasEnded);
    await rejected;
    waiting.close();
  });

  describe('that is refused', () => {
    let proxy: FaultyProxy;
    let through: Batch;

    before(async () => {
      proxy = await faultyProxy(service.ready.batchUrl);
      const { connection } = service;
      const account = { ...connection.account, batchUrl: proxy.url };
      through = new Batch({ ...connection, account }, { patienceMs: 20_000 });
    });
    after(async () => {
      through.close();
      await proxy.close();
    });

    for (const status of [429, 503]) {
      it(`with ${status} for longer than it is repeated fails at once`, async () => {
        proxy.fault = answerNext(5, status, 'Busy', { 'retry-after': '21' });
        proxy.requests.length = 0;
        await rejectsWith(through.job('calls'), { kind: 'throttled', service: 'batch' });
        assert.equal(proxy.requests.length, 1);
      });
    }

    it('for a moment is made again after it', async () => {
      proxy.fault = answerNext(1, 429, 'Busy', { 'retry-after': '1' });
      const started = performance.now();
      assert.equal((await through.job('calls'))?.id, 'calls');
      assert.ok(performance.now() - started >= 1_000);
    });

    it('with a URL fails with an error that hides its signature', async () => {
      const url = 'https://a.blob.core.windows.net/in?sv=1&sig=secret%2B%3D&se=2';
      const error = {
        code: 'InvalidPropertyValue',
        message: { lang: 'en-US', value: `The value ${url} is wrong.` },
        values: [{ key: 'PropertyValue', value: url }],
      };
      proxy.fault = ({ url: path = '' }, response) => {
        response.setHeader('content-type', 'application/json');
        if (path.includes('addtaskcollection'))
          response.end(JSON.stringify({ value: [{ taskId: 't', status: 'clienterror', error }] }));
        else response.writeHead(400).end(JSON.stringify(error));
        return true;
      };
      const problem = await rejectsWith(through.job('calls'), { kind: 'service' });
      const refused = await addTasks(through, 'calls', [{ id: 't', commandLine: 'true' }], never);
      for (const text of [JSON.stringify(problem), JSON.stringify(refused)]) {
        assert.match(text, /sig=\*\*\*/);
        assert.doesNotMatch(text, /secret/);
      }
      await assert.rejects(through.job('calls'), (reason) => {
        assert.ok(reason instanceof UserError && reason.cause instanceof Error);
        assert.doesNotMatch(`${reason.message} ${reason.cause.stack}`, /secret/);
        return true;
      });
    });
  });

  it('adds all tasks but one that is too large alone', async () => {
    const resourceFiles = Array.from({ length: 2_000 }, (_, index) => ({
      httpUrl: `https://a.blob.core.windows.net/in/${'x'.repeat(600)}`,
      filePath: `${index}`,
    }));
    const tasks = [1, 2, 3].map((index) => ({ id: `small-${index}`, commandLine: 'true' }));
    const large = { id: 'large', commandLine: 'true', resourceFiles };
    const refused = await addTasks(batch, 'calls', [...tasks.slice(0, 1), large, ...tasks.slice(1)], never);
    assert.deepEqual(
      refused.map(({ id, problem }) => [id, problem.kind === 'service' && problem.code]),
      [['large', 'RequestBodyTooLarge']],
    );
    for (const { id } of tasks) assert.equal((await batch.task('calls', id))?.id, id);
  });

  it('tells why a file request was refused', async () => {
    await assert.rejects(batch.readFile({ jobId: 'calls', taskId: 'gone' }, 'stdout.txt', 0, 10), (error) => {
      assert.ok(error instanceof UserError && error.problem.kind === 'service');
      return error.problem.code === 'TaskNotFound' && error.problem.status === 404;
    });
  });

  it('fails with an error that keeps its cause and no signature', async () => {
    await assert.rejects(batch.taskCounts('gone'), (error) => {
      assert.ok(error instanceof UserError && error.cause instanceof Error);
      assert.equal(error.accountId, service.connection.account.id);
      assert.match(error.cause.stack ?? '', /The specified job does not exist/);
      assert.ok(!('request' in error.cause));
      return true;
    });
  });

  it('is logged with its status, duration and attempt, without secrets', async () => {
    const log = linesLog();
    const logged = new Batch(service.connection, { log });
    await service.fault({ refuse: { status: 503, requests: 1 } });
    await logged.job('calls', { select: 'id,secret' });
    logged.close();
    const [refused = '', answered = ''] = log.lines
      .filter(({ level }) => level === 'trace')
      .map(({ text }) => text);
    assert.match(refused, /^GET 127\.0\.0\.1:\d+\/jobs\/calls 503 [-\w]{36} \d+ ms, attempt 1$/);
    assert.match(answered, /^GET 127\.0\.0\.1:\d+\/jobs\/calls 200 [-\w]{36} \d+ ms, attempt 2$/);
    assert.ok(log.lines.some(({ level, text }) => level === 'debug' && /503/.test(text)));
  });

  describe('through a proxy', () => {
    let proxy: FaultyProxy;
    beforeEach(async () => {
      proxy = await faultyProxy(service.ready.batchUrl);
    });
    afterEach(() => proxy.close());

    it('is made once more, with a new token, when the service has refused the token', async () => {
      const { connection } = service;
      const credential = revocable();
      const through = new Batch({
        ...connection,
        account: { ...connection.account, batchUrl: proxy.url },
        batch: { kind: 'token', credential },
      });
      const sent: (string | undefined)[] = [];
      proxy.fault = ({ headers }, response) => {
        sent.push(headers.authorization);
        const isRevoked = headers.authorization === 'Bearer token-1';
        response.writeHead(isRevoked ? 401 : 200, { 'content-type': 'application/json' });
        response.end(JSON.stringify(isRevoked ? { code: 'AuthenticationFailed' } : { id: 'calls' }));
        return true;
      };
      assert.equal((await through.job('calls'))?.id, 'calls');
      assert.deepEqual(sent, ['Bearer token-1', 'Bearer token-2']);
      // A service that refuses each token is not asked again and again.
      proxy.fault = answerNext(10, 401, 'AuthenticationFailed');
      proxy.requests.length = 0;
      await assert.rejects(through.job('calls'), UserError);
      assert.equal(proxy.requests.length, 2);
      through.close();
    });

    it('says what time it is for the service', async () => {
      const ahead = 12 * 60_000;
      proxy.change = (answer) => ({
        ...answer,
        headers: { ...answer.headers, date: new Date(Date.now() - ahead).toUTCString() },
      });
      const { connection } = service;
      const through = new Batch({ ...connection, account: { ...connection.account, batchUrl: proxy.url } });
      await through.job('calls');
      const offMs = Date.now() - ahead - through.now().getTime();
      // The time that an answer takes adds to it.
      assert.ok(Math.abs(offMs) <= 60_000, `${offMs}`);
      through.close();
    });
  });
});

describe('A call to Storage', () => {
  let service: TestService;
  before(async function () {
    this.timeout(240_000);
    service = await TestService.start();
  });
  after(() => service?.close());

  it('is made again when a list ends half-way, or never', async () => {
    const proxy = await faultyProxy(service.ready.blobUrl);
    const { connection } = service;
    const storage = new Storage(
      { ...connection, account: { ...connection.account, blobUrl: proxy.url } },
      { attemptMs: 2_000 },
    );
    await storage.createContainer('cut', {}, never);
    await storage.writeText('cut', 'a', 'x', { signal: never });
    for (const ending of ['close', 'hang'] as const) {
      let left = 1;
      proxy.fault = (_request, response) => {
        if (left-- <= 0) return false;
        response.writeHead(200, { 'content-type': 'application/xml', 'content-length': 500 });
        response.write('<?xml version="1.0" encoding="utf-8"?><EnumerationResults>', () => {
          if (ending === 'close') response.socket?.end();
        });
        return true;
      };
      const names: string[] = [];
      for await (const { name } of storage.blobs('cut', { signal: never })) names.push(name);
      assert.deepEqual(names, ['a']);
    }
    storage.close();
    await proxy.close();
  });

  it('fails with the reason that the service has for refusing its key or token', async () => {
    const proxy = await faultyProxy(service.ready.blobUrl);
    const { connection } = service;
    const account = { ...connection.account, batchUrl: new URL(proxy.url).origin, blobUrl: proxy.url };
    const storage = new Storage({ ...connection, account });
    const own = new Batch({ ...connection, account });
    const answerWith = (status: number, body: string) => {
      proxy.fault = (_request, response) => {
        response.writeHead(status, {
          'content-type': body.startsWith('{') ? 'application/json' : 'application/xml',
        });
        response.end(body);
        return true;
      };
    };
    const xml = (code: string, why: string) =>
      `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>Server failed to authenticate the request.\nRequestId:1</Message><AuthenticationErrorDetail>${why}</AuthenticationErrorDetail></Error>`;
    const issuer = 'Issuer validation failed. Issuer did not match.';
    answerWith(401, xml('InvalidAuthenticationInfo', issuer));
    await rejectsWith(storage.check(never), { code: 'InvalidAuthenticationInfo', detail: issuer });
    answerWith(
      403,
      xml('AuthenticationFailed', "The MAC signature found in the HTTP request 'abc=' is not the same"),
    );
    await rejectsWith(storage.check(never), { detail: 'Server failed to authenticate the request.' });
    const value = 'The specified type of authentication SharedKey is not allowed for this account.';
    answerWith(
      403,
      JSON.stringify({
        code: 'AuthenticationFailed',
        message: { lang: 'en-US', value: 'Server failed to authenticate the request.\nRequestId:1\nTime:2' },
        values: [{ key: 'AuthenticationErrorDetail', value }],
      }),
    );
    await rejectsWith(own.poolPage(), {
      code: 'AuthenticationFailed',
      detail: `Server failed to authenticate the request. · AuthenticationErrorDetail: ${value}`,
    });
    storage.close();
    own.close();
    await proxy.close();
  });

  it('is made once more, with a new token, when the service has refused the token', async () => {
    const sent: (string | undefined)[] = [];
    const key = { cert: readFileSync(certificate), key: readFileSync(certificateKey) };
    // The SDK sends tokens by HTTPS only.
    const server = createServer(key, ({ headers }, response) => {
      sent.push(headers.authorization);
      const isRevoked = headers.authorization === 'Bearer token-1';
      response.writeHead(isRevoked ? 401 : 200, {
        'content-type': 'application/xml',
        'x-ms-error-code': 'InvalidAuthenticationInfo',
        'www-authenticate': 'Bearer authorization_uri=https://login.microsoftonline.com/t/oauth2/authorize',
      });
      response.end(
        isRevoked
          ? '<?xml version="1.0"?><Error><Code>InvalidAuthenticationInfo</Code><Message>No.</Message></Error>'
          : '<?xml version="1.0"?><EnumerationResults><Containers /><NextMarker /></EnumerationResults>',
      );
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const blobUrl = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { connection } = service;
    const storage = new Storage({
      ...connection,
      account: { ...connection.account, blobUrl },
      storage: { kind: 'token', credential: revocable() },
    });
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    try {
      await storage.check(never);
      // The token that was accepted is used again.
      await storage.check(never);
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      storage.close();
      server.close();
    }
    assert.deepEqual(sent.slice(-2), ['Bearer token-2', 'Bearer token-2']);
    assert.ok(
      sent.slice(0, -2).every((token) => token === 'Bearer token-1') && sent.length <= 4,
      sent.join(),
    );
  });

  it('is logged without its SAS', async () => {
    const log = linesLog();
    const storage = new Storage(service.connection, { log });
    await storage.createContainer('logged', {}, never);
    await storage.roundTrip('logged', 'text', never);
    storage.close();
    const text = log.lines.map((line) => line.text).join('\n');
    assert.match(
      text,
      /^PUT 127\.0\.0\.1:\d+\/localstorage\/logged\?restype=container 201 [-\w]+ \d+ ms, attempt 1$/m,
    );
    assert.match(text, /^PUT 127\.0\.0\.1:\d+\/localstorage\/logged\/check\.txt 201 /m);
    assert.doesNotMatch(text, /sig|sv=/);
  });
});
