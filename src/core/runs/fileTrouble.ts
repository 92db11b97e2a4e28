import { type Problem, UserError } from '../errors';
import type { RunState } from './runState';

/** Problems of the account or the network: the next file would have them too. */
const ofAccount = new Set<Problem['kind']>([
  'unreachable',
  'throttled',
  'certificate',
  'clockSkew',
  'signedOut',
  'secretMissing',
  'storageFirewall',
  'runTaken',
  'runNotFound',
]);

/** Problems that can be either: the container is asked. */
const ofEither = new Set<Problem['kind']>(['unauthorized', 'service']);

/**
 * Whether a problem with one file concerns the whole run. A refused request does if the container of the file cannot be
 * read either. Throws `runNotFound` if the container no longer exists.
 */
export async function concernsRun(
  { parts: { storage } }: RunState,
  { problem }: UserError,
  container: string,
  signal: AbortSignal,
): Promise<boolean> {
  if (ofAccount.has(problem.kind)) return true;
  if (!ofEither.has(problem.kind)) return false;
  try {
    if ((await storage.containerMetadata(container, signal)) !== undefined) return false;
  } catch (error) {
    if (error instanceof UserError) return true;
    throw error;
  }
  throw new UserError({ kind: 'runNotFound', run: container });
}
