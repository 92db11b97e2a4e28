import { durationMs, timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Nodes } from './nodes';
import { type JobState, type State, setState } from './state';
import type { Work } from './work';

/** How long a job is in a state that passes by itself. */
const enablingMs = 50;

/** Brings jobs through their states. */
export class Jobs {
  /** Told when tasks of a job may start again. */
  onReady: () => void = () => undefined;

  constructor(
    private readonly state: State,
    private readonly nodes: Nodes,
    private readonly work: Work,
  ) {}

  /** Ends the jobs whose time is over. */
  endOverdue(now: number): void {
    for (const job of this.state.jobs.values()) {
      const constraints = job.wire.constraints as Wire | undefined;
      const limit = durationMs(constraints?.maxWallClockTime as string | undefined);
      const age = now - Date.parse(String(job.wire.creationTime));
      if (limit !== undefined && age > limit && job.wire.state === 'active') {
        this.terminate(job, 'MaxWallClockTimeExpiry');
      }
    }
  }

  /** Ends a job: running tasks are ended, active ones stay as they are. */
  terminate(job: JobState, reason: string): void {
    const info = job.wire.executionInfo as Wire;
    info.terminateReason = reason;
    setState(job.wire, 'terminating');
    for (const task of job.tasks.values()) task.stop?.('terminate');
    this.state.saveJob(job);
    this.check(job);
  }

  /** Completes a job whose auto pool cannot be made, as Batch does a while after it has accepted the job. */
  failScheduling(job: JobState, schedulingError: Wire): void {
    this.work.after(enablingMs, () => {
      if (job.wire.state !== 'active') return;
      Object.assign(job.wire.executionInfo as Wire, { schedulingError });
      setState(job.wire, 'terminating');
      this.state.saveJob(job);
      this.check(job);
    });
  }

  /** Ends a job and, once nothing of it runs, forgets it with its files. */
  delete(job: JobState): void {
    setState(job.wire, 'deleting');
    for (const task of job.tasks.values()) task.stop?.('delete');
    this.state.saveJob(job);
    this.check(job);
  }

  /** Keeps tasks of a job from starting; `option` says what becomes of those that run. */
  disable(job: JobState, option: string): void {
    job.disableOption = option;
    setState(job.wire, 'disabling');
    if (option !== 'wait') {
      for (const task of job.tasks.values()) task.stop?.(option === 'terminate' ? 'terminate' : 'requeue');
    }
    this.state.saveJob(job);
    this.check(job);
  }

  /** Lets tasks of a job start again. */
  enable(job: JobState): void {
    setState(job.wire, 'enabling');
    this.state.saveJob(job);
    this.work.after(enablingMs, () => {
      if (job.wire.state !== 'enabling') return;
      setState(job.wire, 'active');
      this.state.saveJob(job);
      this.check(job);
      this.onReady();
    });
  }

  /** Goes on with what the service was doing to a job when it ended. */
  resume(job: JobState): void {
    if (job.wire.state === 'enabling') this.enable(job);
    else this.check(job);
  }

  /** Looks whether a job has come to its next state, or to its end. */
  check(job: JobState): void {
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
    } else if (wire.state === 'terminating') {
      (wire.executionInfo as Wire).endTime = timestamp();
      setState(wire, 'completed');
      this.state.saveJob(job);
      this.#releaseAutoPool(job);
    } else if (wire.state === 'deleting') {
      this.#releaseAutoPool(job);
      for (const task of job.tasks.values()) this.work.track(this.nodes.removeTaskFiles(task));
      this.state.removeJob(job);
    }
  }

  #releaseAutoPool(job: JobState): void {
    const pool = job.poolId === undefined ? undefined : this.state.pool(job.poolId);
    if (pool?.deleteWithJob && pool.autoPoolOf === job.id && pool.wire.state === 'active')
      this.nodes.deletePool(pool);
  }
}
