import type { Batch, Job, Pool } from '../azure/batch';
import { hasEnded, isBatchCode } from '../azure/batchCall';
import { isOwn, madeBy, ownMetadata } from '../azure/ownership';
import { everyItem, quoted } from '../azure/pages';

/** Minutes within which a run has sized a pool and not yet added its job. */
export const submittingMinutes = 3;

/** The jobs on a pool that have not ended, also disabled ones, with their state and metadata. */
export async function* openJobsOn(batch: Batch, poolId: string, signal: AbortSignal): AsyncGenerator<Job> {
  const options = {
    filter: `executionInfo/poolId eq '${quoted(poolId)}' and state ne 'completed'`,
    select: 'id,state,metadata',
    signal,
  };
  for await (const job of everyItem((next) => batch.jobPage(options, next))) {
    if (!hasEnded(job)) yield job;
  }
}

/**
 * Whether nodes of a pool are for another run: a job of this extension is active, or any active job has tasks that wait or run.
 * Asked of the service, so that it holds for the runs of all windows and machines. Tasks of disabled jobs need no nodes.
 */
export async function isInUse(
  batch: Batch,
  poolId: string,
  ownJobId: string | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  for await (const job of openJobsOn(batch, poolId, signal)) {
    const isActive = job.state === 'active' || job.state === 'enabling';
    if (isActive && job.id !== ownJobId && (await hasWork(batch, job, signal))) return true;
  }
  return false;
}

/** Whether the nodes of a pool are those of another run: it is in use, or a run that has not ended has just chosen it. */
export async function isForOthers(
  batch: Batch,
  pool: Pool,
  ownJobId: string | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  if (await isJustChosen(batch, pool, (jobId) => jobId === ownJobId, signal)) return true;
  return isInUse(batch, pool.id ?? '', ownJobId, signal);
}

/**
 * Whether a run has just chosen a pool for a job that does not exist yet, or has not ended, apart from the jobs for which
 * `isExcepted`.
 */
export async function isJustChosen(
  batch: Batch,
  pool: Pool,
  isExcepted: (jobId: string) => boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const jobId = justChosenFor(pool, batch.now());
  if (jobId === undefined || isExcepted(jobId)) return false;
  const job = await batch.job(jobId, { select: 'id,state', signal });
  return job === undefined || !hasEnded(job);
}

/** Writes the job that a pool was chosen for into its metadata: other runs cannot see a run without a job. Changes the ETag. */
export async function noteChosen(
  batch: Batch,
  { id = '', metadata }: Pool,
  jobId: string,
  signal: AbortSignal,
): Promise<void> {
  const value = `${jobId} ${batch.now().toISOString()}`;
  await batch.patchPool(id, [...withoutChosen(metadata), { name: madeBy.chosenFor, value }], signal);
}

/**
 * Removes what `noteChosen` wrote for a job, in the `work` of `changePool`: a job that is never created would otherwise keep the
 * nodes for `submittingMinutes`. Returns the changed pool.
 */
export async function removeChosen(
  batch: Batch,
  pool: Pool,
  jobId: string,
  signal: AbortSignal,
): Promise<Pool> {
  const { id = '', metadata, eTag } = pool;
  if (justChosenFor(pool, batch.now()) !== jobId) return pool;
  await batch.patchPool(id, withoutChosen(metadata), signal, eTag);
  return (await batch.pool(id, { signal })) ?? pool;
}

function withoutChosen(metadata: Pool['metadata'] = []): NonNullable<Pool['metadata']> {
  return metadata.filter(({ name }) => name !== madeBy.chosenFor);
}

/** Id of the job for which a run has just chosen a pool; undefined if none has. */
function justChosenFor({ metadata }: Pool, now: Date): string | undefined {
  const [jobId, time = ''] = ownMetadata(metadata, 'chosenFor')?.split(' ') ?? [];
  const minutes = (now.getTime() - Date.parse(time)) / 60_000;
  return minutes < submittingMinutes ? jobId : undefined;
}

/**
 * Whether the jobs of a pool need it to exist, apart from those for which `isExcepted`: jobs of this extension that have not
 * ended, and any other job with tasks that wait or run. A disabled job needs it too: when it is enabled, its tasks find no other
 * pool.
 */
export async function isNeeded(
  batch: Batch,
  poolId: string,
  isExcepted: (job: Job) => boolean,
  signal: AbortSignal,
): Promise<boolean> {
  for await (const job of openJobsOn(batch, poolId, signal)) {
    if (!isExcepted(job) && (await hasWork(batch, job, signal))) return true;
  }
  return false;
}

/** A run of this extension adds tasks to its job until that ends; another job counts by its tasks. */
async function hasWork(batch: Batch, { id = '', metadata }: Job, signal: AbortSignal): Promise<boolean> {
  return isOwn(metadata, 'job') || hasUnfinishedTasks(batch, id, signal);
}

async function hasUnfinishedTasks(batch: Batch, jobId: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { active, running } = await batch.taskCounts(jobId, signal);
    return active + running > 0;
  } catch (error) {
    // The job was deleted after it was listed.
    if (isBatchCode(error, 'JobNotFound')) return false;
    throw error;
  }
}
