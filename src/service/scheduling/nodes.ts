import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeNodeFolders, nodeRoot, removeNodeFolders } from '../tasks/taskRunner';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Faults } from './faults';
import type { Log } from './log';
import { type StartTaskOptions, StartTasks } from './startTasks';
import { type NodeState, type PoolState, type State, setState, type TaskState } from './state';
import type { Work } from './work';

export interface NodeOptions extends StartTaskOptions {
  /** Milliseconds that a node takes from one state to the next. */
  readonly nodeStepMs: number;
}

/** How many ended tasks a node tells of. */
const recentTasks = 10;

/** Brings pools to their targets, and their nodes through their states. */
export class Nodes {
  /** Told when a node can take tasks. */
  onReady: () => void = () => undefined;
  readonly #startTasks: StartTasks;

  constructor(
    private readonly state: State,
    private readonly options: NodeOptions,
    private readonly faults: Faults,
    private readonly work: Work,
    private readonly log: Log,
  ) {
    this.#startTasks = new StartTasks(state, options, faults, work, this.recordFolder);
  }

  /** After the service was started again, nodes are as after a reboot. */
  start(): void {
    for (const pool of this.state.pools.values()) {
      for (const node of pool.nodes.values()) {
        if (node.wire.state === 'deallocating') this.deallocate(pool, node, 'requeue');
        else if (node.wire.state !== 'deallocated') this.#boot(pool, node, 'rebooting');
      }
      this.reconcile(pool);
    }
  }

  /** Where processes are recorded while they run. */
  get recordFolder(): string {
    return join(this.options.dataDir, 'processes');
  }

  /** Brings the nodes of a pool towards their targets. At most `arrivals` nodes are added now. */
  reconcile(
    pool: PoolState,
    arrivals = this.faults.nodeArrivalMs === 0 ? Number.POSITIVE_INFINITY : 0,
  ): void {
    const { wire } = pool;
    const deleting = wire.state === 'deleting';
    if (wire.allocationState === 'stopping') {
      pool.isWaitingForNode = false;
      this.#steady(pool);
      return;
    }
    let left = arrivals;
    let changed = false;
    for (const kind of ['Dedicated', 'LowPriority'] as const) {
      const target = deleting ? 0 : Number(wire[`target${kind}Nodes`] ?? 0);
      const own = [...pool.nodes.values()].filter((node) => node.wire.isDedicated === (kind === 'Dedicated'));
      const staying = own.filter((node) => !node.leaving);
      if (staying.length < target && !this.faults.allocationFailure) {
        const added = Math.min(target - staying.length, left);
        for (let count = 0; count < added; count++) this.#addNode(pool, kind === 'Dedicated');
        left -= added;
        if (staying.length + added < target) this.#addNodeLater(pool);
        changed = true;
      } else if (staying.length > target) {
        const surplus = staying
          .sort((one, other) => one.running.size - other.running.size)
          .slice(0, staying.length - target);
        for (const node of surplus) this.remove(pool, node, pool.deallocation ?? 'requeue');
        changed = true;
      }
    }
    if (changed || wire.allocationState === 'resizing')
      this.work.after(this.options.nodeStepMs, () => this.#settle(pool));
  }

  /** With slow arrivals a node is added after each pause, until none is missing. */
  #addNodeLater(pool: PoolState): void {
    if (pool.isWaitingForNode) return;
    pool.isWaitingForNode = true;
    this.work.after(this.faults.nodeArrivalMs, () => {
      if (!pool.isWaitingForNode) return;
      pool.isWaitingForNode = false;
      this.reconcile(pool, this.faults.nodeArrivalMs === 0 ? Number.POSITIVE_INFINITY : 1);
    });
  }

  /** Takes a node out of its pool, with what runs on it ended, requeued or waited for. */
  remove(pool: PoolState, node: NodeState, option: string): void {
    if (node.leaving) return;
    node.leaving = true;
    this.#endTasks(node, option);
    this.leaveWhenFree(pool, node);
  }

