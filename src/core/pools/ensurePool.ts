import { randomUUID } from 'node:crypto';
import type { Batch, Pool, PoolSpec } from '../azure/batch';
import { isBatchCode } from '../azure/batchCall';
import { isOwn, madeBy, ownMetadata } from '../azure/ownership';
import { UserError } from '../errors';
import type { RunPool } from '../plan/manifest';
import { waitFor } from '../wait';
import { evaluationMinutes, scaleToZeroFormula } from './autoscaleFormula';
import type { NodeTargets } from './nodeTargets';
import { currentTargets, giveNodesNow, isDeletedPool } from './poolSizes';
import { poolSpec, specHash } from './poolSpec';

/** How long a request that makes a pool may take after it was aborted: a request cut off can take effect later. */
const settleMs = 10_000;

/** How long a pool that was made in vain is looked for and deleted. */
const undoMs = 60_000;

export interface PoolChoice {
  readonly id: string;
  /** What the pool aimed for before; undefined if it was made. */
  readonly before?: NodeTargets;
  /** Set if Azure refuses changes of the pool for now: it has the nodes that it had. */
  readonly isRefused?: true;
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
 * If it fails or is aborted while it makes a pool, that pool is deleted.
 */
export async function ensurePool(
  batch: Batch,
  pool: RunPool,
  nodes: NodeTargets,
  signal: AbortSignal,
  finding: Promise<FoundPool> = findPool(batch, pool, signal),
): Promise<PoolChoice> {
  const { spec, hash, existing: first } = await finding;
  const isSettled = first?.state !== 'deleting';
  let number = 1;
  for (let reads = isSettled ? 0 : 1; ; reads++) {
    const id = poolId(hash, number);
    const existing = reads === 0 ? first : await whenNotDeleting(batch, id, signal);
    if (existing === undefined) {
      const isAdded = await addPool(batch, { id, spec, hash, pool, nodes }, signal);
      batch.log.debug(isAdded ? `Pool ${id} is made.` : `Pool ${id} was made by another client.`);
      if (isAdded) return { id };
    } else if (isSame(existing, hash)) {
      const given = await giveOrSkip(batch, id, nodes, pool, signal);
      const before = currentTargets(existing);
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
  id: string,
  nodes: NodeTargets,
  { lifetime }: RunPool,
  signal: AbortSignal,
): Promise<'given' | 'refused' | 'deleted'> {
  try {
    return (await giveNodesNow(batch, id, nodes, { lifetime, signal })) ? 'given' : 'refused';
  } catch (error) {
    if (isDeletedPool(error)) return 'deleted';
    throw error;
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
  const settling = abortedLater(signal, settleMs);
  const add = async () => {
    try {
      await batch.addPool({ id, ...spec, ...size, metadata }, settling.signal);
      return true;
    } catch (error) {
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
    await undo(batch, id, request);
    if (isBatchCode(error, 'PoolQuotaReached'))
      throw new UserError({ kind: 'quota', what: 'pools' }, { cause: error });
    throw error;
  } finally {
    settling.end();
  }
}

/** A signal that aborts some time after another one, so that what is in progress can take effect and then be undone. */
function abortedLater(signal: AbortSignal, ms: number): { readonly signal: AbortSignal; end(): void } {
  const later = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const abort = () => {
    timer = setTimeout(() => later.abort(signal.reason), ms);
  };
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  return {
    signal: later.signal,
    end() {
      clearTimeout(timer);
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

/** Deletes the pool of a request that failed or was aborted, in case it took effect all the same. */
async function undo(batch: Batch, id: string, request: string): Promise<void> {
  const signal = AbortSignal.timeout(undoMs);
  try {
    if (await madeByRequest(batch, id, request, signal)) await batch.deletePool(id, signal);
  } catch (error) {
    // The service cannot be reached: the failure that led here is the one to report.
    if (!signal.aborted && !(error instanceof UserError)) throw error;
  }
}

/** Returns the pool once it is not being deleted, or undefined if it does not exist. */
async function whenNotDeleting(batch: Batch, id: string, signal: AbortSignal): Promise<Pool | undefined> {
  return waitFor(
    async () => {
      const pool = await batch.pool(id, { signal });
      return { value: pool, done: pool?.state !== 'deleting' };
    },
    {
      signal,
      minutes: 15,
      stuck: () => new UserError({ kind: 'poolUnusable', pool: id, detail: 'deleting' }),
    },
  );
}
