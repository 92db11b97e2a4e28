import type { Batch } from '../azure/batch';
import { isBatchCode } from '../azure/batchCall';
import { UserError } from '../errors';
import type { PoolLifetime } from '../plan/manifest';
import { waitFor } from '../wait';
import { scaleToZeroFormula } from './pool';

const none = { dedicated: 0, spot: 0 };

/** Takes all nodes from a pool, which stays. Does nothing if the pool no longer exists. */
export async function emptyPool(
  batch: Batch,
  poolId: string,
  lifetime: PoolLifetime,
  signal: AbortSignal,
): Promise<void> {
  const empty = () =>
    lifetime === 'scaleToZero'
      ? batch.enableAutoScale(poolId, scaleToZeroFormula(none), 5, signal)
      : batch.resizePool(poolId, { targetDedicatedNodes: 0, targetLowPriorityNodes: 0 }, signal);
  await waitFor(
    async () => {
      try {
        await empty();
        return { value: undefined, done: true };
      } catch (error) {
        if (isBatchCode(error, 'PoolNotFound', 'PoolBeingDeleted')) return { value: undefined, done: true };
        if (isBatchCode(error, 'PoolBeingResized', 'TooManyEnableAutoScaleRequests'))
          return { value: undefined, done: false };
        throw error;
      }
    },
    {
      signal,
      minutes: 15,
      stuck: () => new UserError({ kind: 'poolUnusable', pool: poolId, detail: 'resizing' }),
    },
  );
}
