import type { JobState } from '../../scheduling/state';
import type { OutputFile } from '../../tasks/outputFiles';
import { headerProblem } from '../../tasks/uploadHeaders';
import { BatchError, invalidProperty } from '../../wire/errors';
import type { Wire } from '../../wire/wire';

/** https://learn.microsoft.com/rest/api/batchservice/task/add, dependsOn */
const maxDependencyCharacters = 64_000;
/** Ids that the ranges of one task stand for. */
const maxDependencyRange = 1_000_000;

interface Range {
  readonly start: number;
  readonly end: number;
}

/** Refuses a task that the job cannot have, though each of its members is valid. */
export function checkTask(job: JobState, given: Wire): void {
  checkDependencies(job, given);
  checkResourceFiles(given);
  checkOutputFiles(given);
  checkExitConditions(job, given);
  checkMultiInstance(given);
  checkUserIdentity(given);
}

/** A multi-instance task takes whole nodes. */
function checkMultiInstance({ multiInstanceSettings, containerSettings, requiredSlots = 1 }: Wire): void {
  if (multiInstanceSettings === undefined) return;
  if (containerSettings !== undefined) {
    throw invalidProperty(
      'containerSettings',
      undefined,
      'The local Batch service runs no multi-instance tasks in containers.',
    );
  }
  const { commonResourceFiles } = multiInstanceSettings as Wire;
  checkResourceFiles({ resourceFiles: commonResourceFiles }, 'commonResourceFiles');
  if (requiredSlots !== 1)
    throw invalidProperty('requiredSlots', requiredSlots, 'A multi-instance task must require 1 slot.');
}

/** Each resource file has one source; a blob also a path. Applies to all kinds of tasks. */
export function checkResourceFiles({ resourceFiles = [] }: Wire, name = 'resourceFiles'): void {
  for (const file of resourceFiles as Wire[]) {
    const { httpUrl, storageContainerUrl, autoStorageContainerName, filePath, blobPrefix } = file;
    const sources = [httpUrl, storageContainerUrl, autoStorageContainerName].filter(
      (source) => source !== undefined,
    );
    if (sources.length !== 1) {
      throw invalidProperty(
        name,
        undefined,
        'Exactly one of httpUrl, storageContainerUrl and autoStorageContainerName must be given.',
      );
    }
    if (httpUrl !== undefined && filePath === undefined)
      throw new BatchError('MissingRequiredProperty', { PropertyName: 'filePath' });
    if (httpUrl !== undefined && blobPrefix !== undefined)
      throw invalidProperty('blobPrefix', blobPrefix, 'The value is only for containers.');
    checkUrl('httpUrl', httpUrl);
    checkUrl('storageContainerUrl', storageContainerUrl);
  }
}

/** Each output file goes to a container of Blob Storage, with headers that can be sent. */
export function checkOutputFiles({ outputFiles = [] }: Wire): void {
  for (const { destination } of outputFiles as Pick<OutputFile, 'destination'>[]) {
    const { container } = destination;
    if (container === undefined)
      throw new BatchError('MissingRequiredProperty', { PropertyName: 'container' });
    checkUrl('containerUrl', container.containerUrl);
    for (const header of container.uploadHeaders ?? []) {
      const problem = headerProblem(header);
      if (problem !== undefined) throw invalidProperty('uploadHeaders', header.name, problem);
    }
  }
}

/** Refuses anything but an HTTP or HTTPS URL. */
export function checkUrl(name: string, value: unknown): void {
  if (value === undefined) return;
  if (!/^https?:$/.test(URL.canParse(String(value)) ? new URL(String(value)).protocol : ''))
    throw invalidProperty(name, undefined, 'The value must be an HTTP or HTTPS URL.');
}

/**
 * Refuses two users at once. As in Azure, a task that names a user the pool doesn't have, or asks for rights that it can't
 * get, fails when it is to run.
 */
export function checkUserIdentity({ userIdentity }: Wire): void {
  const { username, autoUser } = (userIdentity ?? {}) as { username?: string; autoUser?: Wire };
  if (username !== undefined && autoUser !== undefined)
    throw invalidProperty('userIdentity', undefined, 'Only one of username and autoUser may be given.');
}

function checkDependencies(job: JobState, given: Wire): void {
  const dependsOn = given.dependsOn as { taskIds?: string[]; taskIdRanges?: Range[] } | undefined;
  if (dependsOn === undefined) return;
  if (!job.wire.usesTaskDependencies) throw new BatchError('TaskDependenciesNotSpecifiedOnJob');
  const { taskIds = [], taskIdRanges = [] } = dependsOn;
  if (taskIds.join('').length > maxDependencyCharacters) throw new BatchError('TaskDependencyListTooLong');
  checkRanges('taskIdRanges', taskIdRanges);
  const count = taskIdRanges.reduce((total, { start, end }) => total + end - start + 1, 0);
  if (count > maxDependencyRange) throw new BatchError('TaskDependencyRangesTooLong');
}

function checkRanges(name: string, ranges: readonly Range[]): void {
  for (const { start, end } of ranges) {
    if (start > end) throw invalidProperty(name, `${start}-${end}`, 'The start must not be after the end.');
  }
}

/**
 * A job that ignores how tasks end may not have tasks that ask it to act on that, and one without dependencies none that
 * ask that of their dependents. https://learn.microsoft.com/rest/api/batchservice/task/add (ExitOptions)
 */
function checkExitConditions({ wire }: JobState, { exitConditions }: Wire): void {
  const { exitCodeRanges = [] } = (exitConditions ?? {}) as { exitCodeRanges?: Range[] };
  checkRanges('exitCodeRanges', exitCodeRanges);
  const options = everyObject(exitConditions);
  if (wire.onTaskFailure === 'noaction' && options.some(({ jobAction }) => jobAction !== undefined)) {
    throw invalidProperty(
      'exitConditions',
      undefined,
      'A jobAction needs a job whose onTaskFailure is performexitoptionsjobaction.',
    );
  }
  if (!wire.usesTaskDependencies && options.some(({ dependencyAction }) => dependencyAction !== undefined)) {
    throw invalidProperty(
      'exitConditions',
      undefined,
      'A dependencyAction needs a job whose usesTaskDependencies is true.',
    );
  }
}

function everyObject(value: unknown): Wire[] {
  if (typeof value !== 'object' || value === null) return [];
  return [value as Wire, ...Object.values(value).flatMap(everyObject)];
}
