import type { Supervisor } from '../guard/supervisor';
import { instancesOf, settingsOf } from '../tasks/multiInstance';
import type { Wire } from '../wire/wire';
import type { Execution } from './execution';
import type { JobTasks } from './jobTasks';
import { managerFirst, managerOf, mayUse, slotsOf } from './managers';
import type { JobState, NodeState, PoolState, State, TaskState } from './state';
import { unmetDependency } from './taskConditions';

export interface PlacementOptions {
  /** Tasks at a time over all nodes; 0 for as many as there are slots. */
  readonly maxProcesses: number;
}

/** Tasks that need more slots than are free and are passed over when a job's tasks are placed. */
const maxPassedOver = 100;

/**
 * How the placement of a job's tasks ends: `full` if the machine or the pool is full, and `held` if a multi-instance task
 * waits for nodes, which jobs of a lower priority may not take from it.
 */
type Placed = 'full' | 'held' | 'done';

/** Room on a node, which the end of other tasks makes for a task of a job of this priority or a higher one. */
interface Room {
  readonly pool: PoolState;
  readonly priority: number;
  /** One of these tasks has ended: its process on the machine is kept for the task. */
  hasProcess: boolean;
  /** All of them have ended: the next placement starts the task or gives the room up. */
  isReady: boolean;
}

/** Puts active tasks onto nodes, by the priority of their jobs. Jobs of the same priority get equal shares. */
export class Placement {
  /** Nodes on which tasks end to make room for another one. */
  readonly #rooms = new Map<NodeState, Room>();
  /** The nodes of `#rooms` that this placement has already assigned to a task. */
  readonly #claimed = new Set<NodeState>();

  constructor(
    private readonly state: State,
    private readonly options: PlacementOptions,
    private readonly jobTasks: JobTasks,
    private readonly execution: Execution,
    private readonly supervisor: Supervisor,
  ) {}

