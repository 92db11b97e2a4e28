import type { Journal } from '../journal/journal';
import { checkRecord, rankOf } from '../journal/lines';
import type { Wire } from '../wire/wire';
import {
  Addresses,
  idKey,
  type JobNode,
  type JobState,
  type NodeState,
  newJob,
  nodeFrom,
  nodeRecord,
  numberKey,
  numberOf,
  type PoolState,
  removeId,
  type ScheduleState,
  setState,
  TaskState,
  taskKey,
  WaitingTask,
  waitingOrWhole,
} from './resources';

export * from './resources';

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
  /** Certificates by thumbprint, in lower case. */
  readonly certificates = new Map<string, Wire>();
  /** Records that were left out when the state was loaded. */
  readonly bad: BadRecord[] = [];
  readonly #addresses = new Addresses();
  /** Keys of records whose pool, job or task does not exist. */
  readonly #orphans: string[] = [];
  #waiting: (() => void)[] = [];

  constructor(private readonly journal: Records) {
    const records = journal.read(waitingOrWhole);
    for (const rank of [0, 1, 2]) {
      for (const [key, record] of records) if (rankOf(key) === rank) this.#load(key, record);
    }
  }

  /**
   * Removes records whose pool, job or task does not exist. They are left when the service is killed during a change. A
   * new resource with the same id would inherit them.
   */
  removeOrphans(): void {
    for (const key of this.#orphans.splice(0)) this.journal.remove(key);
  }

  #load(key: string, record: unknown): void {
    try {
      if (!(record instanceof WaitingTask)) checkRecord(key, record);
      this.#restore(key, record);
    } catch (error) {
      this.bad.push({ key, record, reason: error instanceof Error ? error.message : String(error) });
    }
  }

  /** Whether changes can be stored now. */
  get isWritable(): boolean {
    return this.journal.isWritable;
  }

  /**
   * Resolves once changes can be stored, at once unless the disk is full. `mustWait` is asked again at every call of
   * `tend`: a deletion makes room on a full disk, and does not wait for it.
   */
  async whenWritable(mustWait: () => boolean = () => true): Promise<void> {
    while (!this.journal.isWritable && mustWait())
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Looks after the journal: retries what could not be written, drops what was removed, syncs. */
  tend(now: number): void {
    const isWritable = this.journal.recover();
    for (const resolve of this.#waiting.splice(0)) resolve();
    if (isWritable && (this.journal.isStale(now) || this.journal.shouldRewrite)) this.rewrite();
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

  /** An address for a node that no other has; it is free again when the node is removed. */
  takeAddress(): string {
    return this.#addresses.take();
  }

  /** Stores a node and then adds it to its pool. */
  addNode(pool: PoolState, node: NodeState): void {
    this.saveNode(node);
    pool.nodes.set(node.id, node);
  }

  saveNode(node: NodeState): void {
    this.journal.put(`node/${node.poolId}/${node.id}`, nodeRecord(node));
  }

  removeNode(pool: PoolState, node: NodeState): void {
    pool.nodes.delete(node.id);
    this.#addresses.delete(node.wire.ipAddress);
    this.journal.remove(`node/${pool.id}/${node.id}`);
  }

  /** Stores a job, and the task that it begins with, and then adds them. A kill between the two leaves neither. */
  addJob(job: JobState, first?: TaskState): void {
    if (first) this.saveTask(first);
    this.saveJob(job);
    this.jobs.set(job.id.toLowerCase(), job);
    if (first) this.#keepTask(first);
  }

  saveJob({ id, wire, poolId, disableOption }: JobState): void {
    this.journal.put(`job/${id}`, { wire, poolId, disableOption } satisfies JobRecord);
  }

  removeJob(job: JobState): void {
    this.jobs.delete(job.id.toLowerCase());
    for (const task of job.tasks.values()) this.#removeRecords(task);
    for (const { nodeId } of job.nodes.values()) this.journal.remove(`jobnode/${job.id}/${nodeId}`);
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

  saveCertificate(wire: Wire): void {
    this.journal.put(`certificate/${wire.thumbprint}`, wire);
    this.certificates.set(String(wire.thumbprint), wire);
  }

  removeCertificate({ thumbprint }: Wire): void {
    this.certificates.delete(String(thumbprint));
    this.journal.remove(`certificate/${thumbprint}`);
  }

  /** Stores what a job has run on a node besides its tasks, and adds it if it is new. */
  saveJobNode(job: JobState, node: JobNode): void {
    this.journal.put(`jobnode/${job.id}/${node.nodeId}`, node);
    job.nodes.set(node.nodeId, node);
  }

  /** Stores a task and then adds it. */
  addTask(task: TaskState): void {
    this.saveTask(task);
    this.#keepTask(task);
  }

  saveTask(task: TaskState): void {
    const stored = this.journal.put(taskKey(task.job.id, task.id), task.wire);
    if (stored) task.release(stored);
  }

  removeTask(task: TaskState): void {
    const { job } = task;
    this.#count(task, -1);
    job.active.delete(task);
    this.#forgetBlocked(task);
    job.tasks.delete(task.id.toLowerCase());
    const number = numberOf(task.id);
    if (number !== undefined) job.byNumber.get(number)?.delete(task);
    removeId(job, task.id);
    this.#removeRecords(task);
  }

  #removeRecords(task: TaskState): void {
    const { id, job, subtasks } = task;
    this.journal.remove(taskKey(job.id, id));
    if (subtasks) this.journal.remove(`subtasks/${job.id}/${id}`);
    this.#forgetTerminating(task);
  }

  /** Stores that a running task is to end as terminated. */
  setTerminating(task: TaskState): void {
    task.isTerminating = true;
    this.journal.put(`ending/${task.job.id}/${task.id}`, {});
  }

  #forgetTerminating(task: TaskState): void {
    if (task.isTerminating) this.journal.remove(`ending/${task.job.id}/${task.id}`);
    task.isTerminating = undefined;
  }

  /** Sets and stores the subtasks of a multi-instance task. */
  setSubtasks(task: TaskState, subtasks: readonly Wire[]): void {
    task.subtasks = subtasks;
    this.journal.put(`subtasks/${task.job.id}/${task.id}`, { subtasks });
  }

  /** Changes a task's state, with its counts; running tasks are not in the queue of active ones. */
  moveTask(task: TaskState, state: string, change: () => void = () => undefined): void {
    this.#count(task, -1);
    change();
    setState(task.wire, state);
    this.#count(task, 1);
    this.#forgetBlocked(task);
    if (state === 'active') task.job.active.add(task);
    else task.job.active.delete(task);
    if (state === 'completed') this.#unblock(task);
    this.saveTask(task);
    this.#forgetTerminating(task);
  }

  /** Takes an active task out of the queue until the task that it depends on, by its key, has completed. */
  block(task: TaskState, key: string): void {
    const { active, blocked } = task.job;
    active.delete(task);
    blocked.set(key, (blocked.get(key) ?? new Set()).add(task));
    task.blockedBy = key;
  }

  /** A task that no longer waits for another one is not remembered as waiting. */
  #forgetBlocked(task: TaskState): void {
    if (task.blockedBy === undefined) return;
    const { blocked } = task.job;
    const waiting = blocked.get(task.blockedBy);
    waiting?.delete(task);
    if (waiting?.size === 0) blocked.delete(task.blockedBy);
    task.blockedBy = undefined;
  }

  #unblock({ id, job }: TaskState): void {
    const number = numberOf(id);
    for (const key of [idKey(id), ...(number === undefined ? [] : [numberKey(number)])]) {
      const waiting = job.blocked.get(key) ?? [];
      job.blocked.delete(key);
      for (const task of waiting) {
        task.blockedBy = undefined;
        job.active.add(task);
      }
    }
  }

  /** Has the journal hold one line for each record. */
  rewrite(): void {
    this.journal.rewrite(this.#records((task) => task.record));
  }

  /** All records, as the journal stores them. */
  records(): Iterable<readonly [string, unknown]> {
    return this.#records((task) => task.read());
  }

  *#records(recordOf: (task: TaskState) => unknown): Generator<readonly [string, unknown]> {
    for (const { id, wire, autoPoolOf, deleteWithJob, nodes } of this.pools.values()) {
      yield [`pool/${id}`, { wire, autoPoolOf, deleteWithJob }];
      for (const node of nodes.values()) yield [`node/${id}/${node.id}`, nodeRecord(node)];
    }
    for (const { id, wire, poolId, disableOption, tasks, nodes } of this.jobs.values()) {
      yield [`job/${id}`, { wire, poolId, disableOption }];
      for (const node of nodes.values()) yield [`jobnode/${id}/${node.nodeId}`, node];
      for (const task of tasks.values()) {
        yield [taskKey(id, task.id), recordOf(task)];
        if (task.subtasks) yield [`subtasks/${id}/${task.id}`, { subtasks: task.subtasks }];
        if (task.isTerminating) yield [`ending/${id}/${task.id}`, {}];
      }
    }
    for (const { id, ...record } of this.schedules.values()) yield [`schedule/${id}`, record];
    for (const [thumbprint, wire] of this.certificates) yield [`certificate/${thumbprint}`, wire];
  }

  #restore(key: string, record: unknown): void {
    const [kind, owner = '', id = ''] = key.split('/');
    if (kind === 'pool') {
      this.pools.set(owner.toLowerCase(), { id: owner, nodes: new Map(), ...(record as PoolRecord) });
    } else if (kind === 'node') {
      const pool = this.pool(owner);
      if (pool) {
        const node = nodeFrom(pool, id, record as Wire);
        pool.nodes.set(id, node);
        this.#addresses.add(node.wire.ipAddress);
      } else this.#orphans.push(key);
    } else if (kind === 'job') {
      this.jobs.set(owner.toLowerCase(), { ...newJob(owner), ...(record as JobRecord) });
    } else if (kind === 'schedule') {
      this.schedules.set(owner.toLowerCase(), { id: owner, ...(record as ScheduleRecord) });
    } else if (kind === 'certificate') {
      // Its deletion had begun before the service ended.
      if ((record as Wire).state !== 'deleting') this.certificates.set(owner, record as Wire);
      else this.#orphans.push(key);
    } else if (kind === 'jobnode') {
      const job = this.job(owner);
      if (job) job.nodes.set(id, record as JobNode);
      else this.#orphans.push(key);
    } else if (kind === 'task') {
      const job = this.job(owner);
      if (job)
        this.#keepTask(
          new TaskState(record instanceof WaitingTask ? record.id : id, job, record as Wire | WaitingTask),
        );
      else this.#orphans.push(key);
    } else {
      const job = this.job(owner);
      const task = job && this.task(job, id);
      if (task && kind === 'subtasks') task.subtasks = (record as { subtasks: readonly Wire[] }).subtasks;
      else if (task && /running|preparing/.test(String(task.facts.state))) task.isTerminating = true;
      else this.#orphans.push(key);
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
    if (task.facts.state === 'active') job.active.add(task);
  }

  #count(task: TaskState, by: number): void {
    const { counts, slots } = task.job;
    const size = Number(task.facts.requiredSlots ?? 1) * by;
    const add = (name: keyof typeof counts) => {
      counts[name] += by;
      slots[name] += size;
    };
    const { state, executionInfo } = task.facts;
    if (state === 'completed') {
      add('completed');
      add((executionInfo as Wire | undefined)?.result === 'success' ? 'succeeded' : 'failed');
    } else {
      add(state === 'active' ? 'active' : 'running');
    }
  }
}
