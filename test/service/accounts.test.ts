import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { type AddressInfo, createServer as createSocketServer } from 'node:net';
import { join } from 'node:path';
import { type CheckResult, checkConnection } from '../../src/core/accounts/connectionCheck';
import { refuseBeyond } from '../../src/core/accounts/quota';
import type { AccountRecord } from '../../src/core/azure/account';
import { Batch } from '../../src/core/azure/batch';
import { type Cloud, clouds } from '../../src/core/azure/clouds';
import {
  type Arm,
  batchAccounts,
  isFirewalled,
  quotaOf,
  storageAccounts,
  subscriptions,
  supportedSizes,
  tenants,
} from '../../src/core/azure/resourceManager';
import { Storage } from '../../src/core/azure/storage';
import { UserError } from '../../src/core/errors';
import { familyOf, generationsOf, quotaCores } from '../../src/core/pools/vmSizes';
import { Run } from '../../src/core/runs/run';
import { certificate, certificateKey, startTokenStorage, type TokenStorage } from '../azure/tokenStorage';
import { clip, temporaryFolder } from '../media';
import { faultyProxy } from './faultyProxy';
import { eventually, TestService } from './harness';
import { rejectsWith } from './problems';
import { Relay } from './relay';
import { startRunProcess } from './runProcess';
import { manifestOf, namesIn, partsOf } from './runSetup';

const never = new AbortController().signal;
const pool = {
  lifetime: 'scaleToZero' as const,
  vmSize: 'Standard_D2s_v5',
  dedicatedNodes: 0,
  spotNodes: 5,
  slotsPerNode: 1,
};

/** Answers of Azure Resource Manager, by the end of their paths. */
const group = '/subscriptions/sub-1/resourceGroups/rg/providers';
const answers: [RegExp, unknown][] = [
  [/^\/tenants$/, { value: [{ tenantId: 'tenant-1', displayName: 'Contoso' }, { tenantId: 'tenant-2' }] }],
  [
    /^\/subscriptions$/,
    {
      value: [
        { subscriptionId: 'sub-1', displayName: 'Media', state: 'Enabled', tenantId: 'tenant-1' },
        { subscriptionId: 'sub-2', displayName: 'Old', state: 'Disabled' },
      ],
    },
  ],
  [
    /^\/subscriptions\/sub-1\/providers\/Microsoft\.Batch\/batchAccounts$/,
    {
      value: [
        {
          id: `${group}/Microsoft.Batch/batchAccounts/media`,
          name: 'media',
          location: 'chinanorth3',
          properties: {
            accountEndpoint: 'media.chinanorth3.batch.chinacloudapi.cn',
            autoStorage: { storageAccountId: `${group}/Microsoft.Storage/storageAccounts/linked` },
            allowedAuthenticationModes: ['AAD'],
          },
        },
      ],
    },
  ],
  [
    /^\/subscriptions\/sub-1\/providers\/Microsoft\.Storage\/storageAccounts$/,
    {
      value: ['far', 'linked'].map((name) => ({
        id: `${group}/Microsoft.Storage/storageAccounts/${name}`,
        name,
        location: name === 'far' ? 'chinaeast2' : 'chinanorth3',
        properties: {
          primaryEndpoints: { blob: `https://${name}.blob.core.chinacloudapi.cn/` },
          networkAcls: { defaultAction: name === 'far' ? 'Deny' : 'Allow' },
        },
      })),
    },
  ],
  [
    /\/subscriptions\/sub-1\/providers\/Microsoft\.Batch\/locations\/chinanorth3\/virtualMachineSkus$/,
    {
      value: [
        {
          name: 'Standard_Odd7',
          familyName: 'standardOddFamily',
          capabilities: [
            { name: 'vCPUs', value: '6' },
            { name: 'HyperVGenerations', value: 'V1' },
          ],
        },
      ],
    },
  ],
  [
    /\/batchAccounts\/media$/,
    {
      location: 'chinanorth3',
      id: `${group}/Microsoft.Batch/batchAccounts/media`,
      name: 'media',
      properties: {
        poolAllocationMode: 'BatchService',
        dedicatedCoreQuota: 20,
        lowPriorityCoreQuota: 0,
        dedicatedCoreQuotaPerVMFamily: [{ name: 'standardDSv5Family', coreQuota: 4 }],
        dedicatedCoreQuotaPerVMFamilyEnforced: true,
        poolQuota: 100,
        activeJobAndJobScheduleQuota: 300,
      },
    },
  ],
];

