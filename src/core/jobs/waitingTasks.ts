import type { Batch, TaskAdd } from '../azure/batch';
import { everyItem } from '../azure/pages';
import { UserError } from '../errors';
import { type Clock, waitFor } from '../wait';
import { addTasks } from './addTasks';
import { sasExpiryOf } from './taskSpec';

interface RenewOptions {
  /** The task with a new SAS; undefined for a task that is not the run's. */
  readonly taskOf: (id: string) => TaskAdd | undefined;
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
  { taskOf, clock, signal }: RenewOptions,
): Promise<number> {
  const old: string[] = [];
  const options = { filter: "state eq 'active'", select: 'id,resourceFiles', signal };
  for await (const task of everyItem((next) => batch.taskPage(jobId, options, next))) {
    const expiry = sasExpiryOf(task);
    if (task.id !== undefined && expiry !== undefined && expiry < needed) old.push(task.id);
  }
  const renewed = old.flatMap((id) => taskOf(id) ?? []);
  for (const task of renewed) {
    const { id } = task;
    await batch.deleteTask(jobId, id, signal);
    await waitFor(
      async () => {
        const there = await batch.task(jobId, id, signal);
        return { value: undefined, done: there === undefined };
      },
      { signal, clock, minutes: 5, stuck: () => new UserError({ kind: 'throttled', service: 'batch' }) },
    );
    await addTasks(batch, jobId, [task], signal, clock);
  }
  return renewed.length;
}
