import type { RunPool } from '../plan/manifest';

/** How many nodes of each kind a pool aims for. */
export interface NodeTargets {
  readonly dedicated: number;
  readonly spot: number;
}

/** No more nodes than the tasks can use; dedicated nodes first, since they are never preempted. */
export function nodeTargets(pool: RunPool, tasks: number): NodeTargets {
  const useful = Math.ceil(tasks / pool.slotsPerNode);
  const dedicated = Math.min(pool.dedicatedNodes, useful);
  return { dedicated, spot: Math.min(pool.spotNodes, useful - dedicated) };
}

/** The larger number of each kind. */
export function largerTargets(one: NodeTargets, other: NodeTargets): NodeTargets {
  return { dedicated: Math.max(one.dedicated, other.dedicated), spot: Math.max(one.spot, other.spot) };
}
