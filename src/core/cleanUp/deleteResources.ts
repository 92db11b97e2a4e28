import pLimit from 'p-limit';
import type { Batch } from '../azure/batch';
import type { Storage } from '../azure/storage';
import { type Problem, UserError } from '../errors';
import type { OwnedResource } from './ownedResources';
import { recheck } from './recheck';

/** A resource that could not be deleted, or is needed again. */
export interface Remaining {
  readonly resource: OwnedResource;
  readonly problem: Problem;
}

const requestsAtOnce = 8;

/** Ends the jobs of runs that are at work, of any window and machine, before something of theirs is deleted. */
export async function endJobs(
  batch: Batch,
  all: readonly OwnedResource[],
  runIds: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  for (const { kind, id, runId, isLive } of all) {
    if (kind === 'job' && isLive && runId !== undefined && runIds.has(runId))
      await batch.terminateJob(id, 'CleanedUp', signal);
  }
}

/**
 * Deletes jobs first, so that nothing runs, then pools, then containers. Each is read again before: what a run needs since it was
 * listed stays. Goes on when a resource cannot be deleted. The service takes a while to delete: what is being deleted counts as
 * deleted.
 */
export async function deleteResources(
  batch: Batch,
  storage: Storage,
  resources: readonly OwnedResource[],
  onDeleted: (resource: OwnedResource, done: number) => void,
  signal: AbortSignal,
): Promise<Remaining[]> {
  const remaining: Remaining[] = [];
  const limit = pLimit(requestsAtOnce);
  let done = 0;
  const jobIds = new Set(resources.flatMap(({ kind, id }) => (kind === 'job' ? id : [])));
  const calls: Record<OwnedResource['kind'], (id: string) => Promise<unknown>> = {
    job: (id) => batch.deleteJob(id, signal),
    pool: (id) => batch.deletePool(id, signal),
    container: (id) => storage.deleteContainer(id, signal),
  };
  for (const kind of ['job', 'pool', 'container'] as const) {
    const reasonToKeep = recheck(batch, storage, jobIds, signal);
    const ofKind = resources.filter((resource) => resource.kind === kind);
    await Promise.all(
      ofKind.map((resource) =>
        limit(async () => {
          try {
            const problem = await reasonToKeep(resource);
            if (problem) remaining.push({ resource, problem });
            else {
              await calls[kind](resource.id);
              onDeleted(resource, ++done);
            }
          } catch (error) {
            if (!(error instanceof UserError)) throw error;
            remaining.push({ resource, problem: error.problem });
          }
        }),
      ),
    );
  }
  return remaining;
}
