import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { BatchServiceClient } from '@azure/batch';
import { BlobServiceClient, ContainerSASPermissions, StorageSharedKeyCredential } from '@azure/storage-blob';
import { temporaryFolder } from '../media';
import { descendantsOf } from './descendants';
import { eventually, listAll, machine, prepare, TestService, withLongerLimits } from './harness';

const sh = (script: string) => `/bin/sh -c '${script}'`;
const blobTable = 'blobs/__azurite_db_blob__.json';
const extentTable = 'blobs/__azurite_db_blob_extent__.json';

function storageOf({ ready, credentials }: TestService): BlobServiceClient {
  const { storageName, storageKey } = credentials;
  return new BlobServiceClient(ready.blobUrl, new StorageSharedKeyCredential(storageName, storageKey));
}

async function namesIn(service: TestService, container: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of storageOf(service).getContainerClient(container).listBlobsFlat())
    names.push(name);
  return names.sort();
}

async function addJob(client: BatchServiceClient): Promise<void> {
  await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1, taskSlotsPerNode: 4 });
  await client.job.add({ id: 'job', poolInfo: { poolId: 'pool' } });
}

const succeeded = (client: BatchServiceClient, count: number) =>
  eventually(
    () => client.job.getTaskCounts('job'),
    ({ taskCounts }) => taskCounts.succeeded === count,
  );

