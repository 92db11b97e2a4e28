import pLimit from 'p-limit';
import type { Batch, TaskAdd } from '../azure/batch';
import { everyItem } from '../azure/pages';
import { UserError } from '../errors';
import { type Clock, waitFor } from '../wait';
import { addTasks } from './addTasks';
import { jobEndError } from './jobLife';
import { sasExpiryOf } from './taskSpec';

/**
 * Tasks that are replaced with one request to add them, and how many are deleted at a time: thousands can wait, and the job
 * is not prolonged meanwhile.
 */
const tasksInTurn = 100;
const tasksDeletedAtOnce = 8;

interface RenewOptions {
  /** The task with a new SAS; undefined for a task that is not the run's. */
  readonly taskOf: (id: string) => TaskAdd | undefined;
  /** Called before tasks are deleted, so that a process that continues the run knows that they are missing for now. */
  readonly onReplacing: (ids: readonly string[]) => Promise<void>;
  /** Called when these are no longer missing. */
  readonly onReplaced: (ids: readonly string[]) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Replaces tasks that have not started and whose SAS expires before `needed`: Batch cannot change the resource files of a
 * task. Only for a job that does not end with its tasks. Resolves with how many were replaced.
 */
export async function renewWaitingTasks(
  batch: Batch,
  jobId: string,
  needed: Date,
  { taskOf, onReplacing, onReplaced, clock, signal }: RenewOptions,
): Promise<number> {
  const old: string[] = [];
  const options = { filter: "state eq 'active'", select: 'id,resourceFiles', signal };
  for await (const task of everyItem((next) => batch.taskPage(jobId, options, next))) {
    const expiry = sasExpiryOf(task);
    if (task.id !== undefined && expiry !== undefined && expiry < needed) old.push(task.id);
  }
  // The last ones first: the others start sooner, and a task that starts meanwhile is left alone.
  const replaceable = old.flatMap((id) => taskOf(id) ?? []).reverse();
  const limit = pLimit(tasksDeletedAtOnce);
  let renewed = 0;
  for (let start = 0; start < replaceable.length; start += tasksInTurn) {
    const turn = replaceable.slice(start, start + tasksInTurn);
    await onReplacing(turn.map(({ id }) => id));
    const deleting = turn.map((task) => limit(() => couldDelete(batch, jobId, task.id, { clock, signal })));
    const outcomes = await Promise.allSettled(deleting);
    const deleted = turn.filter((_, index) => {
      const outcome = outcomes[index];
      return outcome?.status === 'fulfilled' && outcome.value;
    });
    const [refused] = await addTasks(batch, jobId, deleted, signal, clock);
    renewed += deleted.length;
    // What was not answered may be deleted.
    onReplaced(turn.flatMap(({ id }, index) => (outcomes[index]?.status === 'fulfilled' ? id : [])));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    // Batch had added the same task before.
    if (refused) throw new UserError(refused.problem);
  }
  return renewed;
}

/** Deletes a task and waits until it does not exist any more. False if it does not wait for a node any more. */
async function couldDelete(
  batch: Batch,
  jobId: string,
  id: string,
  { clock, signal }: Pick<RenewOptions, 'clock' | 'signal'>,
): Promise<boolean> {
  if ((await batch.task(jobId, id, signal))?.state !== 'active') return false;
  try {
    await batch.deleteTask(jobId, id, signal);
  } catch (error) {
    throw jobEndError(error, jobId);
  }
  await waitFor(
    async () => {
      const there = await batch.task(jobId, id, signal);
      return { value: undefined, done: there === undefined };
    },
    { signal, clock, minutes: 5, stuck: () => new UserError({ kind: 'throttled', service: 'batch' }) },
  );
  return true;
}
