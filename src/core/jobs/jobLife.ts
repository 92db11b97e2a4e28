import type { Batch, Job, JobAdd } from '../azure/batch';
import { endedJobCodes, hasEnded, isBatchCode } from '../azure/batchCall';
import { madeBy, ownMetadata, ownPools } from '../azure/ownership';
import { UserError } from '../errors';
import type { Attempt, Manifest } from '../plan/manifest';
import type { NodeTargets } from '../pools/nodeTargets';
import { poolSpec, specHash } from '../pools/poolSpec';
import { type Clock, waitFor } from '../wait';
import { isSplit } from './splitTasks';

/**
 * Minutes that a job lives while tasks are still being added. A client that ends in between leaves a job, and perhaps its
 * auto pool, that the service ends by itself; a client that continues prolongs the job.
 */
export const unfinishedJobMinutes = 30;

/** Termination reason of a job that ran out of time. */
export const outOfTime = 'MaxWallClockTimeExpiry';

/** Termination reason of the jobs of a run that its user canceled. */
export const canceledReason = 'Canceled';

/** Termination reason of a job that got no task, because no file could be uploaded. */
export const nothingUploaded = 'NothingUploaded';

interface JobRequest {
  readonly nodes: NodeTargets;
  /** Undefined for an auto pool. */
  readonly poolId: string | undefined;
  /** Whether no earlier process can have created the job: then it is not looked for. */
  readonly isNew: boolean;
  readonly signal: AbortSignal;
}

/**
 * Creates the job of an attempt, or finds the one created before. Throws `jobEnded` if that one has ended, and `quota` if
 * the account may have no more jobs.
 */
export async function ensureJob(
  batch: Batch,
  manifest: Manifest,
  attempt: Attempt,
  { nodes, poolId, isNew, signal }: JobRequest,
): Promise<{ created: boolean }> {
  const existing = isNew ? undefined : await batch.job(attempt.jobId, { select: 'id,state', signal });
  if (existing !== undefined) {
    refuseEnded(existing, attempt.jobId);
    return { created: false };
  }
  const job: JobAdd = {
    id: attempt.jobId,
    // Shown in the Azure portal, in any language.
    displayName: `${manifest.preset.label} × ${attempt.fileIds.length}, ${manifest.workspace}`.slice(0, 1024),
    poolInfo:
      poolId === undefined ? await autoPool(batch, manifest, attempt.jobId, nodes, signal) : { poolId },
    // Changed once all tasks are added: a job that ends with its tasks ends at once while it has none.
    onAllTasksComplete: 'noaction',
    ...(manifest.files.some(isSplit) && { usesTaskDependencies: true }),
    constraints: { maxWallClockTime: `PT${unfinishedJobMinutes}M` },
    metadata: [
      { name: madeBy.name, value: 'job' },
      { name: madeBy.run, value: manifest.runId },
      { name: madeBy.preset, value: manifest.preset.id },
    ],
  };
  try {
    await batch.addJob(job, signal);
  } catch (error) {
    // In a new run only this very request can have created it: the answer to an earlier attempt was lost.
    if (isBatchCode(error, 'JobExists')) return { created: isNew };
    if (isBatchCode(error, 'ActiveJobAndScheduleQuotaReached')) {
      throw new UserError({ kind: 'quota', what: 'jobs' });
    }
    throw error;
  }
  return { created: true };
}

function refuseEnded(job: Pick<Job, 'state'>, jobId: string): void {
  if (hasEnded(job)) throw new UserError({ kind: 'jobEnded', job: jobId });
}

/** A pool that the service creates for the job and deletes with it, also if this client ends. */
async function autoPool(
  batch: Batch,
  manifest: Manifest,
  jobId: string,
  nodes: NodeTargets,
  signal: AbortSignal,
) {
  const spec = await poolSpec(batch, manifest.pool, signal);
  return {
    autoPoolSpecification: {
      autoPoolIdPrefix: 'transcode',
      poolLifetimeOption: 'job' as const,
      keepAlive: false,
      pool: {
        ...spec,
        targetDedicatedNodes: nodes.dedicated,
        targetLowPriorityNodes: nodes.spot,
        metadata: [
          { name: madeBy.name, value: 'pool' },
          { name: madeBy.run, value: manifest.runId },
          { name: madeBy.job, value: jobId },
          { name: madeBy.spec, value: specHash(spec, 'run') },
        ],
      },
    },
  };
}

