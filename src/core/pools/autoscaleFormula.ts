import type { NodeTargets } from './nodeTargets';

/** Minutes for which a formula gives its nodes whatever the task samples say: samples lag behind a submission. */
export const freshMinutes = 15;

/** Minutes between two evaluations of a formula: Batch's minimum. */
export const evaluationMinutes = 5;

/**
 * A formula that aims for all nodes while tasks wait or the formula is fresh, and otherwise for none, so that an idle pool
 * costs nothing. Enabling autoscale evaluates it at once. `now` is the service's time.
 * https://learn.microsoft.com/azure/batch/batch-automatic-scaling
 */
export function scaleToZeroFormula({ dedicated, spot }: NodeTargets, now: Date): string {
  const freshUntil = new Date(now.getTime() + freshMinutes * 60_000).toISOString().replace(/\.\d+/, '');
  return [
    `fresh = time() < time("${freshUntil}");`,
    'samples = $PendingTasks.GetSamplePercent(TimeInterval_Minute * 5);',
    'pending = samples < 50 ? max(0, $PendingTasks.GetSample(1)) : max($PendingTasks.GetSample(TimeInterval_Minute * 5));',
    'busy = fresh || pending > 0;',
    `$TargetDedicatedNodes = busy ? ${dedicated} : 0;`,
    `$TargetLowPriorityNodes = busy ? ${spot} : 0;`,
    '$NodeDeallocationOption = taskcompletion;',
  ].join('\n');
}

/** What a formula of `scaleToZeroFormula` says. */
export interface ScaleToZero {
  readonly targets: NodeTargets;
  readonly freshUntil: Date;
}

/** Reads a formula of `scaleToZeroFormula`; undefined for any other. */
export function readScaleToZero(formula: string | undefined): ScaleToZero | undefined {
  const number = (pattern: RegExp) => Number(pattern.exec(formula ?? '')?.[1] ?? Number.NaN);
  const freshUntil = new Date(/fresh = time\(\) < time\("([^"]+)"\)/.exec(formula ?? '')?.[1] ?? '');
  const targets = {
    dedicated: number(/\$TargetDedicatedNodes = busy \? (\d+) : 0;/),
    spot: number(/\$TargetLowPriorityNodes = busy \? (\d+) : 0;/),
  };
  const isOurs = [freshUntil.getTime(), targets.dedicated, targets.spot].every(Number.isFinite);
  return isOurs ? { targets, freshUntil } : undefined;
}
