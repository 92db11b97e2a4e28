import type { Parameters } from 'fast-check';

/**
 * How often a property is tried. The same examples every time, so that a test does not fail by chance; TEST_SEED and
 * TEST_RUNS try others, and more of them.
 */
export function chanceOf(runs: number): Pick<Parameters<unknown>, 'seed' | 'numRuns'> {
  const { TEST_SEED, TEST_RUNS } = process.env;
  return { seed: Number(TEST_SEED ?? 20261125), numRuns: runs * Number(TEST_RUNS ?? 1) };
}