/** Lets a job to which tasks are still being added live for another `unfinishedJobMinutes`. Throws `jobEnded`. */
export async function prolongJob(
  batch: Batch,
  jobId: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const job = await batch.job(jobId, { select: 'id,creationTime,state', signal });
  if (job === undefined) return;
  refuseEnded(job, jobId);
  const maxWallClockTime = wallClock(job, unfinishedJobMinutes, clock);
  try {
    await batch.patchJob(jobId, { constraints: { maxWallClockTime } }, signal);
  } catch (error) {
    throw jobEndError(error, jobId);
  }
}

/** `jobEnded` for the answer to a call that needs an open job; any other error as it is. */
export function jobEndError(error: unknown, jobId: string): unknown {
  return isBatchCode(error, ...endedJobCodes)
    ? new UserError({ kind: 'jobEnded', job: jobId }, { cause: error })
    : error;
}

/** Sets the service to end the job with its last task, and in any case `minutes` from now. */
export async function closeJob(
  batch: Batch,
  jobId: string,
  minutes: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const job = await batch.job(jobId, { select: 'id,creationTime,state', signal });
  if (job === undefined) throw new UserError({ kind: 'jobEnded', job: jobId });
  const maxWallClockTime = wallClock(job, minutes, clock);
  try {
    await batch.patchJob(
      jobId,
      { onAllTasksComplete: 'terminatejob', constraints: { maxWallClockTime } },
      signal,
    );
  } catch (error) {
    if (!isBatchCode(error, ...endedJobCodes)) throw error;
    // An earlier process had closed the job, which has ended with its tasks; or its time was over before it was closed.
    const ended = await batch.job(jobId, { select: 'id,state,executionInfo', signal });
    const isGone = ended === undefined || ended.state === 'deleting';
    if (isGone || ended.executionInfo?.terminateReason === outOfTime) throw jobEndError(error, jobId);
  }
}

/** The service counts a job's time from its creation; this is the constraint that ends it `minutes` from now. */
function wallClock({ creationTime }: Pick<Job, 'creationTime'>, minutes: number, clock: Clock): string {
  const ageMs = Math.max(clock.now() - (creationTime?.getTime() ?? clock.now()), 0);
  return `PT${Math.ceil(ageMs / 60_000) + minutes}M`;
}

/** Milliseconds after which an aborted request has taken effect or never will. */
const lateMs = 20_000;

/**
 * Ends a job and its auto pool. `mayArrive`: the request that creates the job was aborted, so that the job may appear after
 * it was looked for; then it is looked for again for a while. False if there is no such job.
 */
export async function endJob(
  batch: Batch,
  { runId, pool }: Pick<Manifest, 'runId' | 'pool'>,
  jobId: string,
  reason: string,
  { mayArrive, clock, signal }: EndOptions,
): Promise<boolean> {
  const end = clock.now() + lateMs;
  for (let pauseMs = 500; ; pauseMs = Math.min(pauseMs * 2, 4_000)) {
    await batch.terminateJob(jobId, reason, signal);
    const job = await batch.job(jobId, { select: 'id,state', signal });
    if (job !== undefined && hasEnded(job)) break;
    if (job === undefined && (!mayArrive || clock.now() >= end)) return false;
    await clock.pause(pauseMs, signal);
  }
  if (pool.lifetime === 'run') await deleteAutoPools(batch, runId, jobId, clock, signal);
  return true;
}

interface EndOptions {
  readonly mayArrive: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** The service deletes an auto pool with its job, unless the job ended while the pool was being created. */
async function deleteAutoPools(
  batch: Batch,
  runId: string,
  jobId: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  await waitFor(
    async () => {
      const job = await batch.job(jobId, { select: 'id,state', signal });
      return { value: undefined, done: job?.state !== 'terminating' };
    },
    { signal, clock, minutes: 5, stuck: () => new UserError({ kind: 'jobEnded', job: jobId }) },
  );
  for await (const { id = '', state, metadata } of ownPools(batch, 'id,state', signal)) {
    const isOfJob = (ownMetadata(metadata, 'job') ?? jobId) === jobId;
    if (ownMetadata(metadata, 'run') !== runId || !isOfJob || state === 'deleting') continue;
    await batch.deletePool(id, signal);
  }
}
