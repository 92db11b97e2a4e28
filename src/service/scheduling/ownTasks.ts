import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { appendText } from '../guard/dataFolder';
import type { Supervisor } from '../guard/supervisor';
import type { Place, Surroundings } from '../tasks/environment';
import { attemptOf, type Outcome, runAttempt } from '../tasks/taskRunner';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { NodeState, OwnTask, PoolState } from './resources';

export interface OwnTaskOptions extends Surroundings {
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

/** Whether a task is to run as administrator: by its automatic user, or by a user account of the pool. */
function isElevated({ wire }: PoolState, { userIdentity }: Wire): boolean {
  const { username, autoUser } = (userIdentity ?? {}) as {
    username?: string;
    autoUser?: { elevationLevel?: string };
  };
  const account = ((wire.userAccounts ?? []) as { name?: string; elevationLevel?: string }[]).find(
    ({ name }) => name === username,
  );
  const level = username === undefined ? autoUser?.elevationLevel : account?.elevationLevel;
  return level?.toLowerCase() === 'admin';
}
