import { mkdir, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { durationMs } from '../wire/time';
import type { Wire } from '../wire/wire';
import { splitCommandLine } from './commandLine';
import { type OutputFile, uploadOutputFiles } from './outputFiles';
import { startProcess } from './processes';
import { fetchResourceFiles, type ResourceFile } from './resourceFiles';
import { type FailureInfo, TaskFailure } from './taskFailure';

/** Where tasks run and what they are told. */
export interface Surroundings {
  readonly dataDir: string;
  readonly accountName: string;
  readonly accountUrl: () => string;
  readonly pathPrepend: readonly string[];
}

export interface Attempt {
  readonly commandLine: string;
  readonly taskDir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly resourceFiles: readonly ResourceFile[];
  readonly outputFiles: readonly OutputFile[];
  readonly limitMs?: number;
  readonly recordFolder: string;
}

/** How one attempt at a task ended. */
export interface Outcome {
  readonly exitCode?: number;
  readonly failureInfo?: FailureInfo;
  /** Ended by somebody, rather than by itself. */
  readonly stopped?: boolean;
}

const exitFailure: FailureInfo = {
  category: 'UserError',
  code: 'FailureExitCode',
  message: 'The task exited with an exit code representing a failure',
  details: [
    { name: 'Message', value: 'The task process exited with an unexpected exit code' },
    { name: 'AdditionalErrorCode', value: 'FailureExitCode' },
  ],
};

export const endedFailure = (category: FailureInfo['category'], why: string): FailureInfo => ({
  category,
  code: 'TaskEnded',
  message: `The task was ended ${why}`,
});

/** Runs one attempt: resource files, the process, output files. Aborting ends the process with all it started. */
export async function runAttempt(attempt: Attempt, signal: AbortSignal): Promise<Outcome> {
  const workingDir = join(attempt.taskDir, 'wd');
  try {
    await mkdir(workingDir, { recursive: true });
    await fetchResourceFiles(attempt.resourceFiles, workingDir, signal);
    const { exitCode, timedOut } = await runProcess(attempt, workingDir, signal);
    if (signal.aborted) return { exitCode, stopped: true };
    await uploadOutputFiles(
      attempt.outputFiles,
      { taskDir: attempt.taskDir, workingDir, env: attempt.env },
      exitCode,
      signal,
    ).catch((error) => {
      throw error instanceof TaskFailure ? new AfterRun(exitCode, error) : error;
    });
    if (timedOut)
      return {
        exitCode,
        failureInfo: endedFailure('ServerError', 'because it ran longer than its maxWallClockTime'),
      };
    return exitCode === 0 ? { exitCode } : { exitCode, failureInfo: exitFailure };
  } catch (error) {
    if (signal.aborted) return { stopped: true };
    if (error instanceof AfterRun) return { exitCode: error.exitCode, failureInfo: error.failure.info };
    if (error instanceof TaskFailure) return { failureInfo: error.info };
    return { failureInfo: programFailure(error) };
  }
}

/** The upload failed after the process had ended: its exit code is kept. */
class AfterRun extends Error {
  constructor(
    readonly exitCode: number,
    readonly failure: TaskFailure,
  ) {
    super(failure.message);
  }
}

async function runProcess(attempt: Attempt, workingDir: string, signal: AbortSignal) {
  const running = await startProcess({
    argv: splitCommandLine(attempt.commandLine),
    cwd: workingDir,
    env: attempt.env,
    stdoutPath: join(attempt.taskDir, 'stdout.txt'),
    stderrPath: join(attempt.taskDir, 'stderr.txt'),
    limitMs: attempt.limitMs,
    recordFolder: attempt.recordFolder,
  });
  const stop = () => running.kill();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await running.done;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function programFailure(error: unknown): FailureInfo {
  const { code } = error as { code?: string };
  if (code === 'ENOENT' || code === 'EACCES') {
    return {
      category: 'UserError',
      code: 'CommandProgramNotFound',
      message: 'The specified command program is not found',
      details: [{ name: 'Message', value: 'The system cannot find the file specified.' }],
    };
  }
  return {
    category: 'ServerError',
    code: code === 'ENOSPC' ? 'DiskFull' : 'CommandLaunchFailed',
    message: 'The specified command could not be launched',
    details: [{ name: 'Message', value: String(error) }],
  };
}

export function nodeRoot({ dataDir }: Surroundings, poolId: string, nodeId: string): string {
  return join(dataDir, 'nodes', poolId, nodeId);
}

/** The folders that every node has. */
export async function makeNodeFolders(root: string): Promise<void> {
  await Promise.all(
    ['applications', 'fsmounts', 'shared', 'startup/wd', 'volatile', 'workitems'].map((folder) =>
      mkdir(join(root, folder), { recursive: true }),
    ),
  );
}

export async function removeNodeFolders(root: string): Promise<void> {
  await rm(root, { recursive: true, force: true, maxRetries: 3 });
}

/**
 * The environment of a task: nothing of this machine's own but what programs need to run, then Batch's variables, the
 * job's and the task's. https://learn.microsoft.com/azure/batch/batch-compute-node-environment-variables
 */
export function environmentOf(
  surroundings: Surroundings,
  place: {
    poolId: string;
    nodeId: string;
    isDedicated: boolean;
    root: string;
    taskDir: string;
    jobId?: string;
    taskId?: string;
  },
  settings: readonly Wire[],
): NodeJS.ProcessEnv {
  const kept = [
    'HOME',
    'LANG',
    'LC_ALL',
    'TMPDIR',
    'TMP',
    'TEMP',
    'SystemRoot',
    'PATHEXT',
    'USER',
    'LOGNAME',
  ];
  const own = Object.fromEntries(
    kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
  const { root, taskDir, jobId, taskId } = place;
  return {
    ...own,
    PATH: [...surroundings.pathPrepend, process.env.PATH ?? ''].join(delimiter),
    AZ_BATCH_ACCOUNT_NAME: surroundings.accountName,
    AZ_BATCH_ACCOUNT_URL: surroundings.accountUrl(),
    AZ_BATCH_POOL_ID: place.poolId,
    AZ_BATCH_NODE_ID: place.nodeId,
    AZ_BATCH_NODE_IS_DEDICATED: String(place.isDedicated),
    AZ_BATCH_NODE_ROOT_DIR: root,
    AZ_BATCH_NODE_SHARED_DIR: join(root, 'shared'),
    AZ_BATCH_NODE_STARTUP_DIR: join(root, 'startup'),
    AZ_BATCH_NODE_MOUNTS_DIR: join(root, 'fsmounts'),
    AZ_BATCH_TASK_DIR: taskDir,
    AZ_BATCH_TASK_WORKING_DIR: join(taskDir, 'wd'),
    AZ_BATCH_CERTIFICATES_DIR: join(taskDir, 'certs'),
    ...(jobId === undefined ? {} : { AZ_BATCH_JOB_ID: jobId }),
    ...(taskId === undefined ? {} : { AZ_BATCH_TASK_ID: taskId }),
    ...Object.fromEntries(settings.map(({ name, value }) => [String(name), String(value ?? '')])),
  };
}

/** What a task's own description says of an attempt. */
export function attemptOf(
  wire: Wire,
  taskDir: string,
  env: NodeJS.ProcessEnv,
  recordFolder: string,
): Attempt {
  const constraints = wire.constraints as Wire | undefined;
  return {
    commandLine: String(wire.commandLine ?? ''),
    taskDir,
    env,
    resourceFiles: (wire.resourceFiles as ResourceFile[] | undefined) ?? [],
    outputFiles: (wire.outputFiles as OutputFile[] | undefined) ?? [],
    limitMs: durationMs(constraints?.maxWallClockTime as string | undefined),
    recordFolder,
  };
}
