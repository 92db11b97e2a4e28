import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { BatchServiceClient, BatchServiceModels } from '@azure/batch';
import { ContainerClient, ContainerSASPermissions, StorageSharedKeyCredential } from '@azure/storage-blob';
import { startersOf } from './descendants';
import { eventually, machine, prepare, refused, TestService } from './harness';

const run = promisify(execFile);
const image = 'localhost/batch-test:1';
const containers = { type: 'dockerCompatible', containerImageNames: [image] };
const containerMachine = {
  ...machine,
  virtualMachineConfiguration: { ...machine.virtualMachineConfiguration, containerConfiguration: containers },
};
const containerSettings = { imageName: image };

/** An image without a registry: Debian's static busybox, with the commands that the tests use. */
async function makeImage(folder: string, env: NodeJS.ProcessEnv): Promise<void> {
  const root = join(folder, 'image');
  for (const name of ['bin', 'etc', 'tmp']) await mkdir(join(root, name), { recursive: true });
  await cp('/bin/busybox', join(root, 'bin/busybox'));
  for (const name of ['sh', 'cat', 'echo', 'sleep', 'env', 'pwd', 'ls', 'id', 'touch', 'true'])
    await symlink('busybox', join(root, 'bin', name));
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n');
  await run('tar', ['-C', root, '-cf', join(folder, 'image.tar'), '.']);
  const changes = ['--change', 'ENV FROM_IMAGE=yes', '--change', 'CMD ["/bin/echo", "default command"]'];
  await run('podman', ['import', ...changes, join(folder, 'image.tar'), image], { env });
}

/** Podman with a storage of its own. */
async function podmanIn(folder: string): Promise<Record<string, string>> {
  const hasRunc = await run('runc', ['--version']).then(
    () => true,
    () => false,
  );
  await writeFile(join(folder, 'containers.conf'), `[engine]\n${hasRunc ? 'runtime = "runc"\n' : ''}`);
  await writeFile(
    join(folder, 'storage.conf'),
    `[storage]\ndriver = "vfs"\ngraphroot = "${folder}/graph"\nrunroot = "${folder}/run"\n`,
  );
  return {
    CONTAINERS_CONF: join(folder, 'containers.conf'),
    CONTAINERS_STORAGE_CONF: join(folder, 'storage.conf'),
  };
}

