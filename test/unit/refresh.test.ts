import assert from 'node:assert/strict';
import type { AccountRecord } from '../../src/core/azure/account';
import type { Problem } from '../../src/core/errors';
import { type ExplorerNode, nodeId, type TaskGroup } from '../../src/vscode/explorer/explorerNode';
import { JobCounts } from '../../src/vscode/explorer/jobCounts';
import { LoadedLists } from '../../src/vscode/explorer/loadedLists';
import {
  changingMs,
  dueAt,
  nextRequestsAt,
  requestsPerMinute,
  settledMs,
  unfocusedMs,
} from '../../src/vscode/explorer/refreshPace';

const account: AccountRecord = {
  id: 'account',
  label: 'Account',
  signIn: 'keys',
  batchName: 'account',
  batchUrl: 'https://account.region.batch.azure.com',
  storageName: 'account',
  blobUrl: 'https://account.blob.core.windows.net',
};
const jobs: ExplorerNode = { kind: 'jobs', account };
const job = (id: string, state = 'completed'): ExplorerNode => ({
  kind: 'job',
  account,
  job: { id, state: state as 'completed' },
});

describe('The pace of the Accounts view', () => {
  const list = { loadedAt: 1000, isChanging: false, isStale: false, followedUntil: 0 };

  it('is fast while something changes, slow otherwise, slower without the focus, and none while hidden', () => {
    assert.equal(dueAt({ ...list, isChanging: true }, 'focused'), 1000 + changingMs);
    assert.equal(dueAt(list, 'focused'), 1000 + settledMs);
    assert.equal(dueAt({ ...list, isChanging: true }, 'unfocused'), 1000 + unfocusedMs);
    assert.equal(dueAt({ ...list, isChanging: true, isStale: true }, 'hidden'), Number.POSITIVE_INFINITY);
  });

  it('is fast for a while after an action, and at once for what is stale', () => {
    assert.equal(dueAt({ ...list, followedUntil: 2000 }, 'focused'), 1000 + changingMs);
    assert.equal(dueAt({ ...list, isStale: true }, 'focused'), 1000);
  });

  it('never takes more requests a minute than its budget, whatever a round takes', () => {
    for (const requests of [1, 7, 21, 200]) {
      let time = 0;
      let sent = 0;
      while (time < 60_000) {
        sent += requests;
        time = nextRequestsAt(time, requests);
      }
      assert.ok(sent <= requestsPerMinute + requests, `${sent} requests`);
    }
  });
});

