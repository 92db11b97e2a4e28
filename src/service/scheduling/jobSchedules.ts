import type { Concern, Supervisor } from '../guard/supervisor';
import { durationMs, timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Jobs } from './jobs';
import type { Pools } from './pools';
import { isEnding, type JobState, type ScheduleState, type State, setState } from './state';

const sweepMs = 1_000;
/** A longer recurrence leads beyond the year 9999, which no client can read: the schedule makes one job. */
const maxRecurrenceMs = 7_000 * 365 * 86_400_000;

/** The id of the n-th job of a schedule. No other job's id has a colon. */
function jobIdOf(schedule: ScheduleState, number: number): string {
  return `${schedule.id}:job-${number}`;
}

/** Makes the jobs of job schedules when they are due. https://learn.microsoft.com/azure/batch/batch-job-schedule */
export class JobSchedules {
  /** Makes a job by the schedule's job specification. Set by what knows how jobs are made. */
  onDue: (schedule: ScheduleState, jobId: string) => void = () => undefined;

  constructor(
    private readonly state: State,
    private readonly jobs: Jobs,
    private readonly pools: Pools,
    private readonly supervisor: Supervisor,
    /** Milliseconds since 1970. */
    private readonly now: () => number,
  ) {}

  start(): void {
    for (const schedule of this.state.schedules.values())
      this.supervisor.run(about(schedule), () => this.#countUnsaved(schedule));
    this.supervisor.every(sweepMs, { about: 'job schedules' }, () => this.sweep());
  }

  /** Counts a job that was made just before the service was killed, so that its occurrence is not made twice. */
  #countUnsaved(schedule: ScheduleState): void {
    if (this.state.job(jobIdOf(schedule, schedule.jobs + 1)) === undefined) return;
    this.#count(schedule);
    this.#next(schedule, timesOf(schedule).recurrenceMs);
  }

  /** Whether a schedule will make another job: the service is not idle then. */
  get isWaiting(): boolean {
    return [...this.state.schedules.values()].some(
      ({ wire }) => wire.state === 'active' && (wire.executionInfo as Wire).nextRunTime !== undefined,
    );
  }

  /** Brings each schedule to what is due now; waits while changes cannot be stored. */
  sweep(): void {
    if (!this.state.isWritable) return;
    for (const schedule of this.state.schedules.values())
      this.supervisor.run(about(schedule), () => this.check(schedule));
  }

  /** The jobs of a schedule that exist, oldest first. */
  jobsOf(schedule: ScheduleState): JobState[] {
    const prefix = `${schedule.id.toLowerCase()}:job-`;
    return [...this.state.jobs.entries()].filter(([id]) => id.startsWith(prefix)).map(([, job]) => job);
  }

  disable(schedule: ScheduleState): void {
    setState(schedule.wire, 'disabled');
    this.#save(schedule);
  }

  enable(schedule: ScheduleState): void {
    setState(schedule.wire, 'active');
    this.#save(schedule);
    this.check(schedule);
  }

  /** Terminates the active job of a schedule; the schedule completes when that job has. */
  terminate(schedule: ScheduleState): void {
    setState(schedule.wire, 'terminating');
    for (const job of this.jobsOf(schedule))
      if (!isEnding(job)) this.jobs.terminate(job, 'TerminateJobSchedule');
    this.#save(schedule);
    this.check(schedule);
  }

  /** Deletes a schedule with all its jobs. */
  delete(schedule: ScheduleState): void {
    setState(schedule.wire, 'deleting');
    this.#save(schedule);
    for (const job of this.jobsOf(schedule)) if (job.wire.state !== 'deleting') this.jobs.delete(job);
    this.check(schedule);
  }

  /** Starts the recurrence anew after a change of the schedule's times. */
  reschedule(schedule: ScheduleState): void {
    const { doNotRunUntil, recurrenceMs } = timesOf(schedule);
    const { lastAt } = schedule;
    const next = lastAt === undefined || recurrenceMs === undefined ? this.now() : lastAt + recurrenceMs;
    schedule.dueAt = Math.max(next, doNotRunUntil);
    (schedule.wire.executionInfo as Wire).nextRunTime = new Date(schedule.dueAt).toISOString();
    this.#save(schedule);
  }

