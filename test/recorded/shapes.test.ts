import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, machine, TestService } from '../service/harness';

/** One reply, of Azure or of the local service. */
interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly headers: readonly string[];
  /** Paths of all properties: `value[].executionInfo.startTime`. */
  readonly properties: readonly string[];
}

interface Recording {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly status: number;
  readonly resHeaders: Record<string, string>;
  readonly resBody: string;
}

const file = process.env.BATCH_RECORDINGS ?? '../shared/contract/batch-exchanges.jsonl';

/** Headers of the connection or of Azure's gateway, not of the operation. */
const transport = new Set([
  ...['date', 'server', 'connection', 'transfer-encoding', 'strict-transport-security', 'keep-alive'],
  ...['content-length', 'client-request-id', 'vary', 'content-encoding', 'pragma', 'cache-control'],
]);

/** `/pools/x/nodes/y` → `/pools/{}/nodes/{}` */
function operation(path: string): string {
  return path
    .replace(/\/files\/.+/, '/files/{}')
    .replace(
      /\/(pools|jobs|tasks|nodes|jobschedules|users|applications)\/[^/]+/g,
      (_, kind) => `/${kind}/{}`,
    );
}

function propertiesOf(value: unknown, prefix = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => propertiesOf(item, `${prefix}[]`));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const path = prefix ? `${prefix}.${name}` : name;
    return [path, ...propertiesOf(inner, path)];
  });
}

function exchange(
  method: string,
  path: string,
  status: number,
  headers: Iterable<string>,
  body: string,
): Exchange {
  const isJson = body.trimStart().startsWith('{');
  return {
    method,
    path: operation(path),
    status,
    headers: [...headers].map((name) => name.toLowerCase()).filter((name) => !transport.has(name)),
    properties: isJson && !path.includes('/files/') ? [...new Set(propertiesOf(JSON.parse(body)))] : [],
  };
}

const key = ({ method, path, status }: Exchange) => `${method} ${path} ${status}`;