describe('Azure Resource Manager, played by a stand-in', () => {
  let server: Server;
  let arm: Arm;
  const seen: string[] = [];

  before(async () => {
    // The certificate is self-signed, and this process reads the certificates it trusts only once.
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    server = createServer(
      { cert: readFileSync(certificate), key: readFileSync(certificateKey) },
      (request, reply) => {
        const [path = ''] = (request.url ?? '').split('?');
        seen.push(request.headers.authorization ?? '');
        const answer = answers.find(([pattern]) => pattern.test(path))?.[1];
        reply.writeHead(answer ? 200 : 403, { 'content-type': 'application/json' });
        reply.end(JSON.stringify(answer ?? { error: { code: 'AuthorizationFailed', message: 'No role.' } }));
      },
    );
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const cloud = clouds.find(({ name }) => name === 'china') as Cloud;
    arm = {
      cloud,
      endpoint: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
      credential: {
        getToken: async (scopes) => ({
          token: `for ${[scopes].flat().join()}`,
          expiresOnTimestamp: Date.now() + 1e6,
        }),
      },
    };
  });

  after(() => {
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    server.close();
  });

  it('lists everything from directories to storage accounts, with tokens for the selected cloud', async () => {
    assert.deepEqual(await tenants(arm, never), [
      { id: 'tenant-1', name: 'Contoso' },
      { id: 'tenant-2', name: 'tenant-2' },
    ]);
    const found = await subscriptions(arm, never);
    assert.deepEqual(
      found.map(({ id, name }) => [id, name]),
      [['sub-1', 'Media']],
    );
    const [batch] = await batchAccounts(arm, 'sub-1', never);
    assert.equal(batch?.url, 'https://media.chinanorth3.batch.chinacloudapi.cn');
    assert.equal(batch?.allowsKeys, false);
    const storages = await storageAccounts(arm, 'sub-1', batch?.location ?? '', never);
    assert.deepEqual(
      storages.map(({ name, blobUrl }) => [name, blobUrl]),
      [
        ['linked', 'https://linked.blob.core.chinacloudapi.cn'],
        ['far', 'https://far.blob.core.chinacloudapi.cn'],
      ],
    );
    assert.ok(seen.every((header) => header === 'Bearer for https://management.chinacloudapi.cn/.default'));
  });

  it('returns quotas, which can be too small for a single node', async () => {
    const account = { resourceId: `${group}/Microsoft.Batch/batchAccounts/media` } as AccountRecord;
    const quota = await quotaOf(arm, account, never);
    assert.ok(quota);
    const refusedFor = (choice: Partial<typeof pool>) => {
      try {
        refuseBeyond(quota, { ...pool, ...choice });
        return undefined;
      } catch (error) {
        return error instanceof UserError && error.problem.kind === 'quota' ? error.problem.what : 'other';
      }
    };
    assert.equal(refusedFor({}), 'spotCores');
    assert.equal(refusedFor({ spotNodes: 0, dedicatedNodes: 2 }), undefined);
    assert.equal(
      refusedFor({ spotNodes: 0, dedicatedNodes: 2, vmSize: 'Standard_D8s_v5' }),
      'dedicatedCores',
    );
    assert.equal(refusedFor({ dedicatedNodes: 1 }), undefined);
  });

  it('returns the sizes of the region, which take precedence over their names', async () => {
    const account = { resourceId: `${group}/Microsoft.Batch/batchAccounts/media` } as AccountRecord;
    const sizes = await supportedSizes(arm, account, never);
    assert.equal(quotaCores('Standard_Odd7', sizes), 6);
    assert.equal(familyOf('standard_odd7', sizes), 'standardOddFamily');
    assert.deepEqual(generationsOf('Standard_Odd7', sizes), ['V1']);
    assert.equal(quotaCores('Standard_DS3_v2', sizes), 4);
  });

  it('recognizes a storage account whose firewall shuts out nodes', async () => {
    const [open, closed, unknown] = await Promise.all(
      ['linked', 'far', 'nowhere'].map((storageName) =>
        isFirewalled(arm, { subscriptionId: 'sub-1', storageName } as AccountRecord, never),
      ),
    );
    assert.deepEqual([open, closed, unknown], [false, true, undefined]);
  });

  it('reports why it refused a request', async () => {
    await assert.rejects(
      batchAccounts(arm, 'sub-of-others', never),
      (error) =>
        error instanceof UserError &&
        error.problem.kind === 'service' &&
        error.problem.code === 'AuthorizationFailed',
    );
  });

  it('reports that it cannot be reached', async () => {
    const closed = { ...arm, endpoint: 'https://127.0.0.1:9' };
    await assert.rejects(tenants(closed, never), {
      problem: { kind: 'unreachable', host: '127.0.0.1:9', code: 'ECONNREFUSED' },
    });
  });

  it('is reported as unreachable when it does not answer in time, not counting the time of a sign-in', async () => {
    const relay = await Relay.before(arm.endpoint ?? '');
    relay.goSilent();
    let signIns = 0;
    const credential: Arm['credential'] = {
      async getToken() {
        await new Promise((resolve) => setTimeout(resolve, 300));
        signIns++;
        return { token: 'token', expiresOnTimestamp: Date.now() + 1e6 };
      },
    };
    const silent = { ...arm, credential, endpoint: relay.url.replace('http:', 'https:'), limitMs: 50 };
    await rejectsWith(tenants(silent, never), { kind: 'unreachable', code: 'ETIMEDOUT' });
    assert.ok(signIns > 0);
    await rejectsWith(tenants({ ...silent, limitMs: undefined }, AbortSignal.timeout(1_000)), {
      kind: 'unreachable',
      code: 'ETIMEDOUT',
    });
    const abort = new AbortController();
    const aborted = assert.rejects(tenants(silent, abort.signal), { name: 'AbortError' });
    abort.abort();
    await aborted;
    await relay.close();
  });

  it('reads cores and families from the names of sizes', () => {
    assert.deepEqual(
      [
        ...['Standard_D2s_v5', 'Standard_F16s_v2', 'standard_a1_v2', 'Standard_NC24ads_A100_v4', 'odd'],
        ...[
          'Standard_DS3_v2',
          'Standard_D14_v2',
          'Standard_D12',
          'Basic_A3',
          'Standard_GS4',
          'Standard_E8-4s_v5',
        ],
      ].map((size) => quotaCores(size)),
      [2, 16, 1, 24, undefined, 4, 16, 4, 4, 16, 8],
    );
    assert.deepEqual(
      ['Standard_D4_v3', 'Standard_DS3_v2', 'Standard_D2s_v5', 'Standard_D4s_v6'].map((size) =>
        generationsOf(size),
      ),
      [['V1'], ['V1'], ['V2', 'V1'], ['V2']],
    );
    assert.deepEqual(
      ['Standard_D4s_v5', 'Standard_F16s_v2', 'odd'].map((size) => familyOf(size)),
      ['standardDsv5Family', 'standardFsv2Family', undefined],
    );
  });
});

