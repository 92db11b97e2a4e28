import type { StoredRecord } from '../journal/journal';
import { checkRecord } from '../journal/lines';
import type { ContainerConfiguration } from '../tasks/containerTask';
import { endpointsOf, hasIpv6, ipv6Loopback, loopback } from '../wire/endpoints';
import { etagOf, timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';

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
  /** Its root folder, once a task has run there. */
  root?: string;
  readonly running: Set<TaskState>;
  slotsUsed: number;
  /**
   * Set while the node leaves its pool: what happens to its tasks (`requeue`, `terminate`, `taskcompletion`,
   * `retaineddata`).
   */
  leaving?: string;
  /** Counts its starts: what belongs to an earlier one has no effect any more. */
  boots: number;
  /** What it runs besides tasks: its start task, and preparation and release tasks of jobs. */
  readonly own: Set<OwnTask>;
}

/** A task of a node that occupies no slot. */
export interface OwnTask {
  stop(): void;
  /** Resolves once it has ended; never rejects. */
  readonly ended: Promise<unknown>;
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
  /** What the job has run on nodes besides its tasks, by the id of the node. */
  readonly nodes: Map<string, JobNode>;
  poolId?: string;
  disableOption?: string;
}

/** A node on which a job has run: how its preparation and release tasks went there, as the API shows it. */
export interface JobNode {
  readonly poolId: string;
  readonly nodeId: string;
  readonly nodeUrl: string;
  jobPreparationTaskExecutionInfo?: Wire;
  jobReleaseTaskExecutionInfo?: Wire;
  /** The preparation task is to run again before the next task of the job. */
  isStale?: boolean;
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

/** Execution information of a task that has never run. */
const neverRan = { retryCount: 0, requeueCount: 0 };

/**
 * A task that waits and has never run: what lists are filtered by and what the counts need is in memory, the rest in the
 * journal. Most of 100,000 tasks wait, and their descriptions may be long.
 */
export class WaitingTask {
  readonly creationTime: unknown;
  readonly stateTransitionTime: unknown;
  readonly requiredSlots: unknown;

  private constructor(
    readonly id: string,
    { creationTime, stateTransitionTime, requiredSlots }: Wire,
    readonly stored: StoredRecord,
  ) {
    this.creationTime = creationTime;
    // Equal times are one text in memory.
    this.stateTransitionTime = stateTransitionTime === creationTime ? creationTime : stateTransitionTime;
    this.requiredSlots = requiredSlots;
  }

  /** Undefined for a task that does not wait, or has run before. */
  static of(id: string, wire: Wire, stored: StoredRecord): WaitingTask | undefined {
    const { state, executionInfo = {}, nodeInfo } = wire;
    const { retryCount, requeueCount, ...others } = executionInfo as Wire;
    const isFresh = retryCount === 0 && requeueCount === 0 && Object.keys(others).length === 0;
    return state === 'active' && isFresh && nodeInfo === undefined && wire.id === id
      ? new WaitingTask(id, wire, stored)
      : undefined;
  }

  get state(): string {
    return 'active';
  }

  get executionInfo(): Wire {
    return neverRan;
  }

  get lastModified(): unknown {
    return this.read().lastModified;
  }

  /** Throws if the journal was changed by another program. */
  read(): Wire {
    const wire = this.stored.read() as Wire;
    if (wire.id !== this.id) throw new Error(`The journal has lost task ${this.id}.`);
    return wire;
  }
}

/** Tasks that wait stay in the journal. What is wrong with a record is reported when it is loaded. */
export function waitingOrWhole(key: string, record: unknown, stored: StoredRecord): unknown {
  if (!key.startsWith('task/')) return record;
  try {
    checkRecord(key, record, stored.bytes);
    const id = key.slice(key.lastIndexOf('/') + 1);
    return WaitingTask.of(id, record as Wire, stored) ?? record;
  } catch {
    return record;
  }
}

export class TaskState {
  declare node?: NodeState;
  /** Ends what it is doing now, for this reason. */
  declare stop?: (reason: StopReason) => void;
  /** Resolves once what it is doing now has ended, and its state says so. */
  declare ended?: Promise<void>;
  /** Its processes have ended, and its end is about to be stored: on a full disk, once there is room. */
  declare hasEnded?: boolean;
  /** Of a multi-instance task since it last started, as the API lists them; the primary is the task itself. */
  declare subtasks?: readonly Wire[];
  /** It was told to end as terminated, and does so also if the service ends before it. */
  declare isTerminating?: boolean;
  /** The key of the task that it waits for, while it waits (`JobState.blocked`). */
  declare blockedBy?: string;
  #record: Wire | WaitingTask;

  constructor(
    readonly id: string,
    readonly job: JobState,
    record: Wire | WaitingTask,
  ) {
    this.#record = record;
  }

  /** The task as the API shows it, to be changed. It is in memory from now on, until it waits and is saved. */
  get wire(): Wire {
    this.#record = this.read();
    return this.#record;
  }

  /** The task as the API shows it, only to be read. It stays where it is: for walks through many tasks. */
  read(): Wire {
    return this.#record instanceof WaitingTask ? this.#record.read() : this.#record;
  }

  /** The members that are always at hand: id, state, times, slots, execution information, and node. */
  get facts(): Readonly<Wire> {
    return this.#record as Wire;
  }

