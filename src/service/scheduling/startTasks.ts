import { join } from 'node:path';
import { appendText } from '../guard/dataFolder';
import type { Supervisor } from '../guard/supervisor';
import { environmentOf, nodeRoot } from '../tasks/environment';
import { endedFailure, type Outcome } from '../tasks/taskRunner';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Faults } from './faults';
import { complete, type OwnRun, type OwnTaskOptions, runOwn, runOwnTask } from './ownTasks';
import type { NodeState, PoolState, State } from './state';

/** Runs the start tasks of nodes, with their retries. */
export class StartTasks {
  constructor(
    private readonly state: State,
    private readonly options: OwnTaskOptions,
    private readonly faults: Faults,
    private readonly supervisor: Supervisor,
    private readonly recordFolder: string,
  ) {}

  /**
   * Runs the start task of a node until it ends or the node restarts or leaves. Resolves to whether it succeeded; the
   * node's `startTaskInfo` says how it ended.
   */
  async run(pool: PoolState, node: NodeState, startTask: Wire, packages: readonly Wire[]): Promise<boolean> {
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
    const outcome = await runOwn(node, this.supervisor, (signal) =>
      this.#outcome(
        {
          pool,
          description: startTask,
          taskDir,
          env,
          info,
          retries: Number(startTask.maxTaskRetryCount ?? 0),
          recordFolder: this.recordFolder,
        },
        signal,
      ),
    );
    // It runs again after the reboot, or the node is on its way out of the pool.
    if (outcome.stopped) return false;
    await this.state.whenWritable();
    const succeeded = complete(info, outcome);
    if (pool.nodes.get(node.id) === node) this.state.saveNode(node);
    return succeeded;
  }

  async #outcome(run: OwnRun, signal: AbortSignal): Promise<Outcome> {
    const fault = this.faults.startTask;
    if (fault?.delayMs) await this.supervisor.pause(fault.delayMs);
    if (fault?.exitCode) {
      await appendText(join(run.taskDir, 'stderr.txt'), `${fault.stderr ?? ''}\n`);
      return {
        exitCode: fault.exitCode,
        failureInfo: endedFailure('UserError', 'by a fault made for a test'),
      };
    }
    return runOwnTask(this.options, run, signal);
  }
}
