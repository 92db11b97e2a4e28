import { randomBytes } from 'node:crypto';
import type { Wire } from '../wire/wire';
import type { JobState, NodeState, PoolState, TaskState } from './state';

interface JobManager {
  readonly id: string;
  readonly killJobOnCompletion?: boolean;
  readonly runExclusive?: boolean;
  readonly allowLowPriorityNode?: boolean;
}

/** The job manager task of a job, if this task is it. */
export function managerOf({ job, id }: TaskState): JobManager | undefined {
  const manager = job.wire.jobManagerTask as JobManager | undefined;
  return manager?.id.toLowerCase() === id.toLowerCase() ? manager : undefined;
}

/** Slots that a task occupies: a job manager has its node to itself, unless it says otherwise. */
export function slotsOf(task: TaskState, { wire }: PoolState): number {
  const isExclusive = managerOf(task) !== undefined && managerOf(task)?.runExclusive !== false;
  return isExclusive ? Number(wire.taskSlotsPerNode ?? 1) : Number(task.facts.requiredSlots ?? 1);
}

/** Whether a task may run on a Spot node: a job manager may be kept from that. */
export function mayUse(task: TaskState, node: NodeState): boolean {
  return Boolean(node.wire.isDedicated) || managerOf(task)?.allowLowPriorityNode !== false;
}

/** Whether the job of a task ends with it. */
export function endsJob(task: TaskState): boolean {
  const manager = managerOf(task);
  return manager !== undefined && manager.killJobOnCompletion !== false;
}

/** The active tasks of a job, its manager first. */
export function* managerFirst(job: JobState): Generator<TaskState> {
  const { id } = (job.wire.jobManagerTask ?? {}) as Wire;
  const manager = id === undefined ? undefined : job.tasks.get(String(id).toLowerCase());
  if (manager && job.active.has(manager)) yield manager;
  for (const task of job.active) if (task !== manager) yield task;
}

/**
 * The authentication tokens that running tasks have been given. Each is accepted for its job only, and until its task
 * ends; none is stored. https://learn.microsoft.com/rest/api/batchservice/task/add (AuthenticationTokenSettings)
 */
export class TaskTokens {
  readonly #jobs = new Map<string, string>();

  /** A new token for a task that asks for access to its job; undefined for another. */
  issue({ wire, job }: TaskState): string | undefined {
    const { access = [] } = (wire.authenticationTokenSettings ?? {}) as { access?: readonly string[] };
    if (!access.some((resource) => resource.toLowerCase() === 'job')) return undefined;
    const token = randomBytes(32).toString('base64url');
    this.#jobs.set(token, job.id);
    return token;
  }

  /** Ends the life of a token. */
  revoke(token: string | undefined): void {
    if (token !== undefined) this.#jobs.delete(token);
  }

  /** The id of the job that a token gives access to. */
  jobOf(token: string): string | undefined {
    return this.#jobs.get(token);
  }
}

/** The environment variable that holds a task's token. */
export function tokenSettings(token: string | undefined): Wire[] {
  return token === undefined ? [] : [{ name: 'AZ_BATCH_AUTHENTICATION_TOKEN', value: token }];
}
