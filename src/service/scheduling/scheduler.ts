import type { Supervisor } from '../guard/supervisor';
import { instancesOf, settingsOf } from '../tasks/multiInstance';
import { killLeftovers } from '../tasks/processes/processes';
import type { Wire } from '../wire/wire';
import type { Autoscaling } from './autoscaling';
import type { Execution } from './execution';
import type { Jobs } from './jobs';
import type { JobTasks } from './jobTasks';
import { managerFirst, managerOf, mayUse, slotsOf } from './managers';
import type { Nodes } from './nodes';
import type { Pools } from './pools';
import { Retention } from './retention';
import type { JobState, NodeState, PoolState, State, TaskState } from './state';
import { unmetDependency } from './taskConditions';

export interface SchedulerOptions {
  /** Tasks at a time over all nodes; 0 for as many as there are slots. */
  readonly maxProcesses: number;
}

const sampleMs = 30_000;
const sweepMs = 1_000;
const journalMs = 500;
/** Tasks that need more slots than are free and are passed over when a job's tasks are placed. */
const maxPassedOver = 100;

function priorityOf({ wire }: JobState): number {
  return Number(wire.priority ?? 0);
}

/** Puts active tasks onto nodes, and does what is due at intervals. */
export class Scheduler {
  #scheduled = false;
  #isResumed = false;
  readonly #retention: Retention;

  constructor(
    private readonly state: State,
    private readonly options: SchedulerOptions,
    private readonly pools: Pools,
    private readonly nodes: Nodes,
    private readonly jobs: Jobs,
    private readonly jobTasks: JobTasks,
    private readonly execution: Execution,
    private readonly autoscaling: Autoscaling,
    private readonly supervisor: Supervisor,
  ) {
    nodes.onReady = () => this.schedule();
    jobs.onReady = () => this.schedule();
    execution.onFree = () => this.schedule();
    this.#retention = new Retention(state, nodes);
  }

  /**
   * Continues where the last run of the service ended. What ran then starts again, as after a reboot of its node. On a
   * full disk this waits in the background for room.
   */
  async start(): Promise<void> {
    await killLeftovers(this.nodes.recordFolder);
    this.supervisor.every(journalMs, { about: 'the journal' }, () => this.state.tend(Date.now()));
    this.supervisor.every(sweepMs, { about: 'what is due' }, () => this.#sweep());
    if (this.state.isWritable) this.#resume();
    else {
      this.supervisor.run({ about: 'the start' }, async () => {
        await this.state.whenWritable();
        this.#resume();
      });
    }
  }

  #resume(): void {
    this.nodes.removeLeftovers();
    this.pools.start();
    this.jobs.deleteOrphans();
    for (const job of this.state.jobs.values()) {
      this.supervisor.run(this.jobs.about(job), () => {
        for (const task of job.tasks.values()) {
          if (task.facts.state === 'running' || task.facts.state === 'preparing') this.execution.resume(task);
        }
        this.jobs.resume(job);
      });
    }
    this.#isResumed = true;
    this.supervisor.every(sampleMs, { about: 'samples of metrics' }, () => this.autoscaling.sample());
    this.schedule();
  }

  /** Ends all processes, and those that have left their group if their records are ours; the next start requeues what ran. */
  async close(isOurs: boolean): Promise<void> {
    this.supervisor.stop();
    await this.supervisor.settle();
    if (isOurs) await killLeftovers(this.nodes.recordFolder);
  }

  /** Whether tasks run, or wait in a pool that exists, or a job is ending: the service is not idle then. */
  get isBusy(): boolean {
    return (
      this.execution.running > 0 ||
      [...this.state.jobs.values()].some(
        ({ wire, counts, poolId }) =>
          wire.state === 'terminating' ||
          wire.state === 'deleting' ||
          (wire.state === 'active' &&
            counts.active > 0 &&
            poolId !== undefined &&
            this.state.pool(poolId) !== undefined),
      )
    );
  }

  /** Has tasks placed soon, once for all changes of this moment. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.supervisor.run({ about: 'the placement of tasks' }, () => this.#place());
    });
  }

  /** Puts active tasks on free slots, by the priority of their jobs. */
  #place(): void {
    if (!this.#isResumed || !this.state.isWritable) return;
    const byPool = new Map<string, JobState[]>();
    for (const job of this.state.jobs.values()) {
      if (job.wire.state !== 'active' || job.active.size === 0 || job.poolId === undefined) continue;
      const key = job.poolId.toLowerCase();
      byPool.set(key, [...(byPool.get(key) ?? []), job]);
    }
    for (const [poolId, jobs] of byPool) {
      const pool = this.state.pools.get(poolId);
      if (pool === undefined || pool.wire.state !== 'active') continue;
      jobs.sort((one, other) => priorityOf(other) - priorityOf(one));
      let held = Number.NEGATIVE_INFINITY;
      for (const job of jobs) {
        if (priorityOf(job) < held) break;
        const placed = this.#placeJob(pool, job);
        if (placed === 'full') break;
        if (placed === 'held') held = priorityOf(job);
      }
    }
  }

