import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { BatchServiceClient, BatchServiceModels } from '@azure/batch';
import { BlobServiceClient, ContainerSASPermissions, StorageSharedKeyCredential } from '@azure/storage-blob';
import { descendantsOf } from './descendants';
import { eventually, machine, prepare, refused, TestService, withLongerLimits } from './harness';

type Task = BatchServiceModels.TaskAddParameter;

const sh = (script: string) => `/bin/sh -c '${script}'`;

describe('The local Batch service, whatever its tasks do', function () {
  this.timeout(240_000);
  let service: TestService;
  let client: BatchServiceClient;
  let storage: BlobServiceClient;
  let sas: string;

  prepare(
    async () => {
      service = await TestService.start();
      client = service.client();
      const { storageName, storageKey } = service.credentials;
      storage = new BlobServiceClient(
        service.ready.blobUrl,
        new StorageSharedKeyCredential(storageName, storageKey),
      );
      const container = storage.getContainerClient('out');
      await container.create();
      sas = await container.generateSasUrl({
        permissions: ContainerSASPermissions.parse('rwl'),
        expiresOn: new Date(Date.now() + 3_600_000),
      });
      await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1, taskSlotsPerNode: 4 });
      await client.job.add({ id: 'job', poolInfo: { poolId: 'pool' }, usesTaskDependencies: true });
    },
    () => service.close(),
  );

  const uploads = (filePattern: string, path?: string, containerUrl = sas): Task['outputFiles'] => [
    {
      filePattern,
      destination: { container: { containerUrl, path } },
      uploadOptions: { uploadCondition: 'taskcompletion' },
    },
  ];

  /** Runs a task and returns it once it has completed. */
  async function run(id: string, commandLine: string, rest: Partial<Task> = {}) {
    await client.task.add('job', { id, commandLine, ...rest });
    const { executionInfo } = await eventually(
      () => client.task.get('job', id),
      ({ state }) => state === 'completed',
    );
    return { exitCode: executionInfo?.exitCode, failure: executionInfo?.failureInfo?.code };
  }

  async function blobs(prefix: string): Promise<string[]> {
    const names: string[] = [];
    for await (const { name } of storage.getContainerClient('out').listBlobsFlat({ prefix }))
      names.push(name);
    return names.sort();
  }

  async function textOf(id: string, name = 'stdout.txt'): Promise<string> {
    const { readableStreamBody } = await client.file.getFromTask('job', id, name);
    const chunks: Buffer[] = [];
    for await (const chunk of readableStreamBody ?? []) chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks).toString();
  }

  const idOf = (pattern: string) => pattern.replace(/\W+/g, '-');
  const ok = { exitCode: 0, failure: undefined };

  it('uploads regular files only: folders, links to folders, pipes and devices match nothing', async () => {
    const script =
      'mkdir d; echo 1 > d/x; ln -s d l; mkfifo p; ln -s /dev/zero z; ln -s /etc/passwd e; echo a > a; ln -s a b';
    assert.deepEqual(await run('folder', sh(script), { outputFiles: uploads('d', 'folder') }), ok);
    for (const name of ['l', 'p', 'z', 'e'])
      assert.deepEqual(
        await run(`one-${name}`, sh(script), { outputFiles: uploads(name, `one/${name}`) }),
        ok,
      );
    assert.deepEqual(await run('all', sh(script), { outputFiles: uploads('*', 'all') }), ok);
    assert.deepEqual(await run('deep', sh(script), { outputFiles: uploads('**/*', 'deep') }), ok);
    assert.deepEqual(await run('link', sh(script), { outputFiles: uploads('b', 'link') }), ok);
    assert.deepEqual(await blobs('folder'), []);
    assert.deepEqual(await blobs('one'), []);
    assert.deepEqual(await blobs('all'), ['all/a']);
    assert.deepEqual(await blobs('deep'), ['deep/a', 'deep/d/x']);
    assert.deepEqual(await blobs('link'), ['link']);
  });

  it('uploads nothing from outside its job through links to folders, nor from folders that are gone', async () => {
    const links = sh('ln -s /etc l; mkdir d; ln -s / d/root; echo 1 > d/x');
    for (const pattern of ['l/passwd', 'l/*', 'd/root/etc/*', 'd/**/*'])
      assert.deepEqual(
        await run(`from-${idOf(pattern)}`, links, { outputFiles: uploads(pattern, 'links') }),
        ok,
      );
    assert.deepEqual(await blobs('links'), ['links/x']);
    const tricks = {
      root: 'cd ..; rm -rf wd; ln -s / wd',
      file: 'cd ..; rm -rf wd; echo 1 > wd',
      none: 'cd ..; rm -rf wd',
      all: 'cd /; rm -rf "$AZ_BATCH_TASK_DIR"',
    };
    for (const [name, script] of Object.entries(tricks)) {
      const outputFiles = [
        ...(uploads('**/*', `wd-${name}`) ?? []),
        ...(uploads('etc/passwd', `wd-${name}`) ?? []),
      ];
      assert.deepEqual(await run(`wd-${name}`, sh(script), { outputFiles }), ok, name);
      assert.deepEqual(await blobs(`wd-${name}`), []);
      await client.task.deleteMethod('job', `wd-${name}`);
    }
  });

  it('takes a pattern of many wildcards in time that depends on its length only', async () => {
    const name = 'a'.repeat(200);
    const outputFiles = uploads(`${'*a'.repeat(60)}b`, 'stars');
    assert.deepEqual(await run('stars', sh(`echo 1 > ${name}`), { outputFiles }), ok);
    assert.deepEqual(await blobs('stars'), []);
  });

  it('fails a task whose file becomes shorter while it is uploaded, or uploads what was there', async () => {
    const script =
      'head -c 60000000 /dev/zero > big; (while :; do head -c 60000000 /dev/zero > big; : > big; done) >/dev/null 2>&1 & sleep 0.2';
    const { exitCode, failure } = await run('shrinking', sh(script), {
      outputFiles: uploads('big', 'shrinking'),
    });
    assert.equal(exitCode, 0);
    assert.ok(failure === undefined || failure === 'FileUploadMiscError', failure);
  });

  it('ends downloads and uploads that outlast maxWallClockTime', async () => {
    const silent = await silentServer();
    const file = { httpUrl: `${silent.url}/f`, filePath: 'f' };
    const limit = { maxWallClockTime: 'PT1S' };
    const download = await run('download', '/bin/true', { resourceFiles: [file], constraints: limit });
    const outputFiles = uploads('f', 'f', `${silent.url}/account/container?sig=x`);
    const upload = await withLongerLimits(
      (seconds) => {
        const constraints = { maxWallClockTime: `PT${seconds}S` };
        return run(`upload-${seconds}`, sh('echo 1 > f'), { outputFiles, constraints });
      },
      ({ exitCode }) => exitCode !== undefined,
    );
    silent.close();
    assert.deepEqual(download, { exitCode: undefined, failure: 'TaskEnded' });
    assert.deepEqual(upload, { exitCode: 0, failure: 'TaskEnded' });
  });

  it('sends the metadata and the headers that an output file asks for', async () => {
    const [file] = uploads('a', 'headers') ?? [];
    const container = {
      ...file?.destination.container,
      containerUrl: sas,
      uploadHeaders: [
        { name: 'x-ms-meta-Owner', value: 'me' },
        { name: 'x-ms-blob-content-type', value: 'audio/mpeg' },
        { name: 'Content-Type', value: 'text/plain' },
        { name: 'Content-Language', value: 'de' },
        { name: 'x-ms-access-tier', value: 'Cool' },
      ],
    };
    const outputFiles = [{ ...file, destination: { container } }] as Task['outputFiles'];
    assert.deepEqual(await run('headers', sh('echo 1 > a'), { outputFiles }), ok);
    const { metadata, contentType, contentLanguage, accessTier } = await storage
      .getContainerClient('out')
      .getBlobClient('headers')
      .getProperties();
    assert.deepEqual(
      [metadata, contentType, contentLanguage, accessTier],
      [{ owner: 'me' }, 'audio/mpeg', 'de', 'Cool'],
    );
  });

  it('refuses output files without a container, or with headers that it would not send', async () => {
    const [file] = uploads('a', 'refused') ?? [];
    const container = { ...file?.destination.container, containerUrl: sas };
    const add = (destination: object) =>
      client.task.add('job', {
        id: 'refused',
        commandLine: '/bin/true',
        outputFiles: [{ ...file, destination }] as Task['outputFiles'],
      });
    await assert.rejects(add({}), refused('MissingRequiredProperty', 400, 'container'));
    for (const [name, value] of [
      ['x-ms-lease-id', 'a'],
      ['bad header', 'a'],
      ['x-ms-meta-a', 'a\nx-ms-blob-type: PageBlob'],
    ] as const) {
      const uploadHeaders = [{ name, value }];
      await assert.rejects(
        add({ container: { ...container, uploadHeaders } }),
        refused('InvalidPropertyValue', 400, 'uploadHeaders'),
        name,
      );
    }
  });

  it('removes folders that a task has write-protected, and retries the task', async () => {
    const script =
      'if [ -e ../../seen ]; then exit 0; fi; touch ../../seen; mkdir ro; touch ro/x; chmod 555 ro . ..; exit 1';
    assert.deepEqual(await run('protected', sh(script), { constraints: { maxTaskRetryCount: 1 } }), ok);
    const { nodeInfo } = await client.task.get('job', 'protected');
    const folder = join(
      service.dataDir,
      'nodes/pool',
      nodeInfo?.nodeId ?? '',
      nodeInfo?.taskRootDirectory ?? '',
    );
    assert.ok(existsSync(folder));
    await client.task.deleteMethod('job', 'protected');
    await eventually(
      async () => [existsSync(folder), readdirSync(join(service.dataDir, 'trash')).length],
      ([isThere, left]) => !isThere && left === 0,
    );
  });

  it('gives a task its own HOME, a PATH that ends with its folders, and the documented variables', async () => {
    const script =
      'echo $HOME; echo $PATH; for f in "$AZ_BATCH_NODE_ROOT_DIR" "$AZ_BATCH_NODE_SHARED_DIR" "$AZ_BATCH_NODE_STARTUP_DIR" "$AZ_BATCH_NODE_MOUNTS_DIR" "$AZ_BATCH_CERTIFICATES_DIR" "$AZ_BATCH_TASK_WORKING_DIR"; do test -d "$f" || echo "no $f"; done';
    assert.deepEqual(await run('environment', sh(script)), ok);
    const [home = '', path = '', ...missing] = (await textOf('environment')).trim().split('\n');
    const { nodeInfo } = await client.task.get('job', 'environment');
    const root = join(service.dataDir, 'nodes/pool', nodeInfo?.nodeId ?? '');
    assert.equal(home, join(root, nodeInfo?.taskRootDirectory ?? '', 'wd'));
    assert.deepEqual(path.split(':').slice(-2), [join(root, 'shared'), home]);
    assert.deepEqual(missing, []);
  });

  it('has completed a running task when its termination is answered, and deleted one likewise', async () => {
    for (const id of ['ended', 'deleted'])
      await client.task.add('job', { id, commandLine: '/bin/sleep 600' });
    await eventually(
      () => client.job.getTaskCounts('job'),
      ({ taskCounts }) => taskCounts.running === 2,
    );
    await client.task.terminate('job', 'ended');
    const { state, executionInfo } = await client.task.get('job', 'ended');
    assert.deepEqual([state, executionInfo?.failureInfo?.code], ['completed', 'TaskEnded']);
    await client.task.deleteMethod('job', 'deleted');
    await assert.rejects(client.task.get('job', 'deleted'), { statusCode: 404 });
  });

  it('acts on exit conditions for exit code 0, and on none for a task that was terminated before it ran', async () => {
    const poolInfo = { poolId: 'pool' };
    await client.job.add({ id: 'zero', poolInfo, onTaskFailure: 'performexitoptionsjobaction' });
    const exitConditions = { exitCodes: [{ code: 0, exitOptions: { jobAction: 'terminate' as const } }] };
    await client.task.add('zero', { id: 't', commandLine: '/bin/true', exitConditions });
    await eventually(
      () => client.job.get('zero'),
      ({ state }) => state === 'completed',
    );
    await client.job.add({
      id: 'waiting',
      poolInfo: { poolId: 'none' },
      onTaskFailure: 'performexitoptionsjobaction',
    });
    await client.task.add('waiting', { id: 't', commandLine: '/bin/true' });
    await client.task.terminate('waiting', 't');
    assert.equal((await client.job.get('waiting')).state, 'active');
  });

  it('takes 04 for 4 in a range of ids, and an exit code 0 that blocks for unmet', async () => {
    const dependsOn = { taskIdRanges: [{ start: 4, end: 4 }] };
    await client.task.add('job', { id: 'after-4', commandLine: '/bin/true', dependsOn });
    assert.deepEqual(await run('04', '/bin/true'), ok);
    await eventually(
      () => client.task.get('job', 'after-4'),
      ({ state }) => state === 'completed',
    );
    const exitOptions = { dependencyAction: 'block' as const };
    await run('blocks', '/bin/true', { exitConditions: { exitCodes: [{ code: 0, exitOptions }] } });
    await client.task.add('job', {
      id: 'blocked',
      commandLine: '/bin/true',
      dependsOn: { taskIds: ['blocks'] },
    });
    await run('later', '/bin/true');
    assert.equal((await client.task.get('job', 'blocked')).state, 'active');
  });

  it('reads and writes its own storage without a SAS, and finds containers by name', async () => {
    const input = storage.getContainerClient('input');
    await input.create();
    await input.uploadBlockBlob('folder/ä b.txt', 'hello', 5);
    const resourceFiles = [
      { autoStorageContainerName: 'input', filePath: 'named', fileMode: '0640' },
      { storageContainerUrl: input.url },
    ];
    const script = 'cat "named/folder/ä b.txt" "folder/ä b.txt"; stat -c %a "named/folder/ä b.txt"';
    assert.deepEqual(await run('own', sh(script), { resourceFiles }), ok);
    assert.equal(await textOf('own'), 'hellohello640\n');
    const output = storage.getContainerClient('own-output');
    await output.create();
    const upload = (url: string) => ({
      filePattern: 'o*',
      destination: { container: { containerUrl: url } },
      uploadOptions: { uploadCondition: 'taskcompletion' as const },
    });
    const blob = input.getBlobClient('folder/ä b.txt').url;
    const one = { httpUrl: blob, filePath: 'one' };
    assert.deepEqual(
      await run('own-output', sh('cat one > out'), {
        resourceFiles: [one],
        outputFiles: [upload(output.url)],
      }),
      ok,
    );
    assert.equal((await output.getBlobClient('out').downloadToBuffer()).toString(), 'hello');
    // The key is for the account's own storage alone, and missing things are named as elsewhere.
    const none = { resourceFiles: [{ httpUrl: `${blob}2`, filePath: 'one' }] };
    assert.equal((await run('own-none', '/bin/true', none)).failure, 'BlobNotFound');
    const account = { resourceFiles: [{ storageContainerUrl: service.ready.blobUrl }] };
    assert.equal((await run('own-account', '/bin/true', account)).failure, 'ResourceContainerNotFound');
    const unnamed = { resourceFiles: [{ autoStorageContainerName: '' }] };
    await assert.rejects(
      run('own-unnamed', '/bin/true', unnamed),
      refused('InvalidPropertyValue', 400, 'autoStorageContainerName'),
    );
    const nowhere = { outputFiles: [upload(storage.getContainerClient('nowhere').url)] };
    const failed = await run('own-nowhere', sh('echo > out'), nowhere);
    assert.equal(failed.failure, 'FileUploadContainerNotFound');
  });

  it('ends a start task when its node restarts or leaves, and runs it once at a time', async () => {
    const seconds = 4321;
    await client.pool.add({
      id: 'starting',
      ...machine,
      targetDedicatedNodes: 1,
      startTask: { commandLine: `/bin/sleep ${seconds}`, waitForSuccess: true },
    });
    const running = () => descendantsOf(service.ready.pid, String(seconds));
    const [first] = await eventually(
      async () => running(),
      (pids) => pids.length === 1,
    );
    const [node] = await client.computeNode.list('starting');
    await client.computeNode.reboot('starting', node?.id ?? '');
    await eventually(
      async () => running(),
      (pids) => pids.length === 1 && pids[0] !== first,
    );
    await client.pool.deleteMethod('starting');
    await eventually(
      async () => running(),
      (pids) => pids.length === 0,
    );
    await eventually(
      () => client.pool.exists('starting').catch(() => ({ body: false })),
      ({ body }) => body === false,
    );
  });

  it('allocates no more nodes than the account may have, and says so', async () => {
    await client.pool.add({ id: 'large', ...machine, targetDedicatedNodes: 2000 });
    const { resizeErrors = [] } = await eventually(
      () => client.pool.get('large'),
      ({ allocationState }) => allocationState === 'steady',
    );
    assert.deepEqual(
      resizeErrors.map(({ code }) => code),
      ['AccountCoreQuotaReached'],
    );
    await client.pool.deleteMethod('large');
  });

  it('ends after SIGTERM although tasks ignore it, wait for a server, or run at start', async () => {
    const other = await TestService.start();
    const silent = await silentServer();
    // Says that it ignores SIGTERM, and never ends by itself.
    const stubborn = (name: string) =>
      `/bin/sh -c "trap : TERM; : > ${join(other.dataDir, name)}; while :; do sleep 1; done"`;
    const isStubborn = (name: string) => existsSync(join(other.dataDir, name));
    try {
      const admin = other.client();
      await admin.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1, taskSlotsPerNode: 4 });
      await admin.pool.add({
        id: 'starting',
        ...machine,
        targetDedicatedNodes: 1,
        startTask: { commandLine: stubborn('start-task') },
      });
      await admin.job.add({ id: 'job', poolInfo: { poolId: 'pool' } });
      await admin.task.addCollection('job', [
        { id: 'stubborn', commandLine: stubborn('task') },
        {
          id: 'waiting',
          commandLine: '/bin/true',
          resourceFiles: [{ httpUrl: `${silent.url}/f`, filePath: 'f' }],
        },
      ]);
      await eventually(async () => ['start-task', 'task'].every(isStubborn), Boolean);
      await silent.asked;
      process.kill(other.ready.pid, 'SIGTERM');
      await other.ended();
    } finally {
      silent.close();
      await other.close();
    }
  });

  it('refuses a port that is in use or none, in one sentence, and leaves no lock', async () => {
    const folder = join(service.dataDir, 'ports');
    const { port } = new URL(service.ready.batchUrl);
    for (const flag of ['--port', '--blob-port']) {
      const { code, stderr } = await TestService.refusal('--data-dir', folder, '--quiet', flag, port);
      assert.deepEqual(
        [code, stderr],
        [
          78,
          `Port ${port} on 127.0.0.1 is in use. End the program that uses it, or choose another port with ${flag}.\n`,
        ],
      );
      assert.ok(!existsSync(join(folder, 'service.lock')));
      const none = await TestService.refusal('--data-dir', folder, flag, '65536');
      assert.deepEqual([none.code, none.stderr], [64, `${flag} is at most 65535, not 65536.\n`]);
    }
  });

  it('refuses a data folder that is shared, a file, or damaged beyond use, in one sentence', async () => {
    mkdirSync(join(service.dataDir, 'elsewhere/state.jsonl'), { recursive: true });
    const folder = join(service.dataDir, 'elsewhere');
    const said = await TestService.refusal('--data-dir', folder);
    assert.equal(said.code, 78);
    assert.match(said.stderr.trim(), /^.*state\.jsonl is a folder, but a file is expected there\. .*$/m);
    assert.ok(!said.stderr.includes('    at '), said.stderr);
  });

  it('refuses a data folder that cannot be made, in one sentence', async () => {
    const file = join(service.dataDir, 'a-file');
    writeFileSync(file, '');
    for (const folder of [join(file, 'a/b'), ...(process.platform === 'linux' ? ['/proc/none/a'] : [])]) {
      const { code, stderr } = await TestService.refusal('--data-dir', folder);
      assert.equal(code, 78, stderr);
      assert.ok(stderr.includes(folder) && stderr.trim().split('\n').length === 1, stderr);
    }
  });
});

/** Accepts requests and never answers. */
async function silentServer(): Promise<{ url: string; asked: Promise<unknown>; close(): void }> {
  const { createServer } = await import('node:http');
  const server = createServer(() => undefined);
  const asked = once(server, 'request');
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
