import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { clip, ffmpeg, temporaryFolder } from '../media';
import { eventually, machine, prepare, skip, TestService } from './harness';

const run = promisify(execFile);
const image = [
  '--image',
  'canonical:ubuntu-24_04-lts:server',
  '--node-agent-sku-id',
  'batch.node.ubuntu 24.04',
];

describe('Official clients, unchanged, with the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;

  prepare(
    async () => {
      service = await TestService.start();
      folder = await temporaryFolder('clients');
    },
    async () => {
      await service.close();
      await folder.remove();
    },
  );

  describe('the Azure CLI', () => {
    /** Returns what a command prints, as JSON; undefined when it prints nothing. */
    async function az(...args: string[]) {
      const { batchName, batchKey } = service.credentials;
      const { stdout } = await run('az', ['batch', ...args, '-o', 'json'], {
        env: {
          ...process.env,
          AZURE_CONFIG_DIR: join(folder.path, 'az'),
          AZURE_CORE_COLLECT_TELEMETRY: 'no',
          AZURE_BATCH_ACCOUNT: batchName,
          AZURE_BATCH_ACCESS_KEY: batchKey,
          AZURE_BATCH_ENDPOINT: service.ready.batchUrl,
        },
      });
      return stdout.trim() === '' ? undefined : JSON.parse(stdout);
    }

    before(async function () {
      const found = await run('az', ['--version']).catch(() => undefined);
      if (found === undefined) skip(this, 'the Azure CLI: it is not installed');
    });

    /** Makes the pool as the first test does: each test runs without the others. */
    const ensurePool = () =>
      service
        .client()
        .pool.add({ id: 'az-pool', ...machine, targetDedicatedNodes: 1 })
        .catch(({ code }) => assert.equal(code, 'PoolExists'));

    it('creates, changes and shows a pool and its nodes', async () => {
      await az(...['pool', 'create', '--id', 'az-pool', '--vm-size', 'Standard_D2s_v5'], ...image);
      await eventually(
        () => az('pool', 'show', '--pool-id', 'az-pool'),
        ({ allocationState }) => allocationState === 'steady',
      );
      await az('pool', 'resize', '--pool-id', 'az-pool', '--target-dedicated-nodes', '1');
      const [node] = await eventually(
        () => az('node', 'list', '--pool-id', 'az-pool'),
        (nodes) => nodes[0]?.state === 'idle',
      );
      await az('pool', 'set', '--pool-id', 'az-pool', '--metadata', 'made=here');
      const { metadata } = await az('pool', 'show', '--pool-id', 'az-pool');
      assert.deepEqual(metadata, [{ name: 'made', value: 'here' }]);
      const at = ['--pool-id', 'az-pool', '--node-id', node.id];
      await az('node', 'scheduling', 'disable', ...at);
      assert.equal((await az('node', 'show', ...at)).schedulingState, 'disabled');
      await az('node', 'scheduling', 'enable', ...at);
      const folders = await az('node', 'file', 'list', ...at);
      assert.ok(folders.some(({ name }: { name: string }) => name === 'workitems'));
      const [counts] = await az('pool', 'node-counts', 'list');
      assert.equal(counts.dedicated.total, 1);
      const images = await az('pool', 'supported-images', 'list');
      assert.ok(images.length > 2);
    });

    it('runs tasks, shows how they ended and downloads their files', async () => {
      await ensurePool();
      await az('job', 'create', '--id', 'az-job', '--pool-id', 'az-pool');
      const list = join(folder.path, 'tasks.json');
      await writeFile(
        list,
        JSON.stringify([
          { id: 'good', commandLine: '/bin/sh -c "echo hello"' },
          { id: 'bad', commandLine: '/bin/false' },
        ]),
      );
      const added = await az('task', 'create', '--job-id', 'az-job', '--json-file', list);
      assert.deepEqual(
        added.map(({ status }: { status: string }) => status),
        ['success', 'success'],
      );
      await eventually(
        () => az('job', 'task-counts', 'show', '--job-id', 'az-job'),
        ({ taskCounts }) => taskCounts.completed === 2,
      );
      const done = await az('task', 'list', '--job-id', 'az-job', '--filter', 'executionInfo/exitCode eq 1');
      assert.deepEqual(
        done.map(({ id }: { id: string }) => id),
        ['bad'],
      );
      const file = ['--job-id', 'az-job', '--task-id', 'good', '--file-path', 'stdout.txt'];
      const target = join(folder.path, 'stdout.txt');
      await az('task', 'file', 'download', ...file, '--destination', target);
      assert.equal(await readFile(target, 'utf8'), 'hello\n');
    });

    it('deletes the job and the pool', async () => {
      await ensurePool();
      await az('job', 'create', '--id', 'az-gone', '--pool-id', 'az-pool');
      await az('job', 'delete', '--job-id', 'az-gone', '--yes');
      await az('pool', 'delete', '--pool-id', 'az-pool', '--yes');
      await eventually(
        () => az('pool', 'list'),
        (pools) => pools.every(({ id }: { id: string }) => id !== 'az-pool'),
      );
      await assert.rejects(az('job', 'show', '--job-id', 'az-gone'), /The specified job does not exist/);
    });
  });

  it('Python azure-batch 13 makes the tutorial’s MP3s', async function () {
    const python = '/usr/bin/python3';
    const found = await run(python, ['-c', 'import azure.batch, azure.storage.blob']).catch(() => undefined);
    if (found === undefined) skip(this, 'azure-batch 13: the system’s Python does not have it');
    const [inputs, outputs] = [join(folder.path, 'in'), join(folder.path, 'out')];
    await Promise.all([inputs, outputs].map((path) => mkdir(path)));
    const names = ['one', 'two', 'three'];
    const sources = await Promise.all(names.map((name) => clip(join(inputs, `${name}.mp4`))));
    const told = await runWithInput(python, ['test/service/clients/tutorial.py'], {
      ...service.credentials,
      batchUrl: service.ready.batchUrl,
      blobUrl: service.ready.blobUrl,
      inputs: sources,
      folder: outputs,
    });
    assert.deepEqual(told, {
      added: ['success', 'success', 'success'],
      codes: { task0: 0, task1: 0, task2: 0 },
      stderr: true,
      missing: 'TaskNotFound',
      exists: true,
    });
    for (const name of names) {
      const expected = await ffmpeg('-i', join(inputs, `${name}.mp4`), join(inputs, `${name}.mp3`));
      assert.deepEqual(await readFile(join(outputs, `${name}.mp3`)), await readFile(expected));
    }
  });

  it('Python azure-batch 15.1, sync and async, makes the tutorial’s MP3s and uses every poller', async function () {
    const python = resolve('.vscode-test/clients/python-15.1.0/bin/python');
    if (!existsSync(python)) skip(this, 'azure-batch 15.1: it is not installed, since PyPI was not reached');
    const [inputs, outputs] = [join(folder.path, 'new-in'), join(folder.path, 'new-out')];
    await Promise.all([inputs, outputs].map((path) => mkdir(path)));
    const source = await clip(join(inputs, 'one two.mp4'));
    const seen = await runWithInput(python, ['test/service/clients/modern.py'], {
      ...service.credentials,
      batchUrl: service.ready.batchUrl,
      blobUrl: service.ready.blobUrl,
      inputs: [source],
      folder: outputs,
    });
    assert.deepEqual(seen, {
      codes: [0],
      stderr: true,
      size: true,
      files: ['fileuploadout.txt', 'stderr.txt', 'stdout.txt', 'wd/one two.mp3'],
      added: 250,
      selected: Array.from({ length: 10 }, (_, index) => `many00${index}`),
      missing: 'TaskNotFound',
      exists: 'TaskExists',
      refused: ['InvalidPropertyValue', 'containerSettings'],
      disabled: 'disabled',
      priority: 6,
      retries: 3,
      ended: 'completed',
      subtasks: [
        [1, 'completed', 0],
        [2, 'completed', 0],
      ],
      coordinated: [true, true, true],
      hosts: true,
      login: '127.0.0.1',
      extensions: ['batchNodeExtension'],
      applications: [],
      usage: [],
      metadata: 'b',
      counts: [1],
      autoscale: '$TargetDedicatedNodes=2;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue',
      terminated: 'completed',
      gone: true,
      schedule: 'nightly:job-1',
      schedules: [],
      asyncOutput: '7\n',
      asyncGone: true,
    });
    const expected = await ffmpeg('-i', source, join(inputs, 'expected.mp3'));
    assert.deepEqual(await readFile(join(outputs, 'one two.mp3')), await readFile(expected));
  });

  it('Java’s azure-batch 11 runs tasks, preparation tasks and a job schedule', async function () {
    const home = resolve('.vscode-test/clients/java-11.2.0');
    // The package validates by reflection, which later versions of Java allow where they are told so.
    const opens = ['java.util', 'java.lang'].flatMap((name) => [
      '--add-opens',
      `java.base/${name}=ALL-UNNAMED`,
    ]);
    if (!existsSync(home))
      skip(this, 'Java: its client is not installed, since Maven Central was not reached');
    const seen = await runWithInput(
      'java',
      [...opens, '-cp', join(home, '*'), 'test/service/clients/Client.java'],
      {
        ...service.credentials,
        batchUrl: service.ready.batchUrl,
      },
    );
    assert.deepEqual(seen, {
      nodes: 1,
      added: 12,
      codes: [0, 1, 2],
      stdout: 'from Java\n',
      missing: 'TaskNotFound',
      reader: 0,
      prepared: 0,
      released: 0,
      schedule: 'hourly:job-1',
      gone: true,
    });
  });

  it('npm’s azure-batch 9 works in its own version', async function () {
    const home = resolve('.vscode-test/clients/node_modules');
    if (!existsSync(join(home, 'azure-batch'))) skip(this, 'azure-batch 9: it is not installed');
    const load = createRequire(join(home, 'any.js'));
    const { ServiceClient: Client, SharedKeyCredentials: Credentials } = load('azure-batch');
    const { batchName, batchKey } = service.credentials;
    const client = new Client(new Credentials(batchName, batchKey), service.ready.batchUrl);
    await client.pool.add({
      id: 'old-pool',
      vmSize: 'Standard_D2s_v5',
      virtualMachineConfiguration: {
        imageReference: { publisher: 'canonical', offer: 'ubuntu-24_04-lts', sku: 'server' },
        nodeAgentSKUId: 'batch.node.ubuntu 24.04',
      },
      targetDedicatedNodes: 1,
    });
    await client.job.add({ id: 'old-job', poolInfo: { poolId: 'old-pool' } });
    await client.task.addCollection('old-job', [
      { id: 'first', commandLine: '/bin/sh -c "echo from the old client"' },
      { id: 'second', commandLine: '/bin/true' },
    ]);
    await eventually(
      () => client.job.getTaskCounts('old-job') as Promise<{ completed: number }>,
      ({ completed }) => completed === 2,
    );
    const tasks = (await client.task.list('old-job')) as { id: string }[];
    assert.deepEqual(
      tasks.map(({ id }) => id),
      ['first', 'second'],
    );
    const text = await new Promise<string>((resolve, reject) => {
      // Its streams flow at once: a promise would resolve too late to read them.
      client.file.getFromTask(
        ...['old-job', 'first', 'stdout.txt'],
        (error: unknown, file: NodeJS.ReadableStream) => {
          if (error) return reject(error);
          let read = '';
          file.on('data', (chunk) => {
            read += chunk;
          });
          file.on('end', () => resolve(read));
        },
      );
    });
    assert.equal(text, 'from the old client\n');
    await assert.rejects(client.task.get('old-job', 'none'), { code: 'TaskNotFound' });
    await client.job.deleteMethod('old-job');
    await client.pool.deleteMethod('old-pool');
    await eventually(
      () => client.pool.exists('old-pool') as Promise<boolean>,
      (exists) => !exists,
    );
  });
});

/** Runs a program with one line of JSON on its stdin, and returns the last line that it prints, as JSON. */
async function runWithInput(program: string, args: string[], input: unknown): Promise<unknown> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdin.end(`${JSON.stringify(input)}\n`);
  const code = await new Promise((resolve) => child.once('close', resolve));
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}
