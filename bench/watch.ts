import { Batch } from '../src/core/azure/batch';
import { addTasks } from '../src/core/jobs/addTasks';
import { watchJob } from '../src/core/jobs/watch';
import { machine, TestService } from '../test/service/harness';
import { Counter } from './counter';
import { numbersOf, optionsOf } from './options';
import { type BenchResult, type Row, report } from './table';

const { signal } = new AbortController();
const watchedMs = 30_000;

/**
 * Monitors jobs of several lengths in which tasks complete over time, and counts requests and bytes; beside it the
 * tutorial's method, which lists all tasks each second.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const values = optionsOf(args, { tasks: '10,1000,100000' });
  const rows: Row[] = [];
  for (const tasks of numbersOf(values.tasks)) {
    const { ours, tutorial } = await watch(tasks);
    rows.push({ way: `this extension, ${tasks} tasks`, figures: ours });
    rows.push({ way: `all tasks each second, ${tasks} tasks`, figures: tutorial });
  }
  const result = {
    name: 'watch',
    tables: [
      {
        title: `Watching a job for ${watchedMs / 1000} s, one task ending each second`,
        columns: [
          { key: 'polls', label: 'polls' },
          { key: 'requests', label: 'requests a poll', digits: 2 },
          { key: 'bytes', label: 'bytes a poll' },
        ],
        rows,
      },
    ],
  };
  report(result);
  return result;
}

async function watch(tasks: number): Promise<Record<'ours' | 'tutorial', Record<string, number>>> {
  const service = await TestService.start('--max-processes', '1');
  const counter = await Counter.before(service.ready.batchUrl);
  try {
    const { connection } = service;
    const batch = new Batch({ ...connection, account: { ...connection.account, batchUrl: counter.url } });
    await batch.addPool({ id: 'pool', ...machine, targetDedicatedNodes: 1 });
    await batch.addJob({ id: 'job', poolInfo: { poolId: 'pool' } });
    const commandLine = '/bin/sleep 1';
    const all = Array.from({ length: tasks }, (_, index) => ({
      id: String(index).padStart(6, '0'),
      commandLine,
    }));
    await addTasks(batch, 'job', all, signal);
    counter.take();
    let polls = 0;
    // Watched until the time limit: this task never completes.
    const notAdded = new Set(['not added']);
    await watchJob(
      batch,
      {
        jobId: 'job',
        poolId: 'pool',
        waitingFor: () => notAdded,
        limitMinutes: watchedMs / 60_000,
        signal,
      },
      {
        counts: () => {
          polls++;
        },
        nodes: () => undefined,
        completed: () => undefined,
        deleted: () => undefined,
        resizeRetried: () => undefined,
        trouble: () => undefined,
      },
    );
    const ours = per(counter.take(), polls);
    let reads = 0;
    const end = Date.now() + watchedMs / 3;
    do {
      let next: string | undefined;
      do next = (await batch.taskPage('job', { select: 'id,state', signal }, next)).next;
      while (next);
      reads++;
      await new Promise((done) => setTimeout(done, 1_000));
    } while (Date.now() < end);
    return { ours, tutorial: per(counter.take(), reads) };
  } finally {
    counter.close();
    await service.close();
  }
}

function per(
  { requests, bytes }: { requests: number; bytes: number },
  polls: number,
): Record<string, number> {
  return { polls, requests: requests / polls, bytes: Math.round(bytes / polls) };
}
