import type { Wire } from '../wire/wire';
import { dependencyAction } from './exitConditions';
import { idKey, type JobState, numberKey, type TaskState } from './state';

/**
 * The key of the first dependency of a task that is not satisfied; undefined if it may start. A range of ids takes the
 * tasks whose ids are those whole numbers, with or without leading zeros; the first of them that completes satisfies it.
 * https://learn.microsoft.com/azure/batch/batch-task-dependencies
 */
export function unmetDependency(task: TaskState): string | undefined {
  const { taskIds = [], taskIdRanges = [] } = (task.wire.dependsOn ?? {}) as {
    taskIds?: readonly string[];
    taskIdRanges?: readonly { readonly start: number; readonly end: number }[];
  };
  const { job } = task;
  for (const id of taskIds) {
    if (!isSatisfied(job.tasks.get(id.toLowerCase()))) return idKey(id);
  }
  for (const { start, end } of taskIdRanges) {
    const unmet = firstUnmet(job, start, end);
    if (unmet !== undefined) return numberKey(unmet);
  }
  return undefined;
}

function firstUnmet({ byNumber }: JobState, start: number, end: number): number | undefined {
  for (let number = start; number <= end; number++) {
    const named = byNumber.get(number);
    if (named === undefined || ![...named].some(isSatisfied)) return number;
  }
  return undefined;
}

function isSatisfied(task: TaskState | undefined): boolean {
  if (task?.wire.state !== 'completed') return false;
  return (task.wire.executionInfo as Wire) !== undefined && dependencyAction(task) === 'satisfy';
}