  /** Starts all tasks for which there is room. Pools share the processes of the machine equally. */
  place(): void {
    const ready = [...this.#rooms].filter(([, { isReady }]) => isReady);
    this.#placeOnce();
    const unused = ready.filter(([node, room]) => this.#rooms.get(node) === room);
    for (const [node] of unused) this.#rooms.delete(node);
    // Room that was kept for tasks that no longer wait is free for all tasks.
    if (unused.length > 0) this.#placeOnce();
  }

  #placeOnce(): void {
    this.#claimed.clear();
    const waiting = [...this.#waitingJobs()].map(([pool, jobs]) => ({
      pool,
      placing: this.#placePool(pool, jobs),
    }));
    while (waiting.length > 0) {
      const next = fewest(waiting, ({ pool }) => runningIn(pool));
      if (next.placing.next().done) waiting.splice(waiting.indexOf(next), 1);
    }
  }

  /** The jobs of each pool that have tasks to start. */
  #waitingJobs(): Map<PoolState, JobState[]> {
    const byPool = new Map<PoolState, JobState[]>();
    for (const job of this.state.jobs.values()) {
      if (job.wire.state !== 'active' || job.active.size === 0 || job.poolId === undefined) continue;
      const pool = this.state.pool(job.poolId);
      if (pool?.wire.state !== 'active') continue;
      const jobs = byPool.get(pool) ?? [];
      jobs.push(job);
      byPool.set(pool, jobs);
    }
    return byPool;
  }

  /** Yields after each task that it has started. */
  *#placePool(pool: PoolState, jobs: readonly JobState[]): Generator<void, void> {
    const preemptable = this.#preemptablePriority(pool);
    const priorities = [...new Set(jobs.map(priorityOf))].sort((one, other) => other - one);
    for (const priority of priorities) {
      const equal = jobs.filter((job) => priorityOf(job) === priority);
      const placed = yield* this.#placeEqual(pool, equal, preemptable < priority);
      if (placed !== 'done') return;
    }
  }

  /**
   * Gives the next slot to the job with the fewest running tasks, or to the oldest one, as the pool asks.
   * https://learn.microsoft.com/rest/api/batchservice/pools/create-pool (BatchJobDefaultOrder)
   */
  *#placeEqual(pool: PoolState, jobs: readonly JobState[], mayPreempt: boolean): Generator<void, Placed> {
    const isInOrder = /^creationtime$/i.test(String(policyOf(pool).jobDefaultOrder ?? ''));
    const waiting = jobs.map((job) => ({ job, placing: this.#placeJob(pool, job, mayPreempt) }));
    let placed: Placed = 'done';
    while (waiting.length > 0) {
      const next = fewest(waiting, ({ job }) => (isInOrder ? 0 : job.counts.running));
      const { done, value } = next.placing.next();
      if (!done) {
        yield;
        continue;
      }
      if (value === 'full') return 'full';
      if (value === 'held') placed = 'held';
      waiting.splice(waiting.indexOf(next), 1);
    }
    return placed;
  }

  /** A task that needs more slots than are free keeps no other of its job waiting. */
  *#placeJob(pool: PoolState, job: JobState, mayPreempt: boolean): Generator<void, Placed> {
    const max = Number(job.wire.maxParallelTasks ?? -1);
    let passedOver = 0;
    let roomFor = 0;
    let placed: 'held' | 'done' = 'done';
    for (const task of managerFirst(job)) {
      const isMachineFull = this.#isMachineFull(pool, job);
      if (isMachineFull && !mayPreempt) return 'full';
      if (max >= 0 && job.counts.running + roomFor >= max) return placed;
      const slots = slotsOf(task, pool);
      // No node of the pool is large enough, however long the task waits.
      if (slots > slotsPerNode(pool)) continue;
      const unmet = unmetDependency(task);
      if (unmet !== undefined) {
        this.state.block(task, unmet);
        continue;
      }
      if (settingsOf(task.wire)) {
        const result = isMachineFull ? 'tooSmall' : this.#placeInstances(pool, task);
        if (result === 'started') yield;
        if (result === 'started' || result === 'unable') continue;
        if (result === 'waits') placed = 'held';
      } else {
        const node = isMachineFull ? undefined : this.#freeNode(pool, task, slots);
        if (node !== undefined) {
          this.execution.start(pool, node, task);
          if (this.#rooms.get(node)?.isReady) this.#rooms.delete(node);
          yield;
          continue;
        }
        if (mayPreempt && this.#makeRoom(pool, task, slots)) {
          roomFor++;
          continue;
        }
        if (isMachineFull) return 'full';
        // Other jobs can run on nodes where only the preparation of this job failed.
        if (slots === 1 && managerOf(task) === undefined) return hasFreeSlot(pool) ? placed : 'full';
      }
      if (++passedOver >= maxPassedOver) return placed;
    }
    return placed;
  }

  /** Whether no process is left for a job: all run, or are kept for tasks of other pools or of higher priorities. */
  #isMachineFull(pool: PoolState, job: JobState): boolean {
    if (this.options.maxProcesses === 0) return false;
    let kept = 0;
    for (const room of this.#rooms.values())
      if (room.hasProcess && (room.pool !== pool || room.priority > priorityOf(job))) kept++;
    return this.execution.running + kept >= this.options.maxProcesses;
  }

  /**
   * Starts a multi-instance task if all the nodes that it needs are free, so that two of them never wait for each other.
   * Returns `waits` if the pool has enough nodes, but not now, and `tooSmall` if it has not. A pool whose nodes do not
   * communicate, or that run several tasks each, is `unable` to run it, and it stays active.
   * https://learn.microsoft.com/azure/batch/batch-mpi (Requirements)
   */
  #placeInstances(pool: PoolState, task: TaskState): 'started' | 'waits' | 'tooSmall' | 'unable' {
    const { enableInterNodeCommunication } = pool.wire;
    if (enableInterNodeCommunication !== true || slotsPerNode(pool) !== 1) return 'unable';
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
    const per = slotsPerNode(pool);
    const pack = /^pack$/i.test(String(policyOf(pool).nodeFillType ?? ''));
    // Affinity is a preference: if that node is busy, the task runs on another one.
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
    const keptFor = this.#rooms.get(node)?.priority ?? Number.NEGATIVE_INFINITY;
    return (
      isUp(node) &&
      keptFor <= priorityOf(task.job) &&
      this.jobTasks.fits(task.job, node) &&
      mayUse(task, node)
    );
  }

  /** The lowest priority of the jobs that run in a pool and allow preemption; infinite if there are none. */
  #preemptablePriority(pool: PoolState): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (const job of this.state.jobs.values()) {
      if (!isPreemptable(job) || job.counts.running === 0) continue;
      if (job.poolId?.toLowerCase() === pool.id.toLowerCase()) lowest = Math.min(lowest, priorityOf(job));
    }
    return lowest;
  }

  /**
   * Requeues tasks of jobs that have a lower priority and allow it, on the node where these are the fewest. Returns false
   * if that makes no room for a task; true if there will be room, which may be that of an earlier call.
   * https://learn.microsoft.com/rest/api/batchservice/jobs/create-job (allowTaskPreemption)
   */
  #makeRoom(pool: PoolState, task: TaskState, slots: number): boolean {
    const priority = priorityOf(task.job);
    let chosen: { readonly node: NodeState; readonly victims: readonly TaskState[] } | undefined;
    for (const node of pool.nodes.values()) {
      if (this.#claimed.has(node) || !this.#isUsable(task, node)) continue;
      if (this.#rooms.has(node)) {
        this.#claimed.add(node);
        return true;
      }
      const victims = victimsOn(pool, node, priority, node.slotsUsed + slots - slotsPerNode(pool));
      if (victims && (chosen === undefined || victims.length < chosen.victims.length))
        chosen = { node, victims };
    }
    if (chosen === undefined) return false;
    const { node, victims } = chosen;
    const room: Room = { pool, priority, hasProcess: false, isReady: false };
    this.#rooms.set(node, room);
    this.#claimed.add(node);
    const ended = victims.map((one) => one.ended);
    for (const one of victims) one.stop?.('requeue');
    this.supervisor.run({ about: `preempted tasks of node ${node.id}` }, async () => {
      await Promise.race(ended);
      room.hasProcess = true;
      await Promise.all(ended);
      room.isReady = true;
    });
    return true;
  }
}

