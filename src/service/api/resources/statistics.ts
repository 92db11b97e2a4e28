import type { JobState, PoolState, TaskState } from '../../scheduling/state';
import { activeCores } from '../../tasks/multiInstance';
import { durationText, timestamp } from '../../wire/time';
import type { Wire } from '../../wire/wire';

/**
 * Statistics of the tasks that exist. Times of processors and input and output are not measured on this machine: they
 * are 0.
 */
interface Totals {
  /** Milliseconds. */
  wallClock: number;
  /** Milliseconds between the creation of a task and its last start. */
  wait: number;
  retries: number;
}

function add(totals: Totals, task: TaskState): Totals {
  const wire = task.facts;
  const { startTime, endTime, retryCount } = wire.executionInfo as Record<string, string | undefined>;
  const start = startTime === undefined ? undefined : Date.parse(startTime);
  const end = endTime === undefined ? Date.now() : Date.parse(endTime);
  totals.wallClock += start === undefined ? 0 : Math.max(0, end - start);
  totals.wait += Math.max(0, (start ?? Date.now()) - Date.parse(String(wire.creationTime)));
  totals.retries += Number(retryCount ?? 0);
  return totals;
}

function measured(url: string, since: unknown, { wallClock, wait }: Totals): Wire {
  return {
    url,
    startTime: since,
    lastUpdateTime: timestamp(),
    userCPUTime: 'PT0S',
    kernelCPUTime: 'PT0S',
    wallClockTime: durationText(wallClock),
    readIOps: '0',
    writeIOps: '0',
    readIOGiB: 0,
    writeIOGiB: 0,
    waitTime: durationText(wait),
  };
}

const none = (): Totals => ({ wallClock: 0, wait: 0, retries: 0 });

/** `stats` of a task. */
export function taskStatistics(task: TaskState): Wire {
  return measured(String(task.read().url), task.facts.creationTime, add(none(), task));
}

/** `stats` of a job, or of all jobs of the account. */
export function jobStatistics(url: string, since: unknown, jobs: Iterable<JobState>): Wire {
  const totals = none();
  const counts = { succeeded: 0, failed: 0 };
  for (const job of jobs) {
    for (const task of job.tasks.values()) add(totals, task);
    counts.succeeded += job.counts.succeeded;
    counts.failed += job.counts.failed;
  }
  return {
    ...measured(url, since, totals),
    numSucceededTasks: String(counts.succeeded),
    numFailedTasks: String(counts.failed),
    numTaskRetries: String(totals.retries),
  };
}

/** Statistics of all pools that exist: how long their nodes have been there, times the cores of their size. */
export function poolStatistics(url: string, since: unknown, pools: Iterable<PoolState>): Wire {
  let coreTime = 0;
  for (const pool of pools) {
    const cores = activeCores(pool.wire);
    for (const { wire } of pool.nodes.values()) {
      if (wire.isDedicated) coreTime += (Date.now() - Date.parse(String(wire.allocationTime))) * cores;
    }
  }
  const lastUpdateTime = timestamp();
  return {
    url,
    startTime: since,
    lastUpdateTime,
    usageStats: { startTime: since, lastUpdateTime, dedicatedCoreTime: durationText(Math.max(0, coreTime)) },
    resourceStats: { startTime: since, lastUpdateTime, ...unmeasured },
  };
}

/** The use of processors, memory, disks and networks by nodes. */
const unmeasured: Wire = {
  avgCPUPercentage: 0,
  avgMemoryGiB: 0,
  peakMemoryGiB: 0,
  avgDiskGiB: 0,
  peakDiskGiB: 0,
  diskReadIOps: '0',
  diskWriteIOps: '0',
  diskReadGiB: 0,
  diskWriteGiB: 0,
  networkReadGiB: 0,
  networkWriteGiB: 0,
};

/** Whether a request asks for statistics. */
export function expandsStatistics(query: ReadonlyMap<string, string>): boolean {
  return (query.get('$expand') ?? '').split(/,|%2c/i).some((name) => name.trim().toLowerCase() === 'stats');
}