describe('Check Connection', function () {
  this.timeout(240_000);
  let service: TestService;

  before(async () => {
    service = await TestService.start('--trust-token', 'trusted');
  });

  after(() => service.close());

  async function check(
    change: (connection: TestService['connection']) => TestService['connection'],
    isFirewalled?: () => Promise<boolean>,
    subnetId?: string,
  ) {
    const connection = change(service.connection);
    const policy = { patienceMs: 500 };
    const results: CheckResult[] = [];
    for await (const result of checkConnection({
      connection,
      batch: new Batch(connection, policy),
      storage: new Storage(connection, policy),
      pool: { ...pool, subnetId },
      isFirewalled,
      signal: never,
    }))
      results.push(result);
    return new Map(results.map((result) => [result.step, result]));
  }

  const problemOf = (result: CheckResult | undefined) =>
    result?.status === 'failed' ? result.problem.kind : result?.status;

  it('completes every step of a working connection, and leaves nothing behind', async () => {
    const results = await check((connection) => connection);
    assert.deepEqual(
      [...results.values()].filter(({ status }) => status === 'failed'),
      [],
    );
    assert.equal(results.get('roundTrip')?.status, 'ok');
    assert.equal(results.get('quota')?.status, 'skipped');
    const storage = new Storage(service.connection);
    for await (const { name } of storage.containers('transcode-check', never)) assert.fail(name);
  });

  it('distinguishes a wrong Batch key from a wrong storage key, and skips the steps that depend on it', async () => {
    const other = Buffer.alloc(64, 1).toString('base64');
    const batch = await check((connection) => ({
      ...connection,
      batch: { kind: 'sharedKey', name: 'localbatch', key: other },
    }));
    assert.equal(problemOf(batch.get('batchRead')), 'unauthorized');
    assert.equal(problemOf(batch.get('image')), 'skipped');
    assert.equal(problemOf(batch.get('roundTrip')), 'ok');
    const storage = await check((connection) => ({
      ...connection,
      storage: { kind: 'sharedKey', name: 'localstorage', key: other },
    }));
    assert.equal(problemOf(storage.get('batchWrite')), 'ok');
    assert.equal(problemOf(storage.get('storageRead')), 'unauthorized');
  });

  it('distinguishes an unknown name from a service that does not run', async () => {
    const unknown = await check((connection) => ({
      ...connection,
      account: { ...connection.account, batchUrl: 'https://no-such-account.invalid' },
    }));
    assert.equal(problemOf(unknown.get('batchName')), 'unreachable');
    assert.equal(problemOf(unknown.get('batchRead')), 'skipped');
    const closed = await check((connection) => ({
      ...connection,
      account: { ...connection.account, batchUrl: 'http://127.0.0.1:9' },
    }));
    assert.equal(problemOf(closed.get('clock')), 'unreachable');
  });

  it('reports that nodes have no access to the storage account although this machine has', async () => {
    const results = await check(
      (connection) => connection,
      async () => true,
    );
    assert.equal(problemOf(results.get('roundTrip')), 'ok');
    assert.equal(problemOf(results.get('nodeView')), 'storageFirewall');
  });

  it('does not refuse a firewall that may let the subnet of the nodes in', async () => {
    const results = await check(
      (connection) => connection,
      async () => true,
      '/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/nodes',
    );
    assert.equal(problemOf(results.get('nodeView')), 'skipped');
  });

  describe('that is canceled', () => {
    /** All results until it ends with the signal's reason. */
    async function results(
      connection: TestService['connection'],
      signal: AbortSignal,
    ): Promise<CheckResult[]> {
      const found: CheckResult[] = [];
      const policy = { patienceMs: 500 };
      const parts = { batch: new Batch(connection, policy), storage: new Storage(connection, policy) };
      try {
        for await (const result of checkConnection({ connection, ...parts, pool, signal }))
          found.push(result);
      } catch (error) {
        assert.equal(error, signal.reason);
        return found;
      }
      return assert.fail('it was expected to end');
    }

    it('ends at once, and its connection too, while a service does not answer the handshake', async () => {
      const abort = new AbortController();
      let closed = 0;
      const silent = createSocketServer((socket) => {
        socket.on('error', () => undefined);
        socket.on('data', () => abort.abort());
        socket.once('close', () => closed++);
      });
      silent.listen(0, '127.0.0.1');
      await once(silent, 'listening');
      const { connection } = service;
      const batchUrl = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
      const account = { ...connection.account, batchUrl };
      const found = await results({ ...connection, account }, abort.signal);
      assert.deepEqual(
        found.map(({ step, status }) => [step, status]),
        [['batchName', 'ok']],
      );
      await eventually(
        async () => closed,
        (count) => count === 1,
      );
      silent.close();
    });

    it('is no failure of the step that it ends, and leaves no container', async () => {
      const batches = await faultyProxy(service.ready.batchUrl);
      const blobs = await faultyProxy(service.ready.blobUrl);
      const { connection } = service;
      const account = { ...connection.account, batchUrl: batches.url, blobUrl: blobs.url };
      let abort = new AbortController();
      batches.fault = async ({ method }) => {
        if (method === 'HEAD') abort.abort();
        return method === 'HEAD';
      };
      const first = await results({ ...connection, account }, abort.signal);
      assert.deepEqual(
        first.filter(({ status }) => status === 'failed'),
        [],
      );
      batches.fault = undefined;
      abort = new AbortController();
      blobs.fault = async ({ method, url = '' }) => {
        if (method === 'PUT' && url.includes('transcode-check')) abort.abort();
        return false;
      };
      await results({ ...connection, account }, abort.signal);
      assert.ok(blobs.requests.some((line) => line.startsWith('PUT') && line.includes('transcode-check')));
      for await (const { name } of new Storage(connection).containers('transcode-check', never))
        assert.fail(name);
      await batches.close();
      await blobs.close();
    });
  });

  it('works with a token as with a key', async () => {
    const credential = {
      getToken: async () => ({ token: 'trusted', expiresOnTimestamp: Date.now() + 3_600_000 }),
    };
    const results = await check((connection) => ({ ...connection, batch: { kind: 'token', credential } }));
    assert.equal(problemOf(results.get('batchWrite')), 'ok');
  });
});

