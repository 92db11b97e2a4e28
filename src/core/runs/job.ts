import pLimit from 'p-limit';
import type { Batch, Job, JobAdd, TaskAdd } from '../azure/batch';
import { isBatchCode } from '../azure/batchCall';
import { madeBy } from '../azure/ownership';
import { UserError } from '../errors';
import type { Attempt, Manifest, ManifestFile } from '../plan/manifest';
import { type NodeTargets, poolSpec, specHash } from '../pools/pool';

/** A collection holds at most 100 tasks and 1 MB: https://learn.microsoft.com/rest/api/batchservice/task/add-collection */
const collectionSize = 100;
const collectionsInFlight = 4;

/**
 * Minutes that a job without all its tasks may live. A client that dies in between leaves a job, and perhaps its auto
 * pool, that the service ends by itself; a client that goes on prolongs it.
 */
export const unfinishedJobMinutes = 30;

/**
 * Brings the folder of an output into being on the node, where there is no shell that would make it and few of ffmpeg's
 * muxers do. Output patterns pass over names that begin with a dot.
 */
export const folderMark = '.folder';

/** The containers' SAS that the tasks of one attempt carry, as whole URLs. */
export interface ContainerUrls {
  readonly input: string;
  readonly output: string;
}

/** What of a job is looked at before going on with it. */
type JobState = Pick<Job, 'state' | 'creationTime' | 'onAllTasksComplete' | 'executionInfo'>;

/** Makes the job of an attempt, or finds the one made before. */
export async function ensureJob(
  batch: Batch,
  manifest: Manifest,
  attempt: Attempt,
  nodes: NodeTargets,
  poolId: string | undefined,
  signal: AbortSignal,
): Promise<{ created: boolean }> {
  const there = await batch.job(attempt.jobId, { signal });
  if (there !== undefined) {
    refuseEnded(there, attempt.jobId);
    return { created: false };
  }
  const job: JobAdd = {
    id: attempt.jobId,
    // For people who see the job in the portal, whatever their language.
    displayName: `${manifest.preset.label} × ${attempt.fileIds.length}, ${manifest.workspace}`.slice(0, 1024),
    poolInfo: poolId === undefined ? await autoPool(batch, manifest, nodes, signal) : { poolId },
    // Set once the tasks are in: a job that ends with its tasks ends at once while it has none.
    onAllTasksComplete: 'noaction',
    constraints: { maxWallClockTime: `PT${unfinishedJobMinutes}M` },
    metadata: [
      { name: madeBy.name, value: 'job' },
      { name: madeBy.run, value: manifest.runId },
    ],
  };
  try {
    await batch.addJob(job, signal);
  } catch (error) {
    if (isBatchCode(error, 'JobExists')) return { created: false };
    if (isBatchCode(error, 'ActiveJobAndScheduleQuotaReached')) {
      throw new UserError({ kind: 'quota', what: 'jobs' });
    }
    throw error;
  }
  return { created: true };
}

function refuseEnded({ state }: JobState, jobId: string): void {
  if (state === 'terminating' || state === 'completed' || state === 'deleting') {
    throw new UserError({ kind: 'jobEnded', job: jobId });
  }
}

/** A pool that the service makes for the job and deletes with it, whatever becomes of us. */
async function autoPool(batch: Batch, manifest: Manifest, nodes: NodeTargets, signal: AbortSignal) {
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
          { name: madeBy.spec, value: specHash(spec) },
        ],
      },
    },
  };
}

/** Lets a job without all its tasks live for another while. */
export async function prolongJob(batch: Batch, jobId: string, signal: AbortSignal): Promise<void> {
  const job = await batch.job(jobId, { select: 'id,creationTime,state', signal });
  if (job === undefined) return;
  refuseEnded(job, jobId);
  const age = Math.ceil((Date.now() - (job.creationTime?.getTime() ?? Date.now())) / 60_000);
  await batch.patchJob(
    jobId,
    { constraints: { maxWallClockTime: `PT${age + unfinishedJobMinutes}M` } },
    signal,
  );
}

/** Says that all tasks are in: from now on the service ends the job by itself, at the latest after `minutes`. */
export async function closeJob(
  batch: Batch,
  jobId: string,
  minutes: number,
  signal: AbortSignal,
): Promise<void> {
  try {
    await batch.patchJob(
      jobId,
      { onAllTasksComplete: 'terminatejob', constraints: { maxWallClockTime: `PT${minutes}M` } },
      signal,
    );
  } catch (error) {
    // A resumed run finds the job as it left it: set before, and perhaps over since.
    if (!isBatchCode(error, 'JobCompleted', 'JobBeingTerminated')) throw error;
  }
}

