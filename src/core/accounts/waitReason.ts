import type { AccountRecord } from '../azure/account';
import { endedBy, type Problem, UserError, type WaitReason } from '../errors';

/** Problems of an account that can pass, or that the user solves outside of this extension. */
const waits: Partial<Record<Problem['kind'], WaitReason>> = {
  signedOut: 'signIn',
  secretMissing: 'signIn',
  unauthorized: 'access',
  unreachable: 'connection',
  certificate: 'connection',
  clockSkew: 'connection',
  throttled: 'connection',
};

/** What to wait for if a problem of an account is temporary or is solved outside of this extension; otherwise undefined. */
export function waitReasonOf(problem: Problem): WaitReason | undefined {
  if (problem.kind === 'service') {
    const { status = 0 } = problem;
    return status === 408 || status >= 500 ? 'connection' : undefined;
  }
  if (problem.kind === 'unauthorized' && problem.service === 'identity') return 'signIn';
  return waits[problem.kind];
}

/**
 * What a run waits for that ended with this error, or whose cancellation did, and the error that says so. Undefined if the
 * run does not continue by itself.
 */
export function waitOf(
  error: unknown,
  { id: account, batchUrl }: Pick<AccountRecord, 'id' | 'batchUrl'>,
  { isCanceling }: { readonly isCanceling?: boolean } = {},
): { readonly reason: WaitReason; readonly error: UserError } | undefined {
  // The time for a cancellation can be over.
  const ended = endedBy(error, new URL(batchUrl).host);
  const problem = ended instanceof UserError ? ended.problem : undefined;
  const reason = problem && waitReasonOf(problem);
  if (problem === undefined || reason === undefined) return undefined;
  const whole = { kind: 'runWaits', account, waitsFor: reason, isCanceling, problem } as const;
  return { reason, error: new UserError(whole, { cause: error }) };
}
