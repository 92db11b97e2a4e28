import type { Supervisor } from '../guard/supervisor';
import { type Place, taskFolder, taskPath } from '../tasks/environment';
import { endedFailure, failureOf, type Outcome } from '../tasks/taskRunner';
import { timestamp } from '../wire/time';
import type { Wire } from '../wire/wire';
import type { Nodes } from './nodes';
import { complete, type OwnTaskOptions, runOwn, runOwnTask } from './ownTasks';
import {
  containersOf,
  type JobNode,
  type JobState,
  type NodeState,
  type PoolState,
  type State,
} from './state';

/** States of a node that is on its way to take tasks: a release task waits for it. */
const comingStates = ['creating', 'starting', 'rebooting', 'reimaging', 'waitingforstarttask'];
const upStates = ['idle', 'running', 'offline'];

type Kind = 'jobPreparationTask' | 'jobReleaseTask';

/** A job on one of its nodes. */
interface JobPlace {
  readonly pool: PoolState;
  readonly node: NodeState;
  readonly job: JobState;
  readonly entry: JobNode;
}

/**
 * Runs the preparation and release tasks of jobs: the first on each node before the first task of the job there, the
 * second on each of these nodes when the job ends.
 * https://learn.microsoft.com/azure/batch/batch-job-prep-release
 */
export class JobTasks {
  /** Called when a job that ends may have become able to. */
  onEnded: (job: JobState) => void = () => undefined;
  readonly #preparing = new Map<JobNode, { readonly done: Promise<boolean>; stop(): void }>();
  readonly #releasing = new Set<JobNode>();

  constructor(
    private readonly state: State,
    private readonly options: OwnTaskOptions,
    private readonly nodes: Nodes,
    private readonly supervisor: Supervisor,
  ) {
    nodes.onBoot = (node, isReimaged) => this.#nodeBoots(node, isReimaged);
  }

  /** Whether a node may take tasks of a job: its preparation has not failed there. */
  fits(job: JobState, node: NodeState): boolean {
    const entry = job.nodes.get(node.id);
    if (entry === undefined || entry.isStale || !isBlocking(job)) return true;
    return entry.jobPreparationTaskExecutionInfo?.result !== 'failure';
  }

  /** Whether a task of a job has to wait for the preparation of a node. */
  mustWait(job: JobState, node: NodeState): boolean {
    return isBlocking(job) && !isPrepared(job.nodes.get(node.id));
  }

  /**
   * Prepares a node for a job, unless that was done before. Resolves to whether tasks of the job may run there: at once
   * if the job does not wait for its preparation.
   */
  async prepare(pool: PoolState, node: NodeState, job: JobState): Promise<boolean> {
    if (job.wire.jobPreparationTask === undefined) return true;
    const entry = job.nodes.get(node.id) ?? newEntry(pool, node);
    if (isPrepared(entry)) return true;
    let preparing = this.#preparing.get(entry);
    if (preparing === undefined) {
      const stopping = new AbortController();
      const done = this.#prepare(pool, node, job, entry, stopping.signal);
      preparing = { done, stop: () => stopping.abort() };
      this.#preparing.set(entry, preparing);
      this.supervisor.run({ about: `the preparation of node ${node.id} for job ${job.id}` }, async () => {
        await done;
      });
    }
    return isBlocking(job) ? preparing.done : true;
  }

