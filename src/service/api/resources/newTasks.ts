import { type JobState, TaskState, touch } from '../../scheduling/state';
import { infiniteDuration, timestamp } from '../../wire/time';
import type { Wire } from '../../wire/wire';
import type { Context } from '../http/context';

/** A task of a job with the defaults that Azure fills in; not yet added. */
export function makeTask(context: Context, job: JobState, given: Wire): TaskState {
  const id = String(given.id);
  const now = timestamp();
  const wire: Wire = {
    id,
    url: `${context.base()}/jobs/${job.id}/tasks/${id}`,
    eTag: '',
    lastModified: now,
    creationTime: now,
    state: 'active',
    stateTransitionTime: now,
    userIdentity: { autoUser: { scope: 'pool', elevationLevel: 'nonadmin' } },
    requiredSlots: 1,
    ...given,
    ...(given.multiInstanceSettings ? { multiInstanceSettings: withInstances(given) } : {}),
    constraints: {
      maxWallClockTime: infiniteDuration,
      retentionTime: 'P7D',
      maxTaskRetryCount: (job.wire.constraints as Wire).maxTaskRetryCount,
      ...(given.constraints as Wire | undefined),
    },
    executionInfo: { retryCount: 0, requeueCount: 0 },
  };
  touch(wire);
  return new TaskState(id, job, wire);
}

function withInstances({ multiInstanceSettings }: Wire): Wire {
  return { numberOfInstances: 1, ...(multiInstanceSettings as Wire) };
}

/** Members of a job manager task that its task has as well. */
const sharedMembers = [
  ...['id', 'displayName', 'commandLine', 'resourceFiles', 'outputFiles', 'environmentSettings'],
  ...['constraints', 'requiredSlots', 'userIdentity', 'applicationPackageReferences'],
  'authenticationTokenSettings',
];

/** The task that a job manager task becomes when its job starts. */
export function managerTask(context: Context, job: JobState): TaskState | undefined {
  const manager = job.wire.jobManagerTask as Wire | undefined;
  if (manager === undefined) return undefined;
  const given = Object.fromEntries(Object.entries(manager).filter(([name]) => sharedMembers.includes(name)));
  return makeTask(context, job, given);
}
