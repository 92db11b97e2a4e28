import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { BatchServiceMappers } from '@azure/batch';
import type { CompositeMapper, EnumMapper, Mapper, SequenceMapper } from '@azure/ms-rest-js';
import fc from 'fast-check';
import { chanceOf } from '../chance';
import { machine, prepare, TestService } from './harness';

/** Sends bytes to a server and returns its answer, which may be empty. */
function send(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.end(text, 'latin1'));
    let reply = '';
    socket.setTimeout(60_000, () => socket.destroy());
    socket.on('data', (chunk) => {
      reply += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(reply));
  });
}

const statusOf = (reply: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(reply)?.[1] ?? 0);

/** Parts of paths: meaningful ones and random ones. */
const segment = fc.oneof(
  fc.constantFrom(
    'pools',
    'jobs',
    'tasks',
    'nodes',
    'files',
    'job',
    'pool',
    'task',
    '..',
    '%2e%2e%2f',
    '%00',
    '%',
  ),
  fc.string({ maxLength: 20 }),
);
const path = fc.array(segment, { maxLength: 8 }).map((parts) => `/${parts.join('/')}`);
const query = fc
  .array(
    fc.tuple(
      fc.constantFrom('api-version', '$filter', '$select', '$skiptoken', 'maxresults', 'timeout', '=', ''),
      fc.oneof(fc.constantFrom('2025-06-01', "id eq 'a'", '-1', '%'), fc.string({ maxLength: 30 })),
    ),
    { maxLength: 4 },
  )
  .map((pairs) => pairs.map(([name, value]) => `${name}=${value}`).join('&'));
const method = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS');
const authorization = fc.oneof(
  fc.constantFrom('SharedKey localbatch:AAAA', 'SharedKey :', 'Bearer ', 'Basic x', 'SharedKey a:b=='),
  fc.string({ maxLength: 60 }).map((text) => `SharedKey ${text}`),
  fc.string({ maxLength: 60 }),
);
const json = fc.oneof(fc.json(), fc.constantFrom('{', '[]', 'null', '{"id":1e999}'), fc.string());

