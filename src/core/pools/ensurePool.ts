import { randomUUID } from 'node:crypto';
import type { Batch, Pool, PoolSpec } from '../azure/batch';
import { isBatchCode } from '../azure/batchCall';
import { isOwn, madeBy, ownMetadata } from '../azure/ownership';
import { UserError } from '../errors';
import type { RunPool } from '../plan/manifest';
import { type Clock, systemClock, waitFor, whenArrived } from '../wait';
import { evaluationMinutes, scaleToZeroFormula } from './autoscaleFormula';
import { isDeletedPool } from './changePool';
import type { NodeTargets } from './nodeTargets';
import { currentTargets, giveNodesNow } from './poolSizes';
import { poolSpec, specHash } from './poolSpec';
import { noteChosen } from './poolUse';

/** How long a request that makes or sizes a pool may take after an abort: a request cut off can take effect later. */
const settleMs = 10_000;

/** How long the search for a pool that was made in vain, and its deletion, may take. */
const undoMs = 60_000;

/** Minutes within which Azure deletes a pool, so that its name can be used again. */
const deletionMinutes = 15;

/** Between two requests for a pool of a name that Azure refuses: the pauses grow from the first to the second. */
const firstPauseMs = 250;
const maxPauseMs = 10_000;

export interface PoolChoice {
  readonly id: string;
  /** What the pool aimed for before; undefined if it was made. */
  readonly before?: NodeTargets;
  /** Set if Azure refuses changes of the pool for now: it has the nodes that it had. */
  readonly isRefused?: true;
}

/** A pool that exists, and what it aims for. */
interface ChosenPool {
  readonly id: string;
  readonly before: NodeTargets;
}

export interface EnsureOptions {
  /** What `findPool` finds, if it was asked before. */
  readonly finding?: Promise<FoundPool>;
  /** The job for which the pool is chosen. The metadata of an existing pool names it, for other runs that take nodes back. */
  readonly jobId?: string;
  /** Default: the system clock. */
  readonly clock?: Clock;
  /** Called before the metadata of a pool that exists names the job. */
  readonly onChoosing?: (pool: ChosenPool) => void;
  /** Called before a pool that exists is asked for nodes, which it can get although the call fails or is aborted. */
  readonly onGiving?: (pool: ChosenPool) => void;
}

/** The specification of a run's pool, and the pool of the first name that it can have, if that exists. */
export interface FoundPool {
  readonly spec: PoolSpec;
  readonly hash: string;
  readonly existing?: Pool;
}

/** Reads what `ensurePool` needs. It can be read some time before, because `ensurePool` checks all that can change. */
export async function findPool(batch: Batch, pool: RunPool, signal: AbortSignal): Promise<FoundPool> {
  const spec = await poolSpec(batch, pool, signal);
  const hash = specHash(spec, pool.lifetime);
  return { spec, hash, existing: await batch.pool(poolId(hash, 1), { signal }) };
}

/**
 * Finds or makes the pool of a run and gives it nodes. A pool is recognized by its metadata, which holds the hash of its
 * specification and lifetime. A pool of that name that is another's is left alone, and the next free name is used.
 *
 * It does not wait for a pool that Azure is resizing: the run's tasks can run on the nodes that the pool has.
 *
 * If it fails or is aborted while it makes a pool, that pool is deleted. A pool that existed is left to the caller, who learns
 * what it had by `onChoosing`, and by `onGiving` that it can get nodes.
 */
export async function ensurePool(
  batch: Batch,
  pool: RunPool,
  nodes: NodeTargets,
  signal: AbortSignal,
  {
    finding = findPool(batch, pool, signal),
    jobId,
    clock = systemClock,
    onChoosing,
    onGiving,
  }: EnsureOptions = {},
): Promise<PoolChoice> {
  const { spec, hash, existing: first } = await finding;
  const isSettled = first?.state !== 'deleting';
  const end = clock.now() + deletionMinutes * 60_000;
  let pauseMs = firstPauseMs;
  let number = 1;
  for (let reads = isSettled ? 0 : 1; ; reads++) {
    const id = poolId(hash, number);
    const existing = reads === 0 ? first : await whenNotDeleting(batch, id, signal, clock);
    if (existing === undefined) {
      const isAdded = await addPool(batch, { id, spec, hash, pool, nodes }, signal, clock);
      batch.log.debug(isAdded ? `Pool ${id} is made.` : `Azure refuses a new pool ${id}: there is one.`);
      if (isAdded) return { id };
      // A pool that is being deleted can be gone for a read and still there for an addition.
      if (clock.now() > end) throw beingDeleted(id);
      await clock.pause(pauseMs, signal);
      pauseMs = Math.min(pauseMs * 1.5, maxPauseMs);
    } else if (isSame(existing, hash)) {
      const before = currentTargets(existing);
      onChoosing?.({ id, before });
      const onChanging = () => onGiving?.({ id, before });
      const given = await giveOrSkip(batch, existing, nodes, pool, { jobId, clock, onChanging, signal });
      if (given !== 'deleted') return { id, before, ...(given === 'refused' && { isRefused: true }) };
    } else {
      batch.log.debug(`Pool ${id} was not made by this extension with these settings.`);
      number++;
    }
  }
}

