import type { Wire } from '../wire/wire';
import type { TaskState } from './state';

/** What a task asked for the way it ended. */
export function exitOptions({
  wire,
}: TaskState): { jobAction?: string; dependencyAction?: string } | undefined {
  const conditions = wire.exitConditions as
    | {
        exitCodes?: { code: number; exitOptions: Wire }[];
        exitCodeRanges?: { start: number; end: number; exitOptions: Wire }[];
        preProcessingError?: Wire;
        fileUploadError?: Wire;
        default?: Wire;
      }
    | undefined;
  const info = wire.executionInfo as { exitCode?: number; failureInfo?: { code: string } };
  const { exitCode, failureInfo } = info;
  const byCode = conditions?.exitCodes?.find(({ code }) => code === exitCode)?.exitOptions;
  const byRange = conditions?.exitCodeRanges?.find(
    ({ start, end }) => exitCode !== undefined && exitCode >= start && exitCode <= end,
  )?.exitOptions;
  const upload = failureInfo?.code.startsWith('FileUpload') ? conditions?.fileUploadError : undefined;
  const before = exitCode === undefined ? conditions?.preProcessingError : undefined;
  return byCode ?? byRange ?? upload ?? before ?? conditions?.default;
}

/** `satisfy` when tasks that depend on a failed one may start all the same. */
export function dependencyAction(task: TaskState): string {
  return exitOptions(task)?.dependencyAction ?? 'block';
}
