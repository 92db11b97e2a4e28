import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Wire } from '../wire/wire';
import type { RunningGroup } from './processes/processes';
import { fetchResourceFiles, type ResourceFile } from './resourceFiles';
import type { FailureInfo } from './taskFailure';
import {
  type Attempt,
  eitherOf,
  endedFailure,
  endOf,
  exitOutcome,
  failureOf,
  lateUploadMs,
  makeTaskFolders,
  type Outcome,
  runWithin,
  startPlain,
  upload,
  withinLimit,
} from './taskRunner';

// Tasks that run on several nodes at once: each instance runs the coordination command, then the primary alone the
// command line of the task. https://learn.microsoft.com/azure/batch/batch-mpi

export interface Settings {
  readonly numberOfInstances?: number;
  readonly coordinationCommandLine: string;
  readonly commonResourceFiles?: readonly ResourceFile[];
}

/** The settings of a multi-instance task; undefined for any other task. */
export function settingsOf({ multiInstanceSettings }: Wire): Settings | undefined {
  return multiInstanceSettings as Settings | undefined;
}

/** Nodes that a task runs on at once. */
export function instancesOf(wire: Wire): number {
  return settingsOf(wire)?.numberOfInstances ?? 1;
}

/** What an instance runs before the primary runs the task: the coordination command, with the common resource files. */
export function coordinationOf(attempt: Attempt, settings: Settings): Attempt {
  const { coordinationCommandLine: commandLine, commonResourceFiles: resourceFiles = [] } = settings;
  return { ...attempt, commandLine, resourceFiles, outputFiles: [] };
}

/**
 * Cores of a node by the name of its size: `standard_d2s_v5` has 2. The second number of a constrained size counts:
 * `standard_m128-32ms` has 32. https://learn.microsoft.com/azure/virtual-machines/constrained-vcpu
 */
export function activeCores({ vmSize }: Wire): number {
  const [, all = '1', active = all] = /(\d+)(?:-(\d+))?/.exec(String(vmSize)) ?? [];
  return Number(active);
}

/** Of the node of the primary; Azure reserves it for its own use. */
const masterPort = 6000;

/**
 * The environment variables of one instance: 0 is the primary. `hosts` are the addresses of all instances in their order,
 * `cores` those of each node, and `remoteShell` is a program that takes the place of SSH.
 * https://learn.microsoft.com/azure/batch/batch-compute-node-environment-variables
 */
export function instanceSettings(
  hosts: readonly string[],
  instance: number,
  taskDir: string,
  cores: number,
  remoteShell: string | undefined,
): Wire[] {
  const values = {
    AZ_BATCH_NODE_LIST: hosts.join(';'),
    AZ_BATCH_HOST_LIST: hosts.join(','),
    AZ_BATCH_MASTER_NODE: `${hosts[0]}:${masterPort}`,
    AZ_BATCH_IS_CURRENT_NODE_MASTER: String(instance === 0),
    AZ_BATCH_TASK_SHARED_DIR: taskDir,
    // Open MPI starts its processes on other nodes with it. https://docs.open-mpi.org (plm_rsh_agent)
    // The daemons of one machine share their topology at an address that they guess, which crashes some of them now and then.
    // They stay attached, so that the remote shell can remove their folder when they end.
    ...(remoteShell === undefined
      ? {}
      : {
          OMPI_MCA_plm_rsh_agent: remoteShell,
          OMPI_MCA_rtc_hwloc_vmhole: 'none',
          OMPI_MCA_orte_leave_session_attached: '1',
        }),
    CCP_NODES: [hosts.length, ...hosts.flatMap((host) => [host, cores])].join(' '),
  };
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}

/**
 * All nodes are this machine: the command runs here, and the host before it is left out. It has temporary files of its own, as
 * on a node: the daemons of Open MPI fail now and then when they make the same folder at once. The path is short, because
 * they make sockets below it.
 */
const remoteShellText = `#!/bin/sh
shift
folder=$(mktemp -d /tmp/rsh.XXXXXX) || exit
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' HUP INT TERM
TMPDIR=$folder /bin/sh -c "$*"
`;

/**
 * Makes the program of a node that runs a command on another node of the task, in the place of SSH, unless the node has it:
 * it may be running. Resolves to its path; undefined for a path with spaces, which Open MPI takes for arguments.
 */