/** `refused`: for now. `deleted`: meanwhile; then another pool is made. */
async function giveOrSkip(
  batch: Batch,
  existing: Pool,
  nodes: NodeTargets,
  { lifetime }: RunPool,
  {
    jobId,
    clock,
    onChanging,
    signal,
  }: {
    readonly jobId?: string;
    readonly clock: Clock;
    readonly onChanging: () => void;
    readonly signal: AbortSignal;
  },
): Promise<'given' | 'refused' | 'deleted'> {
  const { id = '' } = existing;
  const settling = abortedLater(signal, settleMs, clock);
  try {
    if (jobId !== undefined) await noteChosen(batch, existing, jobId, signal);
    const options = { lifetime, signal, clock, onChanging, changeSignal: settling.signal };
    return (await giveNodesNow(batch, id, nodes, options)) ? 'given' : 'refused';
  } catch (error) {
    if (isDeletedPool(error) || isBatchCode(error, 'PoolNotFound', 'PoolBeingDeleted')) return 'deleted';
    throw error;
  } finally {
    settling.end();
  }
}

function poolId(hash: string, number: number): string {
  return `transcode-${hash}${number === 1 ? '' : `-${number}`}`;
}

function isSame(pool: Pool, hash: string): boolean {
  return isOwn(pool.metadata, 'pool') && ownMetadata(pool.metadata, 'spec') === hash;
}

interface NewPool {
  readonly id: string;
  readonly spec: PoolSpec;
  readonly hash: string;
  readonly pool: RunPool;
  readonly nodes: NodeTargets;
}

/** Returns false if another client has made a pool of that name, or is deleting one. */
async function addPool(
  batch: Batch,
  { id, spec, hash, pool, nodes }: NewPool,
  signal: AbortSignal,
  clock: Clock,
): Promise<boolean> {
  const request = randomUUID();
  const size =
    pool.lifetime === 'scaleToZero'
      ? {
          enableAutoScale: true,
          autoScaleFormula: scaleToZeroFormula(nodes, batch.now()),
          autoScaleEvaluationInterval: `PT${evaluationMinutes}M`,
        }
      : { targetDedicatedNodes: nodes.dedicated, targetLowPriorityNodes: nodes.spot };
  const metadata = [
    { name: madeBy.name, value: 'pool' },
    { name: madeBy.spec, value: hash },
    { name: madeBy.request, value: request },
  ];
  const settling = abortedLater(signal, settleMs, clock);
  let isAnswered = false;
  const add = async () => {
    try {
      await batch.addPool({ id, ...spec, ...size, metadata }, settling.signal);
      isAnswered = true;
      return true;
    } catch (error) {
      isAnswered = error instanceof UserError && error.problem.kind === 'service';
      if (isBatchCode(error, 'PoolBeingDeleted')) return false;
      if (!isBatchCode(error, 'PoolExists')) throw error;
      // The answer to an earlier attempt of this very request can be lost.
      return (await madeByRequest(batch, id, request, settling.signal)) !== undefined;
    }
  };
  try {
    const isAdded = await add();
    signal.throwIfAborted();
    return isAdded;
  } catch (error) {
    await undo(batch, id, request, { mayArrive: !isAnswered, clock });
    if (isBatchCode(error, 'PoolQuotaReached'))
      throw new UserError({ kind: 'quota', what: 'pools' }, { cause: error });
    throw error;
  } finally {
    settling.end();
  }
}

/** A signal that aborts some time after another one, so that what is in progress can take effect and then be undone. */
function abortedLater(
  signal: AbortSignal,
  ms: number,
  clock: Clock,
): { readonly signal: AbortSignal; end(): void } {
  const later = new AbortController();
  const ended = new AbortController();
  const abort = () => {
    clock.pause(ms, ended.signal).then(
      () => later.abort(signal.reason),
      () => undefined,
    );
  };
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  return {
    signal: later.signal,
    end() {
      ended.abort();
      signal.removeEventListener('abort', abort);
    },
  };
}

async function madeByRequest(
  batch: Batch,
  id: string,
  request: string,
  signal: AbortSignal,
): Promise<Pool | undefined> {
  const pool = await batch.pool(id, { signal });
  return ownMetadata(pool?.metadata, 'request') === request ? pool : undefined;
}

/**
 * Deletes the pool of a request that failed or was aborted, in case it took effect all the same. `mayArrive`: it was not
 * answered, so that the pool may appear later.
 */
async function undo(
  batch: Batch,
  id: string,
  request: string,
  { mayArrive, clock }: { readonly mayArrive: boolean; readonly clock: Clock },
): Promise<void> {
  const signal = AbortSignal.timeout(undoMs);
  const remove = async () => {
    const pool = await madeByRequest(batch, id, request, signal);
    if (pool !== undefined) await batch.deletePool(id, signal);
    return pool !== undefined;
  };
  try {
    await (mayArrive ? whenArrived(remove, { clock, signal }) : remove());
  } catch (error) {
    // The service cannot be reached: the failure that led here is the one to report.
    if (!signal.aborted && !(error instanceof UserError)) throw error;
  }
}

/** Returns the pool once it is not being deleted, or undefined if it does not exist. */
async function whenNotDeleting(
  batch: Batch,
  id: string,
  signal: AbortSignal,
  clock: Clock,
): Promise<Pool | undefined> {
  return waitFor(
    async () => {
      const pool = await batch.pool(id, { signal });
      return { value: pool, done: pool?.state !== 'deleting' };
    },
    { signal, minutes: deletionMinutes, clock, stuck: () => beingDeleted(id) },
  );
}

function beingDeleted(pool: string): UserError {
  return new UserError({ kind: 'poolUnusable', pool, why: 'deleting' });
}
