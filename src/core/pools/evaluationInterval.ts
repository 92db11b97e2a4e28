import { parse } from 'tinyduration';
import type { Pool } from '../azure/batch';

/** How often a pool evaluates its formula, in minutes; undefined for Batch's default. */
export function evaluationInterval({ autoScaleEvaluationInterval: interval }: Pool): number | undefined {
  if (!interval) return undefined;
  const { hours = 0, minutes = 0, days = 0 } = parse(interval);
  return (days * 24 + hours) * 60 + minutes || undefined;
}
