import pLimit from 'p-limit';
import type { Batch, Job } from '../azure/batch';
import { isOfRun } from '../azure/ownership';
import type { Storage } from '../azure/storage';
import { UserError } from '../errors';
import type { Manifest } from '../plan/manifest';
import { isNeeded } from '../pools/poolUse';
import { readManifest } from '../records/manifestStore';
import { readResults } from '../records/resultJournal';
import { isFetched } from '../runs/fetch';
import { fileIdOf } from '../runs/outputs';
import type { OwnedResource } from './ownedResources';

/** What a clean-up of one run deletes, and what it keeps. */
export interface RunCleanUp {
  /** Jobs, pools and containers to delete. */
  readonly resources: readonly OwnedResource[];
  /** Blobs to delete from the output container, which stays. */
  readonly blobs: { readonly container: string; readonly names: readonly string[] };
  /** Whether the output container stays: it holds outputs that were not fetched, or the reasons of failures. */
  readonly keepsContainer: boolean;
}

/**
 * Plans the clean-up of one run: its jobs, its input containers, its pool unless other runs are on it, and what was fetched.
 * An output that was not fetched stays, and so does the record of a run with failures, which can be retried.
 */
export async function planRunCleanUp(
  storage: Storage,
  all: readonly OwnedResource[],
  runId: string,
  outputContainer: string,
  signal: AbortSignal,
): Promise<RunCleanUp> {
  const record = await recordOf(storage, outputContainer, signal);
  const pools = new Set(record?.manifest.attempts.flatMap(({ poolId }) => poolId ?? []));
  const isWholly =
    record === undefined ||
    (record.manifest.refused.length === 0 && record.manifest.files.every(({ id }) => record.fetched.has(id)));
  const hasUnfetched = all.some(({ id, unfetched = 0 }) => id === outputContainer && unfetched > 0);
  const keepsContainer = hasUnfetched || !isWholly;
  const resources = all.filter((resource) => {
    const { kind, id } = resource;
    if (kind === 'container' && id === outputContainer) return !keepsContainer;
    if (kind === 'pool' && pools.has(id)) return isFree(resource, runId);
    return resource.runId === runId;
  });
  const names =
    keepsContainer && record ? await fetchedBlobs(storage, outputContainer, record.fetched, signal) : [];
  return { resources, blobs: { container: outputContainer, names }, keepsContainer };
}

/**
 * Leaves out pools on which another run of this extension has begun since the resources were listed, which takes long in
 * an account with many containers, and those on which tasks of other programs wait or run.
 */
export async function withoutPoolsOfOthers(
  batch: Batch,
  resources: readonly OwnedResource[],
  runId: string,
  signal: AbortSignal,
): Promise<OwnedResource[]> {
  const left: OwnedResource[] = [];
  for (const resource of resources) {
    const isExcepted = ({ metadata }: Job) => isOfRun(metadata, 'job', runId);
    if (resource.kind !== 'pool' || !(await isNeeded(batch, resource.id, isExcepted, signal)))
      left.push(resource);
  }
  return left;
}

const requestsAtOnce = 8;

/** Deletes the fetched outputs from an output container that stays. */
export async function deleteFetched(
  storage: Storage,
  { container, names }: RunCleanUp['blobs'],
  signal: AbortSignal,
): Promise<void> {
  const limit = pLimit(requestsAtOnce);
  await Promise.all(names.map((name) => limit(() => storage.deleteBlob(container, name, signal))));
}

function isFree({ usedBy = [], isLive }: OwnedResource, runId: string): boolean {
  const others = usedBy.filter((user) => user !== runId);
  // Nodes that run tasks while no job of this extension is active work for another client.
  return others.length === 0 && (usedBy.length > 0 || !isLive);
}

/** Undefined for a run without a manifest, which ended before it began. */
async function recordOf(
  storage: Storage,
  outputContainer: string,
  signal: AbortSignal,
): Promise<{ manifest: Manifest; fetched: Set<string> } | undefined> {
  try {
    const manifest = await readManifest(storage, outputContainer, signal);
    const results = await readResults(storage, outputContainer, signal);
    return { manifest, fetched: new Set(results.filter(isFetched).map(({ id }) => id)) };
  } catch (error) {
    if (error instanceof UserError && error.problem.kind === 'runNotFound') return undefined;
    throw error;
  }
}

async function fetchedBlobs(
  storage: Storage,
  container: string,
  fetched: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of storage.blobs(container, { signal })) {
    const id = fileIdOf(name);
    if (id !== undefined && fetched.has(id)) names.push(name);
  }
  return names;
}