describe('Replies of the local Batch service, compared with recorded ones of Azure', function () {
  this.timeout(60_000);
  const recorded = new Map<string, Exchange[]>();
  const replies: Exchange[] = [];
  let service: TestService;

  before(async function () {
    if (!existsSync(file)) this.skip();
    for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
      const { method, path, query, status, resHeaders, resBody } = JSON.parse(line) as Recording;
      // Versions older than the service supports have other members; `$select` leaves some out.
      if (!/api-version=20(19|2\d)/.test(query) || /select/i.test(query)) continue;
      const one = exchange(method, path, status, Object.keys(resHeaders), resBody);
      recorded.set(key(one), [...(recorded.get(key(one)) ?? []), one]);
    }
    service = await TestService.start();
    await drive();
  });

  after(() => service?.close());

  async function call(method: string, path: string, body?: unknown): Promise<unknown> {
    const [bare = '', query = ''] = path.split('?');
    const reply = await service.request(
      method,
      `${bare}?api-version=2022-10-01.16.0${query && `&${query}`}`,
      body,
    );
    const text = await reply.text();
    replies.push(exchange(method, bare, reply.status, reply.headers.keys(), text));
    return text.startsWith('{') ? JSON.parse(text) : undefined;
  }

  /** Calls every operation, on a pool with a job that has run. */
  async function drive(): Promise<void> {
    const startTask = { commandLine: '/bin/true', waitForSuccess: true };
    await call('POST', '/pools', { id: 'pool', ...machine, targetDedicatedNodes: 2, startTask });
    await call('POST', '/pools', { id: 'pool', ...machine });
    await call('POST', '/pools', { id: 'bad id', ...machine });
    await call('GET', '/pools/none');
    const client = service.client();
    await eventually(
      () => client.computeNode.list('pool'),
      (nodes) => nodes.length === 2 && nodes.every(({ state }) => state === 'idle'),
    );
    await call('POST', '/jobs', { id: 'job', poolInfo: { poolId: 'pool' } });
    await call('POST', '/jobs/job/tasks', { id: 'first', commandLine: '/bin/echo hello' });
    await call('POST', '/jobs/job/addtaskcollection', {
      value: [
        { id: 'second', commandLine: '/bin/false' },
        { id: 'third', commandLine: '/bin/sleep 60' },
      ],
    });
    for (const id of ['first', 'second']) {
      await eventually(
        () => client.task.get('job', id),
        ({ state }) => state === 'completed',
      );
    }
    for (const path of [
      '/pools',
      '/pools/pool',
      '/pools/pool/nodes',
      '/jobs',
      '/jobs/job',
      '/jobs/job/tasks',
    ])
      await call('GET', path);
    for (const path of ['/nodecounts', '/supportedimages', '/jobs/job/taskcounts', '/jobs/job/tasks/none'])
      await call('GET', path);
    await call('GET', '/jobs/job/jobpreparationandreleasetaskstatus');
    await call('HEAD', '/pools/pool');
    const task = '/jobs/job/tasks/first';
    for (const path of ['', '/files', '/files/stdout.txt', '/subtasksinfo']) await call('GET', task + path);
    await call('HEAD', `${task}/files/stdout.txt`);
    await call('HEAD', `${task}/files/none.txt`);
    await call('DELETE', `${task}/files/stderr.txt`);
    await call('POST', '/jobs/job/tasks/third/terminate');
    await call('PUT', '/jobs/job/tasks/third', { constraints: { maxTaskRetryCount: 1 } });
    await call('POST', '/jobs/job/tasks/second/reactivate');
    await call('DELETE', task);
    const { nodeInfo } = await client.task.get('job', 'second');
    const node = `/pools/pool/nodes/${nodeInfo?.nodeId ?? (await client.computeNode.list('pool'))[0]?.id}`;
    for (const path of ['', '/files', '/files/startup%2Fstdout.txt']) await call('GET', node + path);
    await call('HEAD', `${node}/files/startup%2Fstdout.txt`);
    await call('POST', `${node}/disablescheduling`, { nodeDisableSchedulingOption: 'requeue' });
    await call('POST', `${node}/enablescheduling`);
    await call('POST', `${node}/reboot`);
    await call('POST', `${node}/users`, { name: 'someone', password: 'hunter2' });
    await call('PUT', `${node}/users/someone`, { password: 'hunter3' });
    await call('DELETE', `${node}/users/someone`);
    await call('DELETE', `${node}/users/someone`);
    await call('POST', `${node}/uploadbatchservicelogs`, {
      containerUrl: `${service.ready.blobUrl}/none`,
      startTime: new Date().toISOString(),
    });
    await driveSchedules();
    await call('PATCH', '/jobs/job', { priority: 1 });
    await call('PUT', '/jobs/job', { poolInfo: { poolId: 'pool' } });
    await call('POST', '/jobs/job/disable', { disableTasks: 'requeue' });
    await eventually(
      () => client.job.get('job'),
      ({ state }) => state === 'disabled',
    );
    await call('POST', '/jobs/job/enable');
    await call('POST', '/jobs/job/terminate');
    await call('DELETE', '/jobs/job');
    await call('PATCH', '/pools/pool', { metadata: [] });
    await call('POST', '/pools/pool/updateproperties', {
      certificateReferences: [],
      applicationPackageReferences: [],
      metadata: [],
    });
    await call('POST', '/pools/pool/resize', { targetDedicatedNodes: 3 });
    await call('POST', '/pools/pool/stopresize');
    await eventually(
      () => client.pool.get('pool'),
      ({ allocationState }) => allocationState === 'steady',
    );
    await call('POST', '/pools/pool/enableautoscale', { autoScaleFormula: '$TargetDedicatedNodes=2' });
    await call('POST', '/pools/pool/evaluateautoscale', { autoScaleFormula: '$TargetDedicatedNodes=x' });
    await call('POST', '/pools/pool/evaluateautoscale', { autoScaleFormula: '$TargetDedicatedNodes=2' });
    await call('POST', '/pools/pool/disableautoscale');
    const [last] = await eventually(
      () => client.computeNode.list('pool'),
      (nodes) => nodes.some(({ state }) => state === 'idle'),
    );
    await eventually(
      () => client.pool.get('pool'),
      ({ allocationState }) => allocationState === 'steady',
    );
    await call('POST', '/pools/pool/removenodes', { nodeList: [last?.id] });
    await call('DELETE', '/pools/pool');
    await call('GET', '/pools?$filter=foo%20eq%20%27x%27');
  }

  async function driveSchedules(): Promise<void> {
    const jobSpecification = { poolInfo: { poolId: 'pool' } };
    const schedule = { recurrenceInterval: 'P1D', startWindow: 'PT1H' };
    await call('POST', '/jobschedules', { id: 'daily', schedule, jobSpecification });
    await call('GET', '/jobschedules/daily');
    await call('GET', '/jobschedules');
    await call('HEAD', '/jobschedules/daily');
    await call('GET', '/jobschedules/daily/jobs');
    await call('POST', '/jobschedules/daily/disable');
    await call('POST', '/jobschedules/daily/enable');
    await call('PATCH', '/jobschedules/daily', { schedule });
    await call('PUT', '/jobschedules/daily', { schedule, jobSpecification });
    await call('POST', '/jobschedules/daily/terminate');
    await call('DELETE', '/jobschedules/daily');
    await call('GET', '/jobschedules/none');
    mkdirSync(join(service.dataDir, 'packages/app'), { recursive: true });
    writeFileSync(join(service.dataDir, 'packages/app/1.zip'), '');
    await call('GET', '/applications');
    await call('GET', '/applications/app');
    await call('GET', '/poolusagemetrics');
  }

  it('have recorded statuses', () => {
    const statuses = new Map<string, Set<number>>();
    for (const { method, path, status } of [...recorded.values()].flat())
      statuses.set(`${method} ${path}`, (statuses.get(`${method} ${path}`) ?? new Set()).add(status));
    const strange = replies.filter(({ method, path, status }) => {
      const seen = statuses.get(`${method} ${path}`);
      return status < 400 && seen !== undefined && !seen.has(status);
    });
    assert.deepEqual(strange.map(key), []);
    const compared = new Set(replies.map(key).filter((one) => recorded.has(one)));
    assert.ok(compared.size >= 45, `only ${compared.size} operations were compared`);
  });

  it('have the headers that all recorded ones have, and only recorded ones', () => {
    const problems = replies.flatMap((one) => {
      const theirs = recorded.get(key(one)) ?? [];
      if (theirs.length === 0) return [];
      const union = new Set(theirs.flatMap(({ headers }) => headers));
      const common = [...union].filter((name) => theirs.every(({ headers }) => headers.includes(name)));
      return [
        ...common.filter((name) => !one.headers.includes(name)).map((name) => `${key(one)} lacks ${name}`),
        ...one.headers.filter((name) => !union.has(name)).map((name) => `${key(one)} has ${name}`),
      ];
    });
    assert.deepEqual([...new Set(problems)], []);
  });

  it('have the properties that all recorded ones have', () => {
    const problems = replies.flatMap((one) => {
      const theirs = (recorded.get(key(one)) ?? []).filter(({ properties }) => properties.length > 0);
      if (theirs.length === 0) return [];
      const [first, ...rest] = theirs.map(({ properties }) => new Set(properties));
      const common = [...(first ?? [])].filter((name) => rest.every((properties) => properties.has(name)));
      return common
        .filter((name) => !one.properties.includes(name))
        .map((name) => `${key(one)} lacks ${name}`);
    });
    assert.deepEqual([...new Set(problems)], []);
  });

  it('have only recorded properties', () => {
    const everywhere = new Set(
      [...recorded.values()]
        .flat()
        .flatMap(({ properties }) => properties.map((path) => path.split('.').at(-1))),
    );
    const problems = replies.flatMap((one) =>
      one.properties
        .filter((path) => !everywhere.has(path.split('.').at(-1)))
        .map((path) => `${key(one)} has ${path}`),
    );
    assert.deepEqual([...new Set(problems)], []);
  });
});
