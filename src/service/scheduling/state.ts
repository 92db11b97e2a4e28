import { etagOf, timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Journal } from './journal';

/** A resource as the service keeps it: what goes over the wire, and what is only ours. */
export interface PoolState {
  readonly id: string;
  wire: Wire;
  readonly nodes: Map<string, NodeState>;
  /** The job whose auto pool it is. */
  autoPoolOf?: string;
  deleteWithJob?: boolean;
  /** Milliseconds since 1970 of the next evaluation of its formula. */
  evaluateAt?: number;
  deallocation?: string;
  /** Nodes arrive one by one, and the next is on its way (a fault for tests). */
  isWaitingForNode?: boolean;
  /** Milliseconds since 1970 of the last call that enabled autoscale. */
  autoscaleEnabledAt?: number;
}

export interface NodeState {
  readonly id: string;
  readonly poolId: string;
  wire: Wire;
  readonly running: Set<TaskState>;
  slotsUsed: number;
  /** It goes once its tasks have ended. */
  leaving?: boolean;
}

export interface JobState {
  readonly id: string;
  wire: Wire;
  readonly tasks: Map<string, TaskState>;
  /** Ids in lists' order; sorted when it is asked for. */
  ids: string[];
  sorted: boolean;
  /** Those that wait for a node. */
  readonly active: Set<TaskState>;
  /** Those that wait for another task, by its id in lower case. */
  readonly blocked: Map<string, Set<TaskState>>;
  readonly counts: { active: number; running: number; completed: number; succeeded: number; failed: number };
  readonly slots: { active: number; running: number; completed: number; succeeded: number; failed: number };
  poolId?: string;
  disableOption?: string;
}

export interface TaskState {
  readonly id: string;
  readonly job: JobState;
  wire: Wire;
  node?: NodeState;
  /** Ends what it is doing now, with the reason. */
  stop?: (reason: 'terminate' | 'requeue' | 'delete') => void;
}

/** Where records are stored. */
type Records = Pick<Journal, 'read' | 'put' | 'remove' | 'rewrite' | 'shouldRewrite'>;

/** Records in the journal. */
interface PoolRecord {
  wire: Wire;
  autoPoolOf?: string;
  deleteWithJob?: boolean;
}

interface JobRecord {
  wire: Wire;
  poolId?: string;
  disableOption?: string;
}

/** All pools, nodes, jobs and tasks, in memory and in the journal. Ids are unique without regard to case. */
export class State {
  readonly pools = new Map<string, PoolState>();
  readonly jobs = new Map<string, JobState>();

  constructor(private readonly journal: Records) {
    for (const [key, record] of journal.read()) this.#restore(key, record);
    this.rewrite();
  }

  pool(id: string): PoolState | undefined {
    return this.pools.get(id.toLowerCase());
  }

  job(id: string): JobState | undefined {
    return this.jobs.get(id.toLowerCase());
  }

  task(job: JobState, id: string): TaskState | undefined {
    return job.tasks.get(id.toLowerCase());
  }

  addPool(pool: PoolState): void {
    this.pools.set(pool.id.toLowerCase(), pool);
    this.savePool(pool);
  }

  savePool({ id, wire, autoPoolOf, deleteWithJob }: PoolState): void {
    this.journal.put(`pool/${id}`, { wire, autoPoolOf, deleteWithJob } satisfies PoolRecord);
  }

  removePool(pool: PoolState): void {
    for (const node of pool.nodes.values()) this.removeNode(pool, node);
    this.pools.delete(pool.id.toLowerCase());
    this.journal.remove(`pool/${pool.id}`);
  }

  saveNode(node: NodeState): void {
    this.journal.put(`node/${node.poolId}/${node.id}`, nodeRecord(node));
  }

  removeNode(pool: PoolState, node: NodeState): void {
    pool.nodes.delete(node.id);
    this.journal.remove(`node/${pool.id}/${node.id}`);
  }

  addJob(job: JobState): void {
    this.jobs.set(job.id.toLowerCase(), job);
    this.saveJob(job);
  }

  saveJob({ id, wire, poolId, disableOption }: JobState): void {
    this.journal.put(`job/${id}`, { wire, poolId, disableOption } satisfies JobRecord);
  }

  removeJob(job: JobState): void {
    this.jobs.delete(job.id.toLowerCase());
    for (const task of job.tasks.values()) this.journal.remove(`task/${job.id}/${task.id}`);
    this.journal.remove(`job/${job.id}`);
  }

  addTask(task: TaskState): void {
    this.#keepTask(task);
    this.saveTask(task);
  }

  saveTask({ id, job, wire }: TaskState): void {
    this.journal.put(`task/${job.id}/${id}`, wire);
    if (this.journal.shouldRewrite) this.rewrite();
  }

