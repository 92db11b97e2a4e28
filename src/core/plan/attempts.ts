import { type Problem, rootProblem } from '../errors';
import { type Attempt, type FileResult, type Manifest, newAttempt } from './manifest';

type Results = ReadonlyMap<string, FileResult>;

/** An attempt with files that have no result yet. */
export interface OpenAttempt {
  readonly attempt: Attempt;
  /** Ids of these files, in the order of the attempt. */
  readonly open: readonly string[];
}

/** A file belongs to the last attempt that names it. */
function attemptsByFile(attempts: readonly Attempt[]): ReadonlyMap<string, Attempt> {
  return new Map(attempts.flatMap((attempt) => attempt.fileIds.map((id) => [id, attempt] as const)));
}

/** The attempts whose files have no result yet. */
export function openAttempts({ attempts }: Pick<Manifest, 'attempts'>, results: Results): OpenAttempt[] {
  const owner = attemptsByFile(attempts);
  return attempts.flatMap((attempt) => {
    const open = attempt.fileIds.filter((id) => owner.get(id) === attempt && !results.has(id));
    return open.length > 0 ? [{ attempt, open }] : [];
  });
}

/** Problems of the service or the network: the uploaded input of such a file serves another attempt. */
const inputIsGood = new Set<Problem['kind']>([
  'ended',
  'taskDeleted',
  'timeLimit',
  'inputExpired',
  'inputNotReachable',
  'outputNotUploaded',
  'startTaskFailed',
  'poolUnusable',
  'quota',
  'resizeFailed',
]);

/**
 * A new attempt for these files. It uses an earlier input container again if all inputs in it are good and the container
 * still exists, which it does until the run has finished: nothing is uploaded twice.
 */
export function retryAttempt(manifest: Manifest, fileIds: readonly string[], results: Results): Attempt {
  const { attempts } = manifest;
  const attempt = newAttempt(manifest, fileIds);
  const isGood = (id: string) => {
    const problem = results.get(id)?.problem;
    return problem === undefined || inputIsGood.has(rootProblem(problem).kind);
  };
  const owner = attemptsByFile(attempts);
  const earlier = new Set(fileIds.map((id) => owner.get(id)?.inputContainer));
  const [container] = earlier;
  const reusable = manifest.finished === undefined && earlier.size === 1 && fileIds.every(isGood);
  return reusable && container !== undefined ? { ...attempt, inputContainer: container } : attempt;
}
