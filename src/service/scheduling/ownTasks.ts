import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { appendText } from '../guard/dataFolder';
import type { Supervisor } from '../guard/supervisor';
import type { Place, Surroundings } from '../tasks/environment';
import type { FailureInfo } from '../tasks/taskFailure';
import { attemptOf, type Outcome, runAttempt } from '../tasks/taskRunner';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { NodeState, OwnTask, PoolState } from './resources';

export interface OwnTaskOptions extends Surroundings {
  /** Whether tasks may ask for administrator rights. They run as the user of the service in any case. */
  readonly allowElevated: boolean;
}

/** Runs work of a node that its restart or removal ends, or the end of the service. */
export async function runOwn<T>(
  node: NodeState,
  supervisor: Supervisor,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { controller, release } = supervisor.stopping();
  const running = work(controller.signal);
  const own: OwnTask = {
    stop: () => controller.abort(),
    ended: running.catch(() => undefined),
  };
  node.own.add(own);
  try {
    return await running;
  } finally {
    release();
    node.own.delete(own);
  }
}

/** A start, preparation or release task on one node. */
export interface OwnRun {
  readonly pool: PoolState;
  readonly description: Wire;
  readonly place: Place;
  /** Environment settings of all that it belongs to. */
  readonly settings: readonly Wire[];
  /** Its execution information, in which retries are counted. */
  readonly info: Wire;
  /** Retries after an exit code other than 0; negative for no limit. */
  readonly retries: number;
  readonly recordFolder: string;
}

/** Runs such a task with its retries. One that asks for administrator rights is skipped unless these are allowed. */
export async function runOwnTask(
  options: OwnTaskOptions,
  run: OwnRun,
  signal: AbortSignal,
): Promise<Outcome> {
  const { pool, description, place, settings, info, retries, recordFolder } = run;
  const { taskDir } = place;
  await mkdir(taskDir, { recursive: true });
  if (isElevated(pool, description) && !options.allowElevated) {
    await appendText(
      join(taskDir, 'stdout.txt'),
      'Skipped: this task requires administrator rights, which the local Batch service does not grant.\n',
    );
    return { exitCode: 0 };
  }
  if (namesUnknownUser(pool, description)) return { failureInfo: unknownUserFailure };
  for (let attempt = 0; ; attempt++) {
    const outcome = await runAttempt(attemptOf(description, place, settings, recordFolder, options), signal);
    const exhausted = retries >= 0 && attempt >= retries;
    if (outcome.failureInfo?.code !== 'FailureExitCode' || exhausted || signal.aborted) return outcome;
    info.retryCount = attempt + 1;
    info.lastRetryTime = timestamp();
  }
}

/** Enters how such a task has ended into its execution information. Returns whether it succeeded. */
export function complete(info: Wire, { exitCode, containerInfo, failureInfo }: Outcome): boolean {
  Object.assign(info, {
    state: 'completed',
    endTime: timestamp(),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(containerInfo ? { containerInfo } : {}),
    result: failureInfo ? 'failure' : 'success',
    ...(failureInfo ? { failureInfo } : {}),
  });
  return failureInfo === undefined;
}

/** Why a task of a job can't run as the user that it asks for; undefined if it can. */
export function userFailure(
  pool: PoolState,
  task: Wire,
  { allowElevated }: OwnTaskOptions,
): FailureInfo | undefined {
  if (isElevated(pool, task) && !allowElevated) return elevationFailure;
  return namesUnknownUser(pool, task) ? unknownUserFailure : undefined;
}

/** Without the rights that it asks for, a task could do something else. */
const elevationFailure: FailureInfo = {
  category: 'UserError',
  code: 'ElevationNotAllowed',
  message:
    'The local Batch service gives tasks no administrator rights. Start it with --allow-elevated to run them as the user who started the service',
};

const unknownUserFailure: FailureInfo = {
  category: 'UserError',
  code: 'UserAccountNotFound',
  message: 'The pool has no user account with the name that the task runs under',
};

interface Identity {
  readonly username?: string;
  readonly autoUser?: { readonly elevationLevel?: string };
}

function accountOf({ wire }: PoolState, { username }: Identity): { elevationLevel?: string } | undefined {
  const accounts = (wire.userAccounts ?? []) as { name?: string; elevationLevel?: string }[];
  return accounts.find(({ name }) => name === username);
}

function namesUnknownUser(pool: PoolState, { userIdentity = {} }: Wire): boolean {
  const identity = userIdentity as Identity;
  return identity.username !== undefined && accountOf(pool, identity) === undefined;
}

/** Whether a task is to run as administrator: by its automatic user, or by a user account of the pool. */
function isElevated(pool: PoolState, { userIdentity = {} }: Wire): boolean {
  const identity = userIdentity as Identity;
  const { elevationLevel } =
    (identity.username === undefined ? identity.autoUser : accountOf(pool, identity)) ?? {};
  return elevationLevel?.toLowerCase() === 'admin';
}
