import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { DataFolder, isDiskFull } from '../guard/dataFolder';
import type { Log } from '../guard/log';
import type { Concern, Supervisor } from '../guard/supervisor';
import { jobFolder, makeNodeFolders, taskFolder } from '../tasks/environment';
import { ApplicationPackages, type PackageReference } from '../tasks/packages/applicationPackages';
import { failureOf } from '../tasks/taskRunner';
import { loopback } from '../wire/endpoints';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Faults } from './faults';
import type { OwnTaskOptions } from './ownTasks';
import { StartTasks } from './startTasks';
import {
  type JobState,
  type NodeState,
  newNode,
  type PoolState,
  placesOf,
  type State,
  type TaskState,
} from './state';

export interface NodeOptions extends OwnTaskOptions {
  /** Milliseconds that a node takes from one state to the next. */
  readonly nodeStepMs: number;
  /** Folder of the application packages. Default: `packages` in the data folder. */
  readonly packagesDir?: string;
}

/** Number of ended tasks that a node lists. */
const recentTasks = 10;
/** Between two tries to make the folders of a node on a full disk. */
const fullDiskPauseMs = 1_000;
/** Tries to make the folders of a node while another folder is removed. */
const maxRaces = 10;

/** Brings the nodes of pools through their states. */
export class Nodes {
  /** Called when a node can take tasks. */
  onReady: () => void = () => undefined;
  /** Called when a node restarts, and whether its disk is new. */
  onBoot: (node: NodeState, isReimaged: boolean) => void = () => undefined;
  /** Called when a node has left its pool. */
  onLeft: (pool: PoolState, node: NodeState) => void = () => undefined;
  readonly folder: DataFolder;
  readonly packages: ApplicationPackages;
  readonly #startTasks: StartTasks;

  constructor(
    private readonly state: State,
    private readonly options: NodeOptions,
    private readonly faults: Faults,
    private readonly supervisor: Supervisor,
    private readonly log: Log,
  ) {
    this.folder = new DataFolder(options.dataDir);
    this.packages = new ApplicationPackages(options.packagesDir ?? this.folder.packages);
    this.#startTasks = new StartTasks(state, options, faults, supervisor, this.recordFolder);
  }

  /** Continues with a node after the service was started again, as after a reboot. */
  resume(pool: PoolState, node: NodeState): void {
    if (node.wire.ipAddress === loopback) node.wire.ipAddress = this.state.takeAddress();
    const { state } = node.wire;
    if (node.leaving) this.#leave(pool, node);
    else if (state === 'preempted') this.#removeLater(pool, node);
    else if (state === 'deallocating') this.deallocate(pool, node, 'requeue');
    else if (state !== 'deallocated')
      this.#boot(pool, node, state === 'reimaging' ? 'reimaging' : 'rebooting');
  }

  /** Removes what earlier runs of the service had taken away but not yet removed, and folders of nodes that no longer exist. */
  removeLeftovers(): void {
    this.supervisor.run({ about: 'files of earlier runs' }, async () => {
      this.folder.makeTrash();
      const known = (poolId: string, nodeId: string) => this.state.pool(poolId)?.nodes.has(nodeId);
      for (const path of await this.folder.unknownNodes(known))
        this.discard(path, 'the folder of a node that no longer exists');
      await this.folder.emptyTrash();
    });
  }

  /** Where processes are recorded while they run. */
  get recordFolder(): string {
    return this.folder.processes;
  }

  /** Removes a node from its pool; the tasks on it are ended, requeued or waited for. */
  remove(pool: PoolState, node: NodeState, option: string): void {
    const isNew = node.leaving === undefined;
    if (isNew || (!waits(option) && node.leaving !== 'terminate')) {
      node.leaving = option;
      this.state.saveNode(node);
    }
    if (isNew) {
      node.boots++;
      stopOwn(node);
    }
    this.#endTasks(node, option);
    this.leaveWhenFree(pool, node);
  }

  /** Preempts a Spot node, as Azure does: its tasks start again elsewhere, and the pool allocates another node. */
  preempt(pool: PoolState, node: NodeState): void {
    this.#interrupt(node, 'preempted');
    this.log(`Node ${node.id} of pool ${pool.id} is preempted.`);
    this.#removeLater(pool, node);
  }

  #removeLater(pool: PoolState, node: NodeState): void {
    this.supervisor.after(this.options.nodeStepMs * 2, this.#about(node), () => this.#removeNode(pool, node));
  }

  /** A node stops working: its tasks start again elsewhere. It works again after a reboot. */
  breakNode(node: NodeState, state: 'unusable' | 'unknown'): void {
    this.#interrupt(node, state);
  }