describe('The lists of the Accounts view', () => {
  /** Lists whose service answers with what `answers` holds. */
  function lists(answers: { [id: string]: ExplorerNode[] }) {
    const asked: string[] = [];
    const loaded = new LoadedLists(
      async (node) => {
        asked.push(nodeId(node));
        return structuredClone(answers[nodeId(node)] ?? []);
      },
      () => false,
    );
    return { loaded, asked };
  }

  it('stay removed, with what is below them, if their row goes while they are loaded', async () => {
    let answer = () => {};
    const asked = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const gone = job('gone', 'active');
    let jobsNow = [gone];
    const loaded = new LoadedLists(
      async (node) => {
        if (node.kind === 'jobs') return structuredClone(jobsNow);
        await asked;
        return [{ kind: 'empty', owner: nodeId(node), list: 'tasks', isFiltered: false }];
      },
      () => false,
    );
    const [row = gone] = await loaded.children(jobs);
    const below = loaded.reload(row);
    jobsNow = [];
    await loaded.reload(jobs);
    answer();
    assert.deepEqual((await below).children, []);
    // VS Code may ask for what is below a row that it still shows.
    assert.deepEqual(await loaded.children(row), []);
    assert.deepEqual(
      loaded.shown().map((list) => nodeId(list.row)),
      ['account/jobs'],
    );
  });

  describe('of tasks that move from one group to another', () => {
    const group = (name: TaskGroup): ExplorerNode => ({
      ...{ kind: 'taskGroup', account, jobId: 'one' },
      ...{ group: name, count: 1 },
    });
    const task = (state: 'running' | 'completed'): ExplorerNode => ({
      ...{ kind: 'task', account, jobId: 'one' },
      task: { id: 't1', state },
    });
    const stdout: ExplorerNode = {
      ...{ kind: 'file', account, place: { jobId: 'one', taskId: 't1' } },
      file: { name: 'stdout.txt' },
    };
    const [running, succeeded] = [group('running'), group('succeeded')];
    const [runningId, succeededId] = [nodeId(running), nodeId(succeeded)];
    const taskId = nodeId(task('running'));

    /** A job with a task that runs, all expanded. */
    async function runningTask() {
      const answers: { [id: string]: ExplorerNode[] } = {
        'account/jobs': [job('one', 'active')],
        'account/jobs/one': [running, succeeded],
        [runningId]: [task('running')],
        [succeededId]: [],
        [taskId]: [stdout],
      };
      const { loaded } = lists(answers);
      const expanded = async (node: ExplorerNode): Promise<void> => {
        for (const row of await loaded.children(node)) await expanded(row);
      };
      await expanded(jobs);
      const shown = () => loaded.shown().map(({ row }) => nodeId(row));
      return { answers, loaded, shown };
    }

    for (const [title, order] of [
      ['the new group first', [succeeded, running]],
      ['the old group first', [running, succeeded]],
    ] as const) {
      it(`stay those of the task when it ends: ${title}`, async () => {
        const { answers, loaded, shown } = await runningTask();
        answers[runningId] = [];
        answers[succeededId] = [task('completed')];
        for (const list of order) await loaded.reload(list);
        const [row = running] = await loaded.children(succeeded);
        assert.deepEqual((await loaded.children(row)).map(nodeId), [`${taskId}/stdout.txt`]);
        assert.equal(
          loaded.parentOf(row)?.kind === 'taskGroup' && nodeId(loaded.parentOf(row) ?? row),
          succeededId,
        );
        loaded.collapse(running);
        assert.ok(shown().includes(taskId));
        loaded.collapse(succeeded);
        assert.ok(!shown().includes(taskId));
      });
    }

    it('stay those of the task if the old group answers late, with the task still in it', async () => {
      const { answers, loaded } = await runningTask();
      answers[succeededId] = [task('completed')];
      for (const list of [succeeded, running]) await loaded.reload(list);
      answers[runningId] = [];
      const { takenOverBy } = await loaded.reload(running);
      assert.deepEqual(takenOverBy.map(nodeId), [succeededId]);
      const [row = running] = await loaded.children(succeeded);
      assert.deepEqual((await loaded.children(row)).map(nodeId), [`${taskId}/stdout.txt`]);
      assert.equal(nodeId(loaded.parentOf(row) ?? row), succeededId);
    });

    it('are no longer loaded once the group of the task is gone and no other group shows it', async () => {
      const { answers, loaded, shown } = await runningTask();
      answers['account/jobs/one'] = [succeeded];
      await loaded.reload(job('one'));
      assert.deepEqual(shown(), ['account/jobs', 'account/jobs/one', succeededId]);
    });

    it('are no longer loaded once both groups that show the task are gone', async () => {
      const { answers, loaded, shown } = await runningTask();
      answers[succeededId] = [task('completed')];
      await loaded.reload(succeeded);
      answers['account/jobs/one'] = [];
      await loaded.reload(job('one'));
      assert.deepEqual(shown(), ['account/jobs', 'account/jobs/one']);
    });

    it('stay if the job shows its tasks without groups', async () => {
      const { answers, loaded, shown } = await runningTask();
      answers['account/jobs/one'] = [task('running')];
      const { children } = await loaded.reload(job('one'));
      assert.ok(shown().includes(taskId) && !shown().includes(runningId));
      for (const row of children) assert.equal((await loaded.children(row)).length, 1);
    });
  });

  it('are loaded for a row that is there again, though those of the removed row are being loaded', async () => {
    const answered: (() => void)[] = [];
    let jobsNow = [job('one', 'active')];
    const loaded = new LoadedLists(
      async (node) => {
        if (node.kind === 'jobs') return structuredClone(jobsNow);
        await new Promise<void>((resolve) => answered.push(resolve));
        return [{ kind: 'empty', owner: nodeId(node), list: 'tasks', isFiltered: false }];
      },
      () => false,
    );
    const [former = jobs] = await loaded.children(jobs);
    const ofFormer = loaded.children(former);
    jobsNow = [];
    await loaded.reload(jobs);
    jobsNow = [job('one', 'active')];
    const [row = jobs] = (await loaded.reload(jobs)).children;
    const below = loaded.children(row);
    for (const answer of answered) answer();
    assert.deepEqual(await ofFormer, []);
    assert.deepEqual((await below).map(nodeId), ['account/jobs/one/empty']);
  });

  it('are loaded anew if they are marked stale while they are loaded for the first time', async () => {
    const answered: (() => void)[] = [];
    const loaded = new LoadedLists(
      async () => {
        const rows = [job(`answer-${answered.length}`)];
        await new Promise<void>((resolve) => answered.push(resolve));
        return rows;
      },
      () => false,
    );
    const first = loaded.children(jobs);
    loaded.markStale(jobs);
    const second = loaded.reload(jobs);
    for (const answer of answered) answer();
    await first;
    assert.deepEqual((await second).children.map(nodeId), ['account/jobs/answer-1']);
  });

  it('are asked of the service once, however often VS Code asks for them', async () => {
    const { loaded, asked } = lists({ 'account/jobs': [job('one')] });
    for (let time = 0; time < 5; time++) await loaded.children(jobs);
    assert.deepEqual(asked, ['account/jobs']);
    loaded.markStale();
    await Promise.all([loaded.children(jobs), loaded.children(jobs)]);
    assert.deepEqual(asked, ['account/jobs', 'account/jobs']);
  });

  it('keep one object for each row, with what the service said last', async () => {
    const answers = { 'account/jobs': [job('one', 'active'), job('two')] };
    const { loaded } = lists(answers);
    const [first] = await loaded.children(jobs);
    answers['account/jobs'] = [job('one', 'terminating'), job('two')];
    const { changed, isReordered } = await loaded.reload(jobs);
    assert.equal(isReordered, false);
    assert.deepEqual(changed.map(nodeId), ['account/jobs/one']);
    assert.equal(changed[0], first);
    assert.equal(first?.kind === 'job' && first.job.state, 'terminating');
  });

  it('are polled only where they can be seen: not below a row that is collapsed', async () => {
    const answers = { 'account/jobs': [job('one')], 'account/jobs/one': [] };
    const { loaded } = lists(answers);
    const [row] = await loaded.children(jobs);
    await loaded.children(row as ExplorerNode);
    const shown = () => loaded.shown().map(({ row }) => nodeId(row));
    assert.deepEqual(shown(), ['account/jobs', 'account/jobs/one']);
    loaded.collapse(jobs);
    assert.deepEqual(shown(), []);
    loaded.expand(jobs);
    assert.deepEqual(shown(), ['account/jobs', 'account/jobs/one']);
  });

  it('are refreshed below a row that changed, and go with a row that went', async () => {
    const answers: { [id: string]: ExplorerNode[] } = { 'account/jobs': [job('one', 'active'), job('two')] };
    const { loaded } = lists(answers);
    for (const row of await loaded.children(jobs)) await loaded.children(row);
    answers['account/jobs'] = [job('one')];
    const { isReordered } = await loaded.reload(jobs);
    assert.equal(isReordered, true);
    const shown = loaded.shown().map(({ row, isStale }) => [nodeId(row), isStale]);
    assert.deepEqual(shown, [
      ['account/jobs', false],
      ['account/jobs/one', true],
    ]);
  });

  it('stay, with their age, while the service cannot be reached or answers with an error of its own', async () => {
    const failed = { kind: 'service', service: 'batch', operation: 'list jobs' } as const;
    const problems: Problem[] = [
      { kind: 'unreachable', host: 'host', code: 'ECONNREFUSED' },
      { kind: 'throttled', service: 'batch' },
      { kind: 'certificate', host: 'host', code: 'SELF_SIGNED_CERT_IN_CHAIN' },
      { ...failed, status: 503, code: 'HTTP 503' },
      { ...failed, status: 500, code: 'InternalError' },
    ];
    const answers: { [id: string]: ExplorerNode[] } = { 'account/jobs': [job('one')] };
    const { loaded } = lists(answers);
    await loaded.children(jobs);
    for (const problem of problems) {
      answers['account/jobs'] = [{ kind: 'problem', owner: 'account/jobs', problem }];
      const { children } = await loaded.reload(jobs);
      const [first] = children;
      assert.ok(first?.kind === 'problem' && first.asOf !== undefined, JSON.stringify(problem));
      assert.deepEqual(children.slice(1).map(nodeId), ['account/jobs/one']);
    }
  });

  it('go when the service says that there are none, or that they must not be listed', async () => {
    const gone = { kind: 'service', service: 'batch', operation: 'list tasks', status: 404 } as const;
    const problems: Problem[] = [
      { ...gone, code: 'JobNotFound' },
      { kind: 'unauthorized', account: 'host', service: 'batch', code: 'AuthenticationFailed' },
    ];
    for (const problem of problems) {
      const answers: { [id: string]: ExplorerNode[] } = { 'account/jobs': [job('one')] };
      const { loaded } = lists(answers);
      await loaded.children(jobs);
      answers['account/jobs'] = [{ kind: 'problem', owner: 'account/jobs', problem }];
      assert.deepEqual((await loaded.reload(jobs)).children, answers['account/jobs']);
    }
  });

  it('are loaded once more when something happens while they are being loaded', async () => {
    let release = () => {};
    let asked = 0;
    const loaded = new LoadedLists(
      async () => {
        asked++;
        if (asked === 2) await new Promise<void>((done) => (release = done));
        return [];
      },
      () => false,
    );
    await loaded.children(jobs);
    const running = loaded.reload(jobs);
    loaded.follow('account');
    release();
    await running;
    assert.equal(loaded.shown()[0]?.isStale, true);
    await loaded.children(jobs);
    assert.equal(asked, 3);
  });

  it('take counts that come after the rows, in the same objects, and refresh only rows that look different', async () => {
    const { loaded } = lists({ 'account/jobs': [job('one', 'active'), job('two')] });
    const [first] = await loaded.children(jobs);
    assert.equal(loaded.shown()[0]?.isChanging, false);
    const counts = { active: 1, running: 1, completed: 0, succeeded: 0, failed: 0 };
    const rows = [{ ...job('one', 'active'), counts }, job('two'), job('gone')] as ExplorerNode[];
    const changed = loaded.amend(jobs, rows);
    assert.deepEqual(changed, [first]);
    assert.deepEqual(first?.kind === 'job' && first.counts, counts);
    assert.equal(loaded.shown()[0]?.isChanging, true);
    assert.deepEqual(loaded.amend(jobs, rows), []);
  });
});

