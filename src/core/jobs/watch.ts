import pLimit from 'p-limit';
import type { Batch, Job, Task, TaskCounts } from '../azure/batch';
import { isBatchCode } from '../azure/batchCall';
import { everyItem } from '../azure/pages';
import { UserError } from '../errors';
import { type Clock, systemClock } from '../wait';
import { schedulingProblem } from './poolFailure';
import { type PoolObserver, PoolWatch } from './poolWatch';

export interface Watched {
  readonly jobId: string;
  /** Undefined for an auto pool, whose id the job tells. */
  readonly poolId?: string;
  /** Ids of the tasks to wait for; undefined while tasks are still being added. */
  readonly waitingFor: () => ReadonlySet<string> | undefined;
  /** Whether tasks wait for other tasks, as the task that joins the parts of a split file does. */
  readonly hasDependencies?: boolean;
  /** How long to watch after all tasks were added. */
  readonly limitMinutes: number;
  readonly signal: AbortSignal;
  /** Default: the system clock. */
  readonly clock?: Clock;
}

export interface WatchObserver extends PoolObserver {
  /** Task counts as the service tells them, which may be out of date. */
  counts(counts: TaskCounts): void;
  /** Tasks that have completed, each once. */
  completed(tasks: Task[]): void;
  /** Tasks to wait for that no longer exist, each once. */
  deleted(taskIds: readonly string[]): void;
}

/**
 * `completed`: each task to wait for has completed or was deleted. A completed task may have failed. `jobEnded`: the
 * job ended or was deleted with tasks left, which will never run. `timeLimit`: tasks go on, but are no longer watched.
 */
export type WatchOutcome = 'completed' | 'jobEnded' | 'timeLimit';

/** The properties of a completed task that are asked for. */
const completedSelect = 'id,state,stateTransitionTime,executionInfo,nodeInfo';

/** State transition times of several nodes differ a little: this time before the latest one is asked for again. */
const overlapMs = 2_000;

/** Job and tasks are read at every fourth poll while no task runs. */
const jobEvery = 4;

/** Between two polls when the end of a job is near. */
const minPauseMs = 100;

/** Between two polls when tasks have begun to run: the pauses grow from the first to the second within 20 seconds. */
const firstPauseMs = 250;
const usualPauseMs = 1_000;

/** Parts of the time that tasks have run for, of which a pause is one: while tasks wait, and when the last tasks run. */
const waitingShare = 20;
const lastShare = 40;

/** Between two reads of the pool. Polls near the end of a job are more frequent, for the sake of its tasks. */
const poolEveryMs = 200;

/** Between two complete reads of the tasks of a job, which cost a request for each page. */
const finalReadEveryMs = 3_000;

/** Between two searches for tasks that wait for a deleted task. */
const blockedEveryMs = 30_000;

/** Single tasks that one complete read asks for, and how many at a time. */
const maxTasksAsked = 100;
const tasksAskedAtOnce = 8;

/**
 * Watches a job until no task is left to wait for, with at most two requests a poll: the task counts, and either tasks that
 * have completed since, or the pool, or the job. Frequent polls ask for completed tasks in any case. Task and node counts
 * may be out of date (https://learn.microsoft.com/azure/batch/batch-get-resource-counts), so each outcome is decided by a
 * read of the job and its tasks. Throws UserError if the run cannot go on, for example if the start task fails on all nodes
 * or a quota is reached.
 */
export async function watchJob(
  batch: Batch,
  watched: Watched,
  observer: WatchObserver,
): Promise<WatchOutcome> {
  const { clock = systemClock, limitMinutes, signal, waitingFor } = watched;
  const watch = new Watch(batch, watched, observer, clock);
  const started = clock.now();
  let end = Number.POSITIVE_INFINITY;
  for (let polls = 0; ; polls++) {
    const outcome = await watch.poll(polls);
    if (outcome) return outcome;
    if (end === Number.POSITIVE_INFINITY && waitingFor() !== undefined)
      end = clock.now() + limitMinutes * 60_000;
    if (clock.now() >= end) return 'timeLimit';
    await clock.pause(watch.pauseMs(clock.now() - started), signal);
  }
}

class Watch {
  readonly #seen = new Set<string>();
  readonly #pool: PoolWatch;
  #latest: Date | undefined;
  #counts: TaskCounts | undefined;
  /** `completed` of the counts when completed tasks were last read. */
  #completedRead = 0;
  /** Completed tasks that a list has shown. */
  #completedSeen = 0;
  /** Whether polls are more frequent than once a second. */
  #isFrequent = false;
  #poolReadAt = Number.NEGATIVE_INFINITY;
  #workSince: number | undefined;
  #completedAt = 0;
  #finalReadAt = Number.NEGATIVE_INFINITY;
  #blockedReadAt = Number.NEGATIVE_INFINITY;
  #isDisabled = false;