describe('A run with tokens instead of keys', function () {
  this.timeout(240_000);
  const trusted = process.env.NODE_EXTRA_CA_CERTS;
  let service: TestService;
  let storage: TokenStorage;
  let root: Awaited<ReturnType<typeof temporaryFolder>>;

  before(async () => {
    root = await temporaryFolder('tokens');
    // For the processes that start from now on: the service, and the one that works on the run.
    process.env.NODE_EXTRA_CA_CERTS = certificate;
    service = await TestService.start('--trust-token', 'trusted');
    const key = Buffer.alloc(64, 1).toString('base64');
    storage = await startTokenStorage(join(root.path, 'blobs'), 'devstoreaccount1', key);
  });

  after(async () => {
    if (trusted === undefined) delete process.env.NODE_EXTRA_CA_CERTS;
    else process.env.NODE_EXTRA_CA_CERTS = trusted;
    await storage?.close();
    await service?.close();
    await root?.remove();
  });

  it('uses user delegation SAS for its tasks, and ends with its outputs', async () => {
    const folder = join(root.path, 'in');
    mkdirSync(folder);
    const path = await clip(join(folder, 'clip.mp4'));
    const { account } = service.connection;
    const connection = {
      ...service.connection,
      account: {
        ...account,
        signIn: 'identity' as const,
        storageName: 'devstoreaccount1',
        blobUrl: `https://127.0.0.1:${storage.port}/devstoreaccount1`,
      },
    };
    const manifest = await manifestOf([path]);
    const said = await startRunProcess({
      connection,
      tokens: { batch: 'trusted', storage: storageToken() },
      manifest,
      claimFolder: join(root.path, 'claims'),
    }).said;
    assert.equal(said.succeeded, 1, JSON.stringify(said));
    assert.deepEqual(namesIn(folder), ['clip.mp3', 'clip.mp4']);
    const [task] = (await new Batch(service.connection).taskPage(manifest.attempts[0]?.jobId ?? '')).items;
    const { searchParams } = new URL(task?.resourceFiles?.[0]?.httpUrl ?? 'https://none');
    assert.ok(searchParams.has('skoid'));
    // A service whose clock is behind this machine's by what it tolerates accepts the key, too.
    const begunMs = Date.now() - Date.parse(searchParams.get('skt') ?? '');
    assert.ok(begunMs >= 15 * 60_000, `${begunMs}`);
  });

  /** A token with the claims that Azurite requires. It does not verify the signature. */
  function storageToken(): string {
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      aud: 'https://storage.azure.com',
      iss: 'https://sts.windows.net/00000000-0000-0000-0000-000000000001/',
      nbf: now - 60,
      iat: now - 60,
      exp: now + 3600,
      oid: '00000000-0000-0000-0000-000000000002',
      tid: '00000000-0000-0000-0000-000000000001',
    };
    return `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}.${part('signature')}`;
  }
});

