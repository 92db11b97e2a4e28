import type { Concern, Supervisor } from '../guard/supervisor';
import { failureOf } from '../tasks/taskRunner';
import { durationMs, timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { JobTasks } from './jobTasks';
import type { Nodes } from './nodes';
import type { Pools } from './pools';
import { isEnding, type JobState, type State, setState } from './state';

/** Milliseconds after which a job whose auto pool cannot be made completes. */
const schedulingMs = 50;
/** Milliseconds after which an enabled job is found to have no tasks left: its client may first terminate it. */
const enabledMs = 1_000;

/** Brings jobs through their states. */
export class Jobs {
  /** Called when tasks of a job may start again. */
  onReady: () => void = () => undefined;

  constructor(
    private readonly state: State,
    private readonly nodes: Nodes,
    private readonly pools: Pools,
    private readonly jobTasks: JobTasks,
    private readonly supervisor: Supervisor,
  ) {
    jobTasks.onEnded = (job) => this.check(job);
  }

  /** Terminates the jobs that have run longer than they may. */
  endOverdue(now: number): void {
    for (const job of this.state.jobs.values()) {
      this.supervisor.run(this.about(job), () => this.#endIfOverdue(job, now));
    }
  }

  #endIfOverdue(job: JobState, now: number): void {
    const constraints = job.wire.constraints as Wire | undefined;
    const limit = durationMs(constraints?.maxWallClockTime as string | undefined);
    const age = now - Date.parse(String(job.wire.creationTime));
    if (limit !== undefined && age > limit && !isEnding(job)) {
      this.terminate(job, 'MaxWallClockTimeExpiry');
    }
  }

  /** Terminates a job: its running tasks are ended, its active ones stay as they are. */
  terminate(job: JobState, reason: string): void {
    const info = job.wire.executionInfo as Wire;
    info.terminateReason = reason;
    setState(job.wire, 'terminating');
    for (const task of job.tasks.values()) task.stop?.('terminate');
    this.state.saveJob(job);
    this.check(job);
  }

  /** Checks the jobs that are on their way to another state: what they wait for may be a node. */
  checkEnding(): void {
    for (const job of this.state.jobs.values()) {
      const { state } = job.wire;
      if (state === 'terminating' || state === 'deleting')
        this.supervisor.run(this.about(job), () => this.check(job));
    }
  }

  /** Completes a job whose auto pool cannot be made, as Batch does a while after it has accepted the job. */
  failScheduling(job: JobState, schedulingError: Wire): void {
    this.supervisor.after(schedulingMs, this.about(job), () => {
      if (job.wire.state !== 'active') return;
      Object.assign(job.wire.executionInfo as Wire, { schedulingError });
      setState(job.wire, 'terminating');
      this.state.saveJob(job);
      this.check(job);
    });
  }

  /** Deletes a job with its files, once none of its tasks runs. */
  delete(job: JobState): void {
    setState(job.wire, 'deleting');
    for (const task of job.tasks.values()) task.stop?.('delete');
    this.state.saveJob(job);
    this.check(job);
  }

  /** Keeps tasks of a job from starting; running ones are ended (`terminate`), requeued or waited for (`option`). */
  disable(job: JobState, option: string): void {
    job.disableOption = option;
    setState(job.wire, 'disabling');
    if (option !== 'wait') {
      for (const task of job.tasks.values()) task.stop?.(option === 'terminate' ? 'terminate' : 'requeue');
    }
    this.state.saveJob(job);
    this.check(job);
  }

  /** Lets tasks of a job start again. The job is active at once, by the recorded replies. */
  enable(job: JobState): void {
    setState(job.wire, 'active');
    this.state.saveJob(job);
    this.supervisor.after(enabledMs, this.about(job), () => this.check(job));
    this.onReady();
  }

  /** Continues what the service was doing to a job when it ended. */
  resume(job: JobState): void {
    if (job.wire.state === 'completed') this.#releaseAutoPool(job);
    // Earlier versions stored this state for a moment.
    else if (job.wire.state === 'enabling') this.enable(job);
    else this.check(job);
  }

  /** Deletes auto pools whose job was never stored: the service was killed between the two. */
  deleteOrphans(): void {
    for (const pool of this.state.pools.values()) {
      const { deleteWithJob, autoPoolOf } = pool;
      if (
        deleteWithJob &&
        autoPoolOf !== undefined &&
        !this.state.job(autoPoolOf) &&
        pool.wire.state === 'active'
      )
        this.pools.deletePool(pool);
    }
  }

  /** Brings a job to its next state if what it waits for has happened. */
  check(job: JobState): void {
    // The job was deleted while one of its tasks was ending.
    if (this.state.job(job.id) !== job) return;
    const { wire, counts } = job;
    if (
      wire.state === 'active' &&
      wire.onAllTasksComplete === 'terminatejob' &&
      counts.active + counts.running === 0
    ) {
      this.terminate(job, 'AllTasksComplete');
      return;
    }
    if (counts.running > 0) return;
    if (wire.state === 'disabling') {
      setState(wire, 'disabled');
      this.state.saveJob(job);
    } else if (wire.state === 'terminating' && !this.jobTasks.release(job)) {
      (wire.executionInfo as Wire).endTime = timestamp();
      setState(wire, 'completed');
      this.state.saveJob(job);
      this.#releaseAutoPool(job);
    } else if (wire.state === 'deleting' && !this.jobTasks.release(job)) {
      this.#releaseAutoPool(job);
      this.state.removeJob(job);
      this.nodes.removeJobFiles(job);
    }
  }

  /** Deletes the auto pool of a job, which may have moved to another pool meanwhile. */
  #releaseAutoPool(job: JobState): void {
    for (const pool of this.state.pools.values()) {
      if (pool.deleteWithJob && pool.autoPoolOf === job.id && pool.wire.state === 'active')
        this.pools.deletePool(pool);
    }
  }

  /** Errors of a job's own work are its scheduling error. */
  about(job: JobState): Concern {
    return {
      about: `job ${job.id}`,
      fail: (error) => {
        const { category, code, message, details } = failureOf(error);
        (job.wire.executionInfo as Wire).schedulingError = { category, code, message, details };
        this.state.saveJob(job);
      },
    };
  }
}
