import { type JobState, newJob, touch } from '../scheduling/state';
import { BatchError, invalidProperty } from '../wire/errors';
import { durationMs, infiniteDuration, timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import {
  afterId,
  type Context,
  checkConditions,
  etagHeaders,
  jobOf,
  page,
  type Reply,
  type Request,
  type Route,
  resourceHeaders,
  shown,
} from './context';
import { addAutoPool } from './poolRoutes';
import { validated, validId } from './validate';

const activeQuota = 300;

/** What this service does not do is refused by name rather than ignored. */
const unsupported = ['jobManagerTask', 'jobPreparationTask', 'jobReleaseTask', 'networkConfiguration'];

function refuseUnsupported(given: Wire): void {
  for (const name of unsupported) {
    if (given[name] !== undefined) {
      throw invalidProperty(name, undefined, 'The local Batch service does not support it.');
    }
  }
}

function defaults(given: Wire): Wire {
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
  };
}

function checkConstraints(given: Wire): void {
  const limit = (given.constraints as Wire | undefined)?.maxWallClockTime as string | undefined;
  if (limit !== undefined && durationMs(limit) === undefined) {
    throw invalidProperty('constraints.maxWallClockTime', limit, 'It is not a duration.');
  }
}

function addJob(context: Context, { body, version }: Request): Reply {
  const { state, jobs, faults } = context;
  const given = validated('JobAddParameter', body, version);
  const id = validId(given.id);
  if (state.job(id)) throw new BatchError('JobExists');
  refuseUnsupported(given);
  checkConstraints(given);
  const active = [...state.jobs.values()].filter(
    ({ wire }) => wire.state === 'active' || wire.state === 'disabled',
  );
  if (active.length >= activeQuota) throw new BatchError('ActiveJobAndScheduleQuotaReached');
  const { poolId, autoPoolSpecification } = given.poolInfo as {
    poolId?: string;
    autoPoolSpecification?: Wire;
  };
  if ((poolId === undefined) === (autoPoolSpecification === undefined)) {
    throw invalidProperty('poolInfo', undefined, 'Exactly one of poolId and autoPoolSpecification is given.');
  }
  const now = timestamp();
  const job: JobState = Object.assign(newJob(id), {
    poolId,
    wire: {
      id,
      url: `${context.base()}/jobs/${id}`,
      eTag: '',
      lastModified: now,
      creationTime: now,
      state: 'active',
      stateTransitionTime: now,
      ...defaults(given),
      executionInfo: { startTime: now, poolId },
    } as Wire,
  });
  touch(job.wire);
  const { schedulingError } = faults;
  if (autoPoolSpecification && !schedulingError) {
    job.poolId = addAutoPool(context, job, autoPoolSpecification);
    job.wire.executionInfo = { startTime: now, poolId: job.poolId };
  }
  state.addJob(job);
  if (autoPoolSpecification && schedulingError) jobs.failScheduling(job, schedulingError);
  jobs.check(job);
  return { status: 201, headers: resourceHeaders(job.wire, String(job.wire.url), true) };
}

/** A job that may be changed, its conditions met. */
function changeable(context: Context, request: Request): JobState {
  const job = jobOf(context, request.params[0] ?? '');
  checkConditions(request, job.wire as { lastModified: unknown });
  if (job.wire.state === 'deleting') throw new BatchError('JobBeingDeleted');
  return job;
}

/** A job that still does something. */
function living(context: Context, request: Request): JobState {
  const job = changeable(context, request);
  if (job.wire.state === 'completed') throw new BatchError('JobCompleted');
  if (job.wire.state === 'terminating') throw new BatchError('JobBeingTerminated');
  return job;
}

function changed({ state, base }: Context, job: JobState, status: number, action = ''): Reply {
  touch(job.wire);
  state.saveJob(job);
  return { status, headers: resourceHeaders(job.wire, `${base()}/jobs/${job.id}${action}`) };
}