  /** Lets a pool go: its nodes first, then itself. */
  deletePool(pool: PoolState): void {
    setState(pool.wire, 'deleting');
    pool.wire.allocationState = 'resizing';
    this.state.savePool(pool);
    for (const node of pool.nodes.values()) this.remove(pool, node, 'requeue');
    this.work.after(this.options.nodeStepMs, () => this.#settle(pool));
  }

  /** Azure takes a Spot node away: its tasks start again elsewhere, and the pool looks for another. */
  preempt(pool: PoolState, node: NodeState): void {
    this.#setNode(node, 'preempted');
    for (const task of node.running) task.stop?.('requeue');
    this.log(`Node ${node.id} of pool ${pool.id} is preempted.`);
    this.work.after(this.options.nodeStepMs * 2, () => {
      if (!pool.nodes.has(node.id)) return;
      this.state.removeNode(pool, node);
      // A pool that is deleted, or made smaller meanwhile, looks for no other.
      if (pool.wire.state === 'deleting') this.#settle(pool);
      else this.reconcile(pool);
    });
  }

  /** A node stops working: its tasks start again elsewhere. It works again after a reboot. */
  breakNode(node: NodeState, state: 'unusable' | 'unknown'): void {
    this.#setNode(node, state);
    for (const task of node.running) task.stop?.('requeue');
  }

  /** Reboots or reimages a node; its tasks start again. */
  restart(pool: PoolState, node: NodeState, state: 'rebooting' | 'reimaging'): void {
    for (const task of node.running) task.stop?.('requeue');
    this.#boot(pool, node, state);
  }

  /** A node that takes no tasks goes offline once it is free. */
  setScheduling(node: NodeState, enabled: boolean, option = 'requeue'): void {
    node.wire.schedulingState = enabled ? 'enabled' : 'disabled';
    if (!enabled) this.#endTasks(node, option);
    if (enabled && node.wire.state === 'offline') this.#setNode(node, 'idle');
    if (!enabled && node.running.size === 0 && node.wire.state === 'idle') this.#setNode(node, 'offline');
    this.state.saveNode(node);
    this.onReady();
  }

  /** Folder of a task on the node that it ran on; undefined before that. */
  taskDir(task: TaskState): string | undefined {
    const { poolId, nodeId } = (task.wire.nodeInfo ?? {}) as { poolId?: string; nodeId?: string };
    if (poolId === undefined || nodeId === undefined) return undefined;
    return join(this.root(poolId, nodeId), 'workitems', task.job.id, 'job-1', task.id);
  }

  async removeTaskFiles(task: TaskState): Promise<void> {
    const folder = this.taskDir(task);
    if (folder) await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }

  /** Root folder of a node. */
  root(poolId: string, nodeId: string): string {
    return nodeRoot(this.options, poolId, nodeId);
  }

  /** Counts what runs on a node, which makes it idle or running. */
  count(node: NodeState): void {
    Object.assign(node.wire, { runningTasksCount: node.running.size, runningTaskSlotsCount: node.slotsUsed });
    const { state, schedulingState } = node.wire;
    if (state === 'idle' || state === 'running') {
      const next = node.running.size > 0 ? 'running' : schedulingState === 'disabled' ? 'offline' : 'idle';
      if (next !== state) this.#setNode(node, next);
    }
  }

  /** Counts a task that has ended on a node, and keeps it among the node's recent ones. */
  countEnded(node: NodeState, { wire, job, id }: TaskState): void {
    const { state, executionInfo } = wire;
    const succeeded = (executionInfo as Wire | undefined)?.result === 'success';
    const recent = { taskUrl: wire.url, jobId: job.id, taskId: id, taskState: state, executionInfo };
    Object.assign(node.wire, {
      totalTasksRun: Number(node.wire.totalTasksRun) + 1,
      totalTasksSucceeded: Number(node.wire.totalTasksSucceeded) + Number(succeeded),
      recentTasks: [recent, ...((node.wire.recentTasks as Wire[] | undefined) ?? [])].slice(0, recentTasks),
    });
    this.count(node);
  }

  /** Gives a node's machine back and keeps its place in the pool, until it is started again. */
  deallocate(pool: PoolState, node: NodeState, option: string): void {
    this.#setNode(node, 'deallocating');
    this.#endTasks(node, option);
    const settle = () => {
      if (!pool.nodes.has(node.id) || node.wire.state !== 'deallocating') return;
      if (node.running.size === 0) this.#setNode(node, 'deallocated');
      else this.work.after(this.options.nodeStepMs, settle);
    };
    this.work.after(this.options.nodeStepMs, settle);
  }

  /** Starts a deallocated node. */
  startNode(pool: PoolState, node: NodeState): void {
    this.#boot(pool, node, 'starting');
  }

  /** What becomes of the tasks of a node that is to take none: they end, start again elsewhere, or are waited for. */
  #endTasks(node: NodeState, option: string): void {
    if (option === 'taskcompletion') return;
    for (const task of node.running) task.stop?.(option === 'terminate' ? 'terminate' : 'requeue');
  }

  #addNode(pool: PoolState, isDedicated: boolean): void {
    const id = `tvmps_${randomBytes(32).toString('hex')}_${isDedicated ? 'd' : 'p'}`;
    const now = timestamp();
    const wire: Wire = {
      id,
      url: `${this.options.accountUrl()}/pools/${pool.id}/nodes/${id}`,
      state: 'creating',
      schedulingState: 'enabled',
      stateTransitionTime: now,
      allocationTime: now,
      ipAddress: '127.0.0.1',
      affinityId: `TVM:${id}`,
      vmSize: pool.wire.vmSize,
      totalTasksRun: 0,
      totalTasksSucceeded: 0,
      runningTasksCount: 0,
      runningTaskSlotsCount: 0,
      isDedicated,
      endpointConfiguration: { inboundEndpoints: [] },
    };
    const node: NodeState = { id, poolId: pool.id, wire, running: new Set(), slotsUsed: 0 };
    pool.nodes.set(id, node);
    this.state.saveNode(node);
    this.work.after(this.options.nodeStepMs, () => this.#boot(pool, node, 'starting'));
  }