/**
 * Adds tasks, 100 at a time and several requests at once; a collection that is too large is halved. A task that is
 * there already was added by an earlier life of this run. Throws for a task that Batch refuses.
 */
export async function addTasks(
  batch: Batch,
  jobId: string,
  tasks: readonly TaskAdd[],
  signal: AbortSignal,
): Promise<void> {
  const limit = pLimit(collectionsInFlight);
  const collections: TaskAdd[][] = [];
  for (let start = 0; start < tasks.length; start += collectionSize) {
    collections.push(tasks.slice(start, start + collectionSize));
  }
  await Promise.all(
    collections.map((collection) => limit(() => addCollection(batch, jobId, collection, signal))),
  );
}

async function addCollection(
  batch: Batch,
  jobId: string,
  tasks: TaskAdd[],
  signal: AbortSignal,
): Promise<void> {
  let left = tasks;
  for (let attempt = 1; left.length > 0; attempt++) {
    let results: Awaited<ReturnType<Batch['addTasks']>>;
    try {
      results = await batch.addTasks(jobId, left, signal);
    } catch (error) {
      if (isBatchCode(error, 'JobCompleted', 'JobBeingTerminated', 'JobBeingDeleted', 'JobNotFound'))
        throw new UserError({ kind: 'jobEnded', job: jobId });
      const tooLarge = isBatchCode(error, 'RequestBodyTooLarge', 'RequestEntityTooLarge', 'HTTP 413');
      if (!tooLarge || left.length === 1) throw error;
      const half = Math.ceil(left.length / 2);
      await addCollection(batch, jobId, left.slice(0, half), signal);
      await addCollection(batch, jobId, left.slice(half), signal);
      return;
    }
    const byId = new Map(results.map((result) => [result.taskId, result]));
    const refused = results.find(
      ({ status, error }) => /^clienterror$/i.test(status) && error?.code !== 'TaskExists',
    );
    if (refused) {
      throw new UserError({
        kind: 'service',
        service: 'batch',
        operation: 'add task',
        resource: refused.taskId,
        code: refused.error?.code ?? 'ClientError',
        detail: refused.error?.message?.value,
      });
    }
    // What the service failed at, or did not answer for, is asked once more; it cannot be added twice.
    left = left.filter(({ id }) => {
      const result = byId.get(id);
      return result === undefined || /^servererror$/i.test(result.status);
    });
    if (left.length > 0 && attempt === 5) throw new UserError({ kind: 'throttled', service: 'batch' });
  }
}

/** The task of one file: ffmpeg on a blob, its output to a blob, and its logs too when it fails, so that they outlive the node. */
export function taskOf(
  manifest: Manifest,
  attempt: Attempt,
  file: ManifestFile,
  urls: ContainerUrls,
): TaskAdd {
  const { output } = file;
  return {
    id: file.id,
    displayName: file.path.slice(-1024),
    commandLine: file.commandLine,
    resourceFiles: [
      { httpUrl: blobUrl(urls.input, file.inputBlob), filePath: file.nodeInput },
      ...(output.isFolder
        ? [{ httpUrl: blobUrl(urls.input, folderMark), filePath: `${output.nodePath}/${folderMark}` }]
        : []),
    ],
    outputFiles: [
      {
        filePattern: output.isFolder ? `${output.nodePath}/**/*` : output.nodePath,
        destination: { container: { containerUrl: urls.output, path: output.blob } },
        uploadOptions: { uploadCondition: 'tasksuccess' },
      },
      {
        filePattern: '../std*.txt',
        destination: { container: { containerUrl: urls.output, path: logPrefix(attempt, file) } },
        uploadOptions: { uploadCondition: 'taskfailure' },
      },
    ],
    constraints: {
      maxWallClockTime: `PT${manifest.limits.taskMinutes}M`,
      maxTaskRetryCount: manifest.limits.retries,
      retentionTime: 'P1D',
    },
  };
}

/** Where the logs of a failed task lie in the output container. */
export function logPrefix(attempt: Attempt, { id }: ManifestFile): string {
  return `logs/${attempt.jobId}/${id}`;
}

/** A container's SAS serves its blobs: the name goes before the query, each segment encoded. */
export function blobUrl(containerUrl: string, blob: string): string {
  const url = new URL(containerUrl);
  url.pathname += `/${blob.split('/').map(encodeURIComponent).join('/')}`;
  return url.href;
}