  /** Reboots or reimages a node; its tasks are ended, requeued or waited for (`option`). */
  restart(pool: PoolState, node: NodeState, state: 'rebooting' | 'reimaging', option = 'requeue'): void {
    this.#endTasks(node, option);
    if (!waits(option)) {
      this.#boot(pool, node, state);
      return;
    }
    this.#setNode(node, state);
    const boots = node.boots;
    const bootWhenFree = () => {
      if (node.boots !== boots || node.wire.state !== state) return;
      if (node.running.size === 0) this.#boot(pool, node, state);
      else this.supervisor.after(this.options.nodeStepMs, this.#about(node), bootWhenFree);
    };
    bootWhenFree();
  }

  #interrupt(node: NodeState, state: string): void {
    node.boots++;
    stopOwn(node);
    this.#setNode(node, state);
    for (const task of node.running) task.stop?.('requeue');
  }

  /** A node that takes no tasks goes offline once it is free. */
  setScheduling(node: NodeState, scheduling: 'enabled' | 'disabled', option = 'requeue'): void {
    const { wire } = node;
    wire.schedulingState = scheduling;
    if (scheduling === 'disabled') {
      this.#endTasks(node, option);
      if (node.running.size === 0 && wire.state === 'idle') this.#setNode(node, 'offline');
    } else if (wire.state === 'offline') this.#setNode(node, 'idle');
    this.state.saveNode(node);
    this.onReady();
  }

  /** Folder of a task on the node that it ran on; undefined before that. */
  taskDir(task: TaskState): string | undefined {
    if (task.facts.nodeInfo === undefined) return undefined;
    const { poolId, nodeId } = task.facts.nodeInfo as { poolId: string; nodeId: string };
    return taskFolder(this.root(poolId, nodeId), task.job.id, task.id);
  }

  /** Removes the files of a task from its node, and those of its subtasks from theirs. */
  removeTaskFiles(task: TaskState): void {
    const { id, job } = task;
    for (const { poolId, nodeId } of placesOf(task))
      this.discard(taskFolder(this.root(poolId, nodeId), job.id, id), `files of task ${id} of job ${job.id}`);
  }

  /** Removes the files of all tasks of a job from the nodes of its pool, and from those on which they ran. */
  removeJobFiles({ id, poolId = '', tasks }: JobState): void {
    const folders = new Set<string>();
    for (const node of this.state.pool(poolId)?.nodes.values() ?? [])
      folders.add(jobFolder(this.root(node.poolId, node.id), id));
    for (const task of tasks.values()) {
      for (const { poolId, nodeId } of placesOf(task)) folders.add(jobFolder(this.root(poolId, nodeId), id));
    }
    for (const folder of folders) this.discard(folder, `files of job ${id}`);
  }

  /** Takes a folder of a node away at once, and removes it in the background. */
  discard(path: string, about: string): void {
    this.supervisor.run({ about }, () => this.folder.discard(path));
  }

