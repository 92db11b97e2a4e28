import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDiskFull } from '../guard/dataFolder';
import { durationMs } from '../wire/time';
import type { Wire } from '../wire/wire';
import { splitCommandLine } from './commandLine';
import {
  type ContainerInfo,
  type ContainerSettings,
  type ContainerTask,
  engineFailure,
  type RunningContainer,
} from './containerTask';
import { batchVariables, environmentOf, type Place, type Surroundings } from './environment';
import { type OutputFile, uploadOutputFiles } from './outputFiles';
import { isOwn } from './ownStorage';
import { type RunningGroup, type RunningProcess, startProcess } from './processes/processes';
import { fetchResourceFiles, type ResourceFile } from './resourceFiles';
import { type FailureInfo, TaskFailure } from './taskFailure';

export interface Attempt {
  readonly commandLine: string;
  readonly taskDir: string;
  readonly env: NodeJS.ProcessEnv;
  /** For a task that runs in a container, which has an environment of its own. */
  readonly container?: ContainerTask;
  readonly resourceFiles: readonly ResourceFile[];
  readonly outputFiles: readonly OutputFile[];
  /** Milliseconds for downloads, the program and uploads together; undefined or Infinity for no limit. */
  readonly limitMs?: number;
  /** Folder where the process is recorded while it runs. */
  readonly recordFolder: string;
  readonly surroundings: Surroundings;
}

/** How one attempt at a task ended. */
export interface Outcome {
  readonly exitCode?: number;
  readonly failureInfo?: FailureInfo;
  readonly containerInfo?: ContainerInfo;
  /** Ended by the service (termination, reboot, shutdown), not by itself. */
  readonly stopped?: boolean;
}

/** Timers of Node cannot be longer. */
const maxTimerMs = 2_147_483_647;
/** After the time limit has ended a program, its output files for failures are still uploaded, for this long. */
export const lateUploadMs = 30_000;

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

const timeFailure = endedFailure('ServerError', 'because it ran longer than its maxWallClockTime');

/** An error as a client reads it on the resource that it struck. */
export function failureOf(error: unknown): FailureInfo {
  if (error instanceof TaskFailure) return error.info;
  return {
    category: 'ServerError',
    code: isDiskFull(error) ? 'DiskFull' : 'TaskInternalError',
    message: 'An internal error occurred while the task was run',
    details: [{ name: 'Message', value: error instanceof Error ? error.message : String(error) }],
  };
}

/**
 * Runs one attempt: resource files, the program, output files. Aborting ends it with all it started. Never rejects: an
 * error of the service becomes the failure of the task.
 */
export function runAttempt(attempt: Attempt, signal: AbortSignal): Promise<Outcome> {
  return withinLimit(attempt, signal, (limit) => runWithin(attempt, signal, limit));
}

/** The limit of an attempt without one. */
const noLimit = new AbortController().signal;

/** Does the work of an attempt within its time limit, at which `limit` aborts. Never rejects. */
export async function withinLimit(
  { limitMs = Number.POSITIVE_INFINITY }: Attempt,
  signal: AbortSignal,
  work: (limit: AbortSignal) => Promise<Outcome>,
): Promise<Outcome> {
  const controller = Number.isFinite(limitMs) ? new AbortController() : undefined;
  const limit = controller?.signal ?? noLimit;
  const stopTimer = controller && startTimer(limitMs, () => controller.abort());
  try {
    return await work(limit);
  } catch (error) {
    if (signal.aborted) return { stopped: true };
    if (limit.aborted) return { failureInfo: timeFailure };
    return { failureInfo: failureOf(error) };
  } finally {
    stopTimer?.();
  }
}

/** Calls back once after a time of any length. Returns a function that stops the timer. */
function startTimer(ms: number, onEnd: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const wait = (left: number) => {
    const step = Math.min(left, maxTimerMs);
    timer = setTimeout(() => (left > step ? wait(left - step) : onEnd()), step);
  };
  wait(ms);
  return () => clearTimeout(timer);
}

/** A signal that aborts with `signal` or at the limit. A limit that never comes keeps no record of such signals. */
export function eitherOf(signal: AbortSignal, limit: AbortSignal): AbortSignal {
  return limit === noLimit ? signal : AbortSignal.any([signal, limit]);
}

/** Runs one attempt until it ends, or one of the signals aborts. Rejects with a TaskFailure or an error of the service. */
export async function runWithin(attempt: Attempt, signal: AbortSignal, limit: AbortSignal): Promise<Outcome> {
  const workingDir = makeTaskFolders(attempt);
  const either = eitherOf(signal, limit);
  await fetchResourceFiles(attempt.resourceFiles, workingDir, either, attempt.surroundings.storage);
  either.throwIfAborted();
  const { exitCode, ...container } = await endOf(await startProgram(attempt, either), either);
  const ended = { exitCode, ...container };
  if (signal.aborted) return { ...ended, stopped: true };
  const isLate = limit.aborted;
  const uploading = isLate ? AbortSignal.any([signal, AbortSignal.timeout(lateUploadMs)]) : either;
  const uploadFailure = await upload(attempt, exitCode, uploading);
  if (signal.aborted) return { ...ended, stopped: true };
  if (limit.aborted) return { ...ended, failureInfo: timeFailure };
  if (uploadFailure) return { ...ended, failureInfo: uploadFailure };
  return { ...ended, ...exitOutcome(exitCode) };
}

