import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { BatchServiceClient } from '@azure/batch';
import { eventually, listAll, machine, prepare, type RefusedWith, refused, TestService } from './harness';

const version = '2025-06-01';

describe('Requests to the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;
  let client: BatchServiceClient;

  prepare(
    async () => {
      service = await TestService.start();
      client = service.client(version);
    },
    () => service.close(),
  );

  /** Sends a signed request. Returns the status, and the code and details of an error. */
  async function ask(method: string, path: string, body?: unknown) {
    const [bare = '', query = ''] = path.split('?');
    const reply = await service.request(
      method,
      `${bare}?api-version=${version}${query ? `&${query}` : ''}`,
      body,
    );
    const text = await reply.text();
    const { code, values } = (text.startsWith('{') ? JSON.parse(text) : {}) as RefusedWith;
    return { status: reply.status, code, text, values: values?.map(({ key, value }) => `${key}=${value}`) };
  }

  it('that are nested too deeply are refused, and leave nothing behind', async () => {
    const levels = 60_000;
    const deep = `{"id":"deep","metadata":${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}}`;
    const reply = await raw('POST', '/pools', deep);
    assert.deepEqual([reply.status, reply.code], [400, 'InvalidRequestBody']);
    for (const filter of [
      `${'('.repeat(2500)}id eq 'a'${')'.repeat(2500)}`,
      `${'not '.repeat(2500)}id eq 'a'`,
    ]) {
      const filtered = await ask('GET', `/pools?%24filter=${encodeURIComponent(filter)}`);
      assert.deepEqual([filtered.status, filtered.code], [400, 'InvalidQueryParameterValue']);
    }
    const long = Array.from({ length: 400 }, (_, index) => `id eq 'p${index}'`).join(' or ');
    assert.equal((await ask('GET', `/pools?%24filter=${encodeURIComponent(long)}`)).status, 200);
    const formula = `$TargetDedicatedNodes = ${'('.repeat(3500)}1${')'.repeat(3500)};`;
    const scaled = await ask('POST', '/pools', {
      id: 'deep',
      ...machine,
      enableAutoScale: true,
      autoScaleFormula: formula,
    });
    assert.deepEqual([scaled.status, scaled.code], [400, 'AutoScalingFormulaSyntaxError']);
    assert.deepEqual([...(await client.pool.list())], []);
  });

  /** Sends a signed request whose path and body are kept byte for byte. */
  async function raw(
    method: string,
    path: string,
    body: string | Buffer = '',
    {
      encoding = '',
      signedLength,
      targetBase = '',
      host,
    }: { encoding?: string; signedLength?: string; targetBase?: string; host?: string } = {},
  ) {
    const { batchName, batchKey } = service.credentials;
    const date = new Date().toUTCString();
    const [size, type] = body.length > 0 ? [String(Buffer.byteLength(body)), 'application/json'] : ['', ''];
    const lines = [method, encoding, '', signedLength ?? size, '', type, '', '', '', '', '', ''];
    const text = `${lines.join('\n')}\nocp-date:${date}\n/${batchName}${path}\napi-version:${version}`;
    const signature = createHmac('sha256', Buffer.from(batchKey, 'base64')).update(text).digest('base64');
    const { hostname, port } = new URL(service.ready.batchUrl);
    const headers = {
      'ocp-date': date,
      authorization: `SharedKey ${batchName}:${signature}`,
      ...(encoding && { 'content-encoding': encoding }),
      ...(host && { host }),
    };
    const reply = await new Promise<IncomingMessage>((resolve, reject) => {
      const options = { hostname, port, method, path: `${targetBase}${path}?api-version=${version}` };
      request({
        ...options,
        headers: { ...headers, ...(size ? { 'content-type': type, 'content-length': size } : {}) },
      })
        .once('response', resolve)
        .once('error', reject)
        .end(body);
    });
    let read = '';
    for await (const chunk of reply) read += chunk;
    const { code } = (read === '' ? {} : JSON.parse(read)) as RefusedWith;
    return { status: reply.statusCode, code };
  }

  it('with objects in place of strings, or strings that are not valid Unicode, are refused, and affect no other task', async () => {
    const task = (id: string, uploadCondition: unknown) => ({
      id,
      commandLine: '/bin/true',
      outputFiles: [
        {
          filePattern: 'o',
          destination: { container: { containerUrl: 'http://127.0.0.1:9/a/c' } },
          uploadOptions: { uploadCondition },
        },
      ],
    });
    await client.job.add({ id: 'words', poolInfo: { poolId: 'none' } });
    for (const word of [{ toString: 1 }, ['tasksuccess'], 1]) {
      const value = [task('before', 'tasksuccess'), task('wrong', word), task('after', 'tasksuccess')];
      const { status, text } = await ask('POST', '/jobs/words/addtaskcollection', { value });
      assert.equal(status, 200, text);
      const results = JSON.parse(text).value as { status: string; error?: { code: string } }[];
      assert.deepEqual(results[1]?.error?.code, 'InvalidPropertyValue');
    }
    const { text } = await ask('GET', '/jobs/words/taskcounts');
    assert.equal(JSON.parse(text).taskCounts.active, 2);
    await client.pool.add({ id: 'words', ...machine, targetDedicatedNodes: 1 });
    const [node] = await eventually(
      () => client.computeNode.list('words'),
      (nodes) => nodes[0]?.state === 'idle',
    );
    const path = `/pools/words/nodes/${node?.id}`;
    const deallocated = await ask('POST', `${path}/deallocate`, { nodeDeallocateOption: { toString: 1 } });
    assert.deepEqual([deallocated.status, deallocated.code], [400, 'InvalidPropertyValue']);
    const user = await ask('POST', `${path}/users`, { name: 'a\ud800' });
    assert.deepEqual([user.status, user.code], [400, 'InvalidPropertyValue']);
    await client.job.deleteMethod('words');
    await client.pool.deleteMethod('words');
  });

  it('with ids that are paths are refused, and touch no folder', async () => {
    const autoPoolSpecification = {
      autoPoolIdPrefix: '../../../x',
      poolLifetimeOption: 'job',
      pool: { ...machine, targetDedicatedNodes: 1 },
    };
    const job = await ask('POST', '/jobs', { id: 'climbs', poolInfo: { autoPoolSpecification } });
    assert.deepEqual([job.status, job.values?.[0]], [400, 'PropertyName=autoPoolIdPrefix']);
    assert.equal((await ask('GET', '/jobs/climbs')).code, 'JobNotFound');
    await mkdir(join(service.dataDir, 'nodes'), { recursive: true });
    for (const path of ['/pools/%2e%2e', '/pools/..%2f..', '/jobs/%2e%2e', '/jobs/j/tasks/%2e%2e'])
      assert.equal((await raw('DELETE', path)).status, 404, path);
    assert.ok(existsSync(service.dataDir));
    const beside = await readdir(join(service.dataDir, '..'));
    assert.ok(!beside.some((name) => name.startsWith('x_')));
  });

  it('for an invalid pool are refused before it is created', async () => {
    const vm = machine.virtualMachineConfiguration;
    const scaled = { enableAutoScale: true, autoScaleFormula: '$TargetDedicatedNodes = x' };
    for (const [more, code, detail] of [
      [{ ...scaled }, 'AutoScalingFormulaSyntaxError', 'Message=Line 1, Col 25: Undefined symbol: x'],
      [{ targetDedicatedNodes: -1 }, 'InvalidPropertyValue', 'PropertyName=targetDedicatedNodes'],
      [
        { virtualMachineConfiguration: { ...vm, imageReference: { publisher: 'a', offer: 'b', sku: 'c' } } },
        'InvalidPropertyValue',
        'PropertyName=imageReference',
      ],
      [
        { virtualMachineConfiguration: { ...vm, nodeAgentSKUId: 'batch.node.windows amd64' } },
        'InvalidPropertyValue',
        'PropertyName=nodeAgentSKUId',
      ],
      [{ vmSize: undefined }, 'MissingRequiredProperty', 'PropertyName=vmSize'],
      [
        { startTask: { commandLine: 'x', resourceFiles: [{ filePath: 'x' }] } },
        'InvalidPropertyValue',
        'PropertyName=resourceFiles',
      ],
      [
        { startTask: { commandLine: 'x', userIdentity: { username: 'nobody' } } },
        'InvalidPropertyValue',
        'PropertyName=username',
      ],
    ] as const) {
      const told = await ask('POST', '/pools', { id: 'never', ...machine, ...more });
      assert.deepEqual([told.status, told.code, told.values?.[0]], [400, code, detail]);
      const autoPoolSpecification = { poolLifetimeOption: 'job', pool: { ...machine, ...more } };
      const job = await ask('POST', '/jobs', { id: 'never', poolInfo: { autoPoolSpecification } });
      assert.deepEqual([job.status, job.code, job.values?.[0]], [400, code, detail]);
    }
    assert.deepEqual([...(await client.pool.list())], []);
    assert.deepEqual([...(await client.job.list())], []);
  });

  it('with an invalid formula are refused, and leave the pool unchanged', async () => {
    await client.pool.add({ id: 'kept', ...machine });
    await eventually(
      () => client.pool.get('kept'),
      ({ allocationState }) => allocationState === 'steady',
    );
    await assert.rejects(
      client.pool.enableAutoScale('kept', { autoScaleFormula: '$TargetDedicatedNodes = hasOwnProperty(1)' }),
      refused('AutoScalingFormulaSyntaxError', 400),
    );
    assert.equal((await client.pool.get('kept')).enableAutoScale, false);
    await client.pool.enableAutoScale('kept', { autoScaleFormula: '$TargetDedicatedNodes=1' });
    assert.equal((await client.pool.get('kept')).targetDedicatedNodes, 1);
    const { results = '' } = await client.pool.evaluateAutoScale(
      'kept',
      `v=vec(1,2);${'v=vec(v,v);'.repeat(13)}${Array.from({ length: 60 }, (_, at) => `a${at}=v;`).join('')}`,
    );
    assert.ok(results.length <= 16_384, String(results.length));
    const infinite = await client.pool.evaluateAutoScale(
      'kept',
      '$TargetDedicatedNodes = 1 / $RunningTasks;',
    );
    assert.match(infinite.error?.values?.[0]?.value ?? '', /not a finite number/);
  });

  it('with enumerations in another case have their effect', async () => {
    const job = { id: 'cased', poolInfo: { poolId: 'kept' }, onAllTasksComplete: 'terminateJob' };
    assert.equal((await ask('POST', '/jobs', job)).status, 201);
    await eventually(
      () => client.job.get('cased'),
      ({ state }) => state === 'completed',
    );
    const startTask = {
      commandLine: '/bin/false',
      userIdentity: { autoUser: { elevationLevel: 'Admin', scope: 'Pool' } },
    };
    await ask('POST', '/pools', { id: 'elevated', ...machine, targetDedicatedNodes: 1, startTask });
    const [node] = await eventually(
      () => client.computeNode.list('elevated'),
      (nodes) => nodes[0]?.startTaskInfo?.state === 'completed',
    );
    assert.equal(node?.startTaskInfo?.exitCode, 0);
    assert.equal(
      (await ask('POST', '/jobs', { ...job, id: 'odd', onAllTasksComplete: 'never' })).values?.[0],
      'PropertyName=onAllTasksComplete',
    );
  });

  it('for tasks that would run other than asked are refused', async () => {
    await client.pool.add({
      id: 'users',
      ...machine,
      userAccounts: [{ name: 'someone', password: 'hunter2', elevationLevel: 'nonadmin' }],
    });
    assert.doesNotMatch((await ask('GET', '/pools/users')).text, /hunter2/);
    await client.job.add({ id: 'users', poolInfo: { poolId: 'users' }, usesTaskDependencies: true });
    const task = { commandLine: '/bin/true' };
    for (const [more, property] of [
      [{ userIdentity: { username: 'someone', autoUser: { scope: 'task' } } }, 'userIdentity'],
      [{ containerSettings: { imageName: 'alpine' } }, 'containerSettings'],
      [{ dependsOn: { taskIdRanges: [{ start: 5, end: 4 }] } }, 'taskIdRanges'],
      [{ resourceFiles: [{ httpUrl: 'ftp://x/y', filePath: 'y' }] }, 'httpUrl'],
    ] as const) {
      const told = await ask('POST', '/jobs/users/tasks', { id: 'task', ...task, ...more });
      assert.deepEqual([told.code, told.values?.[0]], ['InvalidPropertyValue', `PropertyName=${property}`]);
      const { text } = await ask('POST', '/jobs/users/addtaskcollection', {
        value: [{ id: 'task', ...task, ...more }],
      });
      assert.match(text, new RegExp(`"clienterror".*"${property}"`, 'i'));
    }
    await client.task.add('users', { id: 'named', ...task, userIdentity: { userName: 'someone' } });
  });

  it('change jobs only as far as Azure lets them change', async () => {
    const { status, values } = await ask('PATCH', '/jobs/users', { poolInfo: { poolId: 'kept' } });
    assert.deepEqual([status, values?.[0]?.startsWith('Reason=')], [409, true]);
    assert.equal((await ask('PUT', '/jobs/users', { poolInfo: { poolId: 'kept' } })).status, 409);
    assert.equal(
      (await ask('PUT', '/jobs/users', { poolInfo: { poolId: 'users' }, priority: 7 })).status,
      200,
    );
    const job = await client.job.get('users');
    assert.deepEqual([job.priority, job.usesTaskDependencies], [7, true]);
    assert.equal(
      (await ask('PATCH', '/jobs/users', { priority: 'high' })).values?.[0],
      'PropertyName=priority',
    );
    assert.equal((await ask('POST', '/pools/users/resize', {})).code, 'MissingRequiredProperty');
  });

  it('select everything if no name is valid, for example because the comma is encoded twice', async () => {
    const keysOf = async (selection: string) => {
      const { text } = await ask('GET', `/pools/kept?%24select=${encodeURIComponent(selection)}`);
      return Object.keys(JSON.parse(text)).filter((name) => !name.includes('.'));
    };
    assert.deepEqual(await keysOf('id, state'), ['id', 'state']);
    const all = await keysOf('');
    assert.ok(all.includes('allocationState'));
    assert.deepEqual(await keysOf('id%2Cstate'), all);
    assert.deepEqual(await keysOf('id,%2C'), ['id']);
  });

  it('may sign query names as each official client does', async () => {
    const { batchName, batchKey } = service.credentials;
    const names: [string, string][] = [
      ['timeOut', '30'],
      ['timeout', '30'],
      ['$select', 'id,state'],
      ['api-version', version],
      ['maxResults', '5'],
    ];
    const byCode = [...names].sort(([one], [other]) => (one < other ? -1 : 1));
    const byLocale = [...names].sort(([one], [other]) => one.localeCompare(other, 'en-US'));
    const inLowerCase = names
      .filter(([name]) => name !== 'timeout')
      .map(([name, value]): [string, string] => [name.toLowerCase(), value])
      .sort(([one], [other]) => (one < other ? -1 : 1));
    assert.notDeepEqual(byCode, byLocale);
    for (const sorted of [byCode, byLocale, inLowerCase]) {
      const date = new Date().toUTCString();
      const resource = sorted.map(([name, value]) => `\n${name}:${value}`).join('');
      const text = `GET${'\n'.repeat(12)}ocp-date:${date}\n/${batchName}/pools${resource}`;
      const signature = createHmac('sha256', Buffer.from(batchKey, 'base64')).update(text).digest('base64');
      const sent = sorted === inLowerCase ? names.filter(([name]) => name !== 'timeout') : names;
      const query = sent.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
      const reply = await fetch(`${service.ready.batchUrl}/pools?${query}`, {
        headers: { 'ocp-date': date, authorization: `SharedKey ${batchName}:${signature}` },
      });
      assert.equal(reply.status, 200);
      const { value } = (await reply.json()) as { value: object[] };
      assert.deepEqual(Object.keys(value[0] ?? {}), ['id', 'state']);
    }
  });

  it('have bodies in UTF-8, with or without a byte order mark', async () => {
    const body = JSON.stringify({ id: 'marked', displayName: 'é', poolInfo: { poolId: 'none' } });
    assert.equal((await raw('POST', '/jobs', `\ufeff${body}`)).status, 201);
    assert.equal((await client.job.get('marked')).displayName, 'é');
    const reply = await raw('POST', '/jobs', Buffer.from(body.replace('marked', 'latin'), 'latin1'));
    assert.deepEqual([reply.status, reply.code], [400, 'InvalidRequestBody']);
  });

  it('may sign a length of 0 and send none, and not another one', async () => {
    const status = async (signedLength: string) =>
      (await raw('DELETE', '/jobs/none', '', { signedLength })).status;
    assert.deepEqual([await status(''), await status('0'), await status('1')], [404, 404, 403]);
  });

  it('may be in absolute form, whose host counts', async () => {
    const { batchUrl } = service.ready;
    assert.equal((await raw('GET', '/pools', '', { targetBase: batchUrl })).status, 200);
    assert.equal((await raw('GET', '/pools', '', { targetBase: batchUrl, host: 'proxy' })).status, 200);
    const foreign = await raw('GET', '/pools', '', { targetBase: 'http://evil.example' });
    assert.deepEqual([foreign.status, foreign.code], [403, 'Forbidden']);
  });

  it('have bodies that are not compressed', async () => {
    const body = JSON.stringify({ id: 'packed', poolInfo: { poolId: 'none' } });
    const packed = await raw('POST', '/jobs', gzipSync(body), { encoding: 'gzip' });
    assert.deepEqual([packed.status, packed.code], [400, 'UnsupportedHeader']);
    assert.equal((await raw('POST', '/jobs', body, { encoding: 'identity' })).status, 201);
  });

  it('that add tasks have no other members', async () => {
    await client.job.add({ id: 'collection', poolInfo: { poolId: 'none' } });
    const value = [{ id: 'task', commandLine: '/bin/true' }];
    const path = '/jobs/collection/addtaskcollection';
    const reply = await ask('POST', path, { value, tasks: [] });
    assert.deepEqual([reply.status, reply.code], [400, 'InvalidRequestBody']);
    assert.equal((await ask('POST', path, { value, 'odata.metadata': 'x' })).status, 200);
  });

  it('with query options that Batch does not have are refused by name', async () => {
    for (const query of ['%24top=5', '$orderby=id', '$skip=2', '$count=true']) {
      const { status, code, values } = await ask('GET', `/jobs?${query}`);
      assert.deepEqual([status, code], [400, 'UnsupportedQueryParameter'], query);
      assert.match(values?.[0] ?? '', /^QueryParameterName=\$(top|orderby|skip|count)$/);
    }
    for (const size of ['1e1', '0x10', ' 1', '1.5', 'abc', '0', '1001']) {
      const { code } = await ask('GET', `/jobs?maxresults=${encodeURIComponent(size)}`);
      assert.equal(code, 'InvalidQueryParameterValue', size);
    }
  });

  it('for lists of large items get shorter pages', async () => {
    await client.job.add({ id: 'large', poolInfo: { poolId: 'none' } });
    const environmentSettings = [{ name: 'LARGE', value: 'x'.repeat(900_000) }];
    for (let index = 0; index < 12; index++)
      await client.task.add('large', { id: `t${index}`, commandLine: '/bin/true', environmentSettings });
    const first = await client.task.list('large');
    assert.ok(first.length >= 8 && first.length < 12, String(first.length));
    assert.equal((await listAll(client, 'large')).length, 12);
    await client.job.deleteMethod('large');
  });

  it('leave a service that can be restarted', async () => {
    await service.kill();
    await service.start();
    client = service.client(version);
    assert.equal((await client.pool.get('kept')).id, 'kept');
  });
});