  removeTask(task: TaskState): void {
    const { job } = task;
    this.#count(task, -1);
    job.active.delete(task);
    job.tasks.delete(task.id.toLowerCase());
    job.ids = job.ids.filter((id) => id !== task.id);
    this.journal.remove(`task/${job.id}/${task.id}`);
  }

  /** Changes a task's state, with its counts; running tasks are not in the queue of active ones. */
  moveTask(task: TaskState, state: string, change: () => void = () => undefined): void {
    this.#count(task, -1);
    change();
    setState(task.wire, state);
    this.#count(task, 1);
    if (state === 'active') task.job.active.add(task);
    else task.job.active.delete(task);
    if (state === 'completed') this.#unblock(task);
    this.saveTask(task);
  }

  /** Keeps an active task out of the queue until the task that it depends on has completed. */
  block(task: TaskState, dependency: string): void {
    const { active, blocked } = task.job;
    const key = dependency.toLowerCase();
    active.delete(task);
    blocked.set(key, (blocked.get(key) ?? new Set()).add(task));
  }

  #unblock({ id, job }: TaskState): void {
    const waiting = job.blocked.get(id.toLowerCase()) ?? [];
    job.blocked.delete(id.toLowerCase());
    for (const task of waiting) {
      if (task.wire.state === 'active' && this.task(job, task.id) === task) job.active.add(task);
    }
  }

  rewrite(): void {
    this.journal.rewrite(this.records());
  }

  /** All records, as the journal stores them. */
  *records(): Generator<readonly [string, unknown]> {
    for (const { id, wire, autoPoolOf, deleteWithJob, nodes } of this.pools.values()) {
      yield [`pool/${id}`, { wire, autoPoolOf, deleteWithJob }];
      for (const node of nodes.values()) yield [`node/${id}/${node.id}`, nodeRecord(node)];
    }
    for (const { id, wire, poolId, disableOption, tasks } of this.jobs.values()) {
      yield [`job/${id}`, { wire, poolId, disableOption }];
      for (const task of tasks.values()) yield [`task/${id}/${task.id}`, task.wire];
    }
  }

  #restore(key: string, record: unknown): void {
    const [kind, owner = '', id = ''] = key.split('/');
    if (kind === 'pool') {
      this.pools.set(owner.toLowerCase(), { id: owner, nodes: new Map(), ...(record as PoolRecord) });
    } else if (kind === 'node') {
      const pool = this.pool(owner);
      pool?.nodes.set(id, { id, poolId: pool.id, wire: record as Wire, running: new Set(), slotsUsed: 0 });
    } else if (kind === 'job') {
      this.jobs.set(owner.toLowerCase(), { ...newJob(owner), ...(record as JobRecord) });
    } else if (kind === 'task') {
      const job = this.job(owner);
      if (job) this.#keepTask({ id, job, wire: record as Wire });
    }
  }

  #keepTask(task: TaskState): void {
    const { job } = task;
    job.tasks.set(task.id.toLowerCase(), task);
    const last = job.ids.at(-1);
    if (last !== undefined && task.id < last) job.sorted = false;
    job.ids.push(task.id);
    this.#count(task, 1);
    if (task.wire.state === 'active') job.active.add(task);
  }

  #count(task: TaskState, by: number): void {
    const { counts, slots } = task.job;
    const size = Number(task.wire.requiredSlots ?? 1) * by;
    const add = (name: keyof typeof counts) => {
      counts[name] += by;
      slots[name] += size;
    };
    const { state } = task.wire;
    if (state === 'completed') {
      add('completed');
      add((task.wire.executionInfo as Wire | undefined)?.result === 'success' ? 'succeeded' : 'failed');
    } else {
      add(state === 'active' ? 'active' : 'running');
    }
  }
}

/** Recent tasks would be most of the journal, and are forgotten with a reboot. */
function nodeRecord({ wire: { recentTasks: _, ...kept } }: NodeState): Wire {
  return kept;
}

export function newJob(id: string): JobState {
  const zero = () => ({ active: 0, running: 0, completed: 0, succeeded: 0, failed: 0 });
  return {
    id,
    wire: {},
    tasks: new Map(),
    ids: [],
    sorted: true,
    active: new Set(),
    blocked: new Map(),
    counts: zero(),
    slots: zero(),
  };
}

/** A user's write: what ETags are for. State changes do not count as one. */
export function touch(wire: Wire): void {
  wire.lastModified = timestamp();
  wire.eTag = etagOf(String(wire.lastModified));
}

export function setState(wire: Wire, state: string): void {
  if (wire.state !== undefined) {
    wire.previousState = wire.state;
    wire.previousStateTransitionTime = wire.stateTransitionTime;
  }
  wire.state = state;
  wire.stateTransitionTime = timestamp();
}
