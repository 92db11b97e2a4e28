import pLimit from 'p-limit';
import type { Batch, TaskAdd, TaskAddResult } from '../azure/batch';
import { isBatchCode } from '../azure/batchCall';
import { UserError } from '../errors';
import { type Clock, systemClock } from '../wait';

/** A collection holds at most 100 tasks and 1 MB: https://learn.microsoft.com/rest/api/batchservice/task/add-collection */
const collectionSize = 100;
const collectionsInFlight = 4;

/** Tasks that the service failed to add are added again so many times, after pauses from `firstPauseMs` that double. */
const maxTries = 6;
const firstPauseMs = 500;

/**
 * Adds tasks, 100 at a time and several requests at once; a collection that is too large is halved. A task that exists was
 * added by an earlier process of this run. Throws `jobEnded`, and a `service` problem for a task that Batch refuses.
 */
export async function addTasks(
  batch: Batch,
  jobId: string,
  tasks: readonly TaskAdd[],
  signal: AbortSignal,
  clock: Clock = systemClock,
): Promise<void> {
  const limit = pLimit(collectionsInFlight);
  const collections: TaskAdd[][] = [];
  for (let start = 0; start < tasks.length; start += collectionSize) {
    collections.push(tasks.slice(start, start + collectionSize));
  }
  await Promise.all(
    collections.map((collection) => limit(() => addCollection(batch, jobId, collection, signal, clock))),
  );
}

async function addCollection(
  batch: Batch,
  jobId: string,
  tasks: TaskAdd[],
  signal: AbortSignal,
  clock: Clock,
): Promise<void> {
  let left = tasks;
  for (let tries = 1; left.length > 0; tries++) {
    const results = await addOnce(batch, jobId, left, signal);
    if (results === 'tooLarge') {
      const half = Math.ceil(left.length / 2);
      await addCollection(batch, jobId, left.slice(0, half), signal, clock);
      await addCollection(batch, jobId, left.slice(half), signal, clock);
      return;
    }
    refuseClientErrors(results);
    const byId = new Map(results.map((result) => [result.taskId, result]));
    left = left.filter(({ id }) => {
      const result = byId.get(id);
      return result === undefined || /^servererror$/i.test(result.status);
    });
    if (left.length === 0) return;
    if (tries === maxTries) throw new UserError({ kind: 'throttled', service: 'batch' });
    await clock.pause(firstPauseMs * 2 ** (tries - 1), signal);
  }
}

async function addOnce(
  batch: Batch,
  jobId: string,
  tasks: TaskAdd[],
  signal: AbortSignal,
): Promise<TaskAddResult[] | 'tooLarge'> {
  try {
    return await batch.addTasks(jobId, tasks, signal);
  } catch (error) {
    if (isBatchCode(error, 'JobCompleted', 'JobBeingTerminated', 'JobBeingDeleted', 'JobNotFound'))
      throw new UserError({ kind: 'jobEnded', job: jobId }, { cause: error });
    const tooLarge = isBatchCode(error, 'RequestBodyTooLarge', 'RequestEntityTooLarge', 'HTTP 413');
    if (tooLarge && tasks.length > 1) return 'tooLarge';
    throw error;
  }
}

function refuseClientErrors(results: readonly TaskAddResult[]): void {
  const refused = results.find(
    ({ status, error }) => /^clienterror$/i.test(status) && error?.code !== 'TaskExists',
  );
  if (refused === undefined) return;
  throw new UserError({
    kind: 'service',
    service: 'batch',
    operation: 'add task',
    resource: refused.taskId,
    code: refused.error?.code ?? 'ClientError',
    detail: refused.error?.message?.value,
  });
}
