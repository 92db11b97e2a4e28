import assert from 'node:assert/strict';
import { Batch } from '../../src/core/azure/batch';
import { UserError } from '../../src/core/errors';
import { tail } from '../../src/core/jobs/logTail';
import { eventually, machine, TestService } from './harness';

describe('Following a log', function () {
  this.timeout(60_000);
  let service: TestService;
  let batch: Batch;

  before(async () => {
    service = await TestService.start();
    batch = new Batch(service.connection);
    await batch.addPool({ id: 'pool', ...machine, targetDedicatedNodes: 1 });
    await batch.addJob({ id: 'job', poolInfo: { poolId: 'pool' } });
  });

  after(() => service.close());

  async function follow(taskId: string, onData: (text: string) => void = () => undefined) {
    const kinds: string[] = [];
    let text = '';
    for await (const event of tail(batch, 'job', taskId, 'stdout.txt', AbortSignal.timeout(50_000))) {
      if (event.kind === 'data') {
        const data = Buffer.from(event.data).toString();
        text += data;
        onData(data);
      } else kinds.push(event.kind);
    }
    return { kinds, text };
  }

  it('yields every byte once while it is written, and ends with the task', async () => {
    const script = 'for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.4; done; exit 3';
    await batch.addTasks('job', [{ id: 'slow', commandLine: `/bin/sh -c "${script}"` }]);
    const pieces: string[] = [];
    const { kinds, text } = await follow('slow', (data) => pieces.push(data));
    assert.equal(text, [1, 2, 3, 4, 5, 6, 7, 8].map((line) => `line ${line}\n`).join(''));
    assert.ok(pieces.length > 1, 'in pieces');
    assert.equal(kinds.at(-1), 'ended');
  });

  it('reports when a task starts again, and reads the new log from its beginning', async () => {
    const mark = '"$AZ_BATCH_NODE_ROOT_DIR/../twice"';
    const script = `test -e ${mark} && { echo second; exit 0; }; touch ${mark}; echo first; exec sleep 30`;
    await batch.addTasks('job', [{ id: 'lost', commandLine: `/bin/bash -c '${script}'` }]);
    const following = follow('lost', (data) => {
      if (data !== 'first\n') return;
      void batch.task('job', 'lost').then((task) => {
        const { nodeId = '' } = task?.nodeInfo ?? {};
        return batch.actOnNode('pool', nodeId, 'reboot');
      });
    });
    const { kinds, text } = await following;
    assert.equal(text, 'first\nsecond\n');
    assert.ok(kinds.includes('restarted'), kinds.join());
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
