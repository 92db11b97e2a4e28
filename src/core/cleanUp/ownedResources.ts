import pLimit from 'p-limit';
import type { Batch, Job } from '../azure/batch';
import { hasEnded } from '../azure/batchCall';
import { isOwn, madeBy, metadataValue, ownMetadata, ownPools, ownPrefix } from '../azure/ownership';
import { everyItem } from '../azure/pages';
import type { Storage } from '../azure/storage';
import { UserError } from '../errors';
import { outputContainerOf } from '../plan/manifest';
import { isNeeded } from '../pools/poolUse';
import { isInputContainerOf, manifestBlob, readManifestHead } from '../records/manifestStore';
import { readResults } from '../records/resultJournal';
import { isFetched } from '../runs/fetch';
import { fileIdOf } from '../runs/outputs';

/** A resource in an account that this extension created, at any time and from any machine. */
export interface OwnedResource {
  readonly kind: 'job' | 'pool' | 'container';
  readonly id: string;
  /** Undefined for a pool that is kept for other runs. */
  readonly runId?: string;
  readonly created?: Date;
  /** As the service says it: `active`, `steady`, `deleting`. */
  readonly state?: string;
  /**
   * Whether a run needs the resource now: one of its jobs has not ended, or a window of any machine works on it.
   * Deleting it makes that run fail.
   */
  readonly isLive: boolean;
  /** Runs with jobs on a pool that have not ended. */
  readonly usedBy?: readonly string[];
  /** Nodes that a pool has now, which cost money. */
  readonly nodes?: number;
  /** Whether its run has neither finished nor been canceled: a window can continue the run as long as its resources exist. */
  readonly isUnfinished?: boolean;
  /** Outputs in a container that were never fetched. */
  readonly unfetched?: number;
  /** Size of a container. */
  readonly bytes?: number;
}

const requestsAtOnce = 8;

interface OwnedJob {
  readonly resource: OwnedResource;
  readonly poolId?: string;
}

/** Lists everything that this extension created, by metadata: a name proves nothing. */
export async function ownedResources(
  batch: Batch,
  storage: Storage,
  signal: AbortSignal,
): Promise<OwnedResource[]> {
  const [jobs, containers] = await Promise.all([ownedJobs(batch, signal), ownedContainers(storage, signal)]);
  const pools = await ownedPools(batch, jobs, signal);
  const live = new Set(
    [...jobs.map(({ resource }) => resource), ...containers].flatMap(({ isLive, runId }) =>
      isLive && runId !== undefined ? runId : [],
    ),
  );
  const unfinished = new Set(
    containers.flatMap(({ isUnfinished, runId }) => (isUnfinished && runId !== undefined ? runId : [])),
  );
  return [...jobs.map(({ resource }) => resource), ...pools, ...containers].map((resource) => ({
    ...resource,
    ...(live.has(resource.runId ?? '') && { isLive: true }),
    ...(unfinished.has(resource.runId ?? '') && { isUnfinished: true }),
  }));
}

async function ownedJobs(batch: Batch, signal: AbortSignal): Promise<OwnedJob[]> {
  const owned: OwnedJob[] = [];
  const options = {
    filter: `startswith(id,'${ownPrefix}')`,
    select: 'id,state,creationTime,metadata,executionInfo',
    signal,
  };
  for await (const job of everyItem((next) => batch.jobPage(options, next))) {
    const { id = '', state, creationTime: created, metadata, executionInfo } = job;
    if (!isOwn(metadata, 'job')) continue;
    const runId = ownMetadata(metadata, 'run');
    const isLive = !hasEnded(job);
    owned.push({
      resource: { kind: 'job', id, runId, created, state, isLive },
      poolId: executionInfo?.poolId,
    });
  }
  return owned;
}

async function ownedPools(
  batch: Batch,
  jobs: readonly OwnedJob[],
  signal: AbortSignal,
): Promise<OwnedResource[]> {
  const owned: OwnedResource[] = [];
  const select = 'id,state,allocationState,creationTime,currentDedicatedNodes,currentLowPriorityNodes';
  for await (const pool of ownPools(batch, select, signal)) {
    const id = pool.id ?? '';
    const usedBy = jobs.flatMap(({ resource: { isLive, runId = '' }, poolId }) =>
      isLive && poolId === id ? runId : [],
    );
    const counts = await batch.nodeCounts(id, signal);
    const running = (counts?.dedicated?.running ?? 0) + (counts?.lowPriority?.running ?? 0);
    const isOwnJob = ({ metadata }: Job) => isOwn(metadata, 'job');
    // Includes jobs of other clients, whose tasks may wait.
    const isUsed = usedBy.length > 0 || running > 0 || (await isNeeded(batch, id, isOwnJob, signal));
    owned.push({
      kind: 'pool',
      id,
      runId: ownMetadata(pool.metadata, 'run'),
      created: pool.creationTime,
      state: pool.state === 'active' ? pool.allocationState : pool.state,
      isLive: isUsed,
      usedBy,
      nodes: (pool.currentDedicatedNodes ?? 0) + (pool.currentLowPriorityNodes ?? 0),
    });
  }
  return owned;
}

