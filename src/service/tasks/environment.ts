import { mkdir } from 'node:fs/promises';
import { delimiter, join, sep } from 'node:path';
import { DataFolder, pathInside } from '../guard/dataFolder';
import { reserveBytes } from '../guard/reserve';
import type { Wire } from '../wire/wire';
import type { ContainerConfiguration, ContainerRunner } from './containerTask';
import type { OwnStorage } from './ownStorage';

/** What all tasks of a service have in common. */
export interface Surroundings {
  readonly dataDir: string;
  readonly accountName: string;
  readonly accountUrl: () => string;
  /** Folders in front of the PATH of tasks. */
  readonly pathPrepend: readonly string[];
  readonly storage?: OwnStorage;
  /** Undefined where no container engine answers. */
  readonly containers?: ContainerRunner;
}

/** Where a task runs: its node, its folder there, and what it belongs to. */
export interface Place {
  readonly poolId: string;
  readonly nodeId: string;
  readonly isDedicated: boolean;
  /** IP address of the node. */
  readonly address: string;
  /** Root folder of the node. */
  readonly root: string;
  readonly taskDir: string;
  readonly jobId?: string;
  readonly taskId?: string;
  /** Folder of the job preparation task on this node. */
  readonly jobPrepDir?: string;
  /** How the pool runs containers; undefined for a pool that runs none. */
  readonly containers?: ContainerConfiguration;
}

/** Variables of this machine that programs need to run; nothing else of its environment reaches a task. */
const inherited = ['LANG', 'LC_ALL', 'TMPDIR', 'TMP', 'TEMP', 'SystemRoot', 'PATHEXT', 'USER', 'LOGNAME'];
const inheritedVariables = Object.fromEntries(
  inherited.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
);
const machinePath = process.env.PATH ?? '';

/** A path below a folder whose path is absolute and normal already: `join` takes long for the many of each task. */
function below(folder: string, ...names: readonly string[]): string {
  return [folder, ...names].join(sep);
}

/** Folders that every node has. */
const nodeFolders = ['applications', 'fsmounts', 'shared', 'startup/wd', 'volatile', 'workitems'];

export async function makeNodeFolders(root: string): Promise<void> {
  await Promise.all(nodeFolders.map((folder) => mkdir(join(root, folder), { recursive: true })));
}

export function nodeRoot({ dataDir }: Surroundings, poolId: string, nodeId: string): string {
  return new DataFolder(dataDir).node(poolId, nodeId);
}

/** `SCHEDULE:job-N` of a job schedule has the folders SCHEDULE and job-N; any other job has its own, with one job-1. */
function jobPath(jobId: string): string[] {
  const [owner = '', run = 'job-1'] = jobId.split(':');
  return [owner, run];
}

/** Path of a task's folder below the root of its node, with slashes. */
export function taskPath(jobId: string, taskId: string): string {
  return ['workitems', ...jobPath(jobId), taskId].join('/');
}

/** Folder of a job on a node. */
export function jobFolder(root: string, jobId: string): string {
  return pathInside(root, 'workitems', ...(jobId.includes(':') ? jobPath(jobId) : [jobId]));
}

/** Folder of a task on a node. */
export function taskFolder(root: string, jobId: string, taskId: string): string {
  return pathInside(root, ...taskPath(jobId, taskId).split('/'));
}

/**
 * The environment of a task that runs as a process: Batch's variables, and what programs of this machine need. HOME is
 * the working directory, and PATH ends with the shared folder of the node and the working directory.
 */
export function environmentOf(
  surroundings: Surroundings,
  place: Place,
  settings: readonly Wire[],
): NodeJS.ProcessEnv {
  const workingDir = below(place.taskDir, 'wd');
  const shared = below(place.root, 'shared');
  const path = [...surroundings.pathPrepend, machinePath, shared, workingDir].filter(Boolean);
  return {
    ...inheritedVariables,
    HOME: workingDir,
    PATH: path.join(delimiter),
    ...batchVariables(surroundings, place, settings),
  };
}

/**
 * Batch's variables for a task, then those of the job and the task.
 * https://learn.microsoft.com/azure/batch/batch-compute-node-environment-variables
 */
export function batchVariables(
  surroundings: Surroundings,
  place: Place,
  settings: readonly Wire[],
): Record<string, string> {
  const { root, taskDir, jobId, taskId, jobPrepDir } = place;
  return {
    AZ_BATCH_ACCOUNT_NAME: surroundings.accountName,
    AZ_BATCH_ACCOUNT_URL: surroundings.accountUrl(),
    AZ_BATCH_POOL_ID: place.poolId,
    AZ_BATCH_NODE_ID: place.nodeId,
    AZ_BATCH_NODE_IS_DEDICATED: String(place.isDedicated),
    // On a node of Azure, its address is that of the machine.
    LOCAL_BATCH_NODE_ADDRESS: place.address,
    AZ_BATCH_NODE_ROOT_DIR: root,
    AZ_BATCH_NODE_SHARED_DIR: below(root, 'shared'),
    AZ_BATCH_NODE_STARTUP_DIR: below(root, 'startup'),
    AZ_BATCH_NODE_STARTUP_WORKING_DIR: below(root, 'startup', 'wd'),
    AZ_BATCH_NODE_MOUNTS_DIR: below(root, 'fsmounts'),
    AZ_BATCH_TASK_DIR: taskDir,
    AZ_BATCH_TASK_WORKING_DIR: below(taskDir, 'wd'),
    AZ_BATCH_CERTIFICATES_DIR: below(taskDir, 'certs'),
    AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES: String(reserveBytes),
    ...(jobId === undefined ? {} : { AZ_BATCH_JOB_ID: jobId }),
    ...(taskId === undefined ? {} : { AZ_BATCH_TASK_ID: taskId }),
    ...(jobPrepDir === undefined
      ? {}
      : { AZ_BATCH_JOB_PREP_DIR: jobPrepDir, AZ_BATCH_JOB_PREP_WORKING_DIR: below(jobPrepDir, 'wd') }),
    ...Object.fromEntries(settings.map(({ name, value }) => [String(name), String(value ?? '')])),
  };
}