  #boot(pool: PoolState, node: NodeState, state: string): void {
    if (!pool.nodes.has(node.id)) return;
    this.#setNode(node, state);
    this.work.after(this.options.nodeStepMs, () => this.work.track(this.#startUp(pool, node)));
  }

  async #startUp(pool: PoolState, node: NodeState): Promise<void> {
    if (!pool.nodes.has(node.id) || this.work.isClosed) return;
    await makeNodeFolders(this.root(pool.id, node.id));
    const now = timestamp();
    Object.assign(node.wire, {
      lastBootTime: now,
      nodeAgentInfo: { version: '1.0.0', lastUpdateTime: now },
      virtualMachineInfo: {
        imageReference: (pool.wire.virtualMachineConfiguration as Wire | undefined)?.imageReference,
      },
    });
    if (this.faults.takeUnusable()) {
      this.#setNode(node, 'unusable');
      return;
    }
    const startTask = pool.wire.startTask as Wire | undefined;
    if (startTask) {
      node.wire.startTask = startTask;
      const mustWait = startTask.waitForSuccess !== false;
      if (mustWait) this.#setNode(node, 'waitingforstarttask');
      else this.#ready(node);
      const ok = await this.#startTasks.run(pool, node, startTask);
      if (!pool.nodes.has(node.id)) return;
      if (this.faults.takeInterruption()) {
        this.restart(pool, node, 'rebooting');
        return;
      }
      if (!ok && mustWait) {
        this.#setNode(node, 'starttaskfailed');
        return;
      }
      if (!mustWait) return;
    }
    this.#ready(node);
  }

  #ready(node: NodeState): void {
    if (node.wire.state === 'preempted') return;
    this.#setNode(node, node.wire.schedulingState === 'disabled' ? 'offline' : 'idle');
    this.onReady();
  }

  #setNode(node: NodeState, state: string): void {
    node.wire.state = state;
    node.wire.stateTransitionTime = timestamp();
    this.state.saveNode(node);
  }

  /** A node that is to go does so once nothing runs on it. */
  leaveWhenFree(pool: PoolState, node: NodeState): void {
    if (node.running.size > 0) return;
    this.#setNode(node, 'leavingpool');
    this.work.after(this.options.nodeStepMs, () => {
      if (!pool.nodes.has(node.id)) return;
      this.state.removeNode(pool, node);
      this.work.track(removeNodeFolders(this.root(pool.id, node.id)));
      this.#settle(pool);
    });
  }

  #settle(pool: PoolState): void {
    if (!this.state.pools.has(pool.id.toLowerCase())) return;
    const leaving = [...pool.nodes.values()].some((node) => node.leaving);
    if (pool.wire.state === 'deleting') {
      if (pool.nodes.size === 0) this.#poolGone(pool);
      return;
    }
    if (leaving || pool.isWaitingForNode || pool.wire.allocationState === 'steady') return;
    const resizedForMs = Date.now() - Date.parse(String(pool.wire.allocationStateTransitionTime));
    const left = pool.wire.allocationState === 'stopping' ? 0 : this.faults.resizingMs - resizedForMs;
    if (left > 0) this.work.after(left, () => this.#settle(pool));
    else this.#steady(pool);
  }

  #poolGone(pool: PoolState): void {
    this.state.removePool(pool);
    this.work.track(
      rm(join(this.options.dataDir, 'nodes', pool.id), { recursive: true, force: true, maxRetries: 3 }),
    );
  }

  #isMissingNodes(pool: PoolState, kind: 'Dedicated' | 'LowPriority'): boolean {
    const nodes = [...pool.nodes.values()].filter(({ wire }) => wire.isDedicated === (kind === 'Dedicated'));
    return nodes.length < Number(pool.wire[`target${kind}Nodes`] ?? 0);
  }

  #steady(pool: PoolState): void {
    const { wire } = pool;
    const refused = this.faults.allocationFailure;
    const stopped = wire.allocationState === 'stopping';
    const errors: Wire[] = [];
    for (const kind of ['Dedicated', 'LowPriority'] as const) {
      if (!this.#isMissingNodes(pool, kind)) continue;
      const words = kind === 'Dedicated' ? 'dedicated' : 'low priority';
      if (stopped) {
        errors.push({
          code: 'ResizeStopped',
          message: `Desired number of ${words} nodes could not be allocated due to a stop resize operation`,
        });
      } else if (refused) {
        errors.push({ code: refused, message: `Desired number of ${words} nodes could not be allocated` });
      }
    }
    if (errors.length > 0) wire.resizeErrors = errors;
    else delete wire.resizeErrors;
    wire.allocationState = 'steady';
    wire.allocationStateTransitionTime = timestamp();
    this.state.savePool(pool);
  }
}
