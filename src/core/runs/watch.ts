import { setTimeout as delay } from 'node:timers/promises';
import type { Batch, Task, TaskCounts } from '../azure/batch';
import { isBatchCode } from '../azure/batchCall';
import { everyItem } from '../azure/pages';
import { type Problem, UserError } from '../errors';
import { resizeProblem, startTaskProblem } from './taskFailure';

/** Nodes of the pool, told apart as far as a waiting person cares. */
export interface NodeNumbers {
  readonly idle: number;
  readonly running: number;
  /** Being made, booting, or in their start task. */
  readonly starting: number;
  /** Start task failed, unusable, unknown. */
  readonly failed: number;
  readonly total: number;
}

export interface Watched {
  readonly jobId: string;
  /** Undefined for an auto pool: the job knows its id. */
  readonly poolId?: string;
  /** Errors of the pool from before are not this run's. */
  readonly since: Date;
  /** Tasks expected in the job; undefined while tasks are still being added. */
  readonly expected: () => number | undefined;
  readonly limitMinutes: number;
  readonly signal: AbortSignal;
}

export interface WatchObserver {
  counts(counts: TaskCounts): void;
  nodes(nodes: NodeNumbers): void;
  /** Tasks that ended since the last call, each once. */
  completed(tasks: Task[]): void;
  /** Something a person should know while the run goes on waiting; told once for each kind. */
  trouble(problem: Problem): void;
}

/** All that is asked of a task that ended. */
const completedSelect = 'id,state,stateTransitionTime,executionInfo,nodeInfo';

/** Clocks of the service's parts differ a little: what ended shortly before the last one seen is asked for again. */
const overlapMs = 2_000;

/** Times that Spot nodes may be taken away, for each node, before a person is asked about dedicated ones. */
const preemptionsPerNode = 3;

export type WatchOutcome = 'completed' | 'jobEnded' | 'timeLimit';

/** One poll in so many looks at the job while nothing of it runs. */
const jobEvery = 4;

/**
 * Watches a job until all its tasks are completed, with at most two requests a poll whatever the number of tasks: the
 * counts, and either what ended since, or the nodes, or the job. Completed is not succeeded; `jobEnded` tells of a job
 * that was ended with tasks left, which will never run. Throws UserError when the run cannot go on: every start task
 * failed, no quota, the job gone.
 */
export async function watchJob(
  batch: Batch,
  watched: Watched,
  observer: WatchObserver,
): Promise<WatchOutcome> {
  const watch = new Watch(batch, watched, observer);
  const started = Date.now();
  const end = started + watched.limitMinutes * 60_000;
  for (let polls = 0; ; polls++) {
    const outcome = await watch.poll(polls);
    if (outcome) return outcome;
    if (Date.now() >= end) return 'timeLimit';
    await delay(watch.pauseMs(Date.now() - started), undefined, { signal: watched.signal });
  }
}

/** Between two polls when the end of a job is near. */
const shortestPauseMs = 200;

class Watch {
  readonly #seen = new Set<string>();
  readonly #told = new Set<string>();
  #latest: Date | undefined;
  #poolId: string | undefined;
  #preempted = { now: 0, times: 0 };
  #counts: TaskCounts | undefined;
  #workSince: number | undefined;
  #completedAt = 0;

  constructor(
    private readonly batch: Batch,
    private readonly watched: Watched,
    private readonly observer: WatchObserver,
  ) {
    this.#poolId = watched.poolId;
  }