describe('The local Batch service after a crash', function () {
  this.timeout(240_000);
  let service: TestService;
  const path = (name: string) => join(service.dataDir, name);

  beforeEach(async () => {
    service = await TestService.start();
  });

  afterEach(() => service.close());

  /** Ends the service and Azurite at once, as a crash of the machine does. */
  async function crash(): Promise<void> {
    const azurite = Number.parseInt(readFileSync(path('blobs/azurite.pid'), 'utf8'), 10);
    process.kill(azurite, 'SIGSTOP');
    await service.kill();
    process.kill(azurite, 'SIGKILL');
  }

  it('has the outputs of every task that it reports as succeeded', async () => {
    const client = service.client();
    await addJob(client);
    const container = storageOf(service).getContainerClient('out');
    await container.create();
    const containerUrl = await container.generateSasUrl({
      permissions: ContainerSASPermissions.parse('w'),
      expiresOn: new Date(Date.now() + 3_600_000),
    });
    const ids = Array.from({ length: 10 }, (_, index) => `t${index}`);
    await client.task.addCollection(
      'job',
      ids.map((id) => ({
        id,
        commandLine: sh('echo output > o'),
        outputFiles: [
          {
            filePattern: 'o',
            destination: { container: { containerUrl, path: id } },
            uploadOptions: { uploadCondition: 'tasksuccess' },
          },
        ],
      })),
    );
    await succeeded(client, ids.length);
    await crash();
    await service.start();
    await succeeded(service.client(), ids.length);
    assert.deepEqual(await namesIn(service, 'out'), ids);
    const text = await storageOf(service).getContainerClient('out').getBlobClient('t3').downloadToBuffer();
    assert.equal(text.toString(), 'output\n');
  });

  it('starts from the last complete copy of a torn blob table, and says what is lost', async () => {
    const container = storageOf(service).getContainerClient('kept');
    await container.create();
    await container.uploadBlockBlob('early', 'early', 5);
    const tableHas = (name: string) =>
      existsSync(path(name)) && readFileSync(path(name), 'utf8').includes('"early"');
    await eventually(async () => tableHas(blobTable), Boolean);
    await container.uploadBlockBlob('late', 'late', 4);
    await eventually(async () => tableHas(`${blobTable}.previous`), Boolean);
    await service.kill();
    await azuriteEnded(service);
    truncateSync(path(blobTable), Math.floor(statSync(path(blobTable)).size / 2));
    writeFileSync(path(extentTable), '');
    await service.start();
    const [blobs = '', extents = ''] = service.ready.notices ?? [];
    assert.match(blobs, /^The table of Blob Storage was damaged\. The copy of .* is used:/);
    assert.match(extents, /^A table of Blob Storage was damaged and has been made anew\. Nothing is lost\./);
    assert.ok((await namesIn(service, 'kept')).includes('early'));
    const early = await storageOf(service)
      .getContainerClient('kept')
      .getBlobClient('early')
      .downloadToBuffer();
    assert.equal(early.toString(), 'early');
    assert.equal(readdirSync(path('damaged')).length, 2);
  });

  it('starts Azurite again when it is killed, also with a torn table', async () => {
    const container = storageOf(service).getContainerClient('kept');
    await container.create();
    process.kill(Number.parseInt(readFileSync(path('blobs/azurite.pid'), 'utf8'), 10), 'SIGKILL');
    truncateSync(path(blobTable), 10);
    const again = storageOf(service).getContainerClient('again');
    await eventually(
      () =>
        again.create().then(
          () => true,
          ({ code }) => code === 'ContainerAlreadyExists',
        ),
      Boolean,
    );
    assert.match(readFileSync(path('service.log'), 'utf8'), /The table of Blob Storage was damaged[.,]/);
    await service.client().pool.list();
  });

  it('starts with empty Blob Storage if no copy of its table is complete', async () => {
    await storageOf(service).getContainerClient('kept').create();
    await service.kill();
    await azuriteEnded(service);
    writeFileSync(path(blobTable), '{"filename":"');
    rmSync(path(`${blobTable}.previous`), { force: true });
    await service.start();
    assert.match(
      service.ready.notices?.[0] ?? '',
      /Blob Storage is empty now: all containers and blobs are lost\./,
    );
    await storageOf(service).getContainerClient('kept').create();
  });

  it('loads what is not damaged in its state, sets the rest aside, and names it', async () => {
    const client = service.client();
    await addJob(client);
    await client.task.add('job', { id: 't', commandLine: '/bin/true' });
    await succeeded(client, 1);
    await service.kill();
    const lines = [
      '{"no":"array"}',
      '["job/poison",{"wire":{"id":"poison"}}]',
      '["task/job/odd",null',
      '["pool/..",{"wire":{"state":"active"}}]',
      '["unknown/x",{"state":"active"}]',
      `["job/deep",{"wire":{"state":"active","x":${'['.repeat(20_000)}${']'.repeat(20_000)}}}]`,
      '\u0000\u0001garbage',
    ];
    appendFileSync(path('state.jsonl'), `\n${lines.join('\n')}\n["job/torn",{"wi`);
    await service.start();
    const [notice = ''] = service.ready.notices ?? [];
    assert.match(notice, /state\.jsonl was damaged: 7 records could not be read/);
    for (const named of ['job poison', 'task odd of job job', 'pool ..'])
      assert.ok(notice.includes(named), notice);
    assert.deepEqual(
      (await listAll(service.client(), 'job')).map(({ id, state }) => [id, state]),
      [['t', 'completed']],
    );
    const [kept = ''] = readdirSync(path('damaged'));
    assert.ok(readFileSync(path(`damaged/${kept}`), 'utf8').includes('{"no":"array"}'));
    await service.kill();
    await service.start();
    assert.deepEqual(service.ready.notices, []);
  });

  it('deletes an auto pool whose job was not stored before the service was killed', async () => {
    const autoPoolSpecification = {
      poolLifetimeOption: 'job' as const,
      pool: { ...machine, targetDedicatedNodes: 1 },
    };
    await service.client().job.add({ id: 'auto', poolInfo: { autoPoolSpecification } });
    await service.kill();
    const lines = readFileSync(path('state.jsonl'), 'utf8').split('\n');
    writeFileSync(path('state.jsonl'), lines.filter((line) => !line.startsWith('["job/auto"')).join('\n'));
    await service.start();
    await eventually(
      async () => [...(await service.client().pool.list())].length,
      (count) => count === 0,
    );
  });

  it('starts empty from an empty state', async () => {
    await addJob(service.client());
    await service.kill();
    writeFileSync(path('state.jsonl'), '');
    await service.start();
    assert.deepEqual([...(await service.client().pool.list())], []);
  });

  it('keeps no signature of a job that was deleted', async () => {
    const client = service.client();
    await addJob(client);
    const resourceFiles = [{ httpUrl: `${service.ready.blobUrl}/c/b?sig=SECRETSIGNATURE`, filePath: 'f' }];
    await client.task.add('job', { id: 't', commandLine: '/bin/true', resourceFiles });
    await client.job.deleteMethod('job');
    await eventually(
      async () => readFileSync(path('state.jsonl'), 'utf8'),
      (text) => !text.includes('SECRETSIGNATURE'),
    );
  });

  it('shows its storage key neither in its processes nor in their environment', async () => {
    const pids = [service.ready.pid, ...descendantsOf(service.ready.pid, '')];
    assert.ok(pids.length >= 2, String(pids));
    for (const pid of pids) {
      const shown =
        readFileSync(`/proc/${pid}/environ`, 'utf8') + readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      assert.ok(!shown.includes(service.credentials.storageKey), String(pid));
    }
  });

  it('reports its disk use, and is emptied by --reset, which keeps keys and ports', async () => {
    const client = service.client();
    await addJob(client);
    await client.task.add('job', { id: 't', commandLine: sh('head -c 3000000 /dev/zero > f') });
    await succeeded(client, 1);
    const container = storageOf(service).getContainerClient('ccc');
    await container.create();
    await container.uploadBlockBlob('large', Buffer.alloc(5_000_000), 5_000_000);
    const flags = ['dist/service.js', '--data-dir', service.dataDir];
    const use = JSON.parse(execFileSync(process.execPath, [...flags, '--disk-use'], { encoding: 'utf8' }));
    assert.ok(
      use.nodeBytes > 3_000_000 && use.blobBytes > 5_000_000 && use.totalBytes > 8_000_000,
      JSON.stringify(use),
    );
    const ports = readFileSync(path('ports.json'), 'utf8');
    writeFileSync(path('notes.txt'), 'mine');
    const { freedBytes } = JSON.parse(
      execFileSync(process.execPath, [...flags, '--reset'], { encoding: 'utf8' }),
    );
    assert.ok(freedBytes > 8_000_000, String(freedBytes));
    assert.deepEqual(readdirSync(service.dataDir).sort(), ['notes.txt', 'ports.json']);
    await service.start();
    assert.deepEqual([...(await service.client().pool.list())], []);
    assert.equal(readFileSync(path('ports.json'), 'utf8'), ports);
    const { code } = await TestService.refusal('--data-dir', path('blobs'), '--reset');
    assert.equal(code, 78);
    assert.ok(existsSync(path(blobTable)));
  });

  it('deletes nothing in the folder of another program', async () => {
    const { path: folder, remove } = await temporaryFolder('other-program');
    for (const name of ['nodes/a/b', 'trash']) mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, 'credentials.json'), '{"type":"service_account"}');
    writeFileSync(join(folder, 'trash/notes.txt'), 'mine');
    const before = readdirSync(folder, { recursive: true }).sort();
    const { mode } = statSync(folder);
    for (const flags of [['--reset'], []]) {
      const { code, stderr } = await TestService.refusal('--data-dir', folder, ...flags);
      assert.equal(code, 78, stderr);
      assert.deepEqual(readdirSync(folder, { recursive: true }).sort(), before);
      assert.equal(statSync(folder).mode, mode);
    }
    await remove();
  });

  it('ends when it is idle and a client has asked for it, not before', async () => {
    const client = service.client();
    await addJob(client);
    await client.task.add('job', { id: 't', commandLine: sh('while [ ! -e ../../go ]; do sleep 0.1; done') });
    const { nodeInfo } = await eventually(
      () => client.task.get('job', 't'),
      ({ state }) => state === 'running',
    );
    writeFileSync(path('end-when-idle'), '');
    let hasEnded = false;
    const ended = service.ended().then(() => {
      hasEnded = true;
    });
    await eventually(
      async () => Date.now(),
      (now) => now > statSync(path('end-when-idle')).mtimeMs + 3_000,
    );
    assert.ok(!hasEnded);
    const folder = join(path('nodes/pool'), nodeInfo?.nodeId ?? '', nodeInfo?.taskRootDirectory ?? '');
    writeFileSync(join(folder, '..', 'go'), '');
    await ended;
    await service.start();
    await succeeded(service.client(), 1);
  });

  it('keeps blobs of some size in files of their own, which are removed with them', async () => {
    const container = storageOf(service).getContainerClient('ccc');
    await container.create();
    for (let index = 0; index < 60; index++)
      await container.uploadBlockBlob(`b${index}`, Buffer.alloc(300_000), 300_000);
    const files = () => readdirSync(path('blobs/__blobstorage__')).length;
    assert.ok(files() >= 50, `${files()} files`);
  });
});

