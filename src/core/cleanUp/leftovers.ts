import type { Batch } from '../azure/batch';
import { ownPrefix } from '../azure/ownership';
import type { Storage } from '../azure/storage';
import { UserError } from '../errors';
import { outputContainerOf } from '../plan/manifest';
import { readManifestHead } from '../records/manifestStore';
import { type OwnedResource, ownedResources } from './ownedResources';

/** What runs left in an account, if no window works on them. */
export interface Leftovers {
  /** Newest first. */
  readonly runIds: readonly string[];
  /** Bytes of their containers. */
  readonly bytes: number;
}

/**
 * Runs whose uploads are still in the account although their jobs have ended and no window of any machine works on
 * them: a run deletes its uploads when it ends. Runs that the user asked only to upload don't count. Runs for which
 * `isKnown` returns true are skipped; if all are known, one request is made.
 */
export async function findLeftovers(
  batch: Batch,
  storage: Storage,
  { isKnown, signal }: { readonly isKnown: (runId: string) => boolean; readonly signal: AbortSignal },
): Promise<Leftovers> {
  if (!(await hasUnknownUploads(storage, isKnown, signal))) return { runIds: [], bytes: 0 };
  const resources = await ownedResources(batch, storage, signal);
  const runIds: string[] = [];
  for (const runId of runsWithUploads(resources)) {
    if (!(await isOnlyUploaded(storage, runId, signal))) runIds.push(runId);
  }
  const ids = new Set(runIds);
  const bytes = resources.reduce(
    (sum, resource) => (ids.has(resource.runId ?? '') ? sum + (resource.bytes ?? 0) : sum),
    0,
  );
  return { runIds, bytes };
}

async function hasUnknownUploads(
  storage: Storage,
  isKnown: (runId: string) => boolean,
  signal: AbortSignal,
): Promise<boolean> {
  for await (const { name } of storage.containers(`${ownPrefix}-`, signal)) {
    const runId = /^transcode-(.+)-input(-\d+)?$/.exec(name)?.[1];
    if (runId !== undefined && !isKnown(runId)) return true;
  }
  return false;
}

function runsWithUploads(resources: readonly OwnedResource[]): string[] {
  const ids = resources.flatMap(({ kind, id, runId, isLive }) =>
    kind === 'container' && runId !== undefined && !isLive && id !== outputContainerOf(runId) ? runId : [],
  );
  return [...new Set(ids)].sort().reverse();
}

/** Whether the uploads of a run may be wanted: its user asked for no more. */
async function isOnlyUploaded(storage: Storage, runId: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { goal, canceled } = await readManifestHead(storage, outputContainerOf(runId), signal);
    return goal === 'uploaded' && canceled === undefined;
  } catch (error) {
    // A run without its manifest can't be continued. What a later version wants of its run isn't known.
    if (error instanceof UserError && error.problem.kind === 'runNotFound') return false;
    if (error instanceof UserError && error.problem.kind === 'runNewer') return true;
    throw error;
  }
}
