import type { Batch, Node, Pool, TaskCounts } from '../azure/batch';
import { hasEnded, isBatchCode } from '../azure/batchCall';
import { everyItem } from '../azure/pages';
import { type Problem, UserError } from '../errors';
import { retryAllocation } from '../pools/poolSizes';
import type { Clock } from '../wait';
import { resizeProblem, schedulingProblem } from './poolFailure';
import { startTaskProblem } from './taskFailure';

/** Nodes of a pool by what they do. */
export interface NodeNumbers {
  readonly idle: number;
  readonly running: number;
  /** Being created, booting, or running their start task. */
  readonly starting: number;
  /** Start task failed, unusable, or unknown. */
  readonly failed: number;
  readonly total: number;
  /** Those of all that are dedicated nodes. */
  readonly dedicated: number;
}

export interface PoolObserver {
  nodes(nodes: NodeNumbers): void;
  /** A problem that the user should know of although the run continues. Called once for each kind. */
  trouble(problem: Problem): void;
  /** Nodes that the service could not allocate were asked for again. */
  resizeRetried(pool: string, nextTryMinutes: number): void;
}

interface WatchedPool {
  readonly jobId: string;
  readonly poolId?: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Preemptions for each Spot node of a pool after which the user is asked about dedicated nodes. */
const preemptionsPerNode = 3;

/** Times of the service's parts differ a little: resize errors from this long before the job belong to the run. */
const resizeErrorsBeforeMs = 120_000;

/** Minutes before nodes that could not be allocated are asked for again; the last applies from then on. */
const retryMinutes = [1, 2, 4, 8, 15];

/** Watches the pool of a job: its nodes, their start tasks, and the errors of resizes. */
export class PoolWatch {
  readonly #told = new Set<Problem['kind']>();
  #poolId: string | undefined;
  /** Errors from before are those of other runs. In the service's time. */
  #since: Date | undefined;
  #preempted = { now: 0, times: 0 };
  #reads = 0;
  #retries = 0;
  #retryAt: number | undefined;

  constructor(
    private readonly batch: Batch,
    private readonly watched: WatchedPool,
    private readonly observer: PoolObserver,
  ) {
    this.#poolId = watched.poolId;
  }

  /** One or two requests, more only when nodes have failed. Throws UserError if the pool cannot run any task. */
  async read(counts: TaskCounts): Promise<void> {
    const reads = this.#reads++;
    if (this.#since === undefined) await this.#readJob();
    const poolId = this.#poolId;
    if (poolId === undefined) {
      // The pool of a job that the service has only begun to create.
      this.#since = undefined;
      return;
    }
    const nodes = await this.#countNodes(poolId);
    this.observer.nodes(nodes);
    const working = nodes.idle + nodes.running + nodes.starting;
    if (nodes.failed > 0) await this.#unlessPoolDeleted(this.#readFailedNodes(poolId, counts), poolId);
    else if (working === 0 && counts.running === 0 ? reads % 3 === 0 : counts.active > 0 && reads % 15 === 0)
      await this.#readResizeErrors(poolId, counts);
  }

  async #readJob(): Promise<void> {
    const { jobId, signal } = this.watched;
    const job = await this.batch.job(jobId, { select: 'id,state,creationTime,executionInfo', signal });
    const problem = job && schedulingProblem(job);
    if (problem) throw new UserError(problem);
    this.#poolId ??= job?.executionInfo?.poolId;
    this.#since = job?.creationTime && new Date(job.creationTime.getTime() - resizeErrorsBeforeMs);
  }

  async #countNodes(poolId: string): Promise<NodeNumbers> {
    const counts = await this.batch.nodeCounts(poolId, this.watched.signal);
    const kinds = [counts?.dedicated, counts?.lowPriority].filter((kind) => kind !== undefined);
    const sum = (of: (kind: (typeof kinds)[number]) => number) =>
      kinds.reduce((total, kind) => total + (of(kind) || 0), 0);
    const preempted = counts?.lowPriority?.preempted ?? 0;
    if (preempted > this.#preempted.now) this.#preempted.times += preempted - this.#preempted.now;
    this.#preempted.now = preempted;
    const total = sum((kind) => kind.total);
    if (this.#preempted.times > preemptionsPerNode * Math.max(total, 1)) {
      this.#tell({ kind: 'preempted', pool: poolId, times: this.#preempted.times });
    }
    return {
      idle: sum((kind) => kind.idle),
      running: sum((kind) => kind.running),
      starting: sum(
        (kind) => kind.creating + kind.starting + kind.waitingForStartTask + kind.rebooting + kind.reimaging,
      ),
      failed: sum((kind) => kind.startTaskFailed + kind.unusable + kind.unknown),
      total,
      dedicated: counts?.dedicated?.total ?? 0,
    };
  }

