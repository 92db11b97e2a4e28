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
 * read either, or no longer exists. Throws `runNotFound` if that is the output container, which holds the run.
 */
export async function concernsRun(
  { parts: { storage }, manifest }: RunState,
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
  // The run makes another input container when it is continued.
  if (container !== manifest.outputContainer) return true;
  throw new UserError({ kind: 'runNotFound', run: container });
}
