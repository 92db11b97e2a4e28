import { FormulaError, type Token } from './lexer';
import { double, doubleVec, timeinterval, timestamp, type Value } from './values';

/** One 30-second sample of a metric. */
export interface Sample {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly value: number;
}

export const samplePeriodMs = 30_000;

/**
 * The metrics that a formula may read. The last ten, of machines rather than tasks, were in earlier editions of the
 * page and are still accepted. https://learn.microsoft.com/azure/batch/batch-automatic-scaling#variables
 */
export const metricNames = [
  '$ActiveTasks',
  '$RunningTasks',
  '$PendingTasks',
  '$SucceededTasks',
  '$FailedTasks',
  '$TaskSlotsPerNode',
  '$CurrentDedicatedNodes',
  '$CurrentLowPriorityNodes',
  '$PreemptedNodeCount',
  '$UsableNodeCount',
  '$SampleNodeCount',
  '$CPUPercent',
  '$WallClockSeconds',
  '$MemoryBytes',
  '$DiskBytes',
  '$DiskReadBytes',
  '$DiskWriteBytes',
  '$DiskReadOps',
  '$DiskWriteOps',
  '$NetworkInBytes',
  '$NetworkOutBytes',
] as const;

export type MetricName = (typeof metricNames)[number];

export function isMetric(name: string): name is MetricName {
  return (metricNames as readonly string[]).includes(name);
}

/** The methods of a metric, with the number of arguments that each takes. */
export const methods: ReadonlyMap<string, { readonly min: number; readonly max: number }> = new Map([
  ['GetSample', { min: 1, max: 3 }],
  ['GetSamplePercent', { min: 1, max: 2 }],
  ['GetSamplePeriod', { min: 0, max: 0 }],
  ['Count', { min: 0, max: 0 }],
  ['HistoryBeginTime', { min: 0, max: 0 }],
]);

/** Calls a method of a metric whose samples are given, oldest first. */
export function callMethod(
  name: Token,
  samples: readonly Sample[],
  given: readonly Value[],
  now: number,
): Value {
  switch (name.text) {
    case 'GetSample':
      return doubleVec(chosen(name, samples, given, now).map(({ value }) => value));
    case 'GetSamplePercent':
      return double(share(samples, range(name, given, now)));
    case 'GetSamplePeriod':
      return timeinterval(samplePeriodMs);
    case 'Count':
      return double(samples.length);
    case 'HistoryBeginTime':
      return timestamp(samples[0]?.at ?? now);
    default:
      throw new FormulaError('meaning', name, `Unknown method: ${name.text}`);
  }
}

/** The last sample of a metric, which is its value where a number is expected. */
export function lastSample(name: Token, samples: readonly Sample[]): Value {
  const last = samples.at(-1);
  if (last === undefined) throw tooFew(name);
  return double(last.value);
}

function chosen(
  name: Token,
  samples: readonly Sample[],
  given: readonly Value[],
  now: number,
): readonly Sample[] {
  const [first] = given;
  if (first?.type === 'double') {
    if (given.length > 1)
      throw new FormulaError('meaning', name, 'GetSample(count) takes no further arguments');
    const count = Math.trunc(first.value);
    if (!(count >= 1)) throw new FormulaError('data', name, 'The number of samples is at least 1');
    if (samples.length === 0) throw tooFew(name);
    return samples.slice(-count);
  }
  const last = given.at(-1);
  const percent = given.length > 1 && last?.type === 'double' ? last.value : undefined;
  const edges = range(name, percent === undefined ? given : given.slice(0, -1), now);
  const found = samples.filter(({ at }) => at > edges.from && at <= edges.to);
  if (found.length === 0 || (percent !== undefined && share(samples, edges) < percent)) throw tooFew(name);
  return found;
}

interface Range {
  /** Milliseconds since 1970; the earlier one, whichever was named first. */
  readonly from: number;
  readonly to: number;
}

/** From one or two times, or intervals before now, in either order. The second defaults to now. */
function range(name: Token, given: readonly Value[], now: number): Range {
  const [one = now, other = now, ...more] = given.map((value) => {
    if (value.type === 'timeinterval') return now - value.value;
    if (value.type === 'timestamp') return value.value;
    throw new FormulaError('meaning', name, `${name.text} takes times or intervals, not a ${value.type}`);
  });
  if (more.length > 0) throw new FormulaError('meaning', name, `${name.text} takes two times at most`);
  return { from: Math.min(one, other), to: Math.max(one, other) };
}

/** The share of the samples that a range could have, as a percentage. */
function share(samples: readonly Sample[], { from, to }: Range): number {
  const possible = Math.max(1, Math.floor((to - from) / samplePeriodMs));
  const there = samples.filter(({ at }) => at > from && at <= to).length;
  return Math.min(100, (100 * there) / possible);
}

function tooFew(name: Token): FormulaError {
  return new FormulaError('data', name, 'There are not enough samples');
}
