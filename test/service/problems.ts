import assert from 'node:assert/strict';
import { type Problem, UserError } from '../../src/core/errors';

/** Asserts that it fails with a problem that has these properties, and returns the problem. */
export async function rejectsWith(call: Promise<unknown>, expected: Partial<Problem>): Promise<Problem> {
  const error = await call.then(
    () => assert.fail('it was expected to fail'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof UserError)) throw error;
  const { problem } = error;
  const seen = Object.fromEntries(
    Object.keys(expected).map((key) => [key, (problem as Record<string, unknown>)[key]]),
  );
  assert.deepEqual(seen, expected);
  return problem;
}
