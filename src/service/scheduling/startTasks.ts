import { join } from 'node:path';
import { appendText } from '../guard/dataFolder';
import type { Supervisor } from '../guard/supervisor';
import { environmentOf, nodeRoot, type Surroundings } from '../tasks/environment';
import { attemptOf, endedFailure, type Outcome, runAttempt } from '../tasks/taskRunner';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Faults } from './faults';
import type { NodeState, PoolState, State } from './state';

export interface StartTaskOptions extends Surroundings {
  readonly allowElevated: boolean;
}

/** Runs the start tasks of nodes, with their retries. */
export class StartTasks {
  constructor(
    private readonly state: State,
    private readonly options: StartTaskOptions,
    private readonly faults: Faults,
    private readonly supervisor: Supervisor,
    private readonly recordFolder: string,
  ) {}

  /**
   * Runs the start task of a node until it ends or is stopped through `node.startTask`. Resolves to whether it succeeded;
   * the node's `startTaskInfo` says how it ended.
   */
  async run(pool: PoolState, node: NodeState, startTask: Wire, packages: readonly Wire[]): Promise<boolean> {
    const stopping = new AbortController();
    const signal = AbortSignal.any([stopping.signal, this.supervisor.signal]);
    const running = this.#run(pool, node, startTask, packages, signal);
    const startTaskRun = {
      stop: () => stopping.abort(),
      ended: running.then(
        () => undefined,
        () => undefined,
      ),
    };
    node.startTask = startTaskRun;
    try {
      return await running;
    } finally {
      if (node.startTask === startTaskRun) node.startTask = undefined;
    }
  }

  async #run(
    pool: PoolState,
    node: NodeState,
    startTask: Wire,
    packages: readonly Wire[],
    signal: AbortSignal,
  ): Promise<boolean> {
    const root = nodeRoot(this.options, pool.id, node.id);
    const taskDir = join(root, 'startup');
    const info: Wire = { state: 'running', startTime: timestamp(), retryCount: 0 };
    node.wire.startTaskInfo = info;
    this.state.saveNode(node);
    const env = environmentOf(
      this.options,
      { poolId: pool.id, nodeId: node.id, isDedicated: Boolean(node.wire.isDedicated), root, taskDir },
      [...packages, ...((startTask.environmentSettings as Wire[] | undefined) ?? [])],
    );
    const outcome = await this.#outcome(pool, startTask, taskDir, env, info, signal);
    // It runs again after the reboot, or the node is on its way out of the pool.
    if (outcome.stopped) return false;
    await this.state.whenWritable();
    const failed = outcome.failureInfo !== undefined;
    Object.assign(info, {
      state: 'completed',
      endTime: timestamp(),
      exitCode: outcome.exitCode,
      result: failed ? 'failure' : 'success',
      ...(failed ? { failureInfo: outcome.failureInfo } : {}),
    });
    if (pool.nodes.get(node.id) === node) this.state.saveNode(node);
    return !failed;
  }

  async #outcome(
    pool: PoolState,
    startTask: Wire,
    taskDir: string,
    env: NodeJS.ProcessEnv,
    info: Wire,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const fault = this.faults.startTask;
    if (fault?.delayMs) await this.supervisor.pause(fault.delayMs);
    if (fault?.exitCode) {
      await appendText(join(taskDir, 'stderr.txt'), `${fault.stderr ?? ''}\n`);
      return {
        exitCode: fault.exitCode,
        failureInfo: endedFailure('UserError', 'by a fault made for a test'),
      };
    }
    if (isElevated(pool, startTask) && !this.options.allowElevated) {
      await appendText(
        join(taskDir, 'stdout.txt'),
        'Skipped: this start task requires administrator rights, which the local Batch service does not grant.\n',
      );
      return { exitCode: 0 };
    }
    return this.#attempts(startTask, taskDir, env, info, signal);
  }

  async #attempts(
    startTask: Wire,
    taskDir: string,
    env: NodeJS.ProcessEnv,
    info: Wire,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const retries = Number(startTask.maxTaskRetryCount ?? 0);
    for (let attempt = 0; ; attempt++) {
      const outcome = await runAttempt(
        attemptOf(startTask, taskDir, env, this.recordFolder, this.options),
        signal,
      );
      const exhausted = retries >= 0 && attempt >= retries;
      if (outcome.failureInfo?.code !== 'FailureExitCode' || exhausted || signal.aborted) return outcome;
      info.retryCount = attempt + 1;
      info.lastRetryTime = timestamp();
    }
  }
}

/** Whether a task is to run as administrator: by its automatic user, or by a user account of the pool. */
export function isElevated({ wire }: PoolState, { userIdentity }: Wire): boolean {
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
