import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { BatchServiceClient } from '@azure/batch';
import { machine, TestService } from '../test/service/harness';
import { numbersOf, optionsOf } from './options';
import { type BenchResult, median, type Row, report, type Table } from './table';

const command = '/bin/true';
const collection = 100;
const collectionsInFlight = 4;
/** Polls cost the service time; only the last ones, which decide when the job counts as complete, are frequent. */
const pollMs = 100;
const lastPollMs = 10;

/**
 * Adds, runs and lists tasks that do nothing, for jobs of several lengths: the local Batch service's cost per task, beside
 * `xargs -P` with the same command; then memory and page time with many waiting tasks.
 */
export async function run(args: readonly string[]): Promise<BenchResult> {
  const values = optionsOf(args, {
    tasks: '1000,3000',
    rounds: '5',
    waiting: '100000',
  });
  const cores = availableParallelism();
  const rounds = Number(values.rounds);
  const running: Row[] = [];
  for (const tasks of numbersOf(values.tasks)) {
    const [floors, runs]: [Figures[], Figures[]] = [[], []];
    for (let round = 0; round < rounds; round++) {
      const lowest = floor(tasks, cores);
      const figures = await runTasks(tasks, cores);
      floors.push(lowest);
      runs.push({ ...figures, ...comparison(figures.perTask, lowest.perTask) });
    }
    running.push({ way: `xargs -P${cores}, ${tasks} (the floor)`, figures: medians(floors) });
    running.push({ way: `the service, ${tasks}`, figures: medians(runs) });
  }
  const waiting = Number(values.waiting);
  const [empty, full]: [Figures[], Figures[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    empty.push(await keepTasks(0));
    full.push(await keepTasks(waiting));
  }
  const tables: Table[] = [
    {
      title: `Running tasks of ${command} on ${cores} slots, median of ${rounds}`,
      columns: [
        { key: 'add', label: 'add, s', digits: 2 },
        { key: 'seconds', label: 'run, s', digits: 2 },
        { key: 'perTask', label: 'ms per task', digits: 2 },
        { key: 'overhead', label: 'ms above the floor', digits: 2 },
        { key: 'ratio', label: 'times the floor', digits: 2 },
      ],
      rows: running,
    },
    {
      title: `${waiting} tasks that wait, median of ${rounds}`,
      columns: [
        { key: 'add', label: 'add, s', digits: 1 },
        { key: 'memory', label: 'memory, MB' },
        { key: 'firstPage', label: 'first page, ms', digits: 1 },
        { key: 'lastPage', label: 'last page, ms', digits: 1 },
        { key: 'counts', label: 'counts, ms', digits: 1 },
        { key: 'filtered', label: 'by state, ms', digits: 1 },
        { key: 'restart', label: 'start again, s', digits: 2 },
        { key: 'memoryAgain', label: 'memory then, MB' },
      ],
      rows: [
        { way: 'the service without tasks', figures: medians(empty) },
        { way: 'the service', figures: medians(full) },
      ],
    },
  ];
  const result = { name: 'service', tables };
  report(result);
  return result;
}

type Figures = Readonly<Record<string, number>>;

/** The median of each figure. */
function medians(rounds: readonly Figures[]): Figures {
  const keys = Object.keys(rounds[0] ?? {});
  return Object.fromEntries(
    keys.map((key) => [key, median(rounds.map((figures) => figures[key] ?? Number.NaN))]),
  );
}

function floor(tasks: number, cores: number): Figures {
  const numbers = Array.from({ length: tasks }, (_, index) => index).join('\n');
  const start = performance.now();
  const { status } = spawnSync('xargs', [`-P${cores}`, '-n1', 'sh', '-c', `exec ${command}`], {
    input: numbers,
  });
  if (status !== 0) throw new Error(`xargs ended with ${status}`);
  const seconds = (performance.now() - start) / 1000;
  return { seconds, perTask: (seconds * 1000) / tasks };
}

/** Milliseconds per task beside the floor of the same round: the machine may be slower in the next one. */
function comparison(perTask = Number.NaN, lowest = Number.NaN): Figures {
  return { overhead: perTask - lowest, ratio: perTask / lowest };
}

async function runTasks(tasks: number, cores: number): Promise<Figures> {
  const service = await TestService.start('--max-processes', '0');
  try {
    const client = service.client();
    await client.pool.add({ id: 'pool', ...machine, targetDedicatedNodes: 1, taskSlotsPerNode: cores });
    await client.job.add({ id: 'job', poolInfo: { poolId: 'pool' } });
    await client.job.disable('job', 'requeue');
    const add = await seconds(() => addTasks(client, tasks));
    const run = await seconds(async () => {
      await client.job.enable('job');
      for (;;) {
        const { taskCounts } = await client.job.getTaskCounts('job');
        if (taskCounts.failed > 0) throw new Error('A task failed.');
        const left = tasks - taskCounts.completed;
        if (left === 0) return;
        await new Promise((resolve) => setTimeout(resolve, left > 100 ? pollMs : lastPollMs));
      }
    });
    return { add, seconds: run, perTask: (run * 1000) / tasks };
  } finally {
    await service.close();
  }
}

async function keepTasks(tasks: number): Promise<Figures> {
  const service = await TestService.start();
  try {
    const client = service.client();
    await client.job.add({ id: 'job', poolInfo: { poolId: 'none' } });
    const add = await seconds(() => addTasks(client, tasks));
    const memory = memoryMB(service.ready.pid);
    const pageTimes: number[] = [];
    let link: string | undefined;
    do {
      const next = link;
      pageTimes.push(
        await seconds(async () => {
          const page = next ? await client.task.listNext(next) : await client.task.list('job');
          link = page.odatanextLink;
        }),
      );
    } while (link);
    const counts = await seconds(async () => {
      await client.job.getTaskCounts('job');
    });
    const filtered = await seconds(async () => {
      await client.task.list('job', { taskListOptions: { filter: "state eq 'running'" } });
    });
    await service.kill();
    const restart = await seconds(() => service.start());
    const memoryAgain = memoryMB(service.ready.pid);
    const ms = (value = 0) => value * 1000;
    return {
      add,
      memory,
      firstPage: ms(pageTimes[0]),
      lastPage: ms(pageTimes.at(-1)),
      counts: ms(counts),
      filtered: ms(filtered),
      memoryAgain,
      restart,
    };
  } finally {
    await service.close();
  }
}

/** Adds tasks in collections, a few in parallel, with command lines of realistic length. */
async function addTasks(client: BatchServiceClient, tasks: number): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < tasks) {
      const start = next;
      next += collection;
      const value = Array.from({ length: Math.min(collection, tasks - start) }, (_, index) => ({
        id: `t${String(start + index).padStart(6, '0')}`,
        commandLine: command,
      }));
      await client.task.addCollection('job', value);
    }
  };
  await Promise.all(Array.from({ length: collectionsInFlight }, lane));
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** Resident memory of a process in MB; NaN where the system doesn't report it. */
function memoryMB(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
  } catch {
    return Number.NaN;
  }
}
