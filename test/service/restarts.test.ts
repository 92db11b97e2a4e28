import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { BatchServiceModels } from '@azure/batch';
import { eventually, machine, prepare, TestService } from './harness';

type JournalRecord = Readonly<Record<string, unknown>>;

/** No system has a process of this id. */
const unusedPid = 2 ** 30;

/** Whether a program listens at a port. */
function answersAt(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Sends a request that the service refuses. Resolves when the service has taken it, which it says before it answers. */
function takenBy(port: number): Promise<{ isAnswered: boolean }> {
  return new Promise((resolve, reject) => {
    const taken = { isAnswered: false };
    const request = get({ port, host: '127.0.0.1', headers: { expect: '100-continue' } }, (response) => {
      taken.isAnswered = true;
      response.resume();
    });
    request.once('continue', () => resolve(taken));
    request.once('error', reject);
  });
}

describe('The local Batch service, killed in the middle of a change', function () {
  this.timeout(240_000);
  let service: TestService;

  prepare(
    async () => {
      service = await TestService.start();
      await service
        .client()
        .pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 2, taskSlotsPerNode: 4 });
      await idle('pool', 2);
    },
    () => service.close(),
  );

  const path = (...names: string[]) => join(service.dataDir, ...names);
  const idle = (poolId: string, count: number) =>
    eventually(
      () => service.client().computeNode.list(poolId),
      (nodes) => nodes.length === count && nodes.every(({ state }) => state === 'idle'),
    );
  const taskIn = (jobId: string, id: string, wanted: string) =>
    eventually(
      () => service.client().task.get(jobId, id),
      ({ state }) => state === wanted,
    );
  const jobIn = (id: string, wanted: string) =>
    eventually(
      () => service.client().job.get(id),
      ({ state }) => state === wanted,
    );
  async function addJob(
    id: string,
    tasks: BatchServiceModels.TaskAddParameter[],
    more: Partial<BatchServiceModels.JobAddParameter> = {},
  ): Promise<void> {
    await service.client().job.add({ id, poolInfo: { poolId: 'pool' }, ...more });
    await service.client().task.addCollection(id, tasks);
  }
  const running = (id: string) => ({ id, commandLine: '/bin/sleep 600' });

  /** The records of the journal, by key in the order of their first appearance. */
  function records(): Map<string, JournalRecord> {
    const lines = readFileSync(path('state.jsonl'), 'utf8').split('\n').filter(Boolean);
    const all = new Map<string, JournalRecord>(lines.map((line) => JSON.parse(line)));
    return new Map([...all].filter(([, record]) => record !== null));
  }

  function write(key: string, record: JournalRecord): void {
    appendFileSync(path('state.jsonl'), `\n${JSON.stringify([key, record])}\n`);
  }

  /** Writes a job as the service does when one of its calls begins, in place of a kill right after that. */
  function change(jobId: string, state: string, more: Record<string, unknown> = {}): void {
    const record = records().get(`job/${jobId}`);
    assert.ok(record);
    const wire = { ...(record.wire as JournalRecord), state };
    write(`job/${jobId}`, { ...record, ...more, wire });
  }

  it('starts no task before it has ended what its previous run has left', async () => {
    await addJob('early', []);
    await service.kill();
    // The record of a process that cannot be read until something is written into it.
    mkdirSync(path('processes'), { recursive: true });
    const record = path('processes', String(unusedPid));
    assert.equal(spawnSync('mkfifo', [record]).status, 0);
    const starting = service.start();
    const notes = path('early-notes');
    const script = `echo ran >> ${notes}; until [ -e ${path('early-go')} ]; do sleep 0.05; done`;
    const task = { id: 'task', commandLine: `/bin/sh -c "${script}"` };
    let status = 0;
    const added = eventually(
      async () => {
        const reply = await service
          .request('POST', '/jobs/early/tasks?api-version=2025-06-01', task)
          .catch(() => undefined);
        status = reply?.status ?? 0;
        return status;
      },
      (answered) => answered === 201,
    );
    const port = Number(new URL(service.ready.batchUrl).port);
    await eventually(() => answersAt(port), Boolean);
    // A service that does not wait would have answered the first of them long before it takes the last.
    const taken = [];
    for (let count = 0; count < 20; count++) taken.push(await takenBy(port));
    assert.deepEqual([status, ...taken.filter(({ isAnswered }) => isAnswered)], [0]);
    await writeFile(record, '');
    await starting;
    await added;
    await eventually(async () => existsSync(notes), Boolean);
    writeFileSync(path('early-go'), '');
    const { executionInfo } = await taskIn('early', 'task', 'completed');
    assert.deepEqual([executionInfo?.exitCode, executionInfo?.requeueCount], [0, 0]);
    assert.equal(readFileSync(notes, 'utf8'), 'ran\n');
  });

  it('completes the termination of a job, and a disabling that terminates', async () => {
    for (const id of ['terminated', 'disabled', 'requeued']) {
      await addJob(id, [running('task')]);
      await taskIn(id, 'task', 'running');
    }
    await service.kill();
    change('terminated', 'terminating');
    change('disabled', 'disabling', { disableOption: 'terminate' });
    change('requeued', 'disabling', { disableOption: 'requeue' });
    await service.start();
    await jobIn('terminated', 'completed');
    for (const id of ['disabled', 'requeued']) await jobIn(id, 'disabled');
    for (const id of ['terminated', 'disabled']) {
      const { state, executionInfo } = await service.client().task.get(id, 'task');
      assert.deepEqual([state, executionInfo?.failureInfo?.code], ['completed', 'TaskEnded'], id);
    }
    const { state, executionInfo } = await service.client().task.get('requeued', 'task');
    assert.deepEqual([state, executionInfo?.requeueCount], ['active', 1]);
  });

  it('enables a job that an earlier version was enabling', async () => {
    await addJob('enabled', []);
    await service.client().job.disable('enabled', 'requeue');
    await jobIn('enabled', 'disabled');
    await service.client().task.add('enabled', { id: 'task', commandLine: '/bin/true' });
    await service.kill();
    change('enabled', 'enabling');
    await service.start();
    await taskIn('enabled', 'task', 'completed');
    await jobIn('enabled', 'active');
  });

  /**
   * Kills the service between the removal of a node and the end of the task there, and starts it again. Resolves to the
   * ids of the nodes; undefined if the task had ended before.
   */
  async function shrink(id: string): Promise<{ staying: string; imaged: string } | undefined> {
    await service.client().pool.add({ id, ...machine, targetDedicatedNodes: 3 });
    await idle(id, 3);
    const [staying, leaving, imaged] = [...records().keys()]
      .filter((key) => key.startsWith(`node/${id}/`))
      .map((key) => key.split('/')[2] ?? '');
    assert.ok(staying && leaving && imaged);
    const commandLine = `/bin/sh -c "trap : TERM; while :; do sleep 1; done"`;
    await addJob(
      id,
      [leaving, imaged].map((node, index) => ({
        id: `t${index}`,
        commandLine,
        affinityInfo: { affinityId: `TVM:${node}` },
      })),
      { poolInfo: { poolId: id } },
    );
    for (const taskId of ['t0', 't1']) await taskIn(id, taskId, 'running');
    writeFileSync(path('nodes', id, imaged, 'shared', 'marker'), '');
    const { computeNode, pool } = service.client();
    await computeNode.reimage(id, imaged, { nodeReimageOption: 'taskcompletion' });
    await pool.removeNodes(id, { nodeList: [leaving], nodeDeallocationOption: 'terminate' });
    await service.kill();
    const stored = records();
    await service.start();
    const isEarly = stored.has(`node/${id}/${leaving}`) && stored.get(`task/${id}/t0`)?.state === 'running';
    return isEarly ? { staying, imaged } : undefined;
  }

  it('completes the removal of the node that was named, with its tasks, and a new image', async () => {
    let id = '';
    let shrunk: { staying: string; imaged: string } | undefined;
    for (let tries = 0; shrunk === undefined && tries < 3; tries++) {
      id = `shrinks-${tries}`;
      shrunk = await shrink(id);
    }
    assert.ok(shrunk, 'The task had ended before each kill.');
    const { staying, imaged } = shrunk;
    const left = await eventually(
      () => service.client().computeNode.list(id),
      (nodes) => nodes.length === 2 && nodes.every(({ state }) => state === 'idle' || state === 'running'),
    );
    assert.deepEqual(left.map((node) => node.id).sort(), [staying, imaged].sort());
    assert.ok(!existsSync(path('nodes', id, imaged, 'shared', 'marker')));
    const { state, executionInfo } = await service.client().task.get(id, 't0');
    assert.deepEqual([state, executionInfo?.failureInfo?.code], ['completed', 'TaskEnded']);
    assert.equal((await service.client().pool.get(id)).targetDedicatedNodes, 2);
  });

  it('terminates a multi-instance task with the node of a subtask that was to be removed', async () => {
    const id = 'instances';
    await service
      .client()
      .pool.add({ id, ...machine, targetDedicatedNodes: 2, enableInterNodeCommunication: true });
    const multiInstanceSettings = { numberOfInstances: 2, coordinationCommandLine: '/bin/true' };
    await addJob(id, [{ ...running('task'), multiInstanceSettings }], { poolInfo: { poolId: id } });
    await taskIn(id, 'task', 'running');
    const { value: [subtask] = [] } = await service.client().task.listSubtasks(id, 'task');
    await service.kill();
    const key = `node/${id}/${subtask?.nodeInfo?.nodeId}`;
    write(key, { ...records().get(key), leaving: 'terminate' });
    await service.start();
    const { executionInfo } = await taskIn(id, 'task', 'completed');
    assert.equal(executionInfo?.failureInfo?.code, 'TaskEnded');
  });

  /** Ends tasks with their nodes in every way, and kills the service before they have ended. Resolves to their ids. */
  async function endWithNodes(id: string): Promise<string[]> {
    const verbs = ['reboot', 'reimage', 'deallocate', 'disablescheduling'];
    await service.client().pool.add({ id, ...machine, targetDedicatedNodes: verbs.length });
    const nodes = await idle(id, verbs.length);
    const commandLine = `/bin/sh -c "trap : TERM; while :; do sleep 1; done"`;
    const tasks = verbs.map((verb, index) => ({
      id: verb,
      commandLine,
      affinityInfo: { affinityId: nodes[index]?.affinityId ?? '' },
    }));
    await addJob(id, tasks, { poolInfo: { poolId: id } });
    for (const verb of verbs) await taskIn(id, verb, 'running');
    for (const [verb, option] of [
      ['reboot', 'nodeRebootOption'],
      ['reimage', 'nodeReimageOption'],
      ['deallocate', 'nodeDeallocateOption'],
      ['disablescheduling', 'nodeDisableSchedulingOption'],
    ] as const) {
      const { nodeInfo } = await service.client().task.get(id, verb);
      const at = `/pools/${id}/nodes/${nodeInfo?.nodeId}/${verb}?api-version=2025-06-01`;
      const reply = await service.request('POST', at, { [option]: 'terminate' });
      assert.ok(reply.ok, verb);
    }
    await service.kill();
    const stored = records();
    await service.start();
    return verbs.filter((verb) => stored.get(`task/${id}/${verb}`)?.state === 'running');
  }

  it('terminates the tasks that were to end with the reboot, new image, deallocation or disabling of their node', async () => {
    let id = '';
    let unended: string[] = [];
    // Tasks of other tests would take the processes that this one needs at the same time.
    const { job } = service.client();
    for (const { id: other = '' } of await job.list()) await job.deleteMethod(other);
    for (let tries = 0; unended.length === 0 && tries < 3; tries++) {
      id = `ends-${tries}`;
      unended = await endWithNodes(id);
    }
    assert.ok(unended.length > 0, 'The tasks had ended before each kill.');
    for (const verb of unended) {
      const { executionInfo } = await taskIn(id, verb, 'completed');
      assert.deepEqual(
        [executionInfo?.failureInfo?.code, executionInfo?.requeueCount],
        ['TaskEnded', 0],
        verb,
      );
    }
    assert.ok(![...records().keys()].some((key) => key.startsWith('ending/')));
  });

  it('replaces a Spot node that was preempted', async () => {
    await service.client().pool.add({ id: 'spot', ...machine, targetLowPriorityNodes: 1 });
    const [before] = await idle('spot', 1);
    await service.kill();
    const key = `node/spot/${before?.id}`;
    write(key, { ...records().get(key), state: 'preempted' });
    await service.start();
    const [after] = await idle('spot', 1);
    assert.notEqual(after?.id, before?.id);
  });
});
