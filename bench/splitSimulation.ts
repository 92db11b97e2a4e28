/** Costs of one video in parts, in seconds, measured with one slot. */
export interface SplitCosts {
  readonly parts: number;
  /** To encode one part, starting its task included. */
  readonly part: number;
  readonly audio: number;
  readonly join: number;
  /** Of the run besides its tasks: the pool, the job, fetching and proving the output. */
  readonly fixed: number;
  /** From the first byte to the last; the parts arrive evenly, the audio after them. */
  readonly upload: number;
}

/** Times of a simulated run, in seconds. */
export interface Simulated {
  readonly run: number;
  /** No number of nodes is faster: the upload, the last part, the join, and what is fixed. */
  readonly least: number;
}

/**
 * Each task starts on the first node that is free once its input has arrived; the join follows the last task. The first node
 * waits for nothing but the first part: `fixed` is added once.
 */
export function simulate(nodes: number, { parts, part, audio, join, fixed, upload }: SplitCosts): Simulated {
  const tasks = [
    ...Array.from({ length: parts }, (_, index) => ({
      arrives: ((index + 1) / parts) * upload,
      seconds: part,
    })),
    ...(audio > 0 ? [{ arrives: upload, seconds: audio }] : []),
  ];
  const free = Array.from({ length: nodes }, () => 0);
  let end = 0;
  for (const { arrives, seconds } of tasks) {
    const node = free.indexOf(Math.min(...free));
    const done = Math.max(arrives, free[node] as number) + seconds;
    free[node] = done;
    end = Math.max(end, done);
  }
  return { run: fixed + end + join, least: fixed + upload + Math.max(part, audio) + join };
}

/** What a longer video in longer parts costs: its encoding and its audio grow with their length, as does the join. */
export function scaled(
  costs: SplitCosts,
  {
    measuredSeconds,
    seconds,
    partSeconds,
    upload,
  }: Record<'measuredSeconds' | 'seconds' | 'partSeconds' | 'upload', number>,
): SplitCosts {
  const factor = seconds / measuredSeconds;
  const parts = Math.round(seconds / partSeconds);
  return {
    parts,
    part: (costs.parts * costs.part * factor) / parts,
    audio: costs.audio * factor,
    join: costs.join * factor,
    fixed: costs.fixed,
    upload,
  };
}
