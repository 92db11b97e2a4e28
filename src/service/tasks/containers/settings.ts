import { join } from 'node:path';
import { splitCommandLine } from '../commandLine';
import type { ContainerPlace, ContainerSettings, ContainerTask } from '../containerTask';
import { failure } from '../taskFailure';

/**
 * The options that a task's description adds. Those that decide how its end is noticed are left out: a container is
 * removed in any case once the exit code of its program is known.
 */
export function runOptions({ containerRunOptions = '' }: ContainerSettings): string[] {
  return splitCommandLine(containerRunOptions).filter((option) => !/^--rm(=|$)/.test(option));
}

/** Whether options name a flag, as `--user x`, `--user=x`, `-u x` or `-ux`. */
export function hasFlag(options: readonly string[], ...flags: readonly string[]): boolean {
  return options.some((option) =>
    flags.some((flag) =>
      flag.startsWith('--') ? option === flag || option.startsWith(`${flag}=`) : option.startsWith(flag),
    ),
  );
}

/** Folders of a node by the names of `ContainerHostDataPath`. */
function foldersOf({ root, taskDir, jobPrepDir }: ContainerPlace): Record<string, string | undefined> {
  return {
    shared: join(root, 'shared'),
    startup: join(root, 'startup'),
    vfsmounts: join(root, 'fsmounts'),
    task: taskDir,
    jobprep: jobPrepDir,
    applications: join(root, 'applications'),
  };
}

/** Refuses folders that a node does not have. */
export function isFolderName(source: string): boolean {
  return ['shared', 'startup', 'vfsmounts', 'task', 'jobprep', 'applications'].includes(source.toLowerCase());
}

/**
 * The mounts of a container, each folder under its path on this machine: all folders of the node, or those that the
 * description names. https://learn.microsoft.com/azure/batch/batch-container-isolation-task
 */
export function mounts({ settings, place }: ContainerTask): string[] {
  const { containerHostBatchBindMounts: binds } = settings;
  if (binds === undefined) return mount(place.root, false);
  const folders = foldersOf(place);
  return binds.flatMap(({ source = '', isReadOnly = false }) => {
    const folder = folders[source.toLowerCase()];
    if (folder === undefined) throw settingsFailure(`The node has no folder for ${source}.`);
    return mount(folder, isReadOnly);
  });
}

/** The value of `--mount` is one line of CSV. */
function mount(path: string, isReadOnly: boolean): string[] {
  const field = (text: string) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const fields = ['type=bind', field(`source=${path}`), field(`target=${path}`)];
  return ['--mount', [...fields, ...(isReadOnly ? ['readonly'] : [])].join(',')];
}

export function settingsFailure(reason: string) {
  return failure(
    'UserError',
    'ContainerInvalidSettings',
    'At least one value of specified task container settings is invalid',
    { Message: reason },
  );
}

export function imageFailure(image: string, reason: string) {
  return failure('UserError', 'ContainerInvalidImage', 'One or more container images specified are invalid', {
    Image: image,
    Message: reason,
  });
}

/** Azure accepts such a task, and fails it. */
export function poolFailure() {
  return failure('UserError', 'ContainerPoolNotSupported', 'The pool does not support container tasks', {
    Message: 'The virtualMachineConfiguration of the pool has no containerConfiguration.',
  });
}
