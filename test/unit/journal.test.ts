import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Journal } from '../../src/service/journal/journal';
import { loadState } from '../../src/service/scheduling/loading';
import {
  type JobState,
  newJob,
  newNode,
  State,
  sortedIds,
  TaskState,
} from '../../src/service/scheduling/state';
import type { Wire } from '../../src/service/wire/wire';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

describe('The journal of the local service', () => {
  let folder: string;
  const path = () => join(folder, 'state.jsonl');

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'journal-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function reopened(): Map<string, unknown> {
    const journal = new Journal(folder);
    try {
      return journal.read();
    } finally {
      journal.close();
    }
  }

  it('returns the last version of each record, and no removed ones', () => {
    const journal = new Journal(folder);
    journal.put('pool/a', { state: 'active' });
    journal.put('job/b', { name: 'Ünïcödé 🎬\nwith a second line' });
    journal.put('pool/a', { state: 'deleting' });
    journal.put('task/c', 1);
    journal.remove('task/c');
    journal.close();
    assert.deepEqual(
      [...reopened()],
      [
        ['pool/a', { state: 'deleting' }],
        ['job/b', { name: 'Ünïcödé 🎬\nwith a second line' }],
      ],
    );
  });

  it('drops a line that was cut at any byte, and keeps later lines', () => {
    const journal = new Journal(folder);
    journal.put('kept', { text: 'é' });
    const whole = statSync(path()).size;
    journal.put('torn', { text: 'é' });
    journal.close();
    for (let size = statSync(path()).size - 2; size > whole; size--) {
      truncateSync(path(), size);
      assert.deepEqual([...reopened().keys()], ['kept'], `cut at ${size}`);
    }
    const next = new Journal(folder);
    next.put('later', 2);
    next.close();
    assert.deepEqual([...reopened().keys()], ['kept', 'later']);
  });

  it('reads lines that are longer than what it reads at once, wherever characters are split', () => {
    const long = '🎬é'.repeat(400_000);
    const journal = new Journal(folder);
    for (const key of ['a', 'b', 'c']) journal.put(key, `${key}${long}`);
    journal.close();
    assert.deepEqual(
      [...reopened()],
      ['a', 'b', 'c'].map((key) => [key, `${key}${long}`]),
    );
  });

  it('has one line for each record after it is rewritten, and appends to them', () => {
    const journal = new Journal(folder);
    for (let index = 0; index < 100; index++) journal.put('counter', index);
    journal.rewrite(journal.read());
    assert.equal(readFileSync(path(), 'utf8').split('\n').filter(Boolean).length, 1);
    journal.put('later', true);
    journal.close();
    appendFileSync(path(), '["half');
    assert.deepEqual(
      [...reopened()],
      [
        ['counter', 99],
        ['later', true],
      ],
    );
  });
});