function update(context: Context, request: Request): Reply {
  const job = living(context, request);
  const isPatch = request.method === 'PATCH';
  const given = validated(
    isPatch ? 'JobPatchParameter' : 'JobUpdateParameter',
    request.body,
    request.version,
  );
  refuseUnsupported(given);
  checkConstraints(given);
  if (given.onAllTasksComplete === 'noaction' && job.wire.onAllTasksComplete === 'terminatejob') {
    throw invalidProperty('onAllTasksComplete', 'noaction', 'It cannot be set back.');
  }
  const { poolInfo, constraints, ...rest } = given;
  if (poolInfo && isPatch && job.wire.state !== 'disabled') {
    throw new BatchError('OperationInvalidForCurrentState', {
      Reason: 'The pool of a job is changed while it is disabled.',
    });
  }
  if (poolInfo) {
    const { poolId } = poolInfo as { poolId?: string };
    job.poolId = poolId ?? job.poolId;
    job.wire.poolInfo = poolInfo;
    (job.wire.executionInfo as Wire).poolId = job.poolId;
  }
  Object.assign(
    job.wire,
    isPatch ? rest : { ...defaults({}), onAllTasksComplete: job.wire.onAllTasksComplete, ...rest },
  );
  if (constraints || !isPatch) job.wire.constraints = defaults({ constraints }).constraints;
  const reply = changed(context, job, 200);
  context.jobs.check(job);
  return reply;
}

function disable(context: Context, request: Request): Reply {
  const job = living(context, request);
  const { disableTasks } = validated('JobDisableParameter', request.body, request.version);
  if (job.wire.state !== 'active') throw new BatchError('JobNotActive');
  touch(job.wire);
  context.jobs.disable(job, String(disableTasks));
  return { status: 202, headers: resourceHeaders(job.wire, `${context.base()}/jobs/${job.id}/disable`) };
}

function enable(context: Context, request: Request): Reply {
  const job = living(context, request);
  if (job.wire.state !== 'disabled' && job.wire.state !== 'disabling') {
    throw new BatchError('OperationInvalidForCurrentState', { Reason: `The job is ${job.wire.state}.` });
  }
  touch(job.wire);
  context.jobs.enable(job);
  return { status: 202, headers: resourceHeaders(job.wire, `${context.base()}/jobs/${job.id}/enable`) };
}

function terminate(context: Context, request: Request): Reply {
  const job = living(context, request);
  const { terminateReason = 'UserTerminate' } = validated(
    'JobTerminateParameter',
    request.body ?? {},
    request.version,
  ) as { terminateReason?: string };
  touch(job.wire);
  context.jobs.terminate(job, terminateReason);
  return { status: 202, headers: resourceHeaders(job.wire, `${context.base()}/jobs/${job.id}/terminate`) };
}

function deleteJob(context: Context, request: Request): Reply {
  context.jobs.delete(changeable(context, request));
  return { status: 202 };
}

function list(context: Context, request: Request): Reply {
  const ids = [...context.state.jobs.values()].map(({ id }) => id).sort();
  return page(context, request, 'jobs', (after) => afterId(ids, after, (id) => context.state.job(id)?.wire));
}

/** Slots are counted from 2020-09-01.12.0 on; before, the answer is the counts themselves. */
function taskCounts(context: Context, { params, version }: Request): Reply {
  const { counts, slots } = jobOf(context, params[0] ?? '');
  return {
    status: 200,
    metadata: 'taskcountsresult/@Element',
    body:
      version < '2020-09-01.12.0'
        ? { ...counts }
        : { taskCounts: { ...counts }, taskSlotCounts: { ...slots } },
  };
}

export const jobRoutes: Route[] = [
  ['POST', '/jobs', addJob],
  ['GET', '/jobs', list],
  [
    'GET',
    '/jobs/{}',
    (context, request) => {
      const { wire } = jobOf(context, request.params[0] ?? '');
      checkConditions(request, wire as { lastModified: unknown });
      return {
        status: 200,
        metadata: 'jobs/@Element',
        headers: etagHeaders(wire),
        body: shown(wire, request),
      };
    },
  ],
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
      jobOf(context, request.params[0] ?? '');
      throw new BatchError('JobPreparationTaskOrReleaseTaskNotSpecified');
    },
  ],
];