  /**
   * Returns `full` if the machine or the pool is full, and `held` if a multi-instance task waits for nodes, which jobs of
   * a lower priority may not take from it. A task that needs more slots than are free keeps no other of its job waiting.
   */
  #placeJob(pool: PoolState, job: JobState): 'full' | 'held' | 'done' {
    const max = Number(job.wire.maxParallelTasks ?? -1);
    let passedOver = 0;
    let placed: 'held' | 'done' = 'done';
    for (const task of managerFirst(job)) {
      if (this.options.maxProcesses > 0 && this.execution.running >= this.options.maxProcesses) return 'full';
      if (max >= 0 && job.counts.running >= max) return placed;
      const slots = slotsOf(task, pool);
      // No node of the pool is large enough, however long the task waits.
      if (slots > Number(pool.wire.taskSlotsPerNode ?? 1)) continue;
      const unmet = unmetDependency(task);
      if (unmet !== undefined) {
        this.state.block(task, unmet);
        continue;
      }
      if (settingsOf(task.wire)) {
        const result = this.#placeInstances(pool, task);
        if (result === 'started' || result === 'unable') continue;
        if (result === 'waits') placed = 'held';
      } else {
        const node = this.#freeNode(pool, task, slots);
        if (node !== undefined) {
          this.execution.start(pool, node, task);
          continue;
        }
        // Where only this job may not run, because its preparation failed there, others may.
        if (slots === 1 && managerOf(task) === undefined) return hasFreeSlot(pool) ? placed : 'full';
      }
      if (++passedOver >= maxPassedOver) return placed;
    }
    return placed;
  }

  /**
   * Starts a multi-instance task if all the nodes that it needs are free, so that two of them never wait for each other.
   * Returns `waits` if the pool has enough nodes, but not now, and `tooSmall` if it has not. A pool whose nodes do not
   * communicate, or that run several tasks each, is `unable` to run it, and it stays active.
   * https://learn.microsoft.com/azure/batch/batch-mpi (Requirements)
   */
  #placeInstances(pool: PoolState, task: TaskState): 'started' | 'waits' | 'tooSmall' | 'unable' {
    const { enableInterNodeCommunication, taskSlotsPerNode = 1 } = pool.wire;
    if (enableInterNodeCommunication !== true || Number(taskSlotsPerNode) !== 1) return 'unable';
    const needed = instancesOf(task.wire);
    const usable = [...pool.nodes.values()].filter((node) => this.#isUsable(task, node));
    const [node, ...others] = usable.filter(({ slotsUsed }) => slotsUsed === 0).slice(0, needed);
    if (node !== undefined && others.length === needed - 1) {
      this.execution.start(pool, node, task, others);
      return 'started';
    }
    // A manager may be waiting for other tasks.
    const passing = usable.filter(({ running }) => ![...running].some((one) => managerOf(one)));
    return passing.length >= needed ? 'waits' : 'tooSmall';
  }

  #freeNode(pool: PoolState, task: TaskState, slots: number): NodeState | undefined {
    const per = Number(pool.wire.taskSlotsPerNode ?? 1);
    const pack = /^pack$/i.test(
      String((pool.wire.taskSchedulingPolicy as Wire | undefined)?.nodeFillType ?? ''),
    );
    // A wish: where that node is busy, the task runs elsewhere.
    const { affinityId } = (task.read().affinityInfo ?? {}) as { affinityId?: string };
    let best: NodeState | undefined;
    for (const node of pool.nodes.values()) {
      if (node.slotsUsed + slots > per || !this.#isUsable(task, node)) continue;
      if (node.wire.affinityId === affinityId) return node;
      if (best === undefined || (pack ? node.slotsUsed > best.slotsUsed : node.slotsUsed < best.slotsUsed))
        best = node;
    }
    return best;
  }

  /** Whether a task may run on a node once there is room for it. */
  #isUsable(task: TaskState, node: NodeState): boolean {
    return takesTasks(node) && this.jobTasks.fits(task.job, node) && mayUse(task, node);
  }

  /** Terminates a task. Resolves once it has completed. */
  terminateTask(task: TaskState): Promise<void> {
    return this.execution.terminate(task);
  }

  /** Deletes a task with its files. Resolves once it no longer exists. */
  deleteTask(task: TaskState): Promise<void> {
    return this.execution.delete(task);
  }

  #sweep(): void {
    const now = Date.now();
    // Also on a full disk, which gets room by it.
    this.#retention.sweep(now);
    if (!this.state.isWritable) {
      this.#makeRoom();
      return;
    }
    this.jobs.endOverdue(now);
    this.jobs.checkEnding();
    this.autoscaling.evaluateDue(now);
    this.schedule();
  }

  /**
   * Removes the files of pools that are being deleted, since their tasks cannot be requeued before there is room, and of
   * jobs if nothing has gone on since the service was started.
   */
  #makeRoom(): void {
    for (const pool of this.state.pools.values()) {
      if (pool.wire.state !== 'deleting') continue;
      for (const { id } of pool.nodes.values())
        this.nodes.discard(this.nodes.root(pool.id, id), `folders of node ${id}`);
    }
    if (this.#isResumed) return;
    for (const job of this.state.jobs.values())
      if (job.wire.state === 'deleting') this.nodes.removeJobFiles(job);
  }
}

/** Whether a node is up and takes tasks. */
function takesTasks({ wire: { state, schedulingState }, leaving }: NodeState): boolean {
  return (state === 'idle' || state === 'running') && schedulingState === 'enabled' && !leaving;
}

/** Whether a node of a pool has room for a task, whichever jobs may use it. */
function hasFreeSlot({ wire, nodes }: PoolState): boolean {
  const max = Number(wire.taskSlotsPerNode ?? 1);
  return [...nodes.values()].some((node) => takesTasks(node) && node.slotsUsed < max);
}
