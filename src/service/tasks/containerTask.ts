import type { RunningProcess } from './processes/processes';
import { failure } from './taskFailure';

/** A registry as requests name it, without its password. */
export interface Registry {
  readonly username?: string;
  /** Default: `docker.io`. */
  readonly registryServer?: string;
}

/** `containerSettings` of a task. https://learn.microsoft.com/rest/api/batchservice/tasks/create-task */
export interface ContainerSettings {
  readonly imageName: string;
  readonly containerRunOptions?: string;
  readonly workingDirectory?: 'taskWorkingDirectory' | 'containerImageDefault';
  readonly registry?: Registry;
  readonly containerHostBatchBindMounts?: readonly BindMount[];
}

interface BindMount {
  readonly source?: string;
  readonly isReadOnly?: boolean;
}

/** `containerConfiguration` of a pool. */
export interface ContainerConfiguration {
  readonly type?: string;
  readonly containerImageNames?: readonly string[];
  readonly containerRegistries?: readonly Registry[];
}

/** The folders of a task and its node. */
export interface ContainerPlace {
  readonly root: string;
  readonly taskDir: string;
  readonly jobPrepDir?: string;
}

/** A task that runs in a container: what its description asks for, and where it runs. */
export interface ContainerTask {
  readonly settings: ContainerSettings;
  /** Undefined for a pool that runs no containers. */
  readonly configuration: ContainerConfiguration | undefined;
  readonly place: ContainerPlace;
  /** The environment in the container, beside that of its image. */
  readonly variables: Readonly<Record<string, string>>;
}

/** What the program of a task has for its output and its records. */
export interface ContainerOutput {
  readonly commandLine: string;
  readonly workingDir: string;
  readonly stdoutPath: string;
  readonly stderrPath: string;
  readonly recordFolder: string;
}

/** A container that runs; `info` is what the API shows of it once it has ended. */
export interface RunningContainer extends RunningProcess {
  readonly info: ContainerInfo;
}

/** `containerInfo` of an execution. */
export interface ContainerInfo {
  readonly containerId: string;
  state?: string;
  error?: string;
}

/** Runs tasks in containers. */
export interface ContainerRunner {
  /** Pulls the images that a pool wants on each node before its first task. Throws a TaskFailure. */
  prefetch(configuration: ContainerConfiguration): Promise<void>;
  /**
   * Starts the program of a task in a container of its own, which is removed when the program has ended. Throws a
   * TaskFailure.
   */
  start(task: ContainerTask, output: ContainerOutput, signal: AbortSignal): Promise<RunningContainer>;
}

/** The sentence for a task or pool of containers on a machine that cannot run them. */
export const noEngine =
  'No container engine answers on this machine. Install Podman or start Docker, then restart the local Batch service.';

/** A task that was accepted while an engine answered. */
export function engineFailure() {
  return failure('UserError', 'ContainerPoolNotSupported', 'The pool does not support container tasks', {
    Message: noEngine,
  });
}