function priorityOf({ wire }: JobState): number {
  return Number(wire.priority ?? 0);
}

function isPreemptable({ wire }: JobState): boolean {
  return wire.allowTaskPreemption === true && wire.state === 'active';
}

/**
 * The tasks of a node to requeue so that this number of slots becomes free, those of the lowest priority first and of
 * these the newest. At least one, since the machine may be full although the node is not. Undefined if that is not enough.
 */
function victimsOn(
  pool: PoolState,
  node: NodeState,
  priority: number,
  missing: number,
): TaskState[] | undefined {
  const candidates = [...node.running]
    .filter(({ job }) => isPreemptable(job) && priorityOf(job) < priority)
    .reverse()
    .sort((one, other) => priorityOf(one.job) - priorityOf(other.job));
  const victims: TaskState[] = [];
  let freed = 0;
  for (const task of candidates) {
    if (victims.length > 0 && freed >= missing) break;
    victims.push(task);
    freed += slotsOf(task, pool);
  }
  return victims.length > 0 && freed >= missing ? victims : undefined;
}

function policyOf({ wire }: PoolState): Wire {
  return (wire.taskSchedulingPolicy ?? {}) as Wire;
}

function slotsPerNode({ wire }: PoolState): number {
  return Number(wire.taskSlotsPerNode ?? 1);
}

/** Whether a node takes tasks. */
function isUp({ wire: { state, schedulingState }, leaving }: NodeState): boolean {
  return (state === 'idle' || state === 'running') && schedulingState === 'enabled' && !leaving;
}

function hasFreeSlot(pool: PoolState): boolean {
  return [...pool.nodes.values()].some((node) => isUp(node) && node.slotsUsed < slotsPerNode(pool));
}

function runningIn({ nodes }: PoolState): number {
  let running = 0;
  for (const node of nodes.values()) running += node.running.size;
  return running;
}

/** The first of the items with the lowest count. */
function fewest<T>(items: readonly T[], countOf: (item: T) => number): T {
  const [first, ...others] = items as [T, ...T[]];
  if (others.length === 0) return first;
  let best = first;
  let count = countOf(first);
  for (const item of others) {
    const other = countOf(item);
    if (other < count) [best, count] = [item, other];
  }
  return best;
}
