import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  attemptOf,
  endedFailure,
  environmentOf,
  nodeRoot,
  type Outcome,
  runAttempt,
  type Surroundings,
} from '../tasks/taskRunner';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Faults } from './faults';
import type { NodeState, PoolState, State } from './state';
import type { Work } from './work';

export interface StartTaskOptions extends Surroundings {
  readonly allowElevated: boolean;
}

/** Runs the start tasks of nodes, with their retries. */
export class StartTasks {
  constructor(
    private readonly state: State,
    private readonly options: StartTaskOptions,
    private readonly faults: Faults,
    private readonly work: Work,
    private readonly recordFolder: string,
  ) {}

  /** Returns whether it succeeded; the node's `startTaskInfo` says how it ended. */
  async run(pool: PoolState, node: NodeState, startTask: Wire): Promise<boolean> {
    const root = nodeRoot(this.options, pool.id, node.id);
    const taskDir = join(root, 'startup');
    const info: Wire = { state: 'running', startTime: timestamp(), retryCount: 0 };
    node.wire.startTaskInfo = info;
    this.state.saveNode(node);
    const env = environmentOf(
      this.options,
      { poolId: pool.id, nodeId: node.id, isDedicated: Boolean(node.wire.isDedicated), root, taskDir },
      (startTask.environmentSettings as Wire[] | undefined) ?? [],
    );
    const outcome = await this.#outcome(startTask, taskDir, env, info);
    const failed = outcome.failureInfo !== undefined;
    Object.assign(info, {
      state: 'completed',
      endTime: timestamp(),
      exitCode: outcome.exitCode,
      result: failed ? 'failure' : 'success',
      ...(failed ? { failureInfo: outcome.failureInfo } : {}),
    });
    this.state.saveNode(node);
    return !failed;
  }

  async #outcome(startTask: Wire, taskDir: string, env: NodeJS.ProcessEnv, info: Wire): Promise<Outcome> {
    const fault = this.faults.startTask;
    if (fault?.delayMs) await this.work.pause(fault.delayMs);
    if (fault?.exitCode) {
      await appendFile(join(taskDir, 'stderr.txt'), `${fault.stderr ?? ''}\n`);
      return {
        exitCode: fault.exitCode,
        failureInfo: endedFailure('UserError', 'by a fault made for a test'),
      };
    }
    const elevated =
      ((startTask.userIdentity as Wire | undefined)?.autoUser as Wire | undefined)?.elevationLevel ===
      'admin';
    if (elevated && !this.options.allowElevated) {
      await appendFile(
        join(taskDir, 'stdout.txt'),
        'Skipped: this start task requires administrator rights, which the local Batch service does not grant.\n',
      );
      return { exitCode: 0 };
    }
    return this.#attempts(startTask, taskDir, env, info);
  }

  async #attempts(startTask: Wire, taskDir: string, env: NodeJS.ProcessEnv, info: Wire): Promise<Outcome> {
    const retries = Number(startTask.maxTaskRetryCount ?? 0);
    for (let attempt = 0; ; attempt++) {
      const outcome = await runAttempt(
        attemptOf(startTask, taskDir, env, this.recordFolder),
        new AbortController().signal,
      );
      const exhausted = retries >= 0 && attempt >= retries;
      if (outcome.failureInfo?.code !== 'FailureExitCode' || exhausted || this.work.isClosed) return outcome;
      info.retryCount = attempt + 1;
      info.lastRetryTime = timestamp();
    }
  }
}