  /**
   * Counts may be out of date, so the nodes themselves are listed: the run ends only if each of them has failed. Azure
   * replaces preempted nodes; the next ones fail again if the start task has failed and no task has completed.
   */
  async #readFailedNodes(poolId: string, { completed }: TaskCounts): Promise<void> {
    const { signal } = this.watched;
    const failed: Node[] = [];
    let others = 0;
    let preempted = 0;
    const options = { select: 'id,state,errors,startTaskInfo', signal };
    for await (const node of everyItem((next) => this.batch.nodePage(poolId, options, next))) {
      if (node.state === 'starttaskfailed' || node.state === 'unusable') failed.push(node);
      else if (node.state === 'preempted') preempted++;
      else if (node.state !== 'leavingpool') others++;
    }
    if (completed > 0 || failed.some(({ state }) => state === 'unusable')) others += preempted;
    const [node] = failed;
    if (node === undefined || (others > 0 && this.#told.has('startTaskFailed'))) return;
    const problem = await this.#nodeProblem(poolId, node);
    if (others === 0 && (await this.#noMoreNodes(poolId, failed.length))) throw new UserError(problem);
    this.#tell(problem);
  }

  async #nodeProblem(poolId: string, node: Node): Promise<Problem> {
    if (node.state === 'starttaskfailed')
      return startTaskProblem(this.batch, poolId, node, this.watched.signal);
    return {
      kind: 'poolUnusable',
      pool: poolId,
      detail: node.errors?.[0]?.message ?? node.errors?.[0]?.code,
    };
  }

  /** Whether the service is not about to add nodes that may do better. */
  async #noMoreNodes(poolId: string, nodes: number): Promise<boolean> {
    const pool = await this.#pool(poolId);
    if (pool === undefined) return false;
    const target = (pool.targetDedicatedNodes ?? 0) + (pool.targetLowPriorityNodes ?? 0);
    return pool.allocationState === 'steady' || nodes >= target;
  }

  async #readResizeErrors(poolId: string, counts: TaskCounts): Promise<void> {
    const pool = await this.#pool(poolId);
    if (pool === undefined) return;
    const problem = resizeProblem(pool, this.#since ?? new Date(0));
    if (problem === undefined) return;
    const nodes = (pool.currentDedicatedNodes ?? 0) + (pool.currentLowPriorityNodes ?? 0);
    if (problem.kind === 'quota' && nodes === 0 && counts.running === 0) throw new UserError(problem);
    this.#tell(problem);
    if (problem.kind !== 'quota' && counts.active > 0) await this.#retryResize(pool);
  }

  /** A pool of a fixed size does not try again by itself; an autoscaled one does at its next evaluation. */
  async #retryResize(pool: Pool): Promise<void> {
    if (pool.enableAutoScale || pool.allocationState !== 'steady') return;
    const { clock, signal } = this.watched;
    const minutes = (retries: number) => retryMinutes[Math.min(retries, retryMinutes.length - 1)] ?? 15;
    this.#retryAt ??= clock.now() + minutes(this.#retries) * 60_000;
    if (clock.now() < this.#retryAt) return;
    this.#retryAt = undefined;
    this.#retries++;
    if (!(await retryAllocation(this.batch, pool.id ?? '', { signal }))) return;
    this.observer.resizeRetried(pool.id ?? '', minutes(this.#retries));
  }

  /** Undefined once the job has ended. Throws `poolUnusable` for a pool that was deleted before that. */
  async #pool(poolId: string): Promise<Pool | undefined> {
    const pool = await this.batch.pool(poolId, { signal: this.watched.signal });
    if (pool === undefined) await this.#refuseDeletedPool(poolId);
    return pool;
  }

  async #unlessPoolDeleted(reading: Promise<void>, poolId: string): Promise<void> {
    try {
      await reading;
    } catch (error) {
      if (!isBatchCode(error, 'PoolNotFound')) throw error;
      await this.#refuseDeletedPool(poolId);
    }
  }

  /** The service deletes an auto pool when its job ends, which the counts may not show yet. */
  async #refuseDeletedPool(poolId: string): Promise<void> {
    const { jobId, signal } = this.watched;
    const job = await this.batch.job(jobId, { select: 'id,state', signal });
    if (job !== undefined && !hasEnded(job))
      throw new UserError({ kind: 'poolUnusable', pool: poolId, why: 'deleted' });
  }

  #tell(problem: Problem): void {
    if (this.#told.has(problem.kind)) return;
    this.#told.add(problem.kind);
    this.observer.trouble(problem);
  }
}
