import { type JobState, newJob, type PoolState, type ScheduleState, touch } from '../../scheduling/state';
import { BatchError, invalidProperty } from '../../wire/errors';
import { infiniteDuration, timestamp } from '../../wire/time';
import type { Wire } from '../../wire/wire';
import type { Context } from '../http/context';
import { checkPackages, newAutoPool, startPool } from './newPools';
import { managerTask } from './newTasks';
import { withPoolDefaults } from './poolDefaults';
import { checkOutputFiles, checkResourceFiles, checkUserIdentity } from './taskChecks';

/** Active and disabled jobs and job schedules. https://learn.microsoft.com/azure/batch/batch-quota-limit */
const activeQuota = 300;

export interface PoolInfo {
  readonly poolId?: string;
  readonly autoPoolSpecification?: Wire;
}

/** A job, or the jobs of a schedule, with the defaults that Azure fills in. */
export function jobDefaults(given: Wire): Wire {
  const constraints = given.constraints as Wire | undefined;
  return {
    priority: 0,
    maxParallelTasks: -1,
    usesTaskDependencies: false,
    allowTaskPreemption: false,
    onAllTasksComplete: 'noaction',
    onTaskFailure: 'noaction',
    ...given,
    constraints: { maxWallClockTime: infiniteDuration, maxTaskRetryCount: 0, ...constraints },
    ...preparationAndRelease(given),
    ...manager(given),
    ...autoPool(given),
  };
}

/** The auto pool of a job, with the defaults that Azure fills in. */
function autoPool({ poolInfo }: Wire): Wire {
  const { autoPoolSpecification } = (poolInfo ?? {}) as PoolInfo;
  if (autoPoolSpecification === undefined) return {};
  const { pool } = autoPoolSpecification as { pool?: Wire };
  return {
    poolInfo: {
      autoPoolSpecification: {
        keepAlive: false,
        ...autoPoolSpecification,
        ...(pool && { pool: withPoolDefaults(pool) }),
      },
    },
  };
}

/** The job manager task of a job, with the defaults that Azure fills in. */
function manager({ jobManagerTask, constraints }: Wire): Wire {
  if (jobManagerTask === undefined) return {};
  checkResourceFiles(jobManagerTask as Wire);
  return {
    jobManagerTask: {
      killJobOnCompletion: true,
      runExclusive: true,
      allowLowPriorityNode: true,
      requiredSlots: 1,
      userIdentity,
      ...(jobManagerTask as Wire),
      constraints: {
        maxWallClockTime: infiniteDuration,
        retentionTime: 'P7D',
        maxTaskRetryCount: (constraints as Wire | undefined)?.maxTaskRetryCount ?? 0,
        ...((jobManagerTask as Wire).constraints as Wire | undefined),
      },
    },
  };
}

const userIdentity = { autoUser: { scope: 'pool', elevationLevel: 'nonadmin' } };

/** The preparation and release tasks of a job, with the defaults that Azure fills in. */
function preparationAndRelease({ jobPreparationTask, jobReleaseTask }: Wire): Wire {
  const preparation = jobPreparationTask as Wire | undefined;
  const release = jobReleaseTask as Wire | undefined;
  if (release && !preparation) {
    throw invalidProperty('jobReleaseTask', undefined, 'A job release task needs a job preparation task.');
  }
  for (const task of [preparation, release]) if (task) checkResourceFiles(task);
  return {
    ...(preparation && {
      jobPreparationTask: {
        id: 'jobpreparation',
        waitForSuccess: true,
        rerunOnNodeRebootAfterSuccess: true,
        userIdentity,
        ...preparation,
        constraints: {
          maxWallClockTime: infiniteDuration,
          retentionTime: 'P7D',
          maxTaskRetryCount: 0,
          ...(preparation.constraints as Wire | undefined),
        },
      },
    }),
    ...(release && {
      jobReleaseTask: {
        id: 'jobrelease',
        maxWallClockTime: 'PT15M',
        retentionTime: 'P7D',
        userIdentity,
        ...release,
      },
    }),
  };
}

/** Refuses a description that names no pool, or more than one. */
export function checkPoolInfo({ poolId, autoPoolSpecification }: PoolInfo): void {
  if ((poolId === undefined) === (autoPoolSpecification === undefined)) {
    throw invalidProperty('poolInfo', undefined, 'Exactly one of poolId and autoPoolSpecification is given.');
  }
}

