import type { Wire } from '../wire/wire';
import { idKey, type JobState, numberKey, type TaskState } from './state';

interface ExitOptions {
  readonly jobAction?: string;
  readonly dependencyAction?: string;
}

interface ExitConditions {
  readonly exitCodes?: readonly { readonly code: number; readonly exitOptions: ExitOptions }[];
  readonly exitCodeRanges?: readonly {
    readonly start: number;
    readonly end: number;
    readonly exitOptions: ExitOptions;
  }[];
  readonly preProcessingError?: ExitOptions;
  readonly fileUploadError?: ExitOptions;
  readonly default?: ExitOptions;
}

/**
 * What a completed task's exit conditions ask for. `default` stands for every failure that is not named; exit code 0 only
 * counts where it is named. https://learn.microsoft.com/rest/api/batchservice/task/add (ExitConditions)
 */
function exitOptions({ wire }: TaskState): ExitOptions | undefined {
  const conditions = wire.exitConditions as ExitConditions | undefined;
  if (conditions === undefined) return undefined;
  const { exitCode, failureInfo } = wire.executionInfo as {
    exitCode?: number;
    failureInfo?: { code: string };
  };
  const byCode = conditions.exitCodes?.find(({ code }) => code === exitCode)?.exitOptions;
  const byRange = conditions.exitCodeRanges?.find(
    ({ start, end }) => exitCode !== undefined && exitCode >= start && exitCode <= end,
  )?.exitOptions;
  const isUpload = failureInfo?.code.startsWith('FileUpload');
  const byUpload = isUpload ? conditions.fileUploadError : undefined;
  const before = exitCode === undefined ? conditions.preProcessingError : undefined;
  return byCode ?? byRange ?? byUpload ?? before ?? (failureInfo ? conditions.default : undefined);
}

/** `satisfy` if tasks that depend on a completed one may start, `block` if not. */
export function dependencyAction(task: TaskState): string {
  const succeeded = (task.wire.executionInfo as Wire).result === 'success';
  return exitOptions(task)?.dependencyAction?.toLowerCase() ?? (succeeded ? 'satisfy' : 'block');
}

/**
 * What a completed task has its job do: `terminate`, `disable` or `none`. A task that was terminated before it ran has
 * no exit condition unless it names one for that.
 */
export function jobAction(task: TaskState): string {
  const { failureInfo, startTime } = task.wire.executionInfo as {
    failureInfo?: unknown;
    startTime?: unknown;
  };
  const neverRan = startTime === undefined;
  const otherwise = failureInfo === undefined || neverRan ? 'none' : 'terminate';
  return exitOptions(task)?.jobAction?.toLowerCase() ?? otherwise;
}

/**
 * The key of the first dependency of a task that is not satisfied; undefined if it may start. A range of ids takes the
 * tasks whose ids are those whole numbers, with or without leading zeros; the first of them that completes satisfies it.
 * https://learn.microsoft.com/azure/batch/batch-task-dependencies
 */
export function unmetDependency(task: TaskState): string | undefined {
  if (!task.job.wire.usesTaskDependencies) return undefined;
  const { taskIds = [], taskIdRanges = [] } = (task.read().dependsOn ?? {}) as {
    taskIds?: readonly string[];
    taskIdRanges?: readonly IdRange[];
  };
  const { job } = task;
  for (const id of taskIds) {
    if (!isSatisfied(job.tasks.get(id.toLowerCase()))) return idKey(id);
  }
  const from = unmetBefore.get(task);
  // What was satisfied before may have been deleted meanwhile: a task that may start is searched from the beginning.
  const unmet = firstUnmet(job, taskIdRanges, from) ?? (from && firstUnmet(job, taskIdRanges));
  if (unmet === undefined) return undefined;
  unmetBefore.set(task, unmet);
  return numberKey(unmet.number);
}

interface IdRange {
  readonly start: number;
  readonly end: number;
}

/** A number within one of a task's ranges, by the index of the range. */
interface RangePlace {
  readonly range: number;
  readonly number: number;
}

/** Where the last search through the ranges of a task ended, so that a long range is not searched anew for each of its tasks. */
const unmetBefore = new WeakMap<TaskState, RangePlace>();

function firstUnmet(
  { byNumber }: JobState,
  ranges: readonly IdRange[],
  from?: RangePlace,
): RangePlace | undefined {
  for (let range = from?.range ?? 0; range < ranges.length; range++) {
    const { start, end } = ranges[range] as IdRange;
    const first = range === from?.range ? from.number : start;
    for (let number = first; number <= end; number++) {
      const named = byNumber.get(number);
      if (named === undefined || ![...named].some(isSatisfied)) return { range, number };
    }
  }
  return undefined;
}

function isSatisfied(task: TaskState | undefined): boolean {
  if (task?.facts.state !== 'completed') return false;
  return (task.wire.executionInfo as Wire) !== undefined && dependencyAction(task) === 'satisfy';
}
