import { type ScheduleState, touch } from '../scheduling/state';
import { BatchError } from '../wire/errors';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import {
  afterId,
  type Context,
  checkConditions,
  etagHeaders,
  isId,
  page,
  type Reply,
  type Request,
  type Route,
  resourceHeaders,
  shown,
} from './http/context';
import { validated } from './requests/validate';
import {
  checkActiveQuota,
  checkJobTasks,
  checkPoolInfo,
  jobDefaults,
  type PoolInfo,
} from './resources/newJobs';
import { newAutoPool } from './resources/newPools';

function scheduleOf({ state }: Context, { params: [id = ''] }: Request): ScheduleState {
  const schedule = isId(id) ? state.schedules.get(id.toLowerCase()) : undefined;
  if (schedule === undefined) throw new BatchError('JobScheduleNotFound');
  return schedule;
}

/** Throws if no job could be created from a job specification. */
function checkSpecification(context: Context, id: string, specification: Wire): void {
  const poolInfo = specification.poolInfo as PoolInfo;
  checkPoolInfo(poolInfo);
  const { poolId, autoPoolSpecification } = poolInfo;
  const pool = autoPoolSpecification
    ? newAutoPool(context, { id }, autoPoolSpecification)
    : context.state.pool(poolId ?? '');
  checkJobTasks(context, specification, pool);
}

function addSchedule(context: Context, { body, version }: Request): Reply {
  const { state, jobSchedules } = context;
  const given = validated('JobScheduleAddParameter', body, version, context.containers);
  const id = String(given.id);
  if (state.schedules.has(id.toLowerCase())) throw new BatchError('JobScheduleExists');
  if (state.job(id)) throw new BatchError('JobWithSameIdExists');
  checkActiveQuota(context);
  checkSpecification(context, id, given.jobSpecification as Wire);
  const now = timestamp();
  const wire: Wire = {
    id,
    url: `${context.base()}/jobschedules/${id}`,
    eTag: '',
    lastModified: now,
    creationTime: now,
    state: 'active',
    stateTransitionTime: now,
    ...given,
    jobSpecification: jobDefaults(given.jobSpecification as Wire),
    executionInfo: {},
  };
  touch(wire);
  const schedule: ScheduleState = { id, wire, jobs: 0, dueAt: 0 };
  state.addSchedule(schedule);
  jobSchedules.reschedule(schedule);
  jobSchedules.check(schedule);
  return { status: 201, headers: resourceHeaders(wire, String(wire.url), true) };
}

/** Finds a schedule that is not being deleted, and checks the conditional headers. */
function changeable(context: Context, request: Request): ScheduleState {
  const schedule = scheduleOf(context, request);
  checkConditions(request, schedule.wire as { lastModified: unknown });
  if (schedule.wire.state === 'deleting') throw new BatchError('JobScheduleBeingDeleted');
  return schedule;
}

/** Finds a schedule that is neither completed nor being terminated. */
function living(context: Context, request: Request): ScheduleState {
  const schedule = changeable(context, request);
  if (schedule.wire.state === 'completed') throw new BatchError('JobScheduleCompleted');
  if (schedule.wire.state === 'terminating') throw new BatchError('JobScheduleBeingTerminated');
  return schedule;
}

/** Updates a schedule. A new job specification applies to the jobs created from then on. */
function update(context: Context, request: Request): Reply {
  const schedule = living(context, request);
  const isPatch = request.method === 'PATCH';
  const model = isPatch ? 'JobSchedulePatchParameter' : 'JobScheduleUpdateParameter';
  const { jobSpecification, ...given } = validated(model, request.body, request.version, context.containers);
  if (jobSpecification) checkSpecification(context, schedule.id, jobSpecification as Wire);
  const { wire } = schedule;
  if (!isPatch) delete wire.metadata;
  Object.assign(wire, given);
  if (jobSpecification) wire.jobSpecification = jobDefaults(jobSpecification as Wire);
  touch(wire);
  if (given.schedule) context.jobSchedules.reschedule(schedule);
  else context.state.saveSchedule(schedule);
  if (wire.state === 'active') context.jobSchedules.check(schedule);
  return { status: 200, headers: resourceHeaders(wire, String(wire.url)) };
}

function action(
  name: string,
  status: number,
  work: (context: Context, schedule: ScheduleState) => void,
): Route {
  return [
    'POST',
    `/jobschedules/{}/${name}`,
    (context, request): Reply => {
      const schedule = living(context, request);
      touch(schedule.wire);
      work(context, schedule);
      return { status, headers: resourceHeaders(schedule.wire, `${schedule.wire.url}/${name}`) };
    },
  ];
}

function getSchedule(context: Context, request: Request): Reply {
  const { wire } = scheduleOf(context, request);
  checkConditions(request, wire as { lastModified: unknown });
  return {
    status: 200,
    metadata: 'jobschedules/@Element',
    headers: etagHeaders(wire),
    ...(request.method === 'HEAD' ? {} : { body: shown(wire, request) }),
  };
}

export const scheduleRoutes: Route[] = [
  ['POST', '/jobschedules', addSchedule],
  [
    'GET',
    '/jobschedules',
    (context, request) => {
      const { schedules } = context.state;
      const ids = [...schedules.values()].map(({ id }) => id).sort();
      return page(context, request, 'jobschedules', (after) =>
        afterId(ids, after, (id) => schedules.get(id.toLowerCase())?.wire),
      );
    },
  ],
  ['GET', '/jobschedules/{}', getSchedule],
  ['HEAD', '/jobschedules/{}', getSchedule],
  ['PATCH', '/jobschedules/{}', update],
  ['PUT', '/jobschedules/{}', update],
  [
    'DELETE',
    '/jobschedules/{}',
    (context, request) => {
      context.jobSchedules.delete(changeable(context, request));
      return { status: 202 };
    },
  ],
  action('disable', 204, ({ jobSchedules }, schedule) => {
    if (schedule.wire.state === 'disabled') throw new BatchError('JobScheduleDisabled');
    jobSchedules.disable(schedule);
  }),
  action('enable', 204, ({ jobSchedules }, schedule) => jobSchedules.enable(schedule)),
  action('terminate', 202, ({ jobSchedules }, schedule) => jobSchedules.terminate(schedule)),
  [
    'GET',
    '/jobschedules/{}/jobs',
    (context, request) => {
      const schedule = scheduleOf(context, request);
      const ids = context.jobSchedules.jobsOf(schedule).map(({ id }) => id);
      return page(context, request, 'jobs', (after) =>
        afterId(ids.sort(), after, (id) => context.state.job(id)?.wire),
      );
    },
  ],
];