  /** How it ended; undefined as long as it goes on. */
  async poll(polls: number): Promise<'completed' | 'jobEnded' | undefined> {
    const { jobId, signal, expected } = this.watched;
    const counts = await this.#jobMustExist(this.batch.taskCounts(jobId, signal));
    this.observer.counts(counts);
    this.#clock(counts);
    const total = expected();
    if (counts.completed > this.#seen.size) await this.#readCompleted();
    else if (counts.active > 0 && counts.running === 0 && polls % jobEvery === jobEvery - 1) {
      if (await this.#hasEnded()) return 'jobEnded';
    } else if (counts.active > 0 || counts.running > 0 || polls % 5 === 0)
      await this.#readPool(counts, polls);
    const mayBeDone =
      total !== undefined && counts.active + counts.running === 0 && counts.completed >= total;
    return mayBeDone && (await this.#isDone(total)) ? 'completed' : undefined;
  }

  /**
   * Every second at first, every five when a run takes long; more often when by the pace so far its end is near, and less
   * again when that was wrong.
   */
  pauseMs(ageMs: number): number {
    const usual = Math.min(Math.max(ageMs / 60, 1_000), 5_000);
    const { active = 0, running = 0, completed = 0 } = this.#counts ?? {};
    if (this.#workSince === undefined || completed === 0 || this.watched.expected() === undefined)
      return usual;
    const now = Date.now();
    const msUntilEnd = ((active + running) * (now - this.#workSince)) / completed;
    return Math.min(usual, Math.max(shortestPauseMs, msUntilEnd / 2, (now - this.#completedAt) / 8));
  }

  #clock(counts: TaskCounts): void {
    if (counts.running + counts.completed > 0) this.#workSince ??= Date.now();
    if (counts.completed > (this.#counts?.completed ?? 0)) this.#completedAt = Date.now();
    this.#counts = counts;
  }

  /** Tasks that wait in a job that was ended wait forever. */
  async #hasEnded(): Promise<boolean> {
    const { jobId, signal } = this.watched;
    const job = await this.#jobMustExist(this.batch.job(jobId, { select: 'state', signal }));
    return job?.state === 'completed';
  }

  /** Counts may lag behind the truth (BatchExplorer#2628): the end is confirmed by asking for what is not completed. */
  async #isDone(total: number): Promise<boolean> {
    const { jobId, signal } = this.watched;
    const unfinished = await this.batch.taskPage(jobId, {
      filter: "state ne 'completed'",
      select: 'id',
      pageSize: 1,
      signal,
    });
    if (unfinished.items.length > 0) return false;
    if (this.#seen.size < total) {
      this.#latest = undefined;
      await this.#readCompleted();
    }
    return true;
  }

  async #readCompleted(): Promise<void> {
    const { jobId, signal } = this.watched;
    const from = this.#latest && new Date(this.#latest.getTime() - overlapMs).toISOString();
    const filter = [
      "state eq 'completed'",
      ...(from ? [`stateTransitionTime ge datetime'${from}'`] : []),
    ].join(' and ');
    let next: string | undefined;
    do {
      const page = await this.batch.taskPage(jobId, { filter, select: completedSelect, signal }, next);
      const fresh = page.items.filter(({ id = '' }) => !this.#seen.has(id));
      for (const { id = '', stateTransitionTime } of fresh) {
        this.#seen.add(id);
        if (stateTransitionTime && (!this.#latest || stateTransitionTime > this.#latest)) {
          this.#latest = stateTransitionTime;
        }
      }
      if (fresh.length > 0) this.observer.completed(fresh);
      next = page.next;
    } while (next !== undefined);
  }

  async #readPool(counts: TaskCounts, polls: number): Promise<void> {
    const { jobId, signal } = this.watched;
    if (this.#poolId === undefined) {
      const job = await this.#jobMustExist(this.batch.job(jobId, { select: 'executionInfo', signal }));
      this.#poolId = job?.executionInfo?.poolId;
      return;
    }
    const nodes = await this.#nodes(this.#poolId);
    this.observer.nodes(nodes);
    const working = nodes.idle + nodes.running + nodes.starting;
    if (nodes.failed > 0) await this.#readNodeFailure(this.#poolId, working === 0);
    // A pool without nodes has perhaps been refused them; asked for now and then, as a third request would be.
    else if (working === 0 && counts.running === 0 && polls % 3 === 0)
      await this.#readResizeError(this.#poolId);
  }

  async #nodes(poolId: string): Promise<NodeNumbers> {
    const counts = await this.batch.nodeCounts(poolId, this.watched.signal);
    const kinds = [counts?.dedicated, counts?.lowPriority].filter((kind) => kind !== undefined);
    const sum = (of: (kind: (typeof kinds)[number]) => number) =>
      kinds.reduce((total, kind) => total + (of(kind) || 0), 0);
    const preempted = counts?.lowPriority?.preempted ?? 0;
    if (preempted > this.#preempted.now) this.#preempted.times += preempted - this.#preempted.now;
    this.#preempted.now = preempted;
    const total = sum((kind) => kind.total);
    if (this.#preempted.times > preemptionsPerNode * Math.max(total, 1)) {
      this.#tell({ kind: 'preempted', pool: poolId, times: this.#preempted.times });
    }
    return {
      idle: sum((kind) => kind.idle),
      running: sum((kind) => kind.running),
      starting: sum(
        (kind) => kind.creating + kind.starting + kind.waitingForStartTask + kind.rebooting + kind.reimaging,
      ),
      failed: sum((kind) => kind.startTaskFailed + kind.unusable + kind.unknown),
      total,
    };
  }

  async #readNodeFailure(poolId: string, fatal: boolean): Promise<void> {
    if (!fatal && this.#told.has('startTaskFailed')) return;
    const { signal } = this.watched;
    const { items } = await this.batch.nodePage(poolId, {
      filter: "state eq 'starttaskfailed' or state eq 'unusable'",
      pageSize: 1,
      signal,
    });
    const [node] = items;
    if (node === undefined) return;
    const problem: Problem =
      node.state === 'unusable'
        ? { kind: 'poolUnusable', pool: poolId, detail: node.errors?.[0]?.message ?? node.errors?.[0]?.code }
        : await startTaskProblem(this.batch, poolId, node, signal);
    if (fatal) throw new UserError(problem);
    this.#tell(problem);
  }

  async #readResizeError(poolId: string): Promise<void> {
    const { signal, since } = this.watched;
    const pool = await this.batch.pool(poolId, { signal });
    if (pool === undefined) throw new UserError({ kind: 'poolUnusable', pool: poolId, detail: 'deleted' });
    const problem = resizeProblem(pool, since);
    if (problem?.kind === 'quota') throw new UserError(problem);
    if (problem) this.#tell(problem);
  }

  #tell(problem: Problem): void {
    if (this.#told.has(problem.kind)) return;
    this.#told.add(problem.kind);
    this.observer.trouble(problem);
  }

  async #jobMustExist<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      if (isBatchCode(error, 'JobNotFound'))
        throw new UserError({ kind: 'jobEnded', job: this.watched.jobId });
      throw error;
    }
  }
}

/** Tasks of a job that are completed, for a run that is taken up again. */
export function completedTasks(batch: Batch, jobId: string, signal: AbortSignal): AsyncGenerator<Task> {
  return everyItem((next) =>
    batch.taskPage(jobId, { filter: "state eq 'completed'", select: completedSelect, signal }, next),
  );
}
