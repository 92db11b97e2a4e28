import type { Batch } from '../azure/batch';
import type { PoolLifetime } from '../plan/manifest';
import type { NodeTargets } from './nodeTargets';
import { currentTargets, isInUse, resizePool, type SizeOptions, scaleToZero } from './poolSizes';

/** A pool that was given nodes for a run. */
export interface GivenPool {
  readonly id: string;
  readonly lifetime: PoolLifetime;
  /** What the pool aimed for before; undefined if it was made for the run. */
  readonly before?: NodeTargets;
}

/**
 * Undoes what was done to a pool for a run that has no task on it: deletes a pool that was made for the run, and gives one
 * that existed the size that it had. While the run's job is open it can go on: then its pool is kept, and one that scales to
 * zero is left to its formula. A pool that other runs use, or that a formula of the user sizes, stays as it is. Returns
 * whether the pool has changed.
 */
export async function takeBackNodes(
  batch: Batch,
  { id, lifetime, before }: GivenPool,
  { jobId, isJobOpen, signal }: SizeOptions & { readonly jobId: string; readonly isJobOpen: boolean },
): Promise<boolean> {
  const pool = await batch.pool(id, { signal });
  if (pool === undefined || pool.state === 'deleting') return false;
  if (await isInUse(batch, id, jobId, signal)) return false;
  if (before === undefined && !isJobOpen) {
    await batch.deletePool(id, signal);
    return true;
  }
  if (lifetime === 'scaleToZero') {
    if (isJobOpen) return false;
    await scaleToZero(batch, id, { signal });
    return true;
  }
  const { dedicated, spot } = before ?? { dedicated: 0, spot: 0 };
  const now = currentTargets(pool);
  if (pool.enableAutoScale || (now.dedicated <= dedicated && now.spot <= spot)) return false;
  await resizePool(batch, id, { dedicated, spot }, { signal, stopsResize: true });
  return true;
}
