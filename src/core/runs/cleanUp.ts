import pLimit from 'p-limit';
import type { Batch } from '../azure/batch';
import { isOwn, madeBy, ownMetadata, ownPools, ownPrefix } from '../azure/ownership';
import { everyItem } from '../azure/pages';
import type { Storage } from '../azure/storage';
import { type Problem, UserError } from '../errors';
import { readManifest, readResults } from './runState';

/** Something this extension made on the account, whenever and from wherever. */
export interface Owned {
  readonly kind: 'job' | 'pool' | 'container';
  readonly id: string;
  readonly runId?: string;
  readonly created?: Date;
  /** As the service says it: `active`, `steady`, `deleting`. */
  readonly state?: string;
  /** Something still runs in it, or may. */
  readonly busy: boolean;
  /** Nodes a pool has now, which is what costs money. */
  readonly nodes?: number;
  /** Outputs in a container that were never fetched. */
  readonly unfetched?: number;
  /** Size of a container. */
  readonly bytes?: number;
}

export interface Remaining {
  readonly thing: Owned;
  readonly problem: Problem;
}

const requestsAtOnce = 8;

/** All that is ours by its metadata, and nothing else: a name proves nothing. */
export async function ownedThings(batch: Batch, storage: Storage, signal: AbortSignal): Promise<Owned[]> {
  const [jobs, pools, containers] = await Promise.all([
    ownedJobs(batch, signal),
    ownedPools(batch, signal),
    ownedContainers(storage, signal),
  ]);
  return [...jobs, ...pools, ...containers];
}

async function ownedJobs(batch: Batch, signal: AbortSignal): Promise<Owned[]> {
  const owned: Owned[] = [];
  const options = {
    filter: `startswith(id,'${ownPrefix}')`,
    select: 'id,state,creationTime,metadata,executionInfo',
    signal,
  };
  for await (const { id = '', state, creationTime, metadata } of everyItem((next) =>
    batch.jobPage(options, next),
  )) {
    if (!isOwn(metadata, 'job')) continue;
    owned.push({
      kind: 'job',
      id,
      runId: ownMetadata(metadata, 'run'),
      created: creationTime,
      state,
      busy: state === 'active',
    });
  }
  return owned;
}

async function ownedPools(batch: Batch, signal: AbortSignal): Promise<Owned[]> {
  const owned: Owned[] = [];
  const select = 'id,state,allocationState,creationTime,currentDedicatedNodes,currentLowPriorityNodes';
  for await (const pool of ownPools(batch, select, signal)) {
    const counts = await batch.nodeCounts(pool.id ?? '', signal);
    owned.push({
      kind: 'pool',
      id: pool.id ?? '',
      runId: ownMetadata(pool.metadata, 'run'),
      created: pool.creationTime,
      state: pool.state === 'active' ? pool.allocationState : pool.state,
      busy: (counts?.dedicated?.running ?? 0) + (counts?.lowPriority?.running ?? 0) > 0,
      nodes: (pool.currentDedicatedNodes ?? 0) + (pool.currentLowPriorityNodes ?? 0),
    });
  }
  return owned;
}

async function ownedContainers(storage: Storage, signal: AbortSignal): Promise<Owned[]> {
  const found: { name: string; metadata: Record<string, string>; modified: Date }[] = [];
  for await (const container of storage.containers(`${ownPrefix}-`, signal)) {
    const role = lookUp(container.metadata, madeBy.name);
    if (role === 'input' || role === 'output' || role === 'check') found.push(container);
  }
  const limit = pLimit(requestsAtOnce);
  return Promise.all(
    found.map(({ name, metadata, modified }) =>
      limit(async (): Promise<Owned> => {
        const isOutput = lookUp(metadata, madeBy.name) === 'output';
        const blobs = await contentOf(storage, name, signal);
        return {
          kind: 'container',
          id: name,
          runId: lookUp(metadata, madeBy.run),
          created: modified,
          busy: false,
          bytes: blobs.bytes,
          unfetched: isOutput ? await unfetchedOutputs(storage, name, blobs.outputs, signal) : undefined,
        };
      }),
    ),
  );
}

/** How much a container holds, and of how many files outputs. */
async function contentOf(
  storage: Storage,
  container: string,
  signal: AbortSignal,
): Promise<{ bytes: number; outputs: number }> {
  const outputs = new Set<string>();
  let bytes = 0;
  for await (const { name, size } of storage.blobs(container, { signal })) {
    const [id = ''] = name.split('/');
    if (id !== 'logs' && name.includes('/')) outputs.add(id);
    bytes += size;
  }
  return { bytes, outputs: outputs.size };
}

/** Outputs in the container whose file has no fetched result. */
async function unfetchedOutputs(
  storage: Storage,
  container: string,
  outputs: number,
  signal: AbortSignal,
): Promise<number> {
  try {
    const manifest = await readManifest(storage, container, signal);
    if (manifest.finished) {
      const results = await readResults(storage, container, signal);
      if (results.every(({ problem, outputUri }) => problem !== undefined || outputUri !== undefined))
        return 0;
    }
    return outputs;
  } catch (error) {
    // A container without a manifest belongs to a run that ended before it began.
    if (error instanceof UserError && error.problem.kind === 'runNotFound') return 0;
    throw error;
  }
}

/**
 * Deletes jobs first, so that nothing runs, then pools, then containers. Goes on past what cannot be deleted and says
 * what remains and why. Deleting takes the service a while: what is being deleted counts as deleted.
 */
export async function deleteOwned(
  batch: Batch,
  storage: Storage,
  things: readonly Owned[],
  onDeleted: (thing: Owned, done: number) => void,
  signal: AbortSignal,
): Promise<Remaining[]> {
  const remaining: Remaining[] = [];
  const limit = pLimit(requestsAtOnce);
  let done = 0;
  const calls: Record<Owned['kind'], (id: string) => Promise<void>> = {
    job: (id) => batch.deleteJob(id, signal),
    pool: (id) => batch.deletePool(id, signal),
    container: (id) => storage.deleteContainer(id, signal),
  };
  for (const kind of ['job', 'pool', 'container'] as const) {
    const ofKind = things.filter((thing) => thing.kind === kind);
    await Promise.all(
      ofKind.map((thing) =>
        limit(async () => {
          try {
            await calls[kind](thing.id);
            onDeleted(thing, ++done);
          } catch (error) {
            if (!(error instanceof UserError)) throw error;
            remaining.push({ thing, problem: error.problem });
          }
        }),
      ),
    );
  }
  return remaining;
}

/** Storage keeps metadata names in lower case, or as they were, depending on the way they are read. */
function lookUp(metadata: Record<string, string>, name: string): string | undefined {
  return Object.entries(metadata).find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];
}
