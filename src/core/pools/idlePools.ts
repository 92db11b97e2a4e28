import type { Batch } from '../azure/batch';
import { ownPools } from '../azure/ownership';
import { everyItem } from '../azure/pages';

/** A pool of ours whose nodes cost money and do nothing. */
export interface IdlePool {
  readonly id: string;
  readonly nodes: number;
  /** When the last of its nodes became idle. */
  readonly since: Date;
}

/** Pools of this extension in which every node has been idle for so many minutes. Two requests for each pool with nodes. */
export async function idlePools(
  batch: Batch,
  minutes: number,
  signal: AbortSignal,
  now = Date.now(),
): Promise<IdlePool[]> {
  const found: IdlePool[] = [];
  const select = 'id,currentDedicatedNodes,currentLowPriorityNodes';
  for await (const pool of ownPools(batch, select, signal)) {
    const nodes = (pool.currentDedicatedNodes ?? 0) + (pool.currentLowPriorityNodes ?? 0);
    if (nodes === 0) continue;
    const since = await idleSince(batch, pool.id ?? '', signal);
    if (since && now - since.getTime() >= minutes * 60_000) found.push({ id: pool.id ?? '', nodes, since });
  }
  return found;
}

/** Undefined when a node is doing something, or may soon. */
async function idleSince(batch: Batch, poolId: string, signal: AbortSignal): Promise<Date | undefined> {
  let latest: Date | undefined;
  const options = { select: 'id,state,stateTransitionTime', signal };
  for await (const { state, stateTransitionTime } of everyItem((next) =>
    batch.nodePage(poolId, options, next),
  )) {
    if (state !== 'idle' || stateTransitionTime === undefined) return undefined;
    if (latest === undefined || stateTransitionTime > latest) latest = stateTransitionTime;
  }
  return latest;
}
