import type { Batch } from '../azure/batch';
import { isBatchCode } from '../azure/batchCall';
import type { NodeTargets } from '../pools/nodeTargets';

/** Gives the auto pool of a job more nodes. False while the pool is being created or resized. */
export async function growAutoPool(
  batch: Batch,
  jobId: string,
  { dedicated, spot }: NodeTargets,
  signal: AbortSignal,
): Promise<boolean> {
  const job = await batch.job(jobId, { select: 'executionInfo', signal });
  const poolId = job?.executionInfo?.poolId;
  if (poolId === undefined) return false;
  try {
    await batch.resizePool(poolId, { targetDedicatedNodes: dedicated, targetLowPriorityNodes: spot }, signal);
    return true;
  } catch (error) {
    if (isBatchCode(error, 'PoolBeingResized', 'PoolNotFound')) return false;
    throw error;
  }
}
