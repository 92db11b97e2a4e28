import { join } from 'node:path';
import { appendText } from '../guard/dataFolder';
import type { Supervisor } from '../guard/supervisor';
import { engineFailure } from '../tasks/containerTask';
import { nodeRoot, type Place } from '../tasks/environment';
import { failure } from '../tasks/taskFailure';
import { endedFailure, type Outcome } from '../tasks/taskRunner';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Faults } from './faults';
import { complete, type OwnRun, type OwnTaskOptions, runOwn, runOwnTask } from './ownTasks';
import { containersOf, type NodeState, type PoolState, type State } from './state';

/** Prepares nodes for tasks: refuses file systems to mount, pulls container images, and runs start tasks, with retries. */
export class StartTasks {
  constructor(
    private readonly state: State,
    private readonly options: OwnTaskOptions,
    private readonly faults: Faults,
    private readonly supervisor: Supervisor,
    private readonly recordFolder: string,
  ) {}

  /** Pulls the container images of a pool that this machine does not have. Throws a TaskFailure. */
  async prefetchImages(pool: PoolState): Promise<void> {
    const configuration = containersOf(pool);
    if (configuration === undefined) return;
    if (this.options.containers === undefined) throw engineFailure();
    await this.options.containers.prefetch(configuration);
  }

  /** Throws a TaskFailure if a pool has file systems to mount, the same as in Azure if they can't be reached. */
  mount({ wire }: PoolState): void {
    const [mount] = (wire.mountConfiguration ?? []) as Record<string, { relativeMountPath?: string }>[];
    if (mount === undefined) return;
    const [{ relativeMountPath = '' } = {}] = Object.values(mount);
    throw failure(
      'UserError',
      'MountConfigurationException',
      'An exception occurred when mounting configuration',
      {
        Message: 'The local Batch service mounts no file systems.',
        MountConfigurationPath: relativeMountPath,
      },
    );
  }

  /**
   * Runs the start task of a node until it ends or the node restarts or leaves. Resolves to whether it succeeded; the
   * node's `startTaskInfo` says how it ended.
   */
  async run(pool: PoolState, node: NodeState, startTask: Wire, packages: readonly Wire[]): Promise<boolean> {
    const root = nodeRoot(this.options, pool.id, node.id);
    const info: Wire = { state: 'running', startTime: timestamp(), retryCount: 0 };
    node.wire.startTaskInfo = info;
    this.state.saveNode(node);
    const place: Place = {
      poolId: pool.id,
      nodeId: node.id,
      isDedicated: Boolean(node.wire.isDedicated),
      address: String(node.wire.ipAddress),
      root,
      taskDir: join(root, 'startup'),
      containers: containersOf(pool),
    };
    const outcome = await runOwn(node, this.supervisor, (signal) =>
      this.#outcome(
        {
          pool,
          description: startTask,
          place,
          settings: [...packages, ...((startTask.environmentSettings as Wire[] | undefined) ?? [])],
          info,
          retries: Number(startTask.maxTaskRetryCount ?? 0),
          recordFolder: this.recordFolder,
        },
        signal,
      ),
    );
    // The start task runs again after the reboot, or the node leaves the pool.
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
      await appendText(join(run.place.taskDir, 'stderr.txt'), `${fault.stderr ?? ''}\n`);
      return {
        exitCode: fault.exitCode,
        failureInfo: endedFailure('UserError', 'by a fault made for a test'),
      };
    }
    return runOwnTask(this.options, run, signal);
  }
}