describe('Secrets', function () {
  this.timeout(240_000);

  it('are in nothing that a run writes or reports, whatever fails', async () => {
    const service = await TestService.start();
    const root = await temporaryFolder('secrets');
    const { parts, events } = partsOf(service);
    const bad = join(root.path, 'bad.mp4');
    writeFileSync(bad, Buffer.alloc(5000, 7));
    const run = await Run.create(parts, await manifestOf([await clip(join(root.path, 'a.mp4')), bad]), never);
    await run.advance('fetched', never);
    await run.close();
    const wrong = { ...service.connection, storage: service.connection.batch };
    const failures = await Promise.all(
      [
        new Storage(wrong, { patienceMs: 0 }).check(never),
        new Batch(service.connection, { patienceMs: 0 }).addJob({ id: 'no blanks', poolInfo: {} }),
        parts.storage.deleteContainer('no_such', never),
      ].map((call) => call.then(String, (error) => `${error} ${error.stack} ${JSON.stringify(error)}`)),
    );
    const manifest = await parts.storage.readText(run.manifest.outputContainer, 'manifest.json', never);
    const results = await parts.storage.readText(run.manifest.outputContainer, 'results.jsonl', never);
    const log = readFileSync(join(service.dataDir, 'service.log'), 'utf8');
    const told = [JSON.stringify(events), ...failures, manifest?.text ?? '', results?.text ?? '', log];
    const { batchKey, storageKey } = service.credentials;
    for (const text of told) {
      assert.ok(!text.includes(batchKey) && !text.includes(storageKey), text.slice(0, 200));
      assert.doesNotMatch(text, /sig=(?!\*\*\*)/);
    }
    const blobs = join(service.dataDir, 'blobs');
    for (const name of readdirSync(service.dataDir, { recursive: true }).map(String)) {
      const path = join(service.dataDir, name);
      if (!statSync(path).isFile()) continue;
      const bytes = readFileSync(path);
      assert.ok(!bytes.includes(batchKey) && !bytes.includes(storageKey), name);
      // Only the specification of a task, which Batch stores, contains its SAS.
      if (!path.startsWith(blobs) && !/state\.jsonl/.test(name)) assert.ok(!bytes.includes('sig='), name);
    }
    await service.close();
    await root.remove();
  });
});
