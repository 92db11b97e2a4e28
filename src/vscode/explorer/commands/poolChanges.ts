import type { Batch } from '../../../core/azure/batch';
import { isBatchCode } from '../../../core/azure/batchCall';
import { UserError } from '../../../core/errors';
import type { NodeTargets } from '../../../core/pools/pool';
import { waitFor } from '../../../core/wait';

/** Batch removes at most 100 nodes with one request. */
const removedAtOnce = 100;

interface Options {
  readonly signal: AbortSignal;
}

/** Sets the number of nodes of a pool, once it takes changes. Autoscale is turned off first. */
export async function resizePool(
  batch: Batch,
  poolId: string,
  { dedicated, spot }: NodeTargets,
  { signal }: Options,
): Promise<void> {
  await disableAutoscale(batch, poolId, { signal });
  await change(poolId, signal, () =>
    batch.resizePool(poolId, { targetDedicatedNodes: dedicated, targetLowPriorityNodes: spot }, signal),
  );
}

export async function enableAutoscale(
  batch: Batch,
  poolId: string,
  formula: string,
  { signal }: Options,
): Promise<void> {
  await change(poolId, signal, () => batch.enableAutoScale(poolId, formula, 5, signal));
}

export async function disableAutoscale(batch: Batch, poolId: string, { signal }: Options): Promise<void> {
  const pool = await batch.pool(poolId, { select: 'enableAutoScale', signal });
  if (pool?.enableAutoScale) await change(poolId, signal, () => batch.disableAutoScale(poolId, signal));
}

/** Removes nodes by their ids, 100 at a time, each time as soon as the pool takes changes. */
export async function removeNodes(
  batch: Batch,
  poolId: string,
  ids: readonly string[],
  { signal }: Options,
): Promise<void> {
  for (let start = 0; start < ids.length; start += removedAtOnce)
    await change(poolId, signal, () =>
      batch.removeNodes(poolId, ids.slice(start, start + removedAtOnce), signal),
    );
}

/** Makes a change, and waits while the pool refuses it because another change goes on. */
async function change(poolId: string, signal: AbortSignal, make: () => Promise<void>): Promise<void> {
  await waitFor(
    async () => {
      try {
        await make();
        return { value: undefined, done: true };
      } catch (error) {
        if (isBatchCode(error, 'PoolBeingResized')) return { value: undefined, done: false };
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