  /** Root folder of a node. */
  root(poolId: string, nodeId: string): string {
    return this.folder.node(poolId, nodeId);
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

  /** Counts a task or subtask that has ended on a node, and keeps it among the node's recent ones. */
  countEnded(node: NodeState, { wire, job, id }: TaskState, subtaskId?: number): void {
    const { state, executionInfo } = wire;
    const succeeded = (executionInfo as Wire | undefined)?.result === 'success';
    const ids = { jobId: job.id, taskId: id, ...(subtaskId === undefined ? {} : { subtaskId }) };
    const recent = { taskUrl: wire.url, ...ids, taskState: state, executionInfo };
    Object.assign(node.wire, {
      totalTasksRun: Number(node.wire.totalTasksRun) + 1,
      totalTasksSucceeded: Number(node.wire.totalTasksSucceeded) + Number(succeeded),
      recentTasks: [recent, ...((node.wire.recentTasks as Wire[] | undefined) ?? [])].slice(0, recentTasks),
    });
    this.count(node);
  }

  /** Deallocates a node, which keeps its place in the pool until it is started again. */
  deallocate(pool: PoolState, node: NodeState, option: string): void {
    node.boots++;
    stopOwn(node);
    this.#setNode(node, 'deallocating');
    this.#endTasks(node, option);
    const settle = () => {
      if (!pool.nodes.has(node.id) || node.wire.state !== 'deallocating') return;
      if (node.running.size === 0 && node.own.size === 0) this.#setNode(node, 'deallocated');
      else this.supervisor.after(this.options.nodeStepMs, this.#about(node), settle);
    };
    this.supervisor.after(this.options.nodeStepMs, this.#about(node), settle);
  }

  /** Starts a deallocated node. */
  startNode(pool: PoolState, node: NodeState): void {
    this.#boot(pool, node, 'starting');
  }

  /** Ends the tasks of a node, has them start again elsewhere, or leaves them until they complete. */
  #endTasks(node: NodeState, option: string): void {
    if (waits(option)) return;
    for (const task of node.running) task.stop?.(option === 'terminate' ? 'terminate' : 'requeue');
  }

  /** Adds a node to a pool. */
  add(pool: PoolState, { isDedicated }: { readonly isDedicated: boolean }): void {
    const id = `tvmps_${randomBytes(32).toString('hex')}_${isDedicated ? 'd' : 'p'}`;
    const ipAddress = this.state.takeAddress();
    const node = newNode(pool, id, this.options.accountUrl(), { ipAddress, isDedicated });
    this.state.addNode(pool, node);
    this.supervisor.after(this.options.nodeStepMs, this.#about(node), () =>
      this.#boot(pool, node, 'starting'),
    );
  }

  #boot(pool: PoolState, node: NodeState, state: string): void {
    if (!pool.nodes.has(node.id) || node.leaving) return;
    const boot = ++node.boots;
    stopOwn(node);
    this.onBoot(node, state === 'reimaging');
    this.#setNode(node, state);
    this.supervisor.after(this.options.nodeStepMs, this.#about(node), () => this.#startUp(pool, node, boot));
  }

  /** Brings a node up. What fails because the node restarts or leaves meanwhile is no error. */
  async #startUp(pool: PoolState, node: NodeState, boot: number): Promise<void> {
    const isOver = () => !pool.nodes.has(node.id) || node.boots !== boot || this.supervisor.isClosed;
    try {
      await this.#comeUp(pool, node, isOver);
    } catch (error) {
      if (!isOver()) throw error;
    } finally {
      if (node.leaving && pool.nodes.has(node.id)) this.leaveWhenFree(pool, node);
    }
  }

  async #comeUp(pool: PoolState, node: NodeState, isOver: () => boolean): Promise<void> {
    // What the node ran before this boot is still ending.
    await Promise.all([...node.own].map(({ ended }) => ended));
    if (isOver()) return;
    if (node.wire.state === 'reimaging') this.discard(this.root(pool.id, node.id), `disk of node ${node.id}`);
    if (!(await this.#makeFolders(pool, node, isOver))) return;
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
    delete node.wire.errors;
    this.#startTasks.mount(pool);
    const packages = await this.deployPackages(pool, node);
    await this.#startTasks.prefetchImages(pool);
    if (isOver()) return;
    const startTask = pool.wire.startTask as Wire | undefined;
    if (startTask) {
      node.wire.startTask = startTask;
      const mustWait = startTask.waitForSuccess !== false;
      if (mustWait) this.#setNode(node, 'waitingforstarttask');
      else this.#ready(node);
      const ok = await this.#startTasks.run(pool, node, startTask, packages);
      if (isOver()) return;
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

  /**
   * Unpacks the application packages of a pool, and of a task, that a node does not have yet. Returns the environment
   * variables that name their folders. Throws a TaskFailure.
   */
  deployPackages(pool: PoolState, node: NodeState, task?: Wire): Promise<Wire[]> {
    const references = [pool.wire, task].flatMap(
      (wire) => (wire?.applicationPackageReferences ?? []) as PackageReference[],
    );
    return this.packages.deploy(this.root(pool.id, node.id), references, this.supervisor.signal);
  }

  /** Waits for room on a full disk. Resolves to false if the start is over before the folders are made. */
  async #makeFolders(pool: PoolState, node: NodeState, isOver: () => boolean): Promise<boolean> {
    for (let failures = 0; !isOver(); ) {
      try {
        await makeNodeFolders(this.root(pool.id, node.id));
        return !isOver();
      } catch (error) {
        if (isOver()) return false;
        const { code } = error as { code?: string };
        const isFull = isDiskFull(error);
        // The empty folder of a deleted pool of the same id may be removed at this moment.
        const isRace = (code === 'ENOENT' || code === 'ENOTDIR') && ++failures < maxRaces;
        if (!isFull && !isRace) throw error;
        if (isFull) await delay(fullDiskPauseMs);
      }
    }
    return false;
  }

  /** Errors of a node's own work make it unusable, with the reason. */
  #about(node: NodeState): Concern {
    return {
      about: `node ${node.id} of pool ${node.poolId}`,
      fail: (error) => {
        const { code, message, details } = failureOf(error);
        node.wire.errors = [{ code, message, errorDetails: details }];
        this.#setNode(node, 'unusable');
      },
    };
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

  /** Has a node that leaves its pool do so once nothing runs on it. */
  leaveWhenFree(pool: PoolState, node: NodeState): void {
    if (node.running.size === 0 && node.own.size === 0 && node.wire.state !== 'leavingpool')
      this.#leave(pool, node);
  }

  #leave(pool: PoolState, node: NodeState): void {
    this.#setNode(node, 'leavingpool');
    this.supervisor.after(this.options.nodeStepMs, this.#about(node), () => this.#removeNode(pool, node));
  }

  #removeNode(pool: PoolState, node: NodeState): void {
    if (!pool.nodes.has(node.id)) return;
    this.state.removeNode(pool, node);
    this.discard(this.root(pool.id, node.id), `folders of node ${node.id}`);
    this.onLeft(pool, node);
  }
}

/** Ends what a node runs besides tasks. */
function stopOwn({ own }: NodeState): void {
  for (const task of own) task.stop();
}

/** Whether an option leaves running tasks to their end. Files of ended tasks are kept for no longer (`retaineddata`). */
function waits(option: string): boolean {
  return option === 'taskcompletion' || option === 'retaineddata';
}