/** Refuses manager, preparation and release tasks for the same reasons as the other tasks of a job. */
export function checkJobTasks(context: Context, given: Wire): void {
  for (const name of ['jobManagerTask', 'jobPreparationTask', 'jobReleaseTask']) {
    const task = given[name] as Wire | undefined;
    if (task === undefined) continue;
    checkResourceFiles(task);
    checkOutputFiles(task);
    checkPackages(context, task);
    checkUserIdentity(task);
  }
  const { jobManagerTask, jobPreparationTask, jobReleaseTask } = jobDefaults(given) as Record<string, Wire>;
  if (jobManagerTask) checkTaskId(String(jobManagerTask.id), { jobPreparationTask, jobReleaseTask });
  if (jobReleaseTask) checkTaskId(String(jobReleaseTask.id), { jobPreparationTask });
}

/** Refuses a task with the id of the preparation or release task of its job, whose folder it would share. */
export function checkTaskId(id: string, { jobPreparationTask, jobReleaseTask }: Wire): void {
  const isOf = (task: unknown) =>
    (task as { id?: string } | undefined)?.id?.toLowerCase() === id.toLowerCase();
  if (isOf(jobPreparationTask)) throw new BatchError('TaskIdSameAsJobPreparationTask');
  if (isOf(jobReleaseTask)) throw new BatchError('TaskIdSameAsJobReleaseTask');
}

export function checkActiveQuota({ state }: Context): void {
  const isActive = ({ wire }: { wire: Wire }) => wire.state === 'active' || wire.state === 'disabled';
  const jobs = [...state.jobs.values()].filter(isActive).length;
  const schedules = [...state.schedules.values()].filter(isActive).length;
  if (jobs + schedules >= activeQuota) throw new BatchError('ActiveJobAndScheduleQuotaReached');
}

/** Makes a job and, where its description asks for one, its pool. Nothing is changed unless all of it is valid. */
export function makeJob(context: Context, id: string, given: Wire, schedule?: ScheduleState): JobState {
  const { state, scheduler, jobs, faults } = context;
  if (state.job(id)) throw new BatchError('JobExists');
  if (schedule === undefined) checkActiveQuota(context);
  const poolInfo = given.poolInfo as PoolInfo;
  checkPoolInfo(poolInfo);
  const { schedulingError } = faults;
  const { poolId, autoPool } = poolOfJob(context, id, poolInfo, schedule);
  checkJobTasks(context, given);
  const usedPoolId = autoPool && schedulingError ? undefined : (autoPool?.id ?? poolId);
  const now = timestamp();
  const job: JobState = Object.assign(newJob(id), {
    poolId: usedPoolId,
    wire: {
      id,
      url: `${context.base()}/jobs/${id}`,
      eTag: '',
      lastModified: now,
      creationTime: now,
      state: 'active',
      stateTransitionTime: now,
      ...jobDefaults(given),
      executionInfo: { startTime: now, poolId: usedPoolId },
    } as Wire,
  });
  touch(job.wire);
  const firstTask = managerTask(context, job);
  if (autoPool && !schedulingError) {
    if (schedule && lastsAsSchedule(poolInfo)) {
      // Stored first: a kill in between leaves no pool without an owner.
      schedule.autoPoolId = autoPool.id;
      state.saveSchedule(schedule);
    }
    startPool(context, autoPool);
  }
  state.addJob(job, firstTask);
  scheduler.schedule();
  if (autoPool && schedulingError) jobs.failScheduling(job, schedulingError);
  jobs.check(job);
  return job;
}

/** Whether the jobs of a schedule share one auto pool. */
function lastsAsSchedule({ autoPoolSpecification }: PoolInfo): boolean {
  return autoPoolSpecification?.poolLifetimeOption === 'jobschedule';
}

/** The id of the pool that exists for a job, or the auto pool that is to be made. */
function poolOfJob(
  context: Context,
  jobId: string,
  { poolId, autoPoolSpecification }: PoolInfo,
  schedule: ScheduleState | undefined,
): { poolId?: string; autoPool?: PoolState } {
  if (autoPoolSpecification === undefined) return { poolId };
  if (!lastsAsSchedule({ autoPoolSpecification }))
    return { autoPool: newAutoPool(context, { id: jobId }, autoPoolSpecification) };
  if (schedule === undefined)
    throw invalidProperty('poolLifetimeOption', 'jobschedule', 'The value is only for job schedules.');
  const { autoPoolId } = schedule;
  const isThere = autoPoolId !== undefined && context.state.pool(autoPoolId)?.wire.state === 'active';
  if (isThere) return { poolId: autoPoolId };
  const autoPool = newAutoPool(context, schedule, autoPoolSpecification);
  return { autoPool };
}
