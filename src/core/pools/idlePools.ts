import type { Batch } from '../azure/batch';
import { ownPools } from '../azure/ownership';
import { everyItem } from '../azure/pages';

/** A pool of this extension whose nodes cost money without work. */
export interface IdlePool {
  readonly id: string;
  readonly nodes: number;
  /** When the last of its nodes ended its work. */
  readonly since: Date;
}

/** States in which a node costs money and runs no task, until somebody acts. */
const restingStates: ReadonlySet<string | undefined> = new Set([
  'idle',
  'offline',
  'unusable',
  'starttaskfailed',
]);

/** Returns the pools of this extension all of whose nodes have run no task for so many minutes, whatever the reason. */
export async function idlePools(
  batch: Batch,
  minutes: number,
  signal: AbortSignal,
  now?: number,
): Promise<IdlePool[]> {
  const found: IdlePool[] = [];
  const select = 'id,currentDedicatedNodes,currentLowPriorityNodes';
  for await (const pool of ownPools(batch, select, signal)) {
    const nodes = (pool.currentDedicatedNodes ?? 0) + (pool.currentLowPriorityNodes ?? 0);
    if (nodes === 0) continue;
    const since = await idleSince(batch, pool.id ?? '', signal);
    const idleMs = since && (now ?? batch.now().getTime()) - since.getTime();
    if (since && idleMs !== undefined && idleMs >= minutes * 60_000)
      found.push({ id: pool.id ?? '', nodes, since });
  }
  return found;
}

/** Returns undefined if a node works or is about to. A preempted node costs nothing. */
async function idleSince(batch: Batch, poolId: string, signal: AbortSignal): Promise<Date | undefined> {
  let latest: Date | undefined;
  const options = { select: 'id,state,stateTransitionTime', signal };
  for await (const { state, stateTransitionTime } of everyItem((next) =>
    batch.nodePage(poolId, options, next),
  )) {
    if (state === 'preempted') continue;
    if (!restingStates.has(state) || stateTransitionTime === undefined) return undefined;
    if (latest === undefined || stateTransitionTime > latest) latest = stateTransitionTime;
  }
  return latest;
}