  /** Makes the job that is due, or ends a schedule that is over. */
  check(schedule: ScheduleState): void {
    const { wire } = schedule;
    const jobs = this.jobsOf(schedule);
    const isIdle = !jobs.some(isLive);
    if (wire.state === 'deleting' && jobs.length === 0) {
      this.#releasePool(schedule);
      this.state.removeSchedule(schedule);
    } else if (wire.state === 'terminating' && isIdle) {
      this.#complete(schedule);
    } else if (wire.state === 'active') {
      this.#checkActive(schedule, isIdle);
    }
  }

  #checkActive(schedule: ScheduleState, isIdle: boolean): void {
    const { doNotRunAfter, startWindowMs, recurrenceMs } = timesOf(schedule);
    const now = this.now();
    const isOnce = recurrenceMs === undefined;
    if (now > doNotRunAfter || (isOnce && schedule.jobs > 0)) {
      if (isIdle) this.#complete(schedule);
      return;
    }
    if (now < schedule.dueAt) return;
    // Recurrences that have passed meanwhile are lost.
    if (recurrenceMs !== undefined)
      schedule.dueAt += Math.floor((now - schedule.dueAt) / recurrenceMs) * recurrenceMs;
    if (now > schedule.dueAt + startWindowMs) {
      if (isOnce) this.#complete(schedule);
      else this.#next(schedule, recurrenceMs);
    } else if (isIdle) {
      this.#create(schedule, recurrenceMs);
    }
  }

  /** An occurrence whose job cannot be made, for example because a package no longer exists, is lost. */
  #create(schedule: ScheduleState, recurrenceMs: number | undefined): void {
    try {
      this.onDue(schedule, jobIdOf(schedule, schedule.jobs + 1));
    } catch (error) {
      if (recurrenceMs === undefined) this.#complete(schedule);
      else this.#next(schedule, recurrenceMs);
      throw error;
    }
    this.#count(schedule);
    this.#next(schedule, recurrenceMs);
  }

  #count(schedule: ScheduleState): void {
    const id = jobIdOf(schedule, ++schedule.jobs);
    schedule.lastAt = schedule.dueAt;
    (schedule.wire.executionInfo as Wire).recentJob = { url: this.state.job(id)?.wire.url, id };
  }

  #next(schedule: ScheduleState, recurrenceMs: number | undefined): void {
    const info = schedule.wire.executionInfo as Wire;
    if (recurrenceMs !== undefined) {
      schedule.dueAt += recurrenceMs;
      info.nextRunTime = new Date(schedule.dueAt).toISOString();
    } else {
      delete info.nextRunTime;
    }
    this.#save(schedule);
  }

  #complete(schedule: ScheduleState): void {
    const info = schedule.wire.executionInfo as Wire;
    info.endTime = timestamp();
    delete info.nextRunTime;
    setState(schedule.wire, 'completed');
    this.#save(schedule);
    this.#releasePool(schedule);
  }

  /** Deletes the auto pool that lasts as long as the schedule, unless it is to be kept alive. */
  #releasePool({ autoPoolId, wire }: ScheduleState): void {
    const { poolInfo } = wire.jobSpecification as { poolInfo?: { autoPoolSpecification?: Wire } };
    if (poolInfo?.autoPoolSpecification?.keepAlive === true) return;
    const pool = autoPoolId === undefined ? undefined : this.state.pool(autoPoolId);
    if (pool?.wire.state === 'active') this.pools.deletePool(pool);
  }

  #save(schedule: ScheduleState): void {
    this.state.saveSchedule(schedule);
  }
}

function isLive({ wire }: JobState): boolean {
  return wire.state !== 'completed';
}

function about({ id }: ScheduleState): Concern {
  return { about: `job schedule ${id}` };
}

/** Times in milliseconds since 1970, durations in milliseconds; without bounds where none are given. */
function timesOf({ wire }: ScheduleState) {
  const { doNotRunUntil, doNotRunAfter, startWindow, recurrenceInterval } = wire.schedule as Record<
    string,
    string | undefined
  >;
  const recurrence = durationMs(recurrenceInterval);
  const recurrenceMs = recurrence !== undefined && recurrence > maxRecurrenceMs ? undefined : recurrence;
  const windowMs = durationMs(startWindow) ?? Number.POSITIVE_INFINITY;
  return {
    doNotRunUntil: doNotRunUntil === undefined ? Number.NEGATIVE_INFINITY : Date.parse(doNotRunUntil),
    doNotRunAfter: doNotRunAfter === undefined ? Number.POSITIVE_INFINITY : Date.parse(doNotRunAfter),
    startWindowMs: windowMs,
    recurrenceMs,
  };
}