describe('Tasks in containers of the local Batch service', function () {
  this.timeout(240_000);
  let folder: string;
  let env: Record<string, string>;
  let service: TestService;
  let client: BatchServiceClient;

  prepare(
    async function () {
      folder = await mkdtemp(join(tmpdir(), 'batch-containers-'));
      env = await podmanIn(folder);
      try {
        await makeImage(folder, { ...process.env, ...env });
        // As the service does: root may not be allowed to raise limits.
        const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];
        await run('podman', ['run', '--rm', '--network', 'host', ...limits, image, '/bin/true'], {
          env: { ...process.env, ...env },
        });
      } catch (error) {
        console.log(
          `    skipped tasks in containers: Podman runs none here (${String(error).split('\n')[0]})`,
        );
        this.skip();
      }
      service = await TestService.startAs(
        { batchName: 'localbatch', storageName: 'localstorage' },
        env,
        ...['--container-engine', 'podman'],
      );
      client = service.client('2025-06-01');
      await client.pool.add({
        id: 'pool',
        ...containerMachine,
        targetDedicatedNodes: 1,
        taskSlotsPerNode: 4,
      });
      await client.job.add({ id: 'job', poolInfo: { poolId: 'pool' } });
    },
    async () => {
      await service?.close();
      await rm(folder, { recursive: true, force: true });
    },
  );

  const podman = async (...args: string[]) =>
    (await run('podman', args, { env: { ...process.env, ...env } })).stdout.trim();
  const remaining = () => podman('ps', '--all', '--quiet');
  const running = () =>
    eventually(
      () => podman('ps', '--quiet'),
      (ids) => ids !== '',
    );

  async function completed(id: string, job = 'job'): Promise<BatchServiceModels.CloudTask> {
    return eventually(
      () => service.client().task.get(job, id),
      ({ state }) => state === 'completed',
    );
  }

  async function textOf(id: string, name = 'stdout.txt', job = 'job'): Promise<string> {
    const { readableStreamBody } = await service.client().file.getFromTask(job, id, name);
    const chunks: Buffer[] = [];
    for await (const chunk of readableStreamBody ?? []) chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks).toString();
  }

  it('have the environment and the folders of their node, and their output, exit code and files', async () => {
    const { credentials, ready } = service;
    const storage = new ContainerClient(
      `${ready.blobUrl}/files`,
      new StorageSharedKeyCredential(credentials.storageName, credentials.storageKey),
    );
    await storage.create();
    await storage.getBlockBlobClient('in.txt').upload('input', 5);
    await client.task.add('job', {
      id: 'whole',
      containerSettings: { ...containerSettings, containerRunOptions: '--rm --env ADDED="by options"' },
      commandLine: `/bin/sh -c 'cat in.txt; echo; pwd; echo "$TWO_LINES|$PATH|$HOME|$FROM_IMAGE|$ADDED"; echo shared > $AZ_BATCH_NODE_SHARED_DIR/kept; echo oops >&2; echo made > out.txt; exit 7'`,
      environmentSettings: [
        { name: 'TWO_LINES', value: 'one\ntwo' },
        { name: 'HOME', value: '/home/of the task' },
      ],
      resourceFiles: [{ autoStorageContainerName: 'files', blobPrefix: 'in' }],
      outputFiles: [
        {
          filePattern: 'out.txt',
          destination: {
            container: {
              containerUrl: await storage.generateSasUrl({
                permissions: ContainerSASPermissions.parse('w'),
                expiresOn: new Date(Date.now() + 3_600_000),
              }),
            },
          },
          uploadOptions: { uploadCondition: 'taskcompletion' },
        },
      ],
    });
    const { executionInfo, nodeInfo } = await completed('whole');
    assert.equal(executionInfo?.exitCode, 7, JSON.stringify(executionInfo));
    assert.equal(executionInfo?.failureInfo?.code, 'FailureExitCode');
    assert.match(executionInfo?.containerInfo?.containerId ?? '', /^[0-9a-f]{64}$/);
    const root = join(service.dataDir, 'nodes/pool', nodeInfo?.nodeId ?? '');
    assert.deepEqual((await textOf('whole')).split('\n'), [
      'input',
      join(root, 'workitems/job/job-1/whole/wd'),
      'one',
      'two|/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|/home/of the task|yes|by options',
      '',
    ]);
    assert.equal(await textOf('whole', 'stderr.txt'), 'oops\n');
    assert.equal(await readFile(join(root, 'shared/kept'), 'utf8'), 'shared\n');
    assert.equal((await storage.getBlobClient('out.txt').downloadToBuffer()).toString(), 'made\n');
    assert.equal(await remaining(), '');
  });

  it('run the command of their image without a command line, in its folder, with the folders that are asked for', async () => {
    await client.task.add('job', { id: 'default', containerSettings, commandLine: '' });
    await service.request('POST', '/jobs/job/tasks?api-version=2025-06-01', {
      id: 'apart',
      containerSettings: {
        ...containerSettings,
        workingDirectory: 'containerImageDefault',
        containerHostBatchBindMounts: [{ source: 'Task' }, { source: 'shared', isReadOnly: true }],
      },
      commandLine: `/bin/sh -c 'pwd; ls $AZ_BATCH_NODE_ROOT_DIR; touch $AZ_BATCH_NODE_SHARED_DIR/new || echo read-only'`,
    });
    await completed('default');
    assert.equal(await textOf('default'), 'default command\n');
    await completed('apart');
    assert.equal(await textOf('apart'), '/\nshared\nworkitems\nread-only\n');
  });

  it('fail with the reason where image, program or options are bad, or the pool runs no containers', async () => {
    await client.pool.add({ id: 'plain', ...machine, targetDedicatedNodes: 1 });
    await client.job.add({ id: 'plain', poolInfo: { poolId: 'plain' } });
    const bad = {
      'no-program': [{ ...containerSettings }, 'no-such-program', 'CommandProgramNotFound'],
      'no-option': [
        { ...containerSettings, containerRunOptions: '--no-such-option' },
        '/bin/true',
        'ContainerInvalidSettings',
      ],
      'no-image': [{ imageName: 'localhost:1/none:1' }, '/bin/true', 'ContainerInvalidImage'],
      'an-option': [{ imageName: '--privileged' }, '/bin/true', 'ContainerInvalidImage'],
    } as const;
    for (const [id, [settings, commandLine]] of Object.entries(bad))
      await client.task.add('job', { id, containerSettings: settings, commandLine });
    await client.task.add('plain', { id: 'task', containerSettings, commandLine: '/bin/true' });
    for (const [id, [, , code]] of Object.entries(bad)) {
      const { executionInfo } = await completed(id);
      assert.equal(executionInfo?.failureInfo?.code, code, JSON.stringify(executionInfo?.failureInfo));
      assert.notEqual(executionInfo?.failureInfo?.details?.[0]?.value ?? '', '');
    }
    await service.request('POST', '/jobs/job/tasks?api-version=2025-06-01', {
      id: 'no-folder',
      containerSettings: { ...containerSettings, containerHostBatchBindMounts: [{ source: 'JobPrep' }] },
      commandLine: '/bin/true',
    });
    const { executionInfo: unmounted } = await completed('no-folder');
    assert.equal(unmounted?.failureInfo?.code, 'ContainerInvalidSettings');
    assert.deepEqual(await readdir(join(service.dataDir, 'containers')), []);
    const { executionInfo } = await completed('task', 'plain');
    assert.equal(executionInfo?.failureInfo?.code, 'ContainerPoolNotSupported');
    assert.equal(await remaining(), '');
  });

  it('end with their container by termination, deletion, time limit and the end of their job', async () => {
    // As the first process of a container, the shell ignores SIGTERM.
    const endless = { containerSettings, commandLine: `/bin/sh -c 'sleep 600; true'` };
    await client.job.add({ id: 'ending', poolInfo: { poolId: 'pool' } });
    for (const id of ['terminated', 'deleted', 'job']) await client.task.add('ending', { id, ...endless });
    await client.task.add('ending', { id: 'limit', ...endless, constraints: { maxWallClockTime: 'PT1S' } });
    await eventually(running, (ids) => ids.split('\n').length >= 3);
    await client.task.terminate('ending', 'terminated');
    await client.task.deleteMethod('ending', 'deleted');
    const limited = await completed('limit', 'ending');
    assert.equal(limited.executionInfo?.failureInfo?.code, 'TaskEnded');
    await client.job.terminate('ending');
    const ended = await completed('job', 'ending');
    assert.equal(ended.executionInfo?.containerInfo?.containerId?.length, 64);
    await eventually(remaining, (ids) => ids === '');
  });

  it('are also start, preparation, release and manager tasks', async () => {
    const says = (text: string) => ({
      containerSettings,
      commandLine: `/bin/sh -c "echo ${text} > said; echo ${text}"`,
    });
    await client.pool.add({
      id: 'kinds',
      ...containerMachine,
      targetDedicatedNodes: 1,
      startTask: { ...says('start'), waitForSuccess: true },
    });
    await client.job.add({
      id: 'kinds',
      poolInfo: { poolId: 'kinds' },
      jobPreparationTask: says('prepare'),
      jobReleaseTask: says('release'),
      jobManagerTask: { id: 'manager', ...says('manage'), authenticationTokenSettings: { access: ['job'] } },
    });
    const job = await eventually(
      () => client.job.get('kinds'),
      ({ state }) => state === 'completed',
    );
    assert.equal(job.executionInfo?.terminateReason, 'JMComplete');
    const [node] = await client.computeNode.list('kinds');
    assert.equal(node?.startTaskInfo?.result, 'success');
    assert.ok(node?.startTaskInfo?.containerInfo?.containerId);
    const [status] = await client.job.listPreparationAndReleaseTaskStatus('kinds');
    assert.ok(status?.jobPreparationTaskExecutionInfo?.containerInfo?.containerId);
    assert.equal(status?.jobReleaseTaskExecutionInfo?.result, 'success');
    const root = join(service.dataDir, 'nodes/kinds', node?.id ?? '');
    for (const path of [
      'startup',
      'workitems/kinds/job-1/jobpreparation',
      'workitems/kinds/job-1/jobrelease',
    ])
      assert.match(await readFile(join(root, path, 'wd/said'), 'utf8'), /^(start|prepare|release)\n$/);
    assert.equal(await textOf('manager', 'stdout.txt', 'kinds'), 'manage\n');
  });

  it('pull images with a password that nothing shows', async () => {
    const password = 'Very$ecret "word"';
    const asked: (string | undefined)[] = [];
    const registry: Server = createServer((request, reply) => {
      asked.push(request.headers.authorization);
      reply.writeHead(request.headers.authorization ? 404 : 401, {
        'www-authenticate': 'Basic realm="test"',
      });
      reply.end();
    });
    await new Promise<void>((done) => registry.listen(0, '127.0.0.1', done));
    const server = `localhost:${(registry.address() as AddressInfo).port}`;
    await writeFile(
      join(folder, 'registries.conf'),
      `[[registry]]\nlocation = "${server}"\ninsecure = true\n`,
    );
    const registries = { ...env, CONTAINERS_REGISTRIES_CONF: join(folder, 'registries.conf') };
    const other = await TestService.startAs(
      { batchName: 'localbatch', storageName: 'localstorage' },
      registries,
      ...['--container-engine', 'podman'],
    );
    try {
      const login = { userName: 'user', password, registryServer: server };
      await other.client().pool.add({
        id: 'private',
        ...machine,
        virtualMachineConfiguration: {
          ...machine.virtualMachineConfiguration,
          containerConfiguration: {
            ...containers,
            containerImageNames: [`${server}/private:1`],
            containerRegistries: [login],
          },
        },
        targetDedicatedNodes: 1,
      });
      const [node] = await eventually(
        () => other.client().computeNode.list('private'),
        ([one]) => one?.state === 'unusable',
      );
      assert.equal(node?.errors?.[0]?.code, 'ContainerInvalidImage');
      const expected = `Basic ${Buffer.from(`user:${password}`).toString('base64')}`;
      assert.ok(asked.includes(expected), asked.join());
      const pool = await other.client().pool.get('private');
      const [shown] = pool.virtualMachineConfiguration?.containerConfiguration?.containerRegistries ?? [];
      assert.deepEqual(shown, { userName: 'user', registryServer: server });
      for (const name of await readdir(other.dataDir)) {
        const text = await readFile(join(other.dataDir, name), 'utf8').catch(() => '');
        if (name !== 'registries.json') assert.ok(!text.includes('ecret'), name);
      }
      assert.deepEqual(await readdir(join(other.dataDir, 'containers')), []);
    } finally {
      await other.close();
      registry.close();
    }
  });

  it('leave no container when the service is killed or ends, and run again after its next start', async () => {
    await client.task.add('job', {
      id: 'killed',
      containerSettings,
      commandLine: `/bin/sh -c 'sleep 600; true'`,
    });
    await running();
    await service.kill();
    await eventually(remaining, (ids) => ids === '');
    await service.start();
    client = service.client('2025-06-01');
    await running();
    const { executionInfo } = await client.task.get('job', 'killed');
    assert.equal(executionInfo?.requeueCount, 1);
    // Killed together with the process that starts programs, nothing ends the container until the next start.
    const { pid } = service.ready;
    process.kill(pid, 'SIGSTOP');
    for (const starter of startersOf(pid)) process.kill(starter, 'SIGKILL');
    const before = await remaining();
    await service.kill();
    assert.equal(await remaining(), before);
    await service.start();
    client = service.client('2025-06-01');
    await eventually(remaining, (ids) => ids !== '' && ids !== before);
    process.kill(service.ready.pid, 'SIGTERM');
    await service.ended();
    assert.equal(await remaining(), '');
  });
});

describe('Tasks in containers without a container engine', function () {
  this.timeout(240_000);

  it('are refused by name, and so are pools, when a client of Docker has no daemon', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'batch-engine-'));
    const docker = join(folder, 'docker');
    await writeFile(docker, '#!/bin/sh\necho "Cannot connect to the Docker daemon" >&2\nexit 1\n');
    await chmod(docker, 0o755);
    const service = await TestService.startAs(
      { batchName: 'localbatch', storageName: 'localstorage' },
      { PATH: `${folder}:/bin:/usr/bin` },
      ...['--container-engine', 'docker'],
    );
    try {
      const client = service.client();
      await assert.rejects(
        client.pool.add({ id: 'pool', ...containerMachine }),
        refused('InvalidPropertyValue', 400, 'containerConfiguration'),
      );
      await client.job.add({ id: 'job', poolInfo: { poolId: 'none' } });
      await assert.rejects(
        client.task.add('job', { id: 'task', containerSettings, commandLine: '' }),
        (error: { body?: { values?: { value?: string }[] } }) =>
          JSON.stringify(error.body).includes('No container engine answers'),
      );
      assert.equal((service.ready as { containerEngine?: null }).containerEngine, null);
    } finally {
      await service.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
