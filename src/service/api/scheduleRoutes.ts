import { type ScheduleState, touch } from '../scheduling/state';
import { BatchError } from '../wire/errors';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import { afterId, type Context, isId, page, type Reply, type Request, type Route } from './http/context';
import { acknowledged, changeable, created, reading } from './http/resource';
import { jobWire } from './jobRoutes';
import { validated } from './requests/validate';
import {
  checkActiveQuota,
  checkJobTasks,
  checkPoolInfo,
  jobDefaults,
  type PoolInfo,
} from './resources/newJobs';
import { newAutoPool } from './resources/newPools';
import { expandsStatistics, jobStatistics } from './resources/statistics';

function scheduleOf({ state }: Context, { params: [id = ''] }: Request): ScheduleState {
  const schedule = isId(id) ? state.schedules.get(id.toLowerCase()) : undefined;
  if (schedule === undefined) throw new BatchError('JobScheduleNotFound');
  return schedule;
}

/** Throws if no job could be created from a job specification. */
function checkSpecification(context: Context, id: string, specification: Wire): void {
  const poolInfo = specification.poolInfo as PoolInfo;
  checkPoolInfo(poolInfo);
  if (poolInfo.autoPoolSpecification) newAutoPool(context, { id }, poolInfo.autoPoolSpecification);
  checkJobTasks(context, specification);
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
  return created(schedule);
}

const isDeleting = { deleting: 'JobScheduleBeingDeleted' } as const;
/** Finds a schedule that is not being deleted. */
const existing = changeable(scheduleOf, isDeleting);
/** Finds a schedule that is neither completed nor being terminated or deleted. */
const living = changeable(scheduleOf, {
  ...isDeleting,
  completed: 'JobScheduleCompleted',
  terminating: 'JobScheduleBeingTerminated',
});

/** Updates a schedule. A new job specification applies to the jobs created from then on. */
function update(context: Context, request: Request): Reply {
  const isPatch = request.method === 'PATCH';
  const model = isPatch ? 'JobSchedulePatchParameter' : 'JobScheduleUpdateParameter';
  const { jobSpecification, ...given } = validated(model, request.body, request.version, context.containers);
  const schedule = living(context, request);
  if (jobSpecification) checkSpecification(context, schedule.id, jobSpecification as Wire);
  const { wire } = schedule;
  if (!isPatch) delete wire.metadata;
  Object.assign(wire, given);
  if (jobSpecification) wire.jobSpecification = jobDefaults(jobSpecification as Wire);
  touch(wire);
  if (given.schedule) context.jobSchedules.reschedule(schedule);
  else context.state.saveSchedule(schedule);
  if (wire.state === 'active') context.jobSchedules.check(schedule);
  return acknowledged(schedule, 200);
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
      return acknowledged(schedule, status, name);
    },
  ];
}

/** Returns a schedule, with the statistics of its jobs if the request expands them. */
function scheduleWire(schedule: ScheduleState, { query }: Request, { jobSchedules }: Context): Wire {
  const { wire } = schedule;
  if (!expandsStatistics(query)) return wire;
  const jobs = jobSchedules.jobsOf(schedule);
  return { ...wire, stats: jobStatistics(String(wire.url), wire.creationTime, jobs) };
}

const getSchedule = reading('jobschedules/@Element', scheduleOf, scheduleWire);

export const scheduleRoutes: Route[] = [
  ['POST', '/jobschedules', addSchedule],
  [
    'GET',
    '/jobschedules',
    (context, request) => {
      const { schedules } = context.state;
      const ids = [...schedules.values()].map(({ id }) => id).sort();
      return page(context, request, 'jobschedules', (after) =>
        afterId(ids, after, (id) => {
          const schedule = schedules.get(id.toLowerCase());
          return schedule && scheduleWire(schedule, request, context);
        }),
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
      context.jobSchedules.delete(existing(context, request));
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
        afterId(ids.sort(), after, (id) => {
          const job = context.state.job(id);
          return job && jobWire(job, request);
        }),
      );
    },
  ],
];
