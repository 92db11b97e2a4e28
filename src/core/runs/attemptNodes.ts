import type { Batch } from '../azure/batch';
import { hasEnded } from '../azure/batchCall';
import { UserError } from '../errors';
import type { Attempt } from '../plan/manifest';
import { isDeletedPool, isUnchangeable } from '../pools/changePool';
import { ensurePool } from '../pools/ensurePool';
import type { NodeTargets } from '../pools/nodeTargets';
import { giveNodes, targetsOf } from '../pools/poolSizes';
import type { RunState } from './runState';

const noNodes: NodeTargets = { dedicated: 0, spot: 0 };

/** The pool of an attempt, and the nodes that were asked for. */
export class AttemptNodes {
  /** Undefined if an earlier process asked for nodes. */
  #asked: NodeTargets | undefined;

  constructor(
    private readonly state: RunState,
    private readonly attempt: Attempt,
  ) {}

  /** Whether the pool waits for nodes that Azure has refused for now. */
  get isRefused(): boolean {
    return this.#asked !== undefined && countOf(this.#asked) === 0;
  }

  /** Notes the nodes that a new auto pool was given. */
  noteAsked(nodes: NodeTargets): void {
    this.#asked = nodes;
  }

  /**
   * Sets the pool of the attempt and gives it nodes, unless an earlier process made the job and ended before it saved the
   * pool.
   */
  async ensurePool(nodes: NodeTargets, signal: AbortSignal): Promise<void> {
    const { state, attempt } = this;
    const { batch } = state.parts;
    const { pool } = state.manifest;
    if (!state.isNew) {
      const job = await batch.job(attempt.jobId, { select: 'id,poolInfo', signal });
      attempt.poolId = job?.poolInfo?.poolId;
      if (attempt.poolId !== undefined) return;
    }
    const finding = state.poolSearch?.found;
    state.poolSearch = undefined;
    const { lifetime } = pool;
    const { id, before, isRefused } = await ensurePool(batch, pool, nodes, signal, {
      finding,
      jobId: attempt.jobId,
      clock: state.clock,
      onChoosing: (given) => state.poolsGiven.set(attempt, { ...given, lifetime, isOnlyChosen: true }),
      onGiving: (given) => state.poolsGiven.set(attempt, { ...given, lifetime, mayArrive: true }),
    });
    attempt.poolId = id;
    state.poolsGiven.set(attempt, { id, before, lifetime });
    signal.throwIfAborted();
    this.#asked = isRefused ? noNodes : nodes;
    state.tell({ kind: before ? 'poolReused' : 'poolCreated', pool: id, ...nodes });
  }

  /** Gives the pool more nodes, as soon as Azure lets it be changed. Throws `jobEnded` if an auto pool ended with its job. */
  async grow(nodes: NodeTargets, signal: AbortSignal): Promise<void> {
    if (this.#asked && countOf(nodes) <= countOf(this.#asked)) return;
    const { state } = this;
    const { batch } = state.parts;
    const { jobId, poolId = await autoPoolOf(batch, jobId, signal) } = this.attempt;
    if (poolId === undefined) return;
    this.#asked ??= await targetsOf(batch, poolId, signal);
    if (countOf(nodes) <= countOf(this.#asked)) return;
    const { lifetime } = state.manifest.pool;
    const onRefused = () => state.tell({ kind: 'poolBusy', pool: poolId, ...nodes });
    try {
      await giveNodes(batch, poolId, nodes, { lifetime, jobId, signal, clock: state.clock, onRefused });
    } catch (error) {
      // The tasks run on the nodes that the pool has.
      if (isUnchangeable(error)) return;
      if (error instanceof UserError && error.problem.kind === 'poolNotOurs') {
        state.tell({ kind: 'trouble', problem: error.problem });
        this.#asked = nodes;
        return;
      }
      if (!isDeletedPool(error)) throw error;
      // An auto pool ends with its job, whose time may be over.
      const job = await batch.job(jobId, { select: 'id,state', signal });
      if (job !== undefined && !hasEnded(job)) throw error;
      throw new UserError({ kind: 'jobEnded', job: jobId }, { cause: error });
    }
    this.#asked = nodes;
  }
}

function countOf({ dedicated, spot }: NodeTargets): number {
  return dedicated + spot;
}

/** Undefined while the service has not created the auto pool of a job. */
async function autoPoolOf(batch: Batch, jobId: string, signal: AbortSignal): Promise<string | undefined> {
  const job = await batch.job(jobId, { select: 'executionInfo', signal });
  return job?.executionInfo?.poolId;
}