describe('The task counts of jobs', () => {
  const counts = { active: 0, running: 0, completed: 3, succeeded: 3, failed: 0 };
  const ended = (id: string, endTime = new Date(0)): ExplorerNode => ({
    kind: 'job',
    account,
    job: { id, state: 'completed', executionInfo: { startTime: endTime, endTime } },
  });
  const named = (from: number) => Array.from({ length: 30 }, (_, index) => ended(`job-${from + index}`));

  function counting() {
    const asked: string[] = [];
    const jobCounts = new JobCounts(() => undefined, 0);
    const batch = {
      taskCounts: async (id: string) => {
        asked.push(id);
        return counts;
      },
    };
    return { asked, load: (rows: ExplorerNode[]) => jobCounts.load(rows, batch), jobCounts };
  }

  it('are not waited for by the rows, which have the last ones meanwhile', async () => {
    const { jobCounts, load } = counting();
    const rows = [ended('one'), ended('two', new Date())];
    assert.ok(jobCounts.addKnown(rows).every((row) => row.kind === 'job' && row.counts === undefined));
    const counted = await load(rows);
    assert.ok(counted.every((row) => row.kind === 'job' && row.counts === counts));
    assert.deepEqual(jobCounts.addKnown(rows), counted);
  });

  it('of the newest jobs are asked for, once where they are final', async () => {
    const { asked, load } = counting();
    for (let time = 0; time < 3; time++) await load([...named(0).slice(1), ended('new', new Date())]);
    assert.equal(asked.length, 20);
    for (let time = 0; time < 3; time++) await load([ended('new', new Date()), ...named(0).slice(1)]);
    assert.equal(asked.filter((id) => id === 'new').length, 3);
  });

  it('of jobs that are no longer among the newest are not kept', async () => {
    const { asked, jobCounts, load } = counting();
    // A day of polls in which one job after the other comes.
    for (let first = 0; first < 500; first++) await load(named(first));
    assert.equal(asked.length, 519);
    const isKnown = (row: ExplorerNode) =>
      jobCounts.addKnown([row]).some((found) => found.kind === 'job' && found.counts !== undefined);
    const kept = Array.from({ length: 530 }, (_, index) => ended(`job-${index}`)).filter(isKnown);
    assert.equal(kept.length, 20);
  });
});
