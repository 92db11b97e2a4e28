import { type JobNode, type JobState, type State, touch } from '../scheduling/state';
import { BatchError, invalidProperty } from '../wire/errors';
import type { Wire } from '../wire/wire';
import { afterId, type Context, jobOf, page, type Reply, type Request, type Route } from './http/context';
import { acknowledged, changeable, changed, created, reading } from './http/resource';
import { validated } from './requests/validate';
import { checkPoolInfo, jobDefaults, makeJob, type PoolInfo } from './resources/newJobs';
import { expandsStatistics, jobStatistics } from './resources/statistics';

function addJob(context: Context, { body, version }: Request): Reply {
  const given = validated('JobAddParameter', body, version, context.containers);
  const id = String(given.id);
  if (context.state.schedules.has(id.toLowerCase())) throw new BatchError('JobScheduleWithSameIdExists');
  return created(makeJob(context, id, given));
}

const find = (context: Context, { params }: Request): JobState => jobOf(context, params[0] ?? '');
const isDeleting = { deleting: 'JobBeingDeleted' } as const;
/** Finds a job that is not being deleted. */
const existing = changeable(find, isDeleting);
/** Finds a job that is neither completed nor being terminated or deleted. */
const living = changeable(find, {
  ...isDeleting,
  completed: 'JobCompleted',
  terminating: 'JobBeingTerminated',
});

const saveJob = (state: State, job: JobState): void => state.saveJob(job);

function update(context: Context, request: Request): Reply {
  const isPatch = request.method === 'PATCH';
  const given = validated(
    isPatch ? 'JobPatchParameter' : 'JobUpdateParameter',
    request.body,
    request.version,
  );
  const job = living(context, request);
  // A PUT that leaves it out sets it back, which Azure refuses as well.
  const { onAllTasksComplete = isPatch ? undefined : 'noaction' } = given;
  if (onAllTasksComplete === 'noaction' && job.wire.onAllTasksComplete === 'terminatejob') {
    throw invalidProperty(
      'onAllTasksComplete',
      'noaction',
      'The value cannot be set back from terminatejob.',
    );
  }
  const { poolInfo, constraints, ...rest } = given;
  if (poolInfo) changePool(context, job, poolInfo as PoolInfo, isPatch);
  if (isPatch) {
    Object.assign(job.wire, rest);
  } else {
    const { priority, maxParallelTasks, allowTaskPreemption } = jobDefaults({});
    delete job.wire.metadata;
    Object.assign(job.wire, { priority, maxParallelTasks, allowTaskPreemption, ...rest });
  }
  if (constraints || !isPatch) job.wire.constraints = jobDefaults({ constraints }).constraints;
  const reply = changed(context, saveJob, job, 200);
  context.jobs.check(job);
  return reply;
}

/**
 * Assigns another pool to a job, which must be disabled. Of an auto pool, only `keepAlive` can change.
 * https://learn.microsoft.com/rest/api/batchservice/job/patch, poolInfo
 */
function changePool({ state }: Context, job: JobState, poolInfo: PoolInfo, isPatch: boolean): void {
  checkPoolInfo(poolInfo);
  const before = job.wire.poolInfo as PoolInfo;
  const isOther = poolInfo.poolId?.toLowerCase() !== before.poolId?.toLowerCase();
  if ((isOther || isPatch) && job.wire.state !== 'disabled') {
    throw new BatchError('OperationInvalidForCurrentState', {
      Reason: 'The pool of a job can be changed only while the job is disabled.',
    });
  }
  const { poolId, autoPoolSpecification } = poolInfo;
  if (autoPoolSpecification) {
    if (before.autoPoolSpecification === undefined)
      throw invalidProperty('autoPoolSpecification', undefined, 'The job has no auto pool.');
    const { keepAlive = false } = autoPoolSpecification;
    job.wire.poolInfo = { autoPoolSpecification: { ...before.autoPoolSpecification, keepAlive } };
    const pool = state.pool(job.poolId ?? '');
    if (pool?.autoPoolOf === job.id && before.autoPoolSpecification.poolLifetimeOption === 'job') {
      pool.deleteWithJob = keepAlive !== true;
      state.savePool(pool);
    }
  } else if (isOther) {
    job.poolId = poolId;
    job.wire.poolInfo = poolInfo;
    (job.wire.executionInfo as Wire).poolId = poolId;
  }
}