describe('A data folder whose service was killed where nothing reaps processes', function () {
  this.timeout(240_000);

  it('is taken over from the zombie', async () => {
    const folder = await temporaryFolder('zombie');
    const service = `"${process.execPath}" dist/service.js --data-dir "${folder.path}" --quiet`;
    // The shell becomes a program that waits for none of its children.
    const parent = spawn('/bin/sh', ['-c', `${service} & exec sleep 300`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const first = await lineOf(parent.stdout);
      process.kill(first.pid, 'SIGKILL');
      await eventually(
        async () => readFileSync(`/proc/${first.pid}/stat`, 'utf8'),
        (stat) => /\) Z /.test(stat),
      );
      const second = spawn(process.execPath, ['dist/service.js', '--data-dir', folder.path, '--quiet'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ready = await lineOf(second.stdout);
      assert.equal(ready.pid, second.pid);
      assert.equal((await fetch(ready.batchUrl)).status, 403);
      second.kill('SIGTERM');
      await new Promise((resolve) => second.once('exit', resolve));
    } finally {
      parent.kill('SIGKILL');
      await folder.remove();
    }
  });
});

async function lineOf(stream: NodeJS.ReadableStream): Promise<{ pid: number; batchUrl: string }> {
  return new Promise((resolve) => createInterface(stream).once('line', (line) => resolve(JSON.parse(line))));
}

async function azuriteEnded({ dataDir }: TestService): Promise<void> {
  const [pid] = readFileSync(join(dataDir, 'blobs/azurite.pid'), 'utf8').split(' ');
  await eventually(
    async () => existsSync(`/proc/${pid}`),
    (isThere) => !isThere,
  );
}

/** A command that gives the rest of its line a disk of 24 MB of its own in a folder. */
const smallDisk = ['unshare', '-rm', '/bin/sh', '-c', 'mount -t tmpfs -o size=24m tmpfs "$0" && exec "$@"'];

describe('The local Batch service on a full disk', function () {
  this.timeout(240_000);
  let service: TestService;

  prepare(
    async function () {
      // Not every container allows a mount.
      if (spawnSync('unshare', ['-rm', 'true']).status !== 0) this.skip();
      service = await TestService.startUnder(smallDisk);
    },
    async () => {
      await service?.close();
    },
  );

  /** The disk of the service as this process sees it. */
  const disk = (...names: string[]) => join(`/proc/${service.ready.pid}/root${service.dataDir}`, ...names);
  /** Fills the disk, and goes on when some of it is removed, until it is killed. */
  const refills = {
    commandLine: sh('trap : TERM; while :; do i=$((i+1)); cat /dev/zero > big$i; sleep 0.05; done'),
  };
  const fills = { commandLine: sh('cat /dev/zero > big; sleep 600') };
  let tries = 0;
  /** Whether a change is accepted now. */
  const accepts = async (): Promise<boolean> => {
    const { status } = await service.request('POST', '/jobs?api-version=2025-06-01', {
      id: `try-${tries++}`,
      poolInfo: { poolId: 'none' },
    });
    assert.ok(status === 201 || status === 503, String(status));
    return status === 201;
  };
  const jobExists = (id: string) =>
    service.request('GET', `/jobs/${id}?api-version=2025-06-01`).then(({ status }) => status === 200);
  const isFull = () => eventually(accepts, (isAccepted) => !isAccepted);
  const hasRoom = () => eventually(accepts, Boolean);

  it('runs a task again whose old files cannot be removed', async () => {
    const client = service.client();
    const id = 'stuck';
    await client.pool.add({ id, ...machine, targetDedicatedNodes: 1 });
    await client.job.add({ id, poolInfo: { poolId: id } });
    const first = 'touch $AZ_BATCH_NODE_SHARED_DIR/tried; mkdir ../m; mount -t tmpfs tmpfs ../m; exit 1';
    await client.task.add(id, {
      id,
      commandLine: sh(`[ -e $AZ_BATCH_NODE_SHARED_DIR/tried ] && exec sleep 600; ${first}`),
      constraints: { maxTaskRetryCount: 1 },
    });
    await eventually(async () => readFileSync(disk('service.log'), 'utf8').includes('EBUSY'), Boolean);
    const { state, executionInfo } = await client.task.get(id, id);
    assert.deepEqual([state, executionInfo?.retryCount], ['running', 1]);
    await client.task.deleteMethod(id, id);
    await assert.rejects(client.task.get(id, id), { code: 'TaskNotFound' });
  });

  it('loses nothing that it has acknowledged, refuses changes, and continues once there is room', async () => {
    const client = service.client();
    await addJob(client);
    const add = (id: string, script: string) => client.task.add('job', { id, commandLine: sh(script) });
    await add('before', 'true');
    await succeeded(client, 1);
    await add('running', 'while [ ! -e ../../go ]; do sleep 0.1; done');
    const { nodeInfo } = await eventually(
      () => client.task.get('job', 'running'),
      ({ state }) => state === 'running',
    );
    const filler = spawnSync('/bin/sh', ['-c', `cat /dev/zero > ${disk('filler')}`]);
    assert.notEqual(filler.status, 0);
    let added = 0;
    await eventually(
      () =>
        add(`refused-${added++}`, 'true').then(
          () => undefined,
          (error) => error.statusCode,
        ),
      (status) => status === 503,
    );
    writeFileSync(disk('nodes/pool', nodeInfo?.nodeId ?? '', nodeInfo?.taskRootDirectory ?? '', '../go'), '');
    rmSync(disk('filler'));
    await eventually(
      () => client.job.getTaskCounts('job'),
      ({ taskCounts }) => taskCounts.running + taskCounts.active === 0,
    );
    await eventually(
      () =>
        add(`after-${added++}`, 'true').then(
          () => true,
          () => false,
        ),
      Boolean,
    );
    await eventually(
      () => client.job.getTaskCounts('job'),
      (counts) => counts.taskCounts.active + counts.taskCounts.running === 0,
    );
    const ended = await listAll(client, 'job');
    // What was added in the moment before the disk was found full may have failed.
    for (const { id, executionInfo } of ended.filter(({ id = '' }) => !id.startsWith('refused')))
      assert.equal(executionInfo?.result, 'success', id);
    assert.ok(ended.length >= 3, String(ended.length));
    // Blob Storage, too.
    const container = storageOf(service).getContainerClient('ccc');
    await eventually(
      () =>
        container
          .createIfNotExists()
          .then(() => container.uploadBlockBlob('b', 'x', 1))
          .then(
            () => true,
            () => false,
          ),
      Boolean,
    );
  });

  it('gets room from the deletion of what fills it: a task, a job, its preparation, a pool', async () => {
    const client = service.client();
    for (const kind of ['task', 'job', 'preparation', 'pool'] as const) {
      const id = `fills-${kind}`;
      await client.pool.add({ id, ...machine, targetDedicatedNodes: 1 });
      const isPreparation = kind === 'preparation';
      const jobPreparationTask = isPreparation ? fills : undefined;
      await client.job.add({ id, poolInfo: { poolId: id }, jobPreparationTask });
      await client.task.add(
        id,
        isPreparation ? { id, commandLine: '/bin/true' } : { id, ...(kind === 'pool' ? refills : fills) },
      );
      await isFull();
      if (kind === 'task') await client.task.deleteMethod(id, id);
      else if (kind === 'pool') await client.pool.deleteMethod(id);
      else await client.job.deleteMethod(id);
      await hasRoom();
      if (kind === 'task') await assert.rejects(client.task.get(id, id), { code: 'TaskNotFound' });
      if (kind === 'pool') {
        await eventually(
          () => client.pool.exists(id),
          ({ body }) => !body,
        );
        assert.equal((await client.task.get(id, id)).state, 'active');
      } else await client.pool.deleteMethod(id);
    }
  });

  it('deletes tasks and jobs that have ended but whose end cannot be stored', async () => {
    const client = service.client();
    const poolInfo = { poolId: 'ended' };
    await client.pool.add({ id: 'ended', ...machine, targetDedicatedNodes: 1, taskSlotsPerNode: 4 });
    const late = { commandLine: sh('until [ -e $AZ_BATCH_NODE_SHARED_DIR/go ]; do sleep 0.05; done') };
    await client.job.add({ id: 'ended', poolInfo });
    await client.task.addCollection('ended', [
      { id: 'late-1', ...late },
      { id: 'late-2', ...late },
    ]);
    await client.job.add({ id: 'prepared', poolInfo, jobPreparationTask: late });
    await client.task.add('prepared', { id: 'task', commandLine: '/bin/true' });
    const waiting = [
      ['ended', 'late-1', 'running'],
      ['ended', 'late-2', 'running'],
      ['prepared', 'task', 'preparing'],
    ] as const;
    for (const [jobId, id, wanted] of waiting) {
      await eventually(
        () => client.task.get(jobId, id),
        ({ state }) => state === wanted,
      );
    }
    await eventually(
      async () => readdirSync(disk('processes')).length,
      (count) => count === 3,
    );
    await client.task.add('ended', { id: 'fills', commandLine: sh('cat /dev/zero > big') });
    await isFull();
    const [node] = await client.computeNode.list('ended');
    writeFileSync(disk('nodes/ended', node?.id ?? '', 'shared/go'), '');
    await eventually(
      async () => readdirSync(disk('processes')).length,
      (count) => count === 0,
    );
    await client.job.deleteMethod('prepared');
    await eventually(
      () => jobExists('prepared'),
      (exists) => !exists,
    );
    await client.task.deleteMethod('ended', 'late-1');
    await client.job.deleteMethod('ended');
    await eventually(
      () => jobExists('ended'),
      (exists) => !exists,
    );
    await hasRoom();
    await client.pool.deleteMethod('ended');
  });

  it('gets room from what the previous run has not removed yet', async () => {
    // The disk of the trash and the reserve is full; there is enough room for the start.
    const script = [
      'mkdir "$0/full"',
      'mount -t tmpfs -o size=2m tmpfs "$0/full"',
      'mkdir -p "$0/full/trash/old"',
      ': > "$0/full/reserve"',
      'ln -s full/trash "$0/trash"',
      'ln -s full/reserve "$0/state.reserve"',
      ': > "$0/state.jsonl"',
      '! cat /dev/zero > "$0/full/trash/old/big" 2> /dev/null',
      'exec "$@"',
    ].join(' && ');
    const started = await TestService.startUnder(['unshare', '-rm', '/bin/sh', '-c', script]);
    try {
      const job = { id: 'job', poolInfo: { poolId: 'none' } };
      await eventually(
        () => started.request('POST', '/jobs?api-version=2025-06-01', job).then(({ status }) => status),
        (status) => status === 201,
      );
    } finally {
      await started.close();
    }
  });

  it('gets room from files whose retention time ends', async () => {
    const client = service.client();
    const poolInfo = { poolId: 'retains' };
    await client.pool.add({ id: 'retains', ...machine, targetDedicatedNodes: 1 });
    /** Fills the disk. Resolves to the id of the job, or undefined if its first files were removed before. */
    const fill = async (seconds: number) => {
      const id = `retained-${seconds}`;
      await client.job.add({ id, poolInfo });
      await client.task.addCollection(id, [
        {
          id: 'first',
          commandLine: sh('head -c 4000000 /dev/zero > some'),
          constraints: { retentionTime: `PT${seconds}S` },
        },
        { id: 'second', ...fills },
      ]);
      await isFull();
      const { nodeId = '', taskRootDirectory = '' } = (await client.task.get(id, 'first')).nodeInfo ?? {};
      if (existsSync(disk('nodes/retains', nodeId, taskRootDirectory, 'wd/some'))) return id;
      await client.job.deleteMethod(id);
      await hasRoom();
      return undefined;
    };
    const id = await withLongerLimits(fill, Boolean);
    assert.ok(id);
    await hasRoom();
    assert.equal((await client.task.get(id, 'second')).state, 'running');
    await client.pool.deleteMethod('retains');
  });
});
