import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BatchServiceClient, BatchServiceModels } from '@azure/batch';
import { BlobServiceClient, ContainerSASPermissions, StorageSharedKeyCredential } from '@azure/storage-blob';
import { descendantsOf, processesWith, startersOf } from './descendants';
import { eventually, machine, prepare, refused, skip, TestService, withLongerLimits } from './harness';

type Task = BatchServiceModels.TaskAddParameter;
type Settings = Omit<BatchServiceModels.MultiInstanceSettings, 'coordinationCommandLine'>;

describe('Multi-instance tasks of the local Batch service', function () {
  this.timeout(240_000);
  let service: TestService;
  let client: BatchServiceClient;

  prepare(
    async () => {
      service = await TestService.start('--max-processes', '0');
      client = service.client();
      await addPool('pool', 3);
      await client.job.add({ id: 'job', poolInfo: { poolId: 'pool' }, usesTaskDependencies: true });
    },
    () => service.close(),
  );

  const addPool = (id: string, nodes: number, more: Partial<BatchServiceModels.PoolAddParameter> = {}) =>
    service.client().pool.add({
      id,
      ...machine,
      // 2 of its 8 cores are active.
      vmSize: 'Standard_E8-2s_v5',
      targetDedicatedNodes: nodes,
      enableInterNodeCommunication: true,
      ...more,
    });
  /** Adds a task of so many instances to a job. */
  const add = (
    id: string,
    instances: number,
    coordination: string,
    application: string,
    { jobId = 'job', settings = {}, ...more }: Partial<Task> & { jobId?: string; settings?: Settings } = {},
  ) =>
    service.client().task.add(jobId, {
      id,
      commandLine: `/bin/sh -c '${application}'`,
      multiInstanceSettings: {
        numberOfInstances: instances,
        coordinationCommandLine: `/bin/sh -c '${coordination}'`,
        ...settings,
      },
      ...more,
    });
  const inState = (id: string, state: string, jobId = 'job') =>
    eventually(
      () => service.client().task.get(jobId, id),
      (task) => task.state === state,
    );
  const subtasksOf = async (id: string, jobId = 'job') =>
    (await service.client().task.listSubtasks(jobId, id)).value ?? [];
  /** A file beside the data of the service. */
  const path = (name: string) => join(service.dataDir, name);
  const linesOf = (name: string) =>
    existsSync(path(name)) ? readFileSync(path(name), 'utf8').trim().split('\n').filter(Boolean) : [];
  const waitFor = (name: string) => `while [ ! -e ${path(name)} ]; do sleep 0.05; done`;
  const untilLines = (name: string, count: number) =>
    eventually(
      async () => linesOf(name),
      (lines) => lines.length >= count,
    );

  async function nodeText(nodeId: string, name: string, poolId = 'pool'): Promise<string> {
    const { readableStreamBody } = await client.file.getFromComputeNode(poolId, nodeId, name);
    const chunks: Buffer[] = [];
    for await (const chunk of readableStreamBody ?? []) chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks).toString();
  }

  function files() {
    const { storageName, storageKey } = service.credentials;
    const credential = new StorageSharedKeyCredential(storageName, storageKey);
    return new BlobServiceClient(service.ready.blobUrl, credential).getContainerClient('files');
  }

  async function upload(name: string, content: string | Buffer): Promise<void> {
    await files().createIfNotExists();
    await files().getBlockBlobClient(name).uploadData(Buffer.from(content));
  }

  it('coordinate all nodes with the common files before the primary runs, and list their subtasks', async () => {
    await upload('coordinate.sh', 'env; ls; sleep 0.3; echo one >> $LEDGER');
    await upload('own.txt', 'own');
    await add('sample', 3, 'sh $AZ_BATCH_TASK_SHARED_DIR/coordinate.sh', 'cat own.txt; wc -l < $LEDGER', {
      environmentSettings: [{ name: 'LEDGER', value: path('sample') }],
      settings: { commonResourceFiles: [{ autoStorageContainerName: 'files', blobPrefix: 'coordinate' }] },
      resourceFiles: [{ autoStorageContainerName: 'files', blobPrefix: 'own' }],
    });
    const task = await inState('sample', 'completed');
    assert.deepEqual([task.executionInfo?.exitCode, task.executionInfo?.result], [0, 'success']);
    assert.equal(task.nodeInfo?.taskRootDirectory, 'workitems/job/job-1/sample');
    const subtasks = await subtasksOf('sample');
    assert.deepEqual(
      subtasks.map((one) => [one.id, one.previousState, one.state, one.exitCode, one.result]),
      [1, 2].map((id) => [id, 'running', 'completed', 0, 'success']),
    );
    const nodes = [task, ...subtasks].map(({ nodeInfo }) => nodeInfo?.nodeId ?? '');
    const addresses: string[] = [];
    for (const id of nodes) addresses.push((await client.computeNode.get('pool', id)).ipAddress ?? '');
    assert.deepEqual([new Set(nodes).size, new Set(addresses).size], [3, 3]);
    for (const [instance, nodeId] of nodes.entries()) {
      const text = await nodeText(nodeId, 'workitems/job/job-1/sample/stdout.txt');
      const lines = text.split('\n');
      for (const line of [
        `AZ_BATCH_HOST_LIST=${addresses.join(',')}`,
        `AZ_BATCH_NODE_LIST=${addresses.join(';')}`,
        `AZ_BATCH_MASTER_NODE=${addresses[0]}:6000`,
        `AZ_BATCH_IS_CURRENT_NODE_MASTER=${instance === 0}`,
        `AZ_BATCH_NODE_ID=${nodeId}`,
        `CCP_NODES=3 ${addresses.map((address) => `${address} 2`).join(' ')}`,
        `LOCAL_BATCH_NODE_ADDRESS=${addresses[instance]}`,
      ])
        assert.ok(lines.includes(line), `${line} of ${text}`);
      const shared = lines.find((line) => line.startsWith('AZ_BATCH_TASK_SHARED_DIR='));
      assert.ok(shared?.endsWith(`${nodeId}/workitems/job/job-1/sample`), shared);
      assert.match(await nodeText(nodeId, 'workitems/job/job-1/sample/coordinate.sh'), /^env/);
      // The task's own resource files and its command line are for the primary alone, after all coordination.
      assert.equal(lines.includes('own.txt'), instance === 0);
      assert.equal(lines.includes('own3'), instance === 0);
      const { recentTasks } = await client.computeNode.get('pool', nodeId);
      assert.equal(recentTasks?.[0]?.subtaskId, instance === 0 ? undefined : instance);
    }
    const selected = await client.task.listSubtasks('job', 'sample', {
      taskListSubtasksOptions: { select: 'id,state' },
    });
    assert.deepEqual(JSON.parse(JSON.stringify(selected.value?.[0])), { id: 1, state: 'completed' });
    await client.task.deleteMethod('job', 'sample');
    for (const nodeId of nodes)
      await assert.rejects(nodeText(nodeId, 'workitems/job/job-1/sample/stdout.txt'), { statusCode: 404 });
  });

  it('keep what coordination leaves running until the primary ends, on addresses of their own', async () => {
    await upload(
      'server.cjs',
      `const host = process.env.LOCAL_BATCH_NODE_ADDRESS;
       require('node:net').createServer((socket) => socket.end(host + '\\n'))
         .listen(7321, host, () => require('node:fs').writeFileSync('up', ''));`,
    );
    await upload(
      'connect.cjs',
      `for (const host of process.env.AZ_BATCH_HOST_LIST.split(','))
         require('node:net').connect(7321, host).pipe(process.stdout);`,
    );
    await add(
      'servers',
      3,
      `${process.execPath} ../server.cjs & while [ ! -e up ]; do sleep 0.05; done`,
      `${process.execPath} connect.cjs`,
      {
        settings: { commonResourceFiles: [{ autoStorageContainerName: 'files', blobPrefix: 'server' }] },
        resourceFiles: [{ autoStorageContainerName: 'files', blobPrefix: 'connect' }],
      },
    );
    const { executionInfo, nodeInfo } = await inState('servers', 'completed');
    assert.equal(executionInfo?.exitCode, 0);
    const said = await nodeText(nodeInfo?.nodeId ?? '', 'workitems/job/job-1/servers/stdout.txt');
    assert.equal(new Set(said.trim().split('\n')).size, 3, said);
    assert.deepEqual(descendantsOf(service.ready.pid, 'server.cjs'), []);
  });

  it('run a program of Open MPI with a process on each node', async function () {
    const program = path('hello');
    writeFileSync(
      `${program}.c`,
      `#include <mpi.h>
       #include <stdio.h>
       int main(int argc, char **argv) {
         int rank, text = 0;
         MPI_Init(&argc, &argv);
         MPI_Comm_rank(MPI_COMM_WORLD, &rank);
         if (rank == 0) text = 42;
         MPI_Bcast(&text, 1, MPI_INT, 0, MPI_COMM_WORLD);
         printf("rank %d received %d\\n", rank, text);
         return MPI_Finalize();
       }`,
    );
    const { status } = spawnSync('mpicc', [`${program}.c`, '-o', program], { stdio: 'ignore' });
    if (status !== 0) skip(this, 'Open MPI: mpicc is not installed, or does not work');
    await upload('hello', readFileSync(program));
    const allowRoot = ['OMPI_ALLOW_RUN_AS_ROOT', 'OMPI_ALLOW_RUN_AS_ROOT_CONFIRM'];
    await add('mpi', 3, 'exit 0', 'mpirun --host $AZ_BATCH_HOST_LIST $AZ_BATCH_TASK_SHARED_DIR/hello', {
      environmentSettings: allowRoot.map((name) => ({ name, value: '1' })),
      settings: { commonResourceFiles: [{ autoStorageContainerName: 'files', blobPrefix: 'hello' }] },
    });
    const { executionInfo, nodeInfo } = await inState('mpi', 'completed');
    const output = (name: string) => nodeText(nodeInfo?.nodeId ?? '', `workitems/job/job-1/mpi/${name}.txt`);
    assert.equal(executionInfo?.exitCode, 0, await output('stderr'));
    const lines = (await output('stdout')).trim().split('\n').sort();
    assert.deepEqual(
      lines,
      [0, 1, 2].map((rank) => `rank ${rank} received 42`),
    );
  });

  it('fail with a subtask whose coordination fails, and are retried whole', async () => {
    const isMaster = '[ $AZ_BATCH_IS_CURRENT_NODE_MASTER = true ]';
    await add('failing', 2, `${isMaster} && exec sleep 600; echo x >> ${path('failing')}; exit 5`, 'exit 0', {
      constraints: { maxTaskRetryCount: 1 },
      exitConditions: { preProcessingError: { dependencyAction: 'satisfy' } },
    });
    await client.task.add('job', {
      id: 'after',
      commandLine: '/bin/true',
      dependsOn: { taskIds: ['failing'] },
    });
    const { executionInfo } = await inState('failing', 'completed');
    const { failureInfo } = executionInfo ?? {};
    assert.deepEqual(
      [executionInfo?.retryCount, executionInfo?.exitCode, failureInfo?.category, failureInfo?.code],
      [1, undefined, 'UserError', 'FailureExitCode'],
    );
    const details = Object.fromEntries((failureInfo?.details ?? []).map(({ name, value }) => [name, value]));
    assert.deepEqual([details.SubtaskId, details.SubtaskExitCode], ['1', '5']);
    const [subtask] = await subtasksOf('failing');
    assert.deepEqual(
      [subtask?.exitCode, subtask?.result, subtask?.failureInfo?.code],
      [5, 'failure', 'FailureExitCode'],
    );
    assert.equal(linesOf('failing').length, 2);
    await inState('after', 'completed');

    // The primary decides with its own exit code, and a missing file needs no retry.
    await add('primary', 2, `${isMaster} && exit 7; exec sleep 600`, 'exit 0');
    await add('missing', 2, 'exit 0', 'exit 0', {
      constraints: { maxTaskRetryCount: 1 },
      settings: { commonResourceFiles: [{ httpUrl: `${service.ready.blobUrl}/files/none`, filePath: 'x' }] },
    });
    const ends = await Promise.all(['primary', 'missing'].map((id) => inState(id, 'completed')));
    assert.deepEqual(
      ends.map((task) => [task.executionInfo?.exitCode, task.executionInfo?.failureInfo?.code]),
      [
        [7, 'FailureExitCode'],
        [undefined, 'BlobNotFound'],
      ],
    );
    assert.equal(ends[1]?.executionInfo?.retryCount, 0);
    assert.equal((await subtasksOf('primary'))[0]?.failureInfo?.code, 'TaskEnded');
  });

  it('end at their time limit, in the application and in the coordination, whose output is uploaded', async () => {
    const ended = async (id: string) => {
      const { executionInfo } = await inState(id, 'completed');
      return { exitCode: executionInfo?.exitCode, failure: executionInfo?.failureInfo?.code };
    };
    const application = await withLongerLimits(
      async (seconds) => {
        const constraints = { maxWallClockTime: `PT${seconds}S` };
        await add(`slow-${seconds}`, 2, 'exit 0', 'exec sleep 600', { constraints });
        return ended(`slow-${seconds}`);
      },
      ({ exitCode }) => exitCode !== undefined,
    );
    assert.deepEqual(application, { exitCode: 143, failure: 'TaskEnded' });
    await files().createIfNotExists();
    const containerUrl = await files().generateSasUrl({
      permissions: ContainerSASPermissions.parse('w'),
      expiresOn: new Date(Date.now() + 3_600_000),
    });
    const coordination = await withLongerLimits(
      async (seconds) => {
        const id = `slowly-${seconds}`;
        await add(id, 2, 'echo waiting; exec sleep 600', 'exit 0', {
          constraints: { maxWallClockTime: `PT${seconds}S` },
          outputFiles: [
            {
              filePattern: '../stdout.txt',
              destination: { container: { containerUrl, path: id } },
              uploadOptions: { uploadCondition: 'taskfailure' },
            },
          ],
        });
        const { exitCode, failure } = await ended(id);
        const text = await files()
          .getBlobClient(id)
          .downloadToBuffer()
          .then(String, () => '');
        return { exitCode, failure, text };
      },
      ({ text }) => text !== '',
    );
    assert.deepEqual(coordination, { exitCode: undefined, failure: 'TaskEnded', text: 'waiting\n' });
  });

  it('start again whole when a node is lost, between coordination and application too, and after a kill', async () => {
    await add(
      'lost',
      3,
      `echo c >> ${path('lost')}; [ -e ${path('lost-go')} ] || exec sleep 600`,
      waitFor('lost-end'),
    );
    await untilLines('lost', 3);
    const [subtask] = await subtasksOf('lost');
    assert.equal(subtask?.state, 'running');
    await client.computeNode.reboot('pool', subtask?.nodeInfo?.nodeId ?? '');
    await untilLines('lost', 6);
    writeFileSync(path('lost-go'), '');
    const other = (await inState('lost', 'running')).nodeInfo?.nodeId ?? '';
    await client.computeNode.reimage('pool', other);
    await untilLines('lost', 9);
    // The application runs: the coordination commands of all three have ended.
    await eventually(
      () => subtasksOf('lost'),
      (list) => list.length === 2 && list.every(({ state }) => state === 'completed'),
    );
    await service.kill();
    await service.start();
    client = service.client();
    await untilLines('lost', 12);
    writeFileSync(path('lost-end'), '');
    const { executionInfo } = await inState('lost', 'completed');
    assert.deepEqual([executionInfo?.exitCode, executionInfo?.requeueCount], [0, 3]);
    assert.equal((await subtasksOf('lost')).length, 2);
    await service.kill();
    await service.start();
    client = service.client();
    assert.deepEqual(
      (await subtasksOf('lost')).map(({ exitCode }) => exitCode),
      [0, 0],
    );
    assert.equal(linesOf('lost').length, 12);
  });

  it('wait for all their nodes at once: two that compete both run, and others pass them', async () => {
    await addPool('small', 2);
    for (const [id, priority] of [
      ['high', 1],
      ['low', 0],
    ] as const)
      await client.job.add({ id, poolInfo: { poolId: 'small' }, priority });
    const wait = { jobId: 'high' };
    await client.task.add('high', { id: 'single', commandLine: `/bin/sh -c '${waitFor('single-end')}'` });
    await inState('single', 'running', 'high');
    for (const id of ['first', 'second'])
      await add(id, 2, `echo ${id} >> ${path('order')}; sleep 0.2`, `echo ${id} >> ${path('order')}`, wait);
    await add('large', 3, 'exit 0', 'exit 0', wait);
    // One node is free. The task of the same job takes it; that of the other job may not, as long as `first` waits.
    await client.task.add('low', { id: 'held', commandLine: `/bin/sh -c 'echo held >> ${path('order')}'` });
    await client.task.add('high', { id: 'passing', commandLine: '/bin/true' });
    await inState('passing', 'completed', 'high');
    assert.equal((await client.task.get('low', 'held')).state, 'active');
    writeFileSync(path('single-end'), '');
    await inState('held', 'completed', 'low');
    assert.deepEqual(linesOf('order'), [...Array(3).fill('first'), ...Array(3).fill('second'), 'held']);
    assert.equal((await client.task.get('high', 'large')).state, 'active');
    await client.pool.enableAutoScale('small', {
      autoScaleFormula: '$x = $ActiveTasks.GetSample(1); $TargetDedicatedNodes = 2 + max($x);',
    });
    await inState('large', 'completed', 'high');
  });

  it('stay active in a pool that cannot run them, and are refused with more than one slot', async () => {
    await addPool('silent', 2, { enableInterNodeCommunication: false });
    await addPool('slots', 2, { taskSlotsPerNode: 2 });
    for (const id of ['silent', 'slots']) {
      await client.job.add({ id, poolInfo: { poolId: id } });
      await add('never', 2, 'exit 0', 'exit 0', { jobId: id });
      await client.task.add(id, { id: 'single', commandLine: '/bin/true' });
      await inState('single', 'completed', id);
      assert.equal((await client.task.get(id, 'never')).state, 'active');
    }
    assert.deepEqual(await subtasksOf('never', 'slots'), []);
    await assert.rejects(
      add('wide', 2, 'exit 0', 'exit 0', { requiredSlots: 2 }),
      refused('InvalidPropertyValue', 400, 'requiredSlots'),
    );
    const bad: [Settings, string][] = [
      [{ numberOfInstances: 0 }, 'numberOfInstances'],
      [{ commonResourceFiles: [{ filePath: 'x' }] }, 'commonResourceFiles'],
    ];
    for (const [settings, name] of bad)
      await assert.rejects(
        add('bad', 2, 'exit 0', 'exit 0', { settings }),
        refused('InvalidPropertyValue', 400, name),
      );
    await client.task.add('job', {
      id: 'alone',
      commandLine: '/bin/true',
      multiInstanceSettings: { coordinationCommandLine: '/bin/true' },
    });
    const alone = await inState('alone', 'completed');
    assert.deepEqual([alone.executionInfo?.exitCode, alone.multiInstanceSettings?.numberOfInstances], [0, 1]);
  });

  it('end with their job, and are requeued or waited for when it is disabled, and prepared on each node', async () => {
    await client.job.add({
      id: 'ending',
      poolInfo: { poolId: 'pool' },
      jobPreparationTask: { commandLine: `/bin/sh -c 'sleep 0.3; echo p >> ${path('prepared')}'` },
    });
    const background = `sleep 654 & echo c >> ${path('ending')}`;
    await add('requeued', 3, background, waitFor('ending-end'), { jobId: 'ending' });
    await untilLines('ending', 3);
    assert.equal(linesOf('prepared').length, 3);
    await client.job.disable('ending', 'requeue');
    await eventually(
      () => client.job.get('ending'),
      ({ state }) => state === 'disabled',
    );
    assert.deepEqual(descendantsOf(service.ready.pid, '654'), []);
    assert.deepEqual(await subtasksOf('requeued', 'ending'), []);
    await client.job.enable('ending');
    await untilLines('ending', 6);
    await client.job.disable('ending', 'wait');
    writeFileSync(path('ending-end'), '');
    await inState('requeued', 'completed', 'ending');
    await client.job.enable('ending');
    await add('stopped', 3, background, 'exec sleep 654', { jobId: 'ending' });
    await add('waiting', 3, 'exit 0', 'exit 0', { jobId: 'ending' });
    await untilLines('ending', 9);
    await client.task.terminate('ending', 'stopped');
    await inState('waiting', 'completed', 'ending');
    assert.equal((await client.task.get('ending', 'stopped')).executionInfo?.failureInfo?.code, 'TaskEnded');
    await add('last', 3, background, 'exec sleep 654', { jobId: 'ending' });
    await untilLines('ending', 12);
    await client.job.terminate('ending');
    await inState('last', 'completed', 'ending');
    assert.deepEqual(descendantsOf(service.ready.pid, '654'), []);
    assert.equal(linesOf('prepared').length, 3);
  });

  it('outlive a pool that shrinks below their size, preemption, and deletion in the middle of coordination', async () => {
    await addPool('spot', 0, { targetLowPriorityNodes: 2 });
    await client.job.add({ id: 'spot', poolInfo: { poolId: 'spot' }, maxParallelTasks: 1 });
    const inSpot = { jobId: 'spot' };
    await add('shrunk', 2, `echo c >> ${path('shrunk')}; ${waitFor('shrunk-go')}`, 'exit 0', inSpot);
    await add('second', 2, 'exit 0', 'exit 0', inSpot);
    await untilLines('shrunk', 2);
    assert.equal((await client.task.get('spot', 'second')).state, 'active');
    await client.pool.resize('spot', { targetLowPriorityNodes: 1, targetDedicatedNodes: 0 });
    await eventually(
      () => client.task.get('spot', 'shrunk'),
      ({ state, executionInfo }) => state === 'active' && executionInfo?.requeueCount === 1,
    );
    assert.deepEqual(await subtasksOf('shrunk', 'spot'), []);
    await eventually(
      () => client.pool.get('spot'),
      ({ allocationState }) => allocationState === 'steady',
    );
    assert.equal((await client.task.get('spot', 'shrunk')).state, 'active');
    await client.pool.resize('spot', { targetLowPriorityNodes: 2 });
    await untilLines('shrunk', 4);
    await service.fault({ preempt: 'spot' });
    await untilLines('shrunk', 6);
    writeFileSync(path('shrunk-go'), '');
    const { executionInfo } = await inState('shrunk', 'completed', 'spot');
    assert.deepEqual([executionInfo?.exitCode, executionInfo?.requeueCount], [0, 2]);
    await add('deleted', 2, `echo c >> ${path('deleted')}; exec sleep 987`, 'exit 0', inSpot);
    await untilLines('deleted', 2);
    await client.task.deleteMethod('spot', 'deleted');
    assert.deepEqual(descendantsOf(service.ready.pid, '987'), []);
    await add('next', 2, 'exit 0', 'exit 0', inSpot);
    await inState('next', 'completed', 'spot');
  });

  it('leave no background process behind, whatever dies first', async () => {
    // In the command lines of this test alone, on the whole machine.
    const mark = `876.${process.pid}`;
    const untilRunning = (count: number) =>
      eventually(
        async () => processesWith(mark),
        (pids) => pids.length === count,
      );
    await add('background', 2, `sleep ${mark} & echo c >> ${path('background')}`, `exec sleep ${mark}`);
    await inState('background', 'running');
    await untilLines('background', 2);
    for (const starter of startersOf(service.ready.pid)) process.kill(starter, 'SIGKILL');
    assert.equal((await inState('background', 'completed')).executionInfo?.result, 'failure');
    await untilRunning(0);
    await add('both', 2, `sleep ${mark} & echo c >> ${path('both')}`, waitFor('both-go'));
    await untilLines('both', 2);
    // A line can come before the background process has become `sleep`.
    await untilRunning(2);
    const starters = startersOf(service.ready.pid);
    // The background processes are left over, and the commands that started them have ended.
    for (const starter of starters) process.kill(starter, 'SIGSTOP');
    await service.kill();
    for (const starter of starters) process.kill(starter, 'SIGKILL');
    assert.equal(processesWith(mark).length, 2);
    await service.start();
    client = service.client();
    writeFileSync(path('both-go'), '');
    assert.equal((await inState('both', 'completed')).executionInfo?.exitCode, 0);
    await untilRunning(0);
  });
});