function disable(context: Context, request: Request): Reply {
  const { disableTasks } = validated('JobDisableParameter', request.body, request.version);
  const job = living(context, request);
  if (job.wire.state !== 'active') throw new BatchError('JobNotActive');
  touch(job.wire);
  context.jobs.disable(job, String(disableTasks));
  return acknowledged(job, 202, 'disable');
}

function enable(context: Context, request: Request): Reply {
  const job = living(context, request);
  if (job.wire.state !== 'disabled' && job.wire.state !== 'disabling') {
    throw new BatchError('OperationInvalidForCurrentState', { Reason: `The job is ${job.wire.state}.` });
  }
  touch(job.wire);
  context.jobs.enable(job);
  return acknowledged(job, 202, 'enable');
}

function terminate(context: Context, request: Request): Reply {
  const { terminateReason = 'UserTerminate' } = validated(
    'JobTerminateParameter',
    request.body ?? {},
    request.version,
  ) as { terminateReason?: string };
  const job = living(context, request);
  touch(job.wire);
  context.jobs.terminate(job, terminateReason);
  return acknowledged(job, 202, 'terminate');
}

function deleteJob(context: Context, request: Request): Reply {
  context.jobs.delete(existing(context, request));
  return { status: 202 };
}

/** Returns a job with its statistics if the request expands them. */
export function jobWire(job: JobState, { query }: Request): Wire {
  const { wire } = job;
  if (!expandsStatistics(query)) return wire;
  return { ...wire, stats: jobStatistics(String(wire.url), wire.creationTime, [job]) };
}

function list(context: Context, request: Request): Reply {
  const ids = [...context.state.jobs.values()].map(({ id }) => id).sort();
  return page(context, request, 'jobs', (after) =>
    afterId(ids, after, (id) => {
      const job = context.state.job(id);
      return job && jobWire(job, request);
    }),
  );
}

/**
 * From 2020-09-01.12.0 on, slots are counted as well; earlier versions return the task counts alone, and the first one
 * whether they have been compared with the states of the tasks.
 */
function taskCounts(context: Context, { params, version }: Request): Reply {
  const { counts, slots } = jobOf(context, params[0] ?? '');
  const body =
    version < '2018-08-01.7.0'
      ? { ...counts, validationStatus: 'Validated' }
      : version < '2020-09-01.12.0'
        ? { ...counts }
        : { taskCounts: { ...counts }, taskSlotCounts: { ...slots } };
  return { status: 200, metadata: 'taskcountsresult/@Element', body };
}

export const jobRoutes: Route[] = [
  ['POST', '/jobs', addJob],
  ['GET', '/jobs', list],
  ['GET', '/jobs/{}', reading('jobs/@Element', find, jobWire)],
  ['PATCH', '/jobs/{}', update],
  ['PUT', '/jobs/{}', update],
  ['DELETE', '/jobs/{}', deleteJob],
  ['POST', '/jobs/{}/disable', disable],
  ['POST', '/jobs/{}/enable', enable],
  ['POST', '/jobs/{}/terminate', terminate],
  ['GET', '/jobs/{}/taskcounts', taskCounts],
  [
    'GET',
    '/jobs/{}/jobpreparationandreleasetaskstatus',
    (context, request) => {
      const { wire, nodes } = jobOf(context, request.params[0] ?? '');
      if (wire.jobPreparationTask === undefined)
        throw new BatchError('JobPreparationTaskOrReleaseTaskNotSpecified');
      const ids = [...nodes.keys()].sort();
      return page(context, request, 'jobpreparationandreleasetaskstatuslist', (after) =>
        afterId(ids, after, (id) => {
          const { isStale: _, ...shownNode } = nodes.get(id) as JobNode;
          return { ...shownNode };
        }),
      );
    },
  ],
];
