import type { Batch, Pool } from '../azure/batch';
import { isBatchCode } from '../azure/batchCall';
import { isOwn } from '../azure/ownership';
import { everyItem } from '../azure/pages';
import { UserError } from '../errors';
import type { PoolLifetime } from '../plan/manifest';
import { anyOf, type Clock } from '../wait';
import { evaluationMinutes, freshMinutes, readScaleToZero, scaleToZeroFormula } from './autoscaleFormula';
import { changePool, conflicts, isDeletedPool, resizeFixed, setSize } from './changePool';
import { largerTargets, type NodeTargets } from './nodeTargets';
import { isForOthers, isInUse, submittingMinutes } from './poolUse';

/** Batch removes at most 100 nodes with one request. */
const removedAtOnce = 100;

const noNodes: NodeTargets = { dedicated: 0, spot: 0 };

export interface SizeOptions {
  readonly signal: AbortSignal;
  /** Default: the system clock. */
  readonly clock?: Clock;
}

export interface RunSizeOptions extends SizeOptions {
  readonly lifetime: PoolLifetime;
  /** The run's own job, if it exists: it is not another run's. */
  readonly jobId?: string;
  /** Called once if Azure refuses changes of the pool for now, for example while it allocates nodes. */
  readonly onRefused?: () => void;
  /** Called before the request that sizes the pool, which can take effect although the call fails or is aborted. */
  readonly onChanging?: () => void;
  /** Signal of the request that sizes the pool, if that is to be answered although `signal` has aborted. */
  readonly changeSignal?: AbortSignal;
}

/**
 * Gives a pool that exists the nodes of a run. While other runs use the pool its targets only grow: they are those of the
 * run that needs most. Alone on a pool that scales to zero, the run's own targets replace the earlier ones.
 */
export async function giveNodes(
  batch: Batch,
  poolId: string,
  nodes: NodeTargets,
  options: RunSizeOptions,
): Promise<NodeTargets> {
  return sizeForRun(batch, poolId, options, givenNodes(nodes, options));
}

/** As `giveNodes`, but does not wait if Azure refuses changes of the pool for now. Returns whether the pool was given nodes. */
export async function giveNodesNow(
  batch: Batch,
  poolId: string,
  nodes: NodeTargets,
  options: RunSizeOptions,
): Promise<boolean> {
  let isRefused = false;
  const stop = new AbortController();
  const onRefused = () => {
    isRefused = true;
    stop.abort();
  };
  const signal = anyOf(options.signal, stop.signal);
  try {
    await sizeForRun(batch, poolId, { ...options, signal, onRefused }, givenNodes(nodes, options));
    return true;
  } catch (error) {
    options.signal.throwIfAborted();
    if (!isRefused) throw error;
    return false;
  }
}

function givenNodes(nodes: NodeTargets, { lifetime }: RunSizeOptions) {
  return (pool: Pool, isShared: boolean) =>
    isShared || lifetime === 'keep' ? largerTargets(currentTargets(pool), nodes) : nodes;
}

/**
 * Replaces the Spot nodes of a run, which Azure preempts again and again, by as many dedicated ones. Spot nodes that other
 * runs use stay. Returns the pool's targets.
 */
export async function useDedicatedNodes(
  batch: Batch,
  poolId: string,
  { dedicated, spot }: NodeTargets,
  options: RunSizeOptions,
): Promise<NodeTargets> {
  return sizeForRun(batch, poolId, options, (pool, isShared) => {
    const needed = { dedicated: dedicated + spot, spot: 0 };
    return isShared ? largerTargets(currentTargets(pool), needed) : needed;
  });
}

/**
 * Brings a pool to zero nodes after a run that cannot go on, unless other runs use the pool, or it is not this extension's.
 * Returns whether it did. The run's job has ended before.
 */
export async function releaseNodes(
  batch: Batch,
  poolId: string,
  { jobId, signal }: SizeOptions & { readonly jobId?: string },
): Promise<boolean> {
  const release = async (pool: Pool) => {
    if (!isOwn(pool.metadata, 'pool')) return false;
    if (await isForOthers(batch, pool, jobId, signal)) return false;
    await setSize(batch, pool, noNodes, { signal, stopsResize: true, ifUnchanged: true });
    return true;
  };
  try {
    return await changePool(batch, poolId, { signal }, release);
  } catch (error) {
    if (isDeletedPool(error)) return false;
    throw error;
  }
}