  async #prepare(
    pool: PoolState,
    node: NodeState,
    job: JobState,
    entry: JobNode,
    stopped: AbortSignal,
  ): Promise<boolean> {
    try {
      entry.isStale = undefined;
      const outcome = await this.#run('jobPreparationTask', { pool, node, job, entry }, stopped);
      await this.#whenWritable(job);
      const info = entry.jobPreparationTaskExecutionInfo as Wire;
      const ending = stopped.aborted
        ? { failureInfo: endedFailure('UserError', 'by user request') }
        : outcome;
      const succeeded = !ending.stopped && complete(info, ending);
      if (ending.stopped) entry.isStale = true;
      this.#save(job, entry);
      return succeeded;
    } finally {
      this.#preparing.delete(entry);
      if (node.leaving) this.nodes.leaveWhenFree(pool, node);
      this.onEnded(job);
    }
  }

  /** Whether the preparation or release task of a job runs on any node. */
  isRunning(job: JobState): boolean {
    return [...job.nodes.values()].some((entry) => this.#preparing.has(entry) || this.#releasing.has(entry));
  }

  /**
   * Runs the release task of a job that ends, on the nodes where it has not run, once preparations that still run have been
   * ended. Returns whether the job has to wait for that. Nodes that are lost are not waited for.
   */
  release(job: JobState): boolean {
    let mustWait = false;
    for (const entry of job.nodes.values()) {
      const pool = this.state.pool(entry.poolId);
      const node = pool?.nodes.get(entry.nodeId);
      this.#preparing.get(entry)?.stop();
      if (!this.#preparing.has(entry)) this.#endInterrupted(job, entry);
      if (this.#preparing.has(entry) || this.#releasing.has(entry)) mustWait = true;
      else if (pool && node && !node.leaving && isReleaseDue(job, entry)) {
        const state = String(node.wire.state);
        if (upStates.includes(state)) this.#startRelease(pool, node, job, entry);
        if (upStates.includes(state) || comingStates.includes(state)) mustWait = true;
      }
    }
    return mustWait;
  }

  /** A preparation that a restart has interrupted, and that no task has needed since, ends with the job. */
  #endInterrupted(job: JobState, entry: JobNode): void {
    const info = entry.jobPreparationTaskExecutionInfo;
    if (info?.state !== 'running') return;
    complete(info, { failureInfo: endedFailure('UserError', 'by user request') });
    this.#save(job, entry);
  }

  #startRelease(pool: PoolState, node: NodeState, job: JobState, entry: JobNode): void {
    this.#releasing.add(entry);
    this.supervisor.run({ about: `the release of node ${node.id} by job ${job.id}` }, async () => {
      try {
        const outcome = await this.#run('jobReleaseTask', { pool, node, job, entry }).catch(
          (error): Outcome => ({ failureInfo: failureOf(error) }),
        );
        await this.#whenWritable(job);
        if (outcome.stopped) entry.jobReleaseTaskExecutionInfo = undefined;
        else complete(entry.jobReleaseTaskExecutionInfo as Wire, outcome);
        this.#save(job, entry);
      } finally {
        this.#releasing.delete(entry);
        if (node.leaving) this.nodes.leaveWhenFree(pool, node);
        this.onEnded(job);
      }
    });
  }

  /** Runs one of the two on a node, with its execution information stored before. */
  #run(kind: Kind, { pool, node, job, entry }: JobPlace, stopped?: AbortSignal): Promise<Outcome> {
    const description = job.wire[kind] as Wire;
    const id = String(description.id);
    const path = taskPath(job.id, id);
    const root = this.nodes.root(pool.id, node.id);
    const isPreparation = kind === 'jobPreparationTask';
    const info: Wire = {
      startTime: timestamp(),
      state: 'running',
      taskRootDirectory: path,
      taskRootDirectoryUrl: `${node.wire.url}/files/${path}`,
      ...(isPreparation ? { retryCount: 0 } : {}),
    };
    entry[`${kind}ExecutionInfo`] = info;
    this.#save(job, entry);
    const place = placeOf(pool, node, job, id, root);
    const { maxWallClockTime } = description;
    const constraints = isPreparation ? (description.constraints as Wire) : { maxWallClockTime };
    return runOwn(node, this.supervisor, (signal) =>
      runOwnTask(
        this.options,
        {
          pool,
          description: { ...description, constraints },
          place,
          settings: [
            ...((job.wire.commonEnvironmentSettings as Wire[] | undefined) ?? []),
            ...((description.environmentSettings as Wire[] | undefined) ?? []),
          ],
          info,
          retries: Number(constraints?.maxTaskRetryCount ?? 0),
          recordFolder: this.nodes.recordFolder,
        },
        stopped ? AbortSignal.any([signal, stopped]) : signal,
      ),
    );
  }

  /** After a reboot a preparation runs again unless its job does not want that; after a new image, always. */
  #nodeBoots(node: NodeState, isReimaged: boolean): void {
    for (const job of this.state.jobs.values()) {
      const entry = job.nodes.get(node.id);
      const preparation = entry?.jobPreparationTaskExecutionInfo;
      if (entry === undefined || preparation === undefined) continue;
      const isKept = preparation.result === 'success' && rerunsOnReboot(job) === false && !isReimaged;
      const wasReleasing = entry.jobReleaseTaskExecutionInfo?.state === 'running';
      if (isKept && !wasReleasing) continue;
      if (!isKept) entry.isStale = true;
      if (wasReleasing) entry.jobReleaseTaskExecutionInfo = undefined;
      this.#save(job, entry);
    }
  }

  /** Resolves once a change of a job can be stored, also when the job is deleted while the disk is full. */
  #whenWritable({ wire }: JobState): Promise<void> {
    return this.state.whenWritable(() => wire.state !== 'deleting');
  }

  /** A job that was deleted meanwhile is not stored again. */
  #save(job: JobState, entry: JobNode): void {
    if (this.state.job(job.id) === job) this.state.saveJobNode(job, entry);
  }
}

function newEntry(pool: PoolState, node: NodeState): JobNode {
  return { poolId: pool.id, nodeId: node.id, nodeUrl: String(node.wire.url) };
}

function isPrepared(entry: JobNode | undefined): boolean {
  return entry?.jobPreparationTaskExecutionInfo?.result === 'success' && !entry.isStale;
}

function isBlocking({ wire }: JobState): boolean {
  const preparation = wire.jobPreparationTask as Wire | undefined;
  return preparation !== undefined && preparation.waitForSuccess !== false;
}

function rerunsOnReboot({ wire }: JobState): unknown {
  return (wire.jobPreparationTask as Wire | undefined)?.rerunOnNodeRebootAfterSuccess;
}

function isReleaseDue({ wire }: JobState, entry: JobNode): boolean {
  return wire.jobReleaseTask !== undefined && entry.jobReleaseTaskExecutionInfo?.state !== 'completed';
}

/** Where a task of a job runs. `root` is the folder of the node. */
export function placeOf(
  pool: PoolState,
  node: NodeState,
  job: JobState,
  taskId: string,
  root: string,
): Place {
  return {
    poolId: pool.id,
    nodeId: node.id,
    isDedicated: Boolean(node.wire.isDedicated),
    address: String(node.wire.ipAddress),
    root,
    taskDir: taskFolder(root, job.id, taskId),
    jobId: job.id,
    taskId,
    jobPrepDir: jobPreparationFolder(job, root),
    containers: containersOf(pool),
  };
}

/** Folder of a job's preparation task on a node; undefined for a job without one. */
function jobPreparationFolder({ id, wire }: JobState, root: string): string | undefined {
  const preparation = wire.jobPreparationTask as { id?: string } | undefined;
  return preparation && taskFolder(root, id, String(preparation.id));
}