describe('Random requests to the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;

  prepare(
    async () => {
      service = await TestService.start();
    },
    () => service.close(),
  );

  it('are refused when they are not signed', async () => {
    const port = Number(new URL(service.ready.batchUrl).port);
    const printable = (text: string) => text.replace(/[^\x21-\x7e]/g, '_');
    await fc.assert(
      fc.asyncProperty(
        method,
        path,
        query,
        authorization,
        json,
        async (verb, where, search, header, body) => {
          const bytes = Buffer.byteLength(body);
          const reply = await send(
            port,
            `${verb} ${printable(`${where}?${search}`)} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n` +
              `Authorization: ${header.replace(/[^\x20-\x7e]/g, '_')}\r\nOcp-Date: ${new Date().toUTCString()}\r\n` +
              `Content-Length: ${bytes}\r\nConnection: close\r\n\r\n${Buffer.from(body).toString('latin1')}`,
          );
          const status = statusOf(reply);
          assert.ok(status === 400 || status === 403, `${status}: ${reply.slice(0, 200)}`);
        },
      ),
      chanceOf(400),
    );
  });

  it('are refused when they are not HTTP', async () => {
    const port = Number(new URL(service.ready.batchUrl).port);
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 400 });
    await fc.assert(
      fc.asyncProperty(bytes, async (noise) => {
        const status = statusOf(await send(port, Buffer.from(noise).toString('latin1')));
        assert.ok(status === 0 || status === 400 || status === 403, String(status));
      }),
      chanceOf(150),
    );
    assert.equal((await service.request('GET', '/pools?api-version=2025-06-01')).status, 200);
  });

  it('are refused before their body is read when they are not signed', async () => {
    const port = Number(new URL(service.ready.batchUrl).port);
    const reply = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.write(`POST /jobs HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Length: 1000000\r\n\r\n{`);
      });
      socket.once('error', reject);
      socket.once('data', (chunk) => {
        socket.destroy();
        resolve(chunk.toString('latin1'));
      });
    });
    assert.equal(statusOf(reply), 403);
  });

  it('are not reported when their client closes the connection before their end', async () => {
    const port = Number(new URL(service.ready.batchUrl).port);
    const { batchName, batchKey } = service.credentials;
    const date = new Date().toUTCString();
    const signed = `POST\n\n\n100${'\n'.repeat(9)}ocp-date:${date}\n/${batchName}/jobs\napi-version:2025-06-01`;
    const signature = createHmac('sha256', Buffer.from(batchKey, 'base64')).update(signed).digest('base64');
    const head = [
      'POST /jobs?api-version=2025-06-01 HTTP/1.1',
      `Host: 127.0.0.1:${port}`,
      'Content-Length: 100',
      `ocp-date: ${date}`,
      `Authorization: SharedKey ${batchName}:${signature}`,
    ].join('\r\n');
    for (let time = 0; time < 5; time++) {
      await new Promise<void>((resolve) => {
        const socket = connect(port, '127.0.0.1', () => {
          socket.write(`${head}\r\n\r\n{"id":`, () => socket.destroy());
        });
        socket.on('close', () => resolve());
      });
    }
    assert.equal((await service.request('GET', '/pools?api-version=2025-06-01')).status, 200);
    const log = await readFile(join(service.dataDir, 'service.log'), 'utf8');
    assert.doesNotMatch(log, /Unexpected/);
  });

  it('are refused when they name another host', async () => {
    const port = Number(new URL(service.ready.batchUrl).port);
    for (const host of ['evil.example', `evil.example:${port}`, 'localhost.evil.example:1', '']) {
      const reply = await send(port, `GET /pools HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      assert.ok([400, 403].includes(statusOf(reply)), `${host}: ${reply.slice(0, 80)}`);
    }
  });

  it('are never answered with an internal error when they are signed', async () => {
    await fc.assert(
      fc.asyncProperty(method, path, query, fc.json(), async (verb, where, search, body) => {
        // The URL as fetch writes it, since that is signed.
        const url = new URL(service.ready.batchUrl);
        url.pathname = where;
        url.search = search;
        if (verb === 'OPTIONS' || /^\/_faults/.test(url.pathname)) return;
        const hasBody = verb === 'POST' || verb === 'PUT' || verb === 'PATCH';
        const reply = await service
          .request(verb, url.pathname + url.search, hasBody ? JSON.parse(body) : undefined)
          .catch(() => undefined);
        assert.ok(reply === undefined || reply.status < 500, `${verb} ${url.href}: ${reply?.status}`);
        await reply?.text();
      }),
      chanceOf(400),
    );
    assert.equal((await service.request('GET', '/pools?api-version=2025-06-01')).status, 200);
  });

  it('with random bodies are answered, and leave everything listable', async () => {
    const client = service.client();
    await client.job.add({ id: 'job', poolInfo: { poolId: 'none' } });
    await client.pool.add({ id: 'pool', ...machine });
    await client.jobSchedule.add({
      id: 'schedule',
      schedule: { doNotRunUntil: new Date('2100-01-01') },
      jobSpecification: { poolInfo: { poolId: 'none' } },
    });
    const routes = fc.constantFrom(...Object.entries(bodies));
    const orders = routes.chain(([route, model]) => bodyOf(model, 4).map((body) => [route, body] as const));
    await fc.assert(
      fc.asyncProperty(orders, async ([route, body]) => {
        const [verb = '', where] = route.split(' ');
        const reply = await service.request(verb, `${where}?api-version=2022-10-01.16.0`, body);
        const text = await reply.text();
        assert.ok(reply.status < 500 || reply.status === 503, `${route} ${JSON.stringify(body)}: ${text}`);
      }),
      chanceOf(400),
    );
    for (const list of [
      '/pools',
      '/jobs',
      '/jobschedules',
      '/jobs/job/tasks',
      '/nodecounts',
      '/pools/pool/nodes',
    ])
      assert.equal((await service.request('GET', `${list}?api-version=2025-06-01`)).status, 200, list);
    await service.kill();
    await service.start();
    assert.equal((await service.request('GET', '/jobs/job?api-version=2025-06-01')).status, 200);
  });
});

/** The requests that have bodies, with the model of each. */
const bodies: Record<string, string> = {
  'POST /pools': 'PoolAddParameter',
  'PATCH /pools/pool': 'PoolPatchParameter',
  'POST /pools/pool/updateproperties': 'PoolUpdatePropertiesParameter',
  'POST /pools/pool/enableautoscale': 'PoolEnableAutoScaleParameter',
  'POST /pools/pool/evaluateautoscale': 'PoolEvaluateAutoScaleParameter',
  'POST /pools/pool/removenodes': 'NodeRemoveParameter',
  'POST /jobs': 'JobAddParameter',
  'PATCH /jobs/job': 'JobPatchParameter',
  'PUT /jobs/job': 'JobUpdateParameter',
  'POST /jobs/job/disable': 'JobDisableParameter',
  'POST /jobs/job/tasks': 'TaskAddParameter',
  'POST /jobs/job/addtaskcollection': 'TaskAddCollectionParameter',
  'PUT /jobs/job/tasks/task': 'TaskUpdateParameter',
  'POST /jobschedules': 'JobScheduleAddParameter',
  'PATCH /jobschedules/schedule': 'JobSchedulePatchParameter',
  'PUT /jobschedules/schedule': 'JobScheduleUpdateParameter',
};

const texts = fc.constantFrom(
  ...[
    'a',
    'pool',
    'job',
    'task',
    '',
    '..',
    '../../x',
    'PT5M',
    '-P1D',
    'P99999999999D',
    '2020-01-01T00:00:00Z',
  ],
  ...[
    '$TargetDedicatedNodes=1',
    '$x=((((',
    'http://127.0.0.1:1/x',
    '\u0000',
    '__proto__',
    'canonical',
    '0644',
    'é',
  ],
);

/** Generates values of a member: mostly of its type, sometimes of any. */
function valueFor(mapper: Mapper, depth: number): fc.Arbitrary<unknown> {
  const { type } = mapper;
  const typed = (): fc.Arbitrary<unknown> => {
    switch (type.name) {
      case 'Composite':
        return bodyOf((mapper as CompositeMapper).type.className ?? '', depth - 1);
      case 'Sequence':
        return fc.array(valueFor((mapper as SequenceMapper).type.element, depth - 1), { maxLength: 2 });
      case 'Enum':
        return fc.constantFrom(...((mapper as EnumMapper).type.allowedValues as string[]), 'NEVER');
      case 'Number':
        return fc.constantFrom(0, 1, 2, -1, 1.5, 2 ** 40);
      case 'Boolean':
        return fc.boolean();
      default:
        return texts;
    }
  };
  if (depth <= 0) return fc.constant({});
  return fc.oneof({ weight: 9, arbitrary: typed() }, { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) });
}

/** Generates bodies with the required members of a model and some of the others. */
function bodyOf(model: string, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const mappers = BatchServiceMappers as unknown as Record<string, CompositeMapper>;
  const members = Object.values(mappers[model]?.type.modelProperties ?? {});
  const shape = Object.fromEntries(
    members.map((member) => [member.serializedName ?? '', valueFor(member, depth)]),
  );
  const required = members.filter((member) => member.required).map((member) => member.serializedName ?? '');
  return fc.record(shape, { requiredKeys: required });
}