/**
 * Asks again, once, for the nodes that a pool of fixed size aims for and did not get: it stops trying after an error such as
 * `AllocationTimedOut`. Returns whether the pool is getting nodes: false if Azure refuses for now, or if a formula sizes it.
 */
export async function retryAllocation(
  batch: Batch,
  poolId: string,
  { signal }: SizeOptions,
): Promise<boolean> {
  const pool = await batch.pool(poolId, { signal });
  if (pool === undefined || pool.state === 'deleting' || pool.enableAutoScale) return false;
  if (pool.allocationState !== 'steady') return pool.allocationState === 'resizing';
  const { targetDedicatedNodes, targetLowPriorityNodes, eTag } = pool;
  try {
    await batch.resizePool(poolId, { targetDedicatedNodes, targetLowPriorityNodes }, signal, eTag);
    return true;
  } catch (error) {
    if (!isBatchCode(error, ...conflicts, 'PoolNotFound', 'PoolBeingDeleted')) throw error;
    // The answer to an earlier attempt of this very request can be lost.
    const now = await batch.pool(poolId, { select: 'id,allocationState', signal });
    return now?.allocationState === 'resizing';
  }
}

/** Removes all nodes of a pool and keeps the pool. A resize that goes on is stopped, and autoscale is turned off. */
export async function scaleToZero(batch: Batch, poolId: string, options: SizeOptions): Promise<void> {
  await resizePool(batch, poolId, noNodes, { ...options, stopsResize: true });
}

/**
 * Sets the number of nodes of a pool, once it takes changes. Autoscale is turned off first.
 * `stopsResize` stops a resize that goes on instead of waiting for its end.
 */
export async function resizePool(
  batch: Batch,
  poolId: string,
  { dedicated, spot }: NodeTargets,
  { signal, stopsResize = false }: SizeOptions & { readonly stopsResize?: boolean },
): Promise<void> {
  batch.log.debug(`Resize pool ${poolId} to ${dedicated} dedicated and ${spot} Spot nodes.`);
  await changePool(batch, poolId, { signal }, (pool) =>
    setSize(batch, pool, { dedicated, spot }, { signal, stopsResize }),
  );
}

/**
 * Turns autoscale on with this formula, or replaces the formula, once the pool takes changes. The formula is evaluated every
 * `intervalMinutes`, at least 5.
 */
export async function enableAutoscale(
  batch: Batch,
  poolId: string,
  formula: string,
  { signal, intervalMinutes = evaluationMinutes }: SizeOptions & { readonly intervalMinutes?: number },
): Promise<void> {
  await changePool(batch, poolId, { signal }, () =>
    batch.enableAutoScale(poolId, formula, intervalMinutes, signal),
  );
}

/** Turns autoscale off; the pool keeps the nodes that it has. */
export async function disableAutoscale(batch: Batch, poolId: string, { signal }: SizeOptions): Promise<void> {
  await changePool(batch, poolId, { signal }, async (pool) => {
    if (pool.enableAutoScale) await batch.disableAutoScale(poolId, signal);
  });
}

/** Removes nodes by their ids, 100 at a time, each time as soon as the pool takes changes. Nodes that are gone are skipped. */
export async function removeNodes(
  batch: Batch,
  poolId: string,
  nodeIds: readonly string[],
  { signal }: SizeOptions,
): Promise<void> {
  for (let start = 0; start < nodeIds.length; start += removedAtOnce) {
    let left = nodeIds.slice(start, start + removedAtOnce);
    await changePool(batch, poolId, { signal }, async () => {
      try {
        if (left.length > 0) await batch.removeNodes(poolId, left, signal);
      } catch (error) {
        if (!isBatchCode(error, 'NodeNotFound')) throw error;
        const existing = new Set<string>();
        for await (const { id = '' } of everyItem((next) =>
          batch.nodePage(poolId, { select: 'id', signal }, next),
        ))
          existing.add(id);
        left = left.filter((id) => existing.has(id));
        if (left.length > 0) await batch.removeNodes(poolId, left, signal);
      }
    });
  }
}