describe('The state of the local service', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'state-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const now = '2026-01-01T00:00:00Z';

  function taskWire(id: string, padding = ''): Wire {
    return {
      id,
      state: 'active',
      creationTime: now,
      stateTransitionTime: now,
      lastModified: now,
      requiredSlots: 1,
      executionInfo: { retryCount: 0, requeueCount: 0 },
      commandLine: `/bin/echo ${id} 🎬 ${padding}`,
    };
  }

  function stateOf(tasks: number, padding = ''): { journal: Journal; state: State; job: JobState } {
    const journal = new Journal(folder);
    const state = new State(journal);
    const job = { ...newJob('job'), wire: { state: 'active' } };
    state.addJob(job);
    for (let index = 0; index < tasks; index++) {
      state.addTask(new TaskState(`t${index}`, job, taskWire(`t${index}`, padding)));
      if (index % 100 === 0) state.tend(Date.now());
    }
    return { journal, state, job };
  }

  it('keeps of tasks that wait only what lists and counts need, and reads the rest from the journal', () => {
    const length = 40_000;
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    const { journal, job } = stateOf(1_000, 'x'.repeat(length));
    collectGarbage();
    const bytes = (process.memoryUsage().heapUsed - before) / job.tasks.size;
    assert.ok(bytes < length / 4, `${bytes} bytes a task`);
    assert.equal(job.counts.active, 1_000);
    const task = job.tasks.get('t777');
    assert.equal(task?.facts.state, 'active');
    assert.deepEqual(task?.read(), taskWire('t777', 'x'.repeat(length)));
    journal.close();
  });

  it('has every task, with its changes, after its journal was rewritten and loaded again', () => {
    // More than the journal holds before it is rewritten.
    const { journal, state, job } = stateOf(500, 'x'.repeat(40_000));
    const changed = job.tasks.get('t5') as TaskState;
    changed.wire.commandLine = '/bin/true';
    state.saveTask(changed);
    const running = job.tasks.get('t6') as TaskState;
    state.moveTask(running, 'running');
    state.removeTask(job.tasks.get('t7') as TaskState);
    state.rewrite();
    const check = (tasks: ReadonlyMap<string, TaskState>) => {
      assert.equal(tasks.size, 499);
      for (const [id, task] of tasks) {
        assert.equal(task.read().id, id);
        const { commandLine } = task.read();
        assert.ok(
          id === 't5' ? commandLine === '/bin/true' : String(commandLine).startsWith(`/bin/echo ${id} `),
        );
      }
      assert.equal(tasks.get('t6')?.facts.state, 'running');
      assert.equal(tasks.has('t7'), false);
    };
    check(job.tasks);
    journal.close();
    const again = new Journal(folder);
    const loaded = new State(again);
    check(loaded.job('job')?.tasks ?? new Map());
    assert.deepEqual(loaded.job('job')?.counts, job.counts);
    again.close();
  });

  it('lists the ids of the tasks that are left in order, whatever is added and removed', () => {
    const { journal, state, job } = stateOf(12);
    for (const id of ['t3', 't11', 't0', 't9']) state.removeTask(job.tasks.get(id) as TaskState);
    state.addTask(new TaskState('t11', job, taskWire('t11')));
    const left = ['t1', 't10', 't11', 't2', 't4', 't5', 't6', 't7', 't8'];
    assert.deepEqual(sortedIds(job), left);
    for (const id of left) state.removeTask(job.tasks.get(id) as TaskState);
    assert.deepEqual(sortedIds(job), []);
    journal.close();
  });

  it('removes records whose owner does not exist, so that no later owner of the same id gets them', () => {
    const torn = new Journal(folder);
    torn.put('task/job/t1', taskWire('t1'));
    torn.put('subtasks/job/t1', { subtasks: [] });
    torn.put('jobnode/job/n1', {});
    torn.put('node/pool/n1', { state: 'idle' });
    torn.close();
    loadState(folder, assert.fail, new Date()).journal.close();
    const { journal } = stateOf(1);
    journal.close();
    const again = new Journal(folder);
    const loaded = new State(again);
    assert.deepEqual([...(loaded.job('job')?.tasks.keys() ?? [])], ['t0']);
    assert.equal(loaded.job('job')?.nodes.size, 0);
    again.close();
    assert.deepEqual(
      [...new Journal(folder).read().keys()].filter((key) => key !== 'job/job'),
      ['task/job/t0'],
    );
  });

  it('remembers of tasks that wait for others only those that still wait', () => {
    const { journal, state, job } = stateOf(4);
    const [first, ...waiting] = [...job.tasks.values()] as [TaskState, TaskState, TaskState, TaskState];
    for (const task of waiting) state.block(task, 't0');
    state.removeTask(waiting[0]);
    state.moveTask(waiting[1], 'completed');
    assert.deepEqual([...(job.blocked.get('t0') ?? [])], [waiting[2]]);
    state.moveTask(first, 'completed');
    assert.deepEqual([...job.active], [waiting[2]]);
    state.block(waiting[2], 't9');
    state.removeTask(waiting[2]);
    assert.equal(job.blocked.size, 0);
    journal.close();
  });

  it('gives each node an address of its own, also those that are loaded, until it is removed', () => {
    if (process.platform === 'darwin') return;
    const journal = new Journal(folder);
    const state = new State(journal);
    const pool = { id: 'pool', wire: { state: 'active' }, nodes: new Map() };
    state.addPool(pool);
    const add = (to: State, id: string) => {
      const owner = to.pool('pool') ?? pool;
      const node = newNode(owner, id, 'http://127.0.0.1:1', { ipAddress: to.takeAddress() });
      to.addNode(owner, node);
      return node;
    };
    for (let index = 0; index < 600; index++) add(state, `n${index}`);
    const first = pool.nodes.get('n0');
    state.removeNode(pool, first);
    journal.close();
    const again = new Journal(folder);
    const loaded = new State(again);
    assert.equal(add(loaded, 'other').wire.ipAddress, first.wire.ipAddress);
    add(loaded, 'another');
    const addresses = [...(loaded.pool('pool')?.nodes.values() ?? [])].map(({ wire }) => wire.ipAddress);
    assert.equal(new Set(addresses).size, 601);
    assert.ok(addresses.every((address) => /^127\.0\.[1-9]\d*\.[1-9]\d*$/.test(String(address))));
    again.close();
  });
});
