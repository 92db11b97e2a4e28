import { etagOf, timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import { checkRecord, type Journal } from './journal';

/** A pool: its properties as the API shows them (`wire`), and what the service knows besides. */
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
  /** It leaves its pool once its tasks have ended. */
  leaving?: boolean;
  /** Counts its starts: what belongs to an earlier one has no effect any more. */
  boots: number;
  /** The start task that runs on it. */
  startTask?: { stop(): void; readonly ended: Promise<void> };
}

export interface JobState {
  readonly id: string;
  wire: Wire;
  readonly tasks: Map<string, TaskState>;
  /** Ids in the order of lists; sorted on demand. */
  ids: string[];
  sorted: boolean;
  /** Tasks that wait for a node. */
  readonly active: Set<TaskState>;
  /** Tasks that wait for another task, by the key of its id (`dependencyKey`). */
  readonly blocked: Map<string, Set<TaskState>>;
  /** Tasks whose ids are whole numbers, by that number: `4`, `04` and `004` are one to a range of ids. */
  readonly byNumber: Map<number, Set<TaskState>>;
  readonly counts: { active: number; running: number; completed: number; succeeded: number; failed: number };
  readonly slots: { active: number; running: number; completed: number; succeeded: number; failed: number };
  poolId?: string;
  disableOption?: string;
}

export interface ScheduleState {
  readonly id: string;
  wire: Wire;
  /** Jobs that it has made. */
  jobs: number;
  /** Milliseconds since 1970 from which on its next job is due. */
  dueAt: number;
  /** When its last job was due. */
  lastAt?: number;
  /** The auto pool that lasts as long as it. */
  autoPoolId?: string;
}

export interface TaskState {
  readonly id: string;
  readonly job: JobState;
  wire: Wire;
  node?: NodeState;
  /** Ends what it is doing now, for this reason. */
  stop?: (reason: StopReason) => void;
  /** Resolves once what it is doing now has ended, and its state says so. */
  ended?: Promise<void>;
}

/** Why a running task is ended, which decides what becomes of it. */
export type StopReason = 'terminate' | 'requeue' | 'delete';

/** Where records are stored. */
type Records = Pick<
  Journal,
  'read' | 'put' | 'remove' | 'rewrite' | 'shouldRewrite' | 'isStale' | 'isWritable' | 'recover' | 'sync'
>;

/** A record that could not be loaded, and why. */
export interface BadRecord {
  readonly key: string;
  readonly record: unknown;
  readonly reason: string;
}

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

type ScheduleRecord = Omit<ScheduleState, 'id'>;

/** All pools, nodes, jobs, job schedules and tasks, in memory and in the journal. Ids are unique without regard to case. */
export class State {
  readonly pools = new Map<string, PoolState>();
  readonly jobs = new Map<string, JobState>();
  readonly schedules = new Map<string, ScheduleState>();
  /** Records that were left out when the state was loaded. */
  readonly bad: BadRecord[] = [];
  #waiting: (() => void)[] = [];

  constructor(private readonly journal: Records) {
    for (const [key, record] of journal.read()) {
      try {
        checkRecord(key, record);
        this.#restore(key, record);
      } catch (error) {
        this.bad.push({ key, record, reason: error instanceof Error ? error.message : String(error) });
      }
    }
  }

  /** Whether changes can be stored now. */
  get isWritable(): boolean {
    return this.journal.isWritable;
  }