  constructor(
    private readonly batch: Batch,
    private readonly watched: Watched,
    private readonly observer: WatchObserver,
    private readonly clock: Clock,
  ) {
    this.#pool = new PoolWatch(batch, { ...watched, clock }, observer);
  }

  /** How the watch ended; undefined as long as it goes on. */
  async poll(polls: number): Promise<'completed' | 'jobEnded' | undefined> {
    try {
      return await this.#poll(polls);
    } catch (error) {
      // Deleted between two requests. The job itself is asked: counts may be out of date.
      if (!isBatchCode(error, 'JobNotFound')) throw error;
      return this.#readJob();
    }
  }

  async #poll(polls: number): Promise<'completed' | 'jobEnded' | undefined> {
    const { jobId, signal, waitingFor } = this.watched;
    const isBeside = this.#isFrequent;
    const [asked, read] = await Promise.allSettled([
      this.batch.taskCounts(jobId, signal),
      // Tasks may complete any moment: asked for together, they are known one round trip earlier.
      isBeside ? this.#readCompleted() : undefined,
    ]);
    if (asked.status === 'rejected') throw asked.reason;
    if (read.status === 'rejected') throw read.reason;
    const counts = asked.value;
    this.observer.counts(counts);
    this.#note(counts);
    const { active, running, completed } = counts;
    if (completed !== this.#completedRead) {
      if (!isBeside || this.#completedSeen < completed) await this.#readCompleted();
      this.#completedRead = completed;
    } else if (running === 0 && polls % jobEvery === jobEvery - 1) {
      const ended = await this.#readJob();
      if (ended) return ended;
    } else if (active > 0 || running > 0 || polls % 5 === 0) await this.#readPool(counts);
    if (waitingFor() === undefined) return undefined;
    if (this.#left().length > 0 && active + running === 0) await this.#finalRead();
    return this.#left().length === 0 ? 'completed' : undefined;
  }

  /**
   * Every second at first, every five seconds in a long run. More often when tasks have just begun to run, when the last
   * tasks run, and when the end is near by the pace so far; and less again when that was wrong.
   */
  pauseMs(ageMs: number): number {
    const pause = this.#pauseMs(ageMs);
    this.#isFrequent = pause < usualPauseMs;
    return pause;
  }

  #pauseMs(ageMs: number): number {
    const long = Math.min(Math.max(ageMs / 60, usualPauseMs), 5_000);
    const { active = 0, running = 0, completed = 0 } = this.#counts ?? {};
    if (this.#workSince === undefined) return long;
    const now = this.clock.now();
    const isKnown = this.watched.waitingFor() !== undefined;
    const [share, min] = isKnown && active === 0 ? [lastShare, minPauseMs] : [waitingShare, firstPauseMs];
    const begun = Math.max((now - this.#workSince) / share, min);
    const usual = begun < usualPauseMs ? begun : long;
    if (completed === 0 || !isKnown) return usual;
    const msUntilEnd = ((active + running) * (now - this.#workSince)) / completed;
    return Math.min(usual, Math.max(minPauseMs, msUntilEnd / 2, (now - this.#completedAt) / 8));
  }

  async #readPool(counts: TaskCounts): Promise<void> {
    const now = this.clock.now();
    if (now - this.#poolReadAt < poolEveryMs) return;
    this.#poolReadAt = now;
    await this.#pool.read(counts);
  }

  #note(counts: TaskCounts): void {
    if (counts.running + counts.completed > 0) this.#workSince ??= this.clock.now();
    if (counts.completed > (this.#counts?.completed ?? 0)) this.#completedAt = this.clock.now();
    this.#counts = counts;
  }

  /** Tasks to wait for that were not seen to complete. */
  #left(): string[] {
    return [...(this.watched.waitingFor() ?? [])].filter((id) => !this.#seen.has(id));
  }

  async #readJob(): Promise<'completed' | 'jobEnded' | undefined> {
    const { jobId, signal } = this.watched;
    const job = await this.batch.job(jobId, { select: 'id,state,executionInfo', signal });
    if (job === undefined) return this.#jobGone();
    this.#tellDisabled(job);
    // While tasks are being added, one that waits for its new SAS does not exist for a moment.
    const isComplete = this.watched.waitingFor() !== undefined;
    if (job.state === 'active' && isComplete && this.watched.hasDependencies) await this.#endBlocked();
    if (job.state !== 'completed') return undefined;
    const problem = schedulingProblem(job);
    if (problem) throw new UserError(problem);
    // The job was read first: its tasks do not change any more.
    await this.#readAll();
    if (this.watched.waitingFor() === undefined) throw new UserError({ kind: 'jobEnded', job: jobId });
    return this.#left().length === 0 ? 'completed' : 'jobEnded';
  }

  #jobGone(): 'jobEnded' {
    const { jobId, waitingFor } = this.watched;
    if (waitingFor() === undefined) throw new UserError({ kind: 'jobEnded', job: jobId });
    return 'jobEnded';
  }

  /** Ends tasks that wait for a task that was deleted, which Batch never starts. */
  async #endBlocked(): Promise<void> {
    if (this.clock.now() - this.#blockedReadAt < blockedEveryMs) return;
    this.#blockedReadAt = this.clock.now();
    const { jobId, signal } = this.watched;
    const options = { select: 'id,state,dependsOn', signal };
    const tasks: Task[] = [];
    for await (const task of everyItem((next) => this.batch.taskPage(jobId, options, next))) tasks.push(task);
    const listed = new Set(tasks.map(({ id }) => id));
    for (const { id = '', state, dependsOn } of tasks) {
      if (state !== 'active') continue;
      for (const other of dependsOn?.taskIds?.filter((each) => !listed.has(each)) ?? []) {
        if ((await this.batch.task(jobId, other, signal)) !== undefined) continue;
        if (!(await this.#couldEnd(id))) break;
        this.#seen.add(id);
        this.observer.deleted([id]);
        break;
      }
    }
  }

  /** False if another client has ended or deleted the task: then it is seen as other tasks are. */
  async #couldEnd(taskId: string): Promise<boolean> {
    try {
      await this.batch.terminateTask(this.watched.jobId, taskId, this.watched.signal);
      return true;
    } catch (error) {
      if (!isBatchCode(error, 'TaskCompleted', 'TaskNotFound')) throw error;
      return false;
    }
  }

  #tellDisabled({ state }: Job): void {
    const isDisabled = state === 'disabled' || state === 'disabling';
    if (isDisabled && !this.#isDisabled) {
      this.observer.trouble({ kind: 'jobDisabled', job: this.watched.jobId });
    }
    this.#isDisabled = isDisabled;
  }

  /** All tasks have ended according to the counts, but some were not seen to complete: counts and lists may lag. */
  async #finalRead(): Promise<void> {
    if (this.clock.now() - this.#finalReadAt < finalReadEveryMs) return;
    this.#finalReadAt = this.clock.now();
    await this.#readAll();
  }

  /** Reads all completed tasks again, and asks for each task to wait for that no list shows. */
  async #readAll(): Promise<void> {
    const { jobId, signal } = this.watched;
    this.#latest = undefined;
    await this.#readCompleted();
    if (this.#left().length === 0) return;
    const unfinished = new Set<string>();
    const options = { filter: "state ne 'completed'", select: 'id', signal };
    for await (const { id = '' } of everyItem((next) => this.batch.taskPage(jobId, options, next))) {
      unfinished.add(id);
    }
    const limit = pLimit(tasksAskedAtOnce);
    const missing = this.#left().filter((id) => !unfinished.has(id));
    const asked = await Promise.all(
      missing
        .slice(0, maxTasksAsked)
        .map((id) => limit(async () => ({ id, task: await this.batch.task(jobId, id, signal) }))),
    );
    this.#see(asked.flatMap(({ task }) => (task?.state === 'completed' ? task : [])));
    const deleted = asked.filter(({ task }) => task === undefined).map(({ id }) => id);
    for (const id of deleted) this.#seen.add(id);
    if (deleted.length > 0) this.observer.deleted(deleted);
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
      this.#see(page.items);
      next = page.next;
    } while (next !== undefined);
  }

  #see(tasks: readonly Task[]): void {
    const fresh = tasks.filter(({ id = '' }) => !this.#seen.has(id));
    for (const { id = '', stateTransitionTime } of fresh) {
      this.#seen.add(id);
      this.#completedSeen++;
      if (stateTransitionTime && (!this.#latest || stateTransitionTime > this.#latest)) {
        this.#latest = stateTransitionTime;
      }
    }
    if (fresh.length > 0) this.observer.completed(fresh);
  }
}
