import { type FileResult, type Manifest, type TimeSpan, taskRunsOf } from './manifest';

/**
 * Milliseconds that a run took: for each attempt from its creation to the end of its last task, and the downloads after
 * that. Time in which no client worked on the run isn't part of it: between an attempt and its retry, and between the last
 * task and a window that fetches its output later. Undefined while nothing has ended.
 */
export function runTimeOf(
  { attempts, finished, canceled }: Pick<Manifest, 'attempts' | 'finished' | 'canceled'>,
  results: readonly FileResult[],
): number | undefined {
  const ends = results.flatMap((result) => [
    ...taskRunsOf(result).map(({ endTime }) => endTime),
    result.uploaded?.end,
  ]);
  const worked = [...ends, canceled].flatMap((end) => (end ? Date.parse(end) : []));
  const fetched = results.flatMap((result) => result.fetched ?? []);
  if (worked.length + fetched.length === 0 && finished === undefined) return undefined;
  const starts = attempts.map(({ created }) => Date.parse(created));
  let total = 0;
  for (const [index, start] of starts.entries()) {
    const next = starts[index + 1] ?? Number.POSITIVE_INFINITY;
    const isWithin = (at: number) => at >= start && at < next;
    const own = fetched.filter((span) => isWithin(Date.parse(span.start)));
    let end = worked.filter(isWithin).reduce((max, at) => Math.max(max, at), start);
    // An attempt of which nothing is known but its end.
    if (end === start && own.length === 0 && finished && isWithin(Date.parse(finished)))
      end = Date.parse(finished);
    total += end - start + coveredAfter(end, own);
  }
  return total;
}

/** A window that watches a run begins to download an output within this time after its task, in milliseconds. */
const watchedMs = 60_000;

/** Milliseconds after a time that are covered by at least one of the spans, or lie between two that follow closely. */
function coveredAfter(time: number, spans: readonly TimeSpan[]): number {
  let covered = 0;
  let until = time;
  const byStart = spans
    .map(({ start, end }) => ({ start: Date.parse(start), end: Date.parse(end) }))
    .sort((one, other) => one.start - other.start);
  for (const { start, end } of byStart) {
    const from = start - until < watchedMs ? until : start;
    covered += Math.max(end - from, 0);
    until = Math.max(until, end);
  }
  return covered;
}