async function ownedContainers(storage: Storage, signal: AbortSignal): Promise<OwnedResource[]> {
  const found: { name: string; role: string; runId?: string; modified: Date }[] = [];
  for await (const { name, metadata, modified } of storage.containers(`${ownPrefix}-`, signal)) {
    const role = metadataValue(metadata, madeBy.name);
    const runId = metadataValue(metadata, madeBy.run);
    if (role !== undefined && isOwnContainer(name, role, runId)) found.push({ name, role, runId, modified });
  }
  const limit = pLimit(requestsAtOnce);
  return Promise.all(
    found.map(({ name, role, runId, modified }) =>
      limit(async (): Promise<OwnedResource> => {
        const { bytes, outputs, isLeased } = await contentOf(storage, name, signal);
        const own = {
          kind: 'container',
          id: name,
          runId,
          created: modified,
          isLive: isLeased,
          bytes,
        } as const;
        if (role !== 'output' || runId === undefined) return own;
        const unfetched = await countUnfetched(storage, name, outputs, signal);
        return { ...own, unfetched, isUnfinished: await isUnfinished(storage, runId, signal) };
      }),
    ),
  );
}

/** A container of this extension as it is now. Undefined if it does not exist, or is not this extension's. */
export async function readContainer(
  storage: Storage,
  name: string,
  signal: AbortSignal,
): Promise<Pick<OwnedResource, 'runId' | 'unfetched'> | undefined> {
  const metadata = await storage.containerMetadata(name, signal);
  if (metadata === undefined) return undefined;
  const role = metadataValue(metadata, madeBy.name);
  const runId = metadataValue(metadata, madeBy.run);
  if (role !== 'output') return { runId };
  const { outputs } = await contentOf(storage, name, signal);
  return { runId, unfetched: await countUnfetched(storage, name, outputs, signal) };
}

/** Whether a run can go on: it has neither finished nor been canceled. A run without its manifest cannot. */
export async function isUnfinished(storage: Storage, runId: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { finished, canceled } = await readManifestHead(storage, outputContainerOf(runId), signal);
    return finished === undefined && canceled === undefined;
  } catch (error) {
    if (error instanceof UserError && error.problem.kind === 'runNotFound') return false;
    // What a later version wants of its run isn't known.
    if (error instanceof UserError && error.problem.kind === 'runNewer') return true;
    throw error;
  }
}

/** Whether a container has the name that its metadata say: others can copy the metadata of a run to a container of theirs. */
function isOwnContainer(name: string, role: string, runId: string | undefined): boolean {
  if (role === 'check') return true;
  if (runId === undefined) return false;
  return role === 'output'
    ? name === outputContainerOf(runId)
    : role === 'input' && isInputContainerOf(runId, name);
}

/** The size of a container, the ids of the files with outputs in it, and whether a window works on its run. */
async function contentOf(
  storage: Storage,
  container: string,
  signal: AbortSignal,
): Promise<{ bytes: number; outputs: Set<string>; isLeased: boolean }> {
  const outputs = new Set<string>();
  let bytes = 0;
  let isLeased = false;
  for await (const blob of storage.blobs(container, { signal })) {
    const id = fileIdOf(blob.name);
    if (id !== undefined) outputs.add(id);
    if (blob.name === manifestBlob) isLeased = blob.isLeased;
    bytes += blob.size;
  }
  return { bytes, outputs, isLeased };
}

/** Counts the outputs that only the account has: those that could not be downloaded or proved complete, too. */
async function countUnfetched(
  storage: Storage,
  container: string,
  outputs: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<number> {
  if (outputs.size === 0) return 0;
  try {
    const fetched = new Set(
      (await readResults(storage, container, signal)).filter(isFetched).map(({ id }) => id),
    );
    return [...outputs].filter((id) => !fetched.has(id)).length;
  } catch (error) {
    if (error instanceof UserError && error.problem.kind === 'runNotFound') return outputs.size;
    throw error;
  }
}
