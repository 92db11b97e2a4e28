import type { Batch, Job } from '../azure/batch';
import { hasEnded } from '../azure/batchCall';
import { isOfRun, isOwn, ownMetadata, ownPrefix } from '../azure/ownership';
import { everyItem, quoted } from '../azure/pages';
import type { Storage } from '../azure/storage';
import type { Problem } from '../errors';
import { outputContainerOf } from '../plan/manifest';
import { isJustChosen, isNeeded } from '../pools/poolUse';
import { manifestBlob } from '../records/manifestStore';
import { isUnfinished, type OwnedResource, readContainer } from './ownedResources';

const usedProblem: Problem = { kind: 'resourceKept', why: 'used' };
const changedProblem: Problem = { kind: 'resourceKept', why: 'changed' };

/** What is asked once about each run, whatever the number of its resources. */
interface RunFacts {
  readonly isAtWork: (runId: string) => Promise<boolean>;
  readonly isUnfinished: (runId: string) => Promise<boolean>;
}

/**
 * Returns a function that gives the reason not to delete a resource, although the user agreed to delete it when it was listed,
 * possibly hours ago; undefined if it can be deleted or no longer exists. Runs that needed it then have been ended since. Each
 * run is queried once for all resources that are deleted together. `jobIds`: the jobs that are deleted with them.
 */
export function recheck(
  batch: Batch,
  storage: Storage,
  jobIds: ReadonlySet<string>,
  signal: AbortSignal,
): (resource: OwnedResource) => Promise<Problem | undefined> {
  const runs: RunFacts = {
    isAtWork: askedOnce((runId) => isAtWork(batch, storage, runId, signal)),
    isUnfinished: askedOnce((runId) => isUnfinished(storage, runId, signal)),
  };
  return (resource) => {
    switch (resource.kind) {
      case 'job':
        return reasonToKeepJob(batch, runs, resource, signal);
      case 'pool':
        return reasonToKeepPool(batch, resource, jobIds, signal);
      case 'container':
        return reasonToKeepContainer(storage, runs, resource, signal);
    }
  };
}

function askedOnce(ask: (runId: string) => Promise<boolean>): (runId: string) => Promise<boolean> {
  const answers = new Map<string, Promise<boolean>>();
  return (runId) => {
    const answer = answers.get(runId) ?? ask(runId);
    answers.set(runId, answer);
    return answer;
  };
}

async function reasonToKeepJob(
  batch: Batch,
  runs: RunFacts,
  { id, runId, created, isLive }: OwnedResource,
  signal: AbortSignal,
): Promise<Problem | undefined> {
  const job = await batch.job(id, { select: 'id,state,creationTime,metadata', signal });
  if (job === undefined) return undefined;
  if (!isOfRun(job.metadata, 'job', runId) || job.creationTime?.getTime() !== created?.getTime())
    return changedProblem;
  return !isLive && (await runs.isAtWork(runId ?? '')) ? usedProblem : undefined;
}

async function reasonToKeepPool(
  batch: Batch,
  { id, runId, created, isLive, usedBy = [] }: OwnedResource,
  jobIds: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Problem | undefined> {
  const pool = await batch.pool(id, { select: 'id,state,creationTime,metadata', signal });
  if (pool === undefined || pool.state === 'deleting') return undefined;
  const isSame = isOfRun(pool.metadata, 'pool', runId);
  // Pools of the same settings have the same name.
  if (!isSame || pool.creationTime?.getTime() !== created?.getTime()) return changedProblem;
  const agreed = new Set(isLive ? [...usedBy, ...(runId === undefined ? [] : [runId])] : []);
  const isAgreed = ({ metadata }: Job) =>
    isOwn(metadata, 'job') ? agreed.has(ownMetadata(metadata, 'run') ?? '') : isLive && agreed.size === 0;
  const isExcepted = (jobId: string) =>
    jobIds.has(jobId) || [...agreed].some((run) => `${jobId}-`.startsWith(`${ownPrefix}-${run}-`));
  const isChosen = await isJustChosen(batch, pool, isExcepted, signal);
  return isChosen || (await isNeeded(batch, id, isAgreed, signal)) ? usedProblem : undefined;
}

async function reasonToKeepContainer(
  storage: Storage,
  runs: RunFacts,
  { id, runId, isLive, isUnfinished: wasUnfinished = false, unfetched = 0 }: OwnedResource,
  signal: AbortSignal,
): Promise<Problem | undefined> {
  const found = await readContainer(storage, id, signal);
  if (found === undefined) return undefined;
  if (found.runId !== runId) return changedProblem;
  if (runId === undefined) return undefined;
  if (!isLive && (await runs.isAtWork(runId))) return usedProblem;
  if (!wasUnfinished && !isLive && (await runs.isUnfinished(runId))) return usedProblem;
  return (found.unfetched ?? 0) > unfetched ? changedProblem : undefined;
}

/** Whether a window works on a run, or one of its jobs has not ended. */
async function isAtWork(
  batch: Batch,
  storage: Storage,
  runId: string,
  signal: AbortSignal,
): Promise<boolean> {
  const container = outputContainerOf(runId);
  for await (const { name, isLeased } of storage.blobs(container, { prefix: manifestBlob, signal })) {
    if (name === manifestBlob && isLeased) return true;
  }
  const options = {
    filter: `startswith(id,'${quoted(`${ownPrefix}-${runId}`)}')`,
    select: 'id,state,metadata',
    signal,
  };
  for await (const job of everyItem((next) => batch.jobPage(options, next))) {
    if (isOfRun(job.metadata, 'job', runId) && !hasEnded(job)) return true;
  }
  return false;
}