/** Decides the targets of a pool from its present state and applies them; again if another client changed the pool. */
async function sizeForRun(
  batch: Batch,
  poolId: string,
  { lifetime, jobId, signal, changeSignal = signal, clock, onChanging, onRefused }: RunSizeOptions,
  decide: (pool: Pool, isShared: boolean) => NodeTargets,
): Promise<NodeTargets> {
  const apply = async (pool: Pool) => {
    // The account says which pool the run has, and anyone with access to it can write that.
    if (!isOwn(pool.metadata, 'pool')) throw new UserError({ kind: 'poolNotOurs', pool: poolId });
    const now = batch.now();
    const minutesLeft =
      ((readScaleToZero(pool.autoScaleFormula)?.freshUntil.getTime() ?? 0) - now.getTime()) / 60_000;
    // A run whose job does not exist yet cannot be seen but by the formula that it has just set.
    const isBeingUsed = jobId === undefined && minutesLeft > freshMinutes - submittingMinutes;
    const isShared = isBeingUsed || (await isInUse(batch, poolId, jobId, signal));
    const targets = decide(pool, isShared);
    const { dedicated, spot } = targets;
    batch.log.debug(
      `Pool ${poolId}: ${dedicated} dedicated and ${spot} Spot nodes${isShared ? ', shared with other runs' : ''}.`,
    );
    if (lifetime === 'scaleToZero') {
      if (!pool.enableAutoScale || !gives(pool, targets, now)) {
        const formula = scaleToZeroFormula(targets, now);
        signal.throwIfAborted();
        onChanging?.();
        await batch.enableAutoScale(poolId, formula, evaluationMinutes, changeSignal, pool.eTag);
      }
      return targets;
    }
    // A formula that a user has given to a pool with fixed size decides while others rely on it.
    if (pool.enableAutoScale && isShared) return targets;
    if (pool.enableAutoScale) await batch.disableAutoScale(poolId, signal);
    else if (aimsFor(pool, targets)) return targets;
    signal.throwIfAborted();
    onChanging?.();
    await resizeFixed(batch, poolId, targets, changeSignal, pool.enableAutoScale ? undefined : pool.eTag);
    return targets;
  };
  return changePool(batch, poolId, { signal, clock, onRefused }, apply);
}

/** What a pool aims for while there is work; no nodes if it does not exist. */
export async function targetsOf(batch: Batch, poolId: string, signal: AbortSignal): Promise<NodeTargets> {
  const pool = await batch.pool(poolId, { signal });
  return pool ? currentTargets(pool) : noNodes;
}

/** What a pool aims for while there is work: its formula has the numbers even when it has no nodes at the moment. */
export function currentTargets(pool: Pool): NodeTargets {
  const targets = { dedicated: pool.targetDedicatedNodes ?? 0, spot: pool.targetLowPriorityNodes ?? 0 };
  const formula = pool.enableAutoScale ? readScaleToZero(pool.autoScaleFormula) : undefined;
  return formula ? largerTargets(formula.targets, targets) : targets;
}

/** Whether a pool of fixed size has these nodes or is getting them: after a resize that failed it is not. */
function aimsFor(pool: Pool, { dedicated, spot }: NodeTargets): boolean {
  const isTarget = pool.targetDedicatedNodes === dedicated && pool.targetLowPriorityNodes === spot;
  const isAllocated =
    (pool.currentDedicatedNodes ?? 0) >= dedicated && (pool.currentLowPriorityNodes ?? 0) >= spot;
  return isTarget && (isAllocated || pool.allocationState === 'resizing');
}

/**
 * Whether a pool's formula already gives exactly these nodes and stays fresh until the run's tasks show in the samples.
 * Submissions come in quick succession, and enabling autoscale again is refused for 30 seconds.
 */
function gives({ autoScaleFormula }: Pool, { dedicated, spot }: NodeTargets, now: Date): boolean {
  const formula = readScaleToZero(autoScaleFormula);
  if (formula === undefined) return false;
  const { targets, freshUntil } = formula;
  return (
    targets.dedicated === dedicated &&
    targets.spot === spot &&
    freshUntil.getTime() - now.getTime() > (freshMinutes - evaluationMinutes) * 60_000
  );
}
