import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Batch } from '../../src/core/azure/batch';
import { UserError } from '../../src/core/errors';
import { tail } from '../../src/core/jobs/logTail';
import { TaskProgress } from '../../src/core/jobs/taskProgress';
import { FastClock } from '../clock';
import { faultyProxy } from './faultyProxy';
import { eventually, machine, prepare, TestService } from './harness';

describe('Following a log', function () {
  this.timeout(240_000);
  let service: TestService;
  let batch: Batch;

  prepare(
    async () => {
      service = await TestService.start('--max-processes', '14');
      batch = new Batch(service.connection);
      await batch.addPool({ id: 'pool', ...machine, targetDedicatedNodes: 1 });
      await batch.addJob({ id: 'job', poolInfo: { poolId: 'pool' } });
    },
    () => service.close(),
  );

  async function follow(taskId: string, onData: (text: string) => void = () => undefined) {
    const kinds: string[] = [];
    let text = '';
    for await (const event of tail(batch, 'job', taskId, 'stdout.txt', AbortSignal.timeout(200_000))) {
      if (event.kind === 'data') {
        const data = Buffer.from(event.data).toString();
        text += data;
        onData(data);
      } else kinds.push(event.kind);
    }
    return { kinds, text };
  }

  it('yields every byte once while it is written, and ends with the task', async () => {
    const go = join(service.dataDir, 'go');
    const script = `echo line 1; until [ -e ${go} ]; do sleep 0.05; done; echo line 2; sleep 1; echo line 3; exit 3`;
    await batch.addTasks('job', [{ id: 'slow', commandLine: `/bin/sh -c "${script}"` }]);
    const chunks: string[] = [];
    const { kinds, text } = await follow('slow', (data) => {
      chunks.push(data);
      writeFileSync(go, '');
    });
    assert.equal(chunks[0], 'line 1\n');
    assert.equal(text, 'line 1\nline 2\nline 3\n');
    assert.equal(kinds.at(-1), 'ended');
  });

  it('reports when a task starts again, and reads the new log from its beginning', async () => {
    const mark = '"$AZ_BATCH_NODE_ROOT_DIR/../twice"';
    const script = `test -e ${mark} && { echo second; exit 0; }; touch ${mark}; echo first; exec sleep 600`;
    await batch.addTasks('job', [{ id: 'lost', commandLine: `/bin/bash -c '${script}'` }]);
    let rebooting: Promise<void> | undefined;
    const reboot = async () => {
      const task = await batch.task('job', 'lost');
      await batch.actOnNode('pool', task?.nodeInfo?.nodeId ?? '', 'reboot');
    };
    const { kinds, text } = await follow('lost', (data) => {
      if (data === 'first\n') rebooting = reboot();
    });
    await rebooting;
    assert.equal(text, 'first\nsecond\n');
    assert.ok(kinds.includes('restarted'), kinds.join());
  });

  it('reads the progress of a task that starts again from its beginning', async () => {
    const mark = '"$AZ_BATCH_NODE_ROOT_DIR/../again"';
    const block = (seconds: number) => `out_time_us=${seconds}000000\\nprogress=continue\\n`;
    const script = [
      `test -e ${mark} && { printf "${block(1)}" > progress.txt; exec sleep 600; }`,
      `touch ${mark}; printf "${block(8)}${block(9)}" > progress.txt; exec sleep 600`,
    ].join('; ');
    await batch.addTasks('job', [{ id: 'again', commandLine: `/bin/bash -c '${script}'` }]);
    const seen: number[] = [];
    const stop = new AbortController();
    const onProgress = (_id: string, { seconds }: { seconds: number }) => seen.push(seconds);
    const following = new TaskProgress(batch, 'job', onProgress, new FastClock(20)).follow(
      () => true,
      stop.signal,
    );
    const last = async (seconds: number) =>
      eventually(
        async () => seen.at(-1),
        (at) => at === seconds,
      );
    await last(9);
    const task = await batch.task('job', 'again');
    await batch.actOnNode('pool', task?.nodeInfo?.nodeId ?? '', 'reboot');
    await last(1);
    stop.abort();
    await following;
    assert.deepEqual(seen.slice(0, 2), [0, 9]);
    await batch.terminateTask('job', 'again');
  });

  it('reads a progress file that is short with one request', async () => {
    const script = 'printf "out_time_us=3000000\\nprogress=continue\\n" > progress.txt; exec sleep 600';
    await batch.addTasks('job', [{ id: 'short', commandLine: `/bin/bash -c '${script}'` }]);
    const place = { jobId: 'job', taskId: 'short' };
    await eventually(
      async () => (await batch.fileProperties(place, 'wd/progress.txt'))?.size ?? 0,
      (size) => size > 0,
    );
    const proxy = await faultyProxy(service.ready.batchUrl);
    try {
      const { account } = service.connection;
      const through = new Batch({ ...service.connection, account: { ...account, batchUrl: proxy.url } });
      const stop = new AbortController();
      const requests = () => proxy.requests.filter((request) => request.includes('/short/files/'));
      let asked: string[] = [];
      const onProgress = (id: string, { seconds }: { seconds: number }) => {
        if (id !== 'short' || seconds !== 3) return;
        asked = requests();
        stop.abort();
      };
      await new TaskProgress(through, 'job', onProgress, new FastClock(20)).follow(() => true, stop.signal);
      assert.deepEqual(
        asked.map((request) => request.split(' ')[0]),
        ['GET'],
      );
    } finally {
      await proxy.close();
    }
    await batch.terminateTask('job', 'short');
  });

  it('reads where many tasks are that were not read for long, with a bounded number of requests', async () => {
    const count = 12;
    // More than one request reads, written while other tasks are read.
    const line = '"out_time_us=1000000\\nprogress=continue\\n"';
    const script = [
      `for i in {1..3000}; do printf ${line}; done > progress.txt`,
      'printf "out_time_us=7000000\\nspeed=2.0x\\nprogress=continue\\n" >> progress.txt; exec sleep 600',
    ].join('; ');
    await batch.addPool({ id: 'many', ...machine, targetDedicatedNodes: 1, taskSlotsPerNode: count });
    await batch.addJob({ id: 'many', poolInfo: { poolId: 'many' } });
    const ids = Array.from({ length: count }, (_, index) => `many-${index}`);
    await batch.addTasks(
      'many',
      ids.map((id) => ({ id, commandLine: `/bin/bash -c '${script}'` })),
    );
    await eventually(
      () => batch.taskCounts('many'),
      ({ running }) => running === count,
    );
    const proxy = await faultyProxy(service.ready.batchUrl);
    try {
      const { account } = service.connection;
      const through = new Batch({ ...service.connection, account: { ...account, batchUrl: proxy.url } });
      const seen = new Map<string, number>();
      const stop = new AbortController();
      const onProgress = (id: string, { seconds }: { seconds: number }) => seen.set(id, seconds);
      const following = new TaskProgress(through, 'many', onProgress, new FastClock(20)).follow(
        () => true,
        stop.signal,
      );
      await eventually(
        async () => ids.filter((id) => seen.get(id) === 7).length,
        (read) => read === count,
      );
      stop.abort();
      await following;
      const rounds = proxy.requests.filter((request) => request.includes('/tasks?')).length;
      assert.ok(proxy.requests.length <= 9 * rounds, `${proxy.requests.length} requests in ${rounds} rounds`);
    } finally {
      await proxy.close();
    }
    await batch.terminateJob('many');
  });

  it('waits for a task without a node, and reports a task that does not exist', async () => {
    await batch.addJob({ id: 'other', poolInfo: { poolId: 'none' } });
    await batch.addTasks('other', [{ id: 'waits', commandLine: '/bin/true' }]);
    const stop = new AbortController();
    const events = tail(batch, 'other', 'waits', 'stdout.txt', stop.signal);
    assert.deepEqual((await events.next()).value, { kind: 'waiting' });
    await batch.deleteTask('other', 'waits');
    await eventually(
      () => batch.task('other', 'waits'),
      (task) => task === undefined,
    );
    await assert.rejects(
      async () => {
        for await (const _ of events);
      },
      (error) => error instanceof UserError && error.problem.kind === 'taskGone',
    );
  });
});