/**
 * Makes the folders of a task on its node. Returns its working directory. The calls block: a folder is made in less time
 * than it takes to have another thread make it.
 */
export function makeTaskFolders({ taskDir }: Attempt): string {
  const workingDir = join(taskDir, 'wd');
  for (const folder of [workingDir, join(taskDir, 'certs')]) mkdirSync(folder, { recursive: true });
  return workingDir;
}

/** The outcome of a program that ended by itself. */
export function exitOutcome(exitCode: number): Outcome {
  return exitCode === 0 ? { exitCode } : { exitCode, failureInfo: exitFailure };
}

/** Resolves to why the upload failed. What is in the service's own Blob Storage is on the disk then. */
export async function upload(
  { outputFiles, taskDir, env, surroundings }: Attempt,
  exitCode: number,
  signal: AbortSignal,
): Promise<FailureInfo | undefined> {
  const workingDir = join(taskDir, 'wd');
  try {
    const { storage } = surroundings;
    const place = { taskDir, workingDir, env, storage };
    const written = await uploadOutputFiles(outputFiles, place, exitCode, signal);
    if ([...written].some((url) => isOwn(storage, url))) await storage?.save(signal);
    return undefined;
  } catch (error) {
    return failureOf(error);
  }
}

/** How a program has ended. */
interface ProgramEnd {
  readonly exitCode: number;
  readonly containerInfo?: ContainerInfo;
}

/** Resolves to how a program ends, which is ended when the signal aborts. */
export async function endOf(
  running: RunningProcess | RunningContainer,
  signal: AbortSignal,
): Promise<ProgramEnd> {
  const stop = () => running.kill();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    const { exitCode } = await running.done;
    return 'info' in running ? { exitCode, containerInfo: running.info } : { exitCode };
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Starts the program of an attempt. Throws a TaskFailure if it cannot be started. */
async function startProgram(
  attempt: Attempt,
  signal: AbortSignal,
): Promise<RunningProcess | RunningContainer> {
  const { commandLine, container, surroundings, taskDir } = attempt;
  if (container === undefined) return startPlain(attempt);
  try {
    if (surroundings.containers === undefined) throw engineFailure();
    const order = { ...outputOf(attempt), commandLine, workingDir: join(taskDir, 'wd') };
    return await surroundings.containers.start(container, order, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof TaskFailure ? error : new TaskFailure(programFailure(error));
  }
}

/**
 * Starts the program of an attempt as a process. With `keepsGroup`, what it leaves running stays until the group is
 * ended. Throws a TaskFailure if it cannot be started.
 */
export async function startPlain(
  attempt: Attempt,
  { keepsGroup = false }: { readonly keepsGroup?: boolean } = {},
): Promise<RunningGroup> {
  try {
    return await startProcess({
      ...outputOf(attempt),
      argv: splitCommandLine(attempt.commandLine),
      cwd: join(attempt.taskDir, 'wd'),
      env: attempt.env,
      keepsGroup,
    });
  } catch (error) {
    throw new TaskFailure(programFailure(error));
  }
}

function outputOf({ taskDir, recordFolder }: Attempt) {
  return {
    stdoutPath: join(taskDir, 'stdout.txt'),
    stderrPath: join(taskDir, 'stderr.txt'),
    recordFolder,
  };
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

/** The attempt that a task's own description asks for, with the environment settings of all that it belongs to. */
export function attemptOf(
  wire: Wire,
  place: Place,
  settings: readonly Wire[],
  recordFolder: string,
  surroundings: Surroundings,
): Attempt {
  const constraints = wire.constraints as Wire | undefined;
  const container = wire.containerSettings as ContainerSettings | undefined;
  return {
    commandLine: String(wire.commandLine ?? ''),
    taskDir: place.taskDir,
    env: environmentOf(surroundings, place, settings),
    ...(container && {
      container: {
        settings: container,
        configuration: place.containers,
        place,
        variables: batchVariables(surroundings, place, settings),
      },
    }),
    resourceFiles: (wire.resourceFiles as ResourceFile[] | undefined) ?? [],
    outputFiles: (wire.outputFiles as OutputFile[] | undefined) ?? [],
    limitMs: durationMs(constraints?.maxWallClockTime as string | undefined),
    recordFolder,
    surroundings,
  };
}
