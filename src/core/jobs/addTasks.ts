import pLimit from 'p-limit';
import type { Batch, TaskAdd, TaskAddResult } from '../azure/batch';
import { endedJobCodes, isBatchCode } from '../azure/batchCall';
import { type Problem, UserError } from '../errors';
import { maskSas } from '../log';
import { type Clock, systemClock } from '../wait';

/** A collection holds at most 100 tasks and 1 MB: https://learn.microsoft.com/rest/api/batchservice/task/add-collection */
const collectionSize = 100;
const collectionsInFlight = 4;

/** Tasks that the service failed to add are added again so many times, after pauses from `firstPauseMs` that double. */
const maxTries = 6;
const firstPauseMs = 500;

const tooLargeCodes = ['RequestBodyTooLarge', 'RequestEntityTooLarge', 'HTTP 413'];

/** Batch's answer to a collection of more than 1 MB. */
class TooLarge {
  constructor(readonly problem: Problem) {}
}

/** A task that Batch does not add, whenever it is asked to. */
export interface RefusedTask {
  readonly id: string;
  readonly problem: Problem;
}

/**
 * Adds tasks, 100 at a time, in several parallel requests. A collection that is too large is halved; a single task that is too
 * large is refused. A task that exists was added by an earlier process of this run. Resolves to the tasks that Batch refuses; all
 * others have been added. Throws `jobEnded`, and `throttled` if Batch repeatedly fails to add a task.
 */
export async function addTasks(
  batch: Batch,
  jobId: string,
  tasks: readonly TaskAdd[],
  signal: AbortSignal,
  clock: Clock = systemClock,
): Promise<RefusedTask[]> {
  const limit = pLimit(collectionsInFlight);
  const collections: TaskAdd[][] = [];
  for (let start = 0; start < tasks.length; start += collectionSize) {
    collections.push(tasks.slice(start, start + collectionSize));
  }
  const refused = await Promise.all(
    collections.map((collection) => limit(() => addCollection(batch, jobId, collection, signal, clock))),
  );
  return refused.flat();
}

async function addCollection(
  batch: Batch,
  jobId: string,
  tasks: TaskAdd[],
  signal: AbortSignal,
  clock: Clock,
): Promise<RefusedTask[]> {
  let left = tasks;
  const refused: RefusedTask[] = [];
  for (let tries = 1; left.length > 0; tries++) {
    const results = await addOnce(batch, jobId, left, signal);
    if (results instanceof TooLarge) {
      const [only] = left;
      if (left.length === 1 && only) return [...refused, { id: only.id, problem: results.problem }];
      const half = Math.ceil(left.length / 2);
      for (const part of [left.slice(0, half), left.slice(half)])
        refused.push(...(await addCollection(batch, jobId, part, signal, clock)));
      return refused;
    }
    refused.push(...refusedIn(results));
    const byId = new Map(results.map((result) => [result.taskId, result]));
    left = left.filter(({ id }) => {
      const result = byId.get(id);
      return result === undefined || /^servererror$/i.test(result.status);
    });
    if (left.length === 0) break;
    if (tries === maxTries) throw new UserError({ kind: 'throttled', service: 'batch' });
    await clock.pause(firstPauseMs * 2 ** (tries - 1), signal);
  }
  return refused;
}

async function addOnce(
  batch: Batch,
  jobId: string,
  tasks: TaskAdd[],
  signal: AbortSignal,
): Promise<TaskAddResult[] | TooLarge> {
  try {
    return await batch.addTasks(jobId, tasks, signal);
  } catch (error) {
    if (isBatchCode(error, ...endedJobCodes))
      throw new UserError({ kind: 'jobEnded', job: jobId }, { cause: error });
    if (error instanceof UserError && isBatchCode(error, ...tooLargeCodes))
      return new TooLarge(error.problem);
    throw error;
  }
}

function refusedIn(results: readonly TaskAddResult[]): RefusedTask[] {
  return results.flatMap(({ taskId: id, status, error }) => {
    if (!/^clienterror$/i.test(status) || error?.code === 'TaskExists') return [];
    const what = { service: 'batch', operation: 'add task', resource: id } as const;
    const why = { code: error?.code ?? 'ClientError', detail: messageOf(error) };
    return [{ id, problem: { kind: 'service', ...what, ...why } }];
  });
}

function messageOf(error: TaskAddResult['error']): string | undefined {
  const message = error?.message?.value;
  return message === undefined ? undefined : maskSas(message);
}