  /** Resolves once changes can be stored, at once unless the disk is full. */
  async whenWritable(): Promise<void> {
    while (!this.journal.isWritable) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Looks after the journal: retries what could not be written, drops what was removed, syncs. */
  tend(now: number): void {
    if (this.journal.recover()) {
      for (const resolve of this.#waiting.splice(0)) resolve();
      if (this.journal.isStale(now)) this.rewrite();
    }
    this.journal.sync();
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

  /** Stores a pool and then adds it. */
  addPool(pool: PoolState): void {
    this.savePool(pool);
    this.pools.set(pool.id.toLowerCase(), pool);
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

  /** Stores a job and then adds it. */
  addJob(job: JobState): void {
    this.saveJob(job);
    this.jobs.set(job.id.toLowerCase(), job);
  }

  saveJob({ id, wire, poolId, disableOption }: JobState): void {
    this.journal.put(`job/${id}`, { wire, poolId, disableOption } satisfies JobRecord);
  }

  removeJob(job: JobState): void {
    this.jobs.delete(job.id.toLowerCase());
    for (const task of job.tasks.values()) this.journal.remove(`task/${job.id}/${task.id}`);
    this.journal.remove(`job/${job.id}`);
  }

  /** Stores a job schedule and then adds it. */
  addSchedule(schedule: ScheduleState): void {
    this.saveSchedule(schedule);
    this.schedules.set(schedule.id.toLowerCase(), schedule);
  }

  saveSchedule({ id, ...record }: ScheduleState): void {
    this.journal.put(`schedule/${id}`, record satisfies ScheduleRecord);
  }

  removeSchedule({ id }: ScheduleState): void {
    this.schedules.delete(id.toLowerCase());
    this.journal.remove(`schedule/${id}`);
  }

  /** Stores a task and then adds it. */
  addTask(task: TaskState): void {
    this.saveTask(task);
    this.#keepTask(task);
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
    const number = numberOf(task.id);
    if (number !== undefined) job.byNumber.get(number)?.delete(task);
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

  /** Takes an active task out of the queue until the task that it depends on, by its key, has completed. */
  block(task: TaskState, key: string): void {
    const { active, blocked } = task.job;
    active.delete(task);
    blocked.set(key, (blocked.get(key) ?? new Set()).add(task));
  }

  #unblock({ id, job }: TaskState): void {
    const number = numberOf(id);
    for (const key of [idKey(id), ...(number === undefined ? [] : [numberKey(number)])]) {
      const waiting = job.blocked.get(key) ?? [];
      job.blocked.delete(key);
      for (const task of waiting) {
        if (task.wire.state === 'active' && this.task(job, task.id) === task) job.active.add(task);
      }
    }
  }

  /** Has the journal hold one line for each record. */
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
    for (const { id, ...record } of this.schedules.values()) yield [`schedule/${id}`, record];
  }

  #restore(key: string, record: unknown): void {
    const [kind, owner = '', id = ''] = key.split('/');
    if (kind === 'pool') {
      this.pools.set(owner.toLowerCase(), { id: owner, nodes: new Map(), ...(record as PoolRecord) });
    } else if (kind === 'node') {
      const pool = this.pool(owner);
      // A node without a pool was written while its pool was deleted.
      pool?.nodes.set(id, {
        id,
        poolId: pool.id,
        wire: record as Wire,
        running: new Set(),
        slotsUsed: 0,
        boots: 0,
      });
    } else if (kind === 'job') {
      this.jobs.set(owner.toLowerCase(), { ...newJob(owner), ...(record as JobRecord) });
    } else if (kind === 'schedule') {
      this.schedules.set(owner.toLowerCase(), { id: owner, ...(record as ScheduleRecord) });
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
    const number = numberOf(task.id);
    if (number !== undefined) job.byNumber.set(number, (job.byNumber.get(number) ?? new Set()).add(task));
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

/** The recent tasks of a node would be most of the journal; they are forgotten at a reboot. */
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
    byNumber: new Map(),
    counts: zero(),
    slots: zero(),
  };
}

/** Marks a change by a user, which gives a resource a new ETag. Changes of its state do not. */
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

/** The whole number that a task's id stands for: ranges of ids do not regard leading zeros. */
export function numberOf(id: string): number | undefined {
  return /^\d{1,15}$/.test(id) ? Number(id) : undefined;
}

/** The key of a dependency on one task. */
export function idKey(id: string): string {
  return id.toLowerCase();
}

/** The key of a dependency on the tasks of one number. */
export function numberKey(number: number): string {
  return `#${number}`;
}
