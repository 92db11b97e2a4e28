import type { Limits, RunPool } from '../plan/manifest';
import { freshMinutes } from './autoscaleFormula';
import { nodeTargets } from './nodeTargets';

/** Upper limit of the hours that all nodes of a run exist together. */
export function maxNodeHours(pool: RunPool, limits: Limits, tasks: number): number {
  const { dedicated, spot } = nodeTargets(pool, tasks);
  const afterwards = pool.lifetime === 'scaleToZero' ? freshMinutes : 0;
  return ((dedicated + spot) * (limits.jobMinutes + afterwards)) / 60;
}