export async function makeRemoteShell(root: string): Promise<string | undefined> {
  const folder = join(root, 'volatile');
  const path = join(folder, 'rsh');
  if (/\s/.test(path) || process.platform === 'win32') return undefined;
  if ((await readFile(path, 'utf8').catch(() => '')) === remoteShellText) return path;
  await mkdir(folder, { recursive: true });
  await writeFile(path, remoteShellText, { mode: 0o755 });
  return path;
}

export interface MultiInstanceRun {
  /** What the primary runs when all instances are coordinated. Its time limit applies to all of it. */
  readonly application: Attempt;
  /** The coordination of the primary, then of each subtask; their resource files are the common ones. */
  readonly coordinations: readonly Attempt[];
  /** Called with how the coordination of a subtask has ended. */
  readonly onSubtaskEnd: (id: number, outcome: Outcome) => void;
}

/**
 * Runs one attempt at a multi-instance task. What the coordination commands leave running ends with it. Never rejects: an
 * error of the service becomes the failure of the task.
 */
export function runMultiInstance(run: MultiInstanceRun, signal: AbortSignal): Promise<Outcome> {
  const { application } = run;
  return withinLimit(application, signal, async (limit) => {
    const groups = new Groups();
    try {
      const failed = await coordinate(run, groups, eitherOf(signal, limit));
      signal.throwIfAborted();
      if (failed === undefined && !limit.aborted)
        return await runWithin({ ...application, resourceFiles: [] }, signal, limit);
      // The output files for failures say why.
      const uploading = AbortSignal.any([signal, AbortSignal.timeout(lateUploadMs)]);
      await upload(application, failed?.exitCode ?? 1, uploading);
      signal.throwIfAborted();
      if (failed) return failed;
      throw limit.reason;
    } finally {
      await groups.end();
    }
  });
}

/** The process groups of coordination commands. */
class Groups {
  readonly #running: RunningGroup[] = [];

  add(running: RunningGroup): void {
    this.#running.push(running);
  }

  async end(): Promise<void> {
    await Promise.all(this.#running.map((running) => running.endGroup()));
  }
}

/** Coordinates all instances at once. Resolves to how the task fails if one of them does, which ends the others. */
async function coordinate(
  { application, coordinations, onSubtaskEnd }: MultiInstanceRun,
  groups: Groups,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  const stopping = new AbortController();
  const either = AbortSignal.any([signal, stopping.signal]);
  let failed: Outcome | undefined;
  await Promise.all(
    coordinations.map(async (coordination, id) => {
      const ownFiles = id === 0 ? application.resourceFiles : [];
      const outcome = await coordinateOne(coordination, ownFiles, groups, either);
      if (outcome.failureInfo && !outcome.stopped) {
        failed ??= id === 0 ? outcome : { failureInfo: subtaskFailure(id, outcome.failureInfo, outcome) };
        stopping.abort();
      }
      if (id > 0) onSubtaskEnd(id, outcome);
    }),
  );
  return failed;
}

/** Why a subtask has ended that did not end by itself. */
export const endedWithTask = endedFailure('ServerError', 'with its multi-instance task');

/** An instance that was ended has failed as well, for that reason. */
async function coordinateOne(
  coordination: Attempt,
  ownFiles: readonly ResourceFile[],
  groups: Groups,
  signal: AbortSignal,
): Promise<Outcome> {
  const { resourceFiles, surroundings, taskDir } = coordination;
  const stopped = { stopped: true, failureInfo: endedWithTask };
  try {
    const workingDir = makeTaskFolders(coordination);
    await fetchResourceFiles(resourceFiles, taskDir, signal, surroundings.storage);
    await fetchResourceFiles(ownFiles, workingDir, signal, surroundings.storage);
    signal.throwIfAborted();
    const running = await startPlain(coordination, { keepsGroup: true });
    groups.add(running);
    const { exitCode } = await endOf(running, signal);
    return signal.aborted ? { exitCode, ...stopped } : exitOutcome(exitCode);
  } catch (error) {
    return signal.aborted ? stopped : { failureInfo: failureOf(error) };
  }
}

/** Why a task fails whose subtask has failed: for the same reason, which names the subtask. */
function subtaskFailure(id: number, info: FailureInfo, { exitCode }: Outcome): FailureInfo {
  return {
    ...info,
    details: [
      ...(info.details ?? []),
      { name: 'SubtaskId', value: String(id) },
      ...(exitCode === undefined ? [] : [{ name: 'SubtaskExitCode', value: String(exitCode) }]),
    ],
  };
}