  /** What the journal is to hold. */
  get record(): Wire | StoredRecord {
    return this.#record instanceof WaitingTask ? this.#record.stored : this.#record;
  }

  /** Removes from memory what the journal has of a task that waits. */
  release(stored: StoredRecord): void {
    if (!(this.#record instanceof WaitingTask))
      this.#record = WaitingTask.of(this.id, this.#record, stored) ?? this.#record;
  }
}

/** The key of a task in the journal. */
export function taskKey(jobId: string, id: string): string {
  return `task/${jobId}/${id}`;
}

/** Why a running task is ended, which decides what becomes of it. */
export type StopReason = 'terminate' | 'requeue' | 'delete';

/** Where the files of a task are: on its node, and on those of its subtasks. */
export function placesOf({ facts, subtasks = [] }: TaskState): { poolId: string; nodeId: string }[] {
  return [facts, ...subtasks].flatMap(({ nodeInfo }) => {
    const { poolId, nodeId } = (nodeInfo ?? {}) as { poolId?: string; nodeId?: string };
    return poolId === undefined || nodeId === undefined ? [] : [{ poolId, nodeId }];
  });
}

/** Addresses of nodes: each has one of its own, where the system lets programs listen on all of 127.0.0.0/8. */
export class Addresses {
  readonly #taken = new Set<unknown>();
  #last = firstAddress - 1;

  /** Marks the address of a node as taken. */
  add(address: unknown): void {
    this.#taken.add(address);
  }

  delete(address: unknown): void {
    this.#taken.delete(address);
  }

  /** Takes the next address that no node has; the shared one if none is left. */
  take(): string {
    if (process.platform === 'darwin') return loopback;
    for (let tried = firstAddress; tried <= lastAddress; tried++) {
      this.#last = this.#last < lastAddress ? this.#last + 1 : firstAddress;
      const host = this.#last & 255;
      const address = `127.0.${this.#last >> 8}.${host}`;
      if (host === 0 || host === 255 || this.#taken.has(address)) continue;
      this.#taken.add(address);
      return address;
    }
    return loopback;
  }
}

/** 127.0.1.0 and 127.0.255.254, by their last two bytes. */
const firstAddress = 256;
const lastAddress = 65_534;

/** A node that begins its life, as the API shows it. */
export function newNode(pool: PoolState, id: string, accountUrl: string, details: Wire): NodeState {
  const now = timestamp();
  const wire: Wire = {
    id,
    url: `${accountUrl}/pools/${pool.id}/nodes/${id}`,
    state: 'creating',
    schedulingState: 'enabled',
    stateTransitionTime: now,
    allocationTime: now,
    affinityId: `TVM:${id}`,
    vmSize: pool.wire.vmSize,
    totalTasksRun: 0,
    totalTasksSucceeded: 0,
    runningTasksCount: 0,
    runningTaskSlotsCount: 0,
    endpointConfiguration: { inboundEndpoints: endpointsOf(pool.wire, pool.nodes.size, details.ipAddress) },
    ...(hasIpv6(pool.wire) && { ipv6Address: ipv6Loopback }),
    ...details,
  };
  return nodeOf(pool, id, wire);
}

/** A node on which nothing runs. */
function nodeOf({ id: poolId }: PoolState, id: string, wire: Wire, leaving?: string): NodeState {
  return { id, poolId, wire, running: new Set(), slotsUsed: 0, leaving, boots: 0, own: new Set() };
}

/** A node as it is stored. Its recent tasks would be most of the journal; they are forgotten at a reboot. */
export function nodeRecord({ wire: { recentTasks: _, ...kept }, leaving }: NodeState): Wire {
  return { ...kept, leaving };
}

/** A node from its record. */
export function nodeFrom(pool: PoolState, id: string, { leaving, ...wire }: Wire): NodeState {
  return nodeOf(pool, id, wire, leaving as string | undefined);
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
    nodes: new Map(),
    counts: zero(),
    slots: zero(),
  };
}

/** How a pool runs containers; undefined for one that runs none. */
export function containersOf({ wire }: PoolState): ContainerConfiguration | undefined {
  const machine = wire.virtualMachineConfiguration as Wire | undefined;
  return machine?.containerConfiguration as ContainerConfiguration | undefined;
}

/** Marks a change by a user, which gives a resource a new ETag. Changes of its state do not. */
export function touch(wire: Wire): void {
  const before = wire.eTag;
  // A clock that was set back may return a time again.
  do {
    wire.lastModified = timestamp();
    wire.eTag = etagOf(String(wire.lastModified));
  } while (wire.eTag === before);
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

/** The ids of a job's tasks in the order of lists. */
export function sortedIds(job: JobState): readonly string[] {
  if (!job.sorted) {
    job.ids.sort();
    job.sorted = true;
  }
  return job.ids;
}

/** Removes the id of a task from those of its job. */
export function removeId(job: JobState, id: string): void {
  const ids = sortedIds(job);
  let low = 0;
  for (let high = ids.length; low < high; ) {
    const middle = (low + high) >> 1;
    if ((ids[middle] ?? '') < id) low = middle + 1;
    else high = middle;
  }
  if (ids[low] === id) job.ids.splice(low, 1);
}

/** Whether a job is being terminated or deleted, or was. */
export function isEnding({ wire }: JobState): boolean {
  return ['terminating', 'completed', 'deleting'].includes(String(wire.state));
}
