import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { splitCommandLine } from '../commandLine';
import type {
  ContainerConfiguration,
  ContainerInfo,
  ContainerOutput,
  ContainerRunner,
  ContainerTask,
  Registry,
  RunningContainer,
} from '../containerTask';
import { type RunningProcess, startProcess } from '../processes/processes';
import { failure } from '../taskFailure';
import { ContainerEngine, type EngineChoice } from './engine';
import { Registries } from './registries';
import { hasFlag, imageFailure, mounts, poolFailure, runOptions, settingsFailure } from './settings';

const label = 'local-batch-service';
/** Between SIGTERM and SIGKILL. */
const graceSeconds = 1;
const pullMs = 30 * 60_000;
/** Characters of the engine's complaint that a failure quotes. */
const maxQuoted = 1_000;
/** Variables that the command line of an engine reads itself; they reach a container by a file. */
const engineVariables =
  /^(PATH|HOME|TMPDIR|XDG_.*|DOCKER_.*|CONTAINERS?_.*|STORAGE_.*|REGISTRY_.*|BUILDAH_.*|LD_.*|GO[A-Z]+|SSL_.*|.*_proxy)$/i;

/** Runs tasks in containers. */
export class Containers implements ContainerRunner {
  readonly registries: Registries;
  readonly #folder: string;
  readonly #label: string;
  readonly #pulls = new Map<string, Promise<void>>();
  readonly #closing = new AbortController();

  constructor(
    readonly engine: ContainerEngine,
    dataDir: string,
  ) {
    this.registries = new Registries(join(dataDir, 'registries.json'));
    this.#folder = join(dataDir, 'containers');
    this.#label = `${label}=${createHash('sha256').update(dataDir).digest('hex').slice(0, 32)}`;
  }

  /** Undefined where no engine answers. */
  static async find(choice: EngineChoice, dataDir: string): Promise<Containers | undefined> {
    const engine = await ContainerEngine.find(choice);
    return engine && new Containers(engine, dataDir);
  }

  /** Removes the containers and login files that a previous run of the service has left because it was killed. */
  async removeLeftovers(): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    await this.#removeAll();
  }

  /** Ends pulls and removes all containers. Nothing may be started afterwards. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#removeAll();
  }

  async #removeAll(): Promise<void> {
    const { stdout } = await this.engine.run(['ps', '--all', '--quiet', '--filter', `label=${this.#label}`]);
    const ids = stdout.split(/\s+/).filter(Boolean);
    if (ids.length > 0) await this.engine.run(['rm', '--force', ...ids]);
  }

  /**
   * Pulls an image that this machine does not have. Throws a TaskFailure, or the reason of the signal; other tasks that
   * wait for the same image keep waiting then.
   */
  async pull(image: string, registries: readonly Registry[], signal?: AbortSignal): Promise<void> {
    if (/^-|\s/.test(image)) throw imageFailure(image, 'The name of the image is invalid.');
    let pulling = this.#pulls.get(image);
    if (pulling === undefined) {
      pulling = this.#pull(image, registries).finally(() => this.#pulls.delete(image));
      this.#pulls.set(image, pulling);
    }
    await Promise.race([pulling, ...(signal ? [rejection(signal)] : [])]);
  }

  async #pull(image: string, registries: readonly Registry[]): Promise<void> {
    const { code } = await this.engine.run(['image', 'inspect', '--format', '{{.Id}}', image]);
    if (code === 0) return;
    const pull = (args: readonly string[], env: NodeJS.ProcessEnv) =>
      this.engine.run(['pull', '--quiet', ...args, fullName(image)], {
        env,
        signal: this.#closing.signal,
        limitMs: pullMs,
      });
    const result = this.registries.knows(registries)
      ? await this.engine.withLogins(
          this.#folder,
          (path, server) => this.registries.write(path, registries, server),
          pull,
        )
      : await pull([], process.env);
    if (result.code !== 0) throw imageFailure(image, quoted(result.stderr));
  }

  /** Pulls the images that a pool wants on each node before its first task. Throws a TaskFailure. */
  async prefetch({
    containerImageNames = [],
    containerRegistries = [],
  }: ContainerConfiguration): Promise<void> {
    for (const image of containerImageNames) await this.pull(image, containerRegistries);
  }

  /**
   * Starts the program of a task in a container of its own, which is removed when the program has ended. Throws a
   * TaskFailure.
   */
  async start(task: ContainerTask, output: ContainerOutput, signal: AbortSignal): Promise<RunningContainer> {
    const { settings, configuration } = task;
    if (configuration === undefined) throw poolFailure();
    const registries = [settings.registry ?? [], configuration.containerRegistries ?? []].flat();
    await this.pull(settings.imageName, registries, signal);
    const id = await this.#create(task, output.commandLine);
    try {
      signal.throwIfAborted();
      const running = await startProcess({
        argv: [this.engine.name, 'start', '--attach', id],
        cwd: output.workingDir,
        env: process.env,
        stdoutPath: output.stdoutPath,
        stderrPath: output.stderrPath,
        recordFolder: output.recordFolder,
        ifLost: [this.engine.name, 'rm', '--force', id],
      });
      return this.#watched(id, running, output.stderrPath);
    } catch (error) {
      await this.#remove(id);
      throw error;
    }
  }

  #watched(id: string, attached: RunningProcess, stderrPath: string): RunningContainer {
    const info: ContainerInfo = { containerId: id };
    const end = async () => {
      try {
        await attached.done;
        return { exitCode: await this.#exitCode(id, info, stderrPath) };
      } finally {
        await this.#remove(id);
      }
    };
    const detach = () => attached.kill();
    const kill = () => {
      this.engine.run(['stop', id]).then(detach, detach);
    };
    return { info, done: end(), kill };
  }

  /** Creates a container. Its environment is in no command line: a file and the engine's own environment hold it. */
  async #create(task: ContainerTask, commandLine: string): Promise<string> {
    const options = this.#options(task);
    const variables = Object.entries(task.variables);
    const inFile = variables.filter(([name]) => engineVariables.test(name));
    const others = variables.filter(([name]) => !engineVariables.test(name));
    const lines = inFile.map(([name, value]) => `${name}=${value.replaceAll('\n', ' ')}\n`);
    const file = join(this.#folder, randomUUID());
    try {
      await writeFile(file, lines.join(''), { mode: 0o600 });
      const args = [
        'create',
        ...['--env-file', file, ...others.flatMap(([name]) => ['--env', name])],
        ...options,
        task.settings.imageName,
        ...splitCommandLine(commandLine),
      ];
      const env = { ...process.env, ...Object.fromEntries(others) };
      const { code, stdout, stderr } = await this.engine.run(args, { env });
      const id = stdout.trim().split('\n').at(-1) ?? '';
      if (code !== 0 || !/^[0-9a-f]{12,}$/.test(id)) throw settingsFailure(quoted(stderr));
      return id;
    } finally {
      await rm(file, { force: true });
    }
  }

  /** The options of the service, then those of the task, which win. */
  #options(task: ContainerTask): string[] {
    const { settings, place } = task;
    const options = runOptions(settings);
    const isInTaskFolder = settings.workingDirectory !== 'containerImageDefault';
    const unless = (flags: readonly string[], ...option: readonly string[]) =>
      hasFlag(options, ...flags) ? [] : option;
    return [
      ...['--label', this.#label, '--log-driver', 'none', '--security-opt', 'label=disable'],
      ...['--stop-timeout', String(graceSeconds), ...this.engine.createOptions],
      // The Batch service and Blob Storage listen on the loopback address of this machine.
      ...unless(['--network', '--net'], '--network', 'host'),
      // Files that a task leaves in its folders must be the service's to remove.
      ...unless(['--user', '-u'], '--user', this.engine.user),
      ...(isInTaskFolder ? unless(['--workdir', '-w'], '--workdir', join(place.taskDir, 'wd')) : []),
      ...mounts(task),
      ...options,
    ];
  }

  /** The exit code of a container's program. Throws a TaskFailure if the program never started. */
  async #exitCode(id: string, info: ContainerInfo, stderrPath: string): Promise<number> {
    // The command that is attached to it may have been ended by somebody else.
    await this.engine.run(['wait', id], { limitMs: 0, signal: this.#closing.signal });
    const format = '{{.State.ExitCode}}|{{.State.StartedAt}}|{{.State.Status}}|{{.State.Error}}';
    const { code, stdout, stderr } = await this.engine.run(['inspect', '--format', format, id]);
    const [exitCode = '', startedAt = '', state = '', ...error] = stdout.trim().split('|');
    if (code !== 0) throw launchFailure(quoted(stderr));
    info.state = state;
    if (error.join('|') !== '') info.error = error.join('|');
    if (!startedAt.startsWith('0001-')) return Number(exitCode);
    throw launchFailure(info.error ?? (await tail(stderrPath)));
  }

  async #remove(id: string): Promise<void> {
    await this.engine.run(['rm', '--force', id]);
  }
}

/** As Docker reads it: an image without a server is one of Docker Hub. Podman would ask which. */
function fullName(image: string): string {
  const [first = '', ...rest] = image.split('/');
  if (rest.length > 0 && (/[.:]/.test(first) || first === 'localhost')) return image;
  return rest.length > 0 ? `docker.io/${image}` : `docker.io/library/${image}`;
}

/** The failures that a task without a container has when its program cannot be started. */
function launchFailure(reason: string) {
  return /not found|no such file/i.test(reason)
    ? failure('UserError', 'CommandProgramNotFound', 'The specified command program is not found', {
        Message: reason,
      })
    : failure('UserError', 'CommandLaunchFailed', 'The specified command could not be launched', {
        Message: reason,
      });
}

function quoted(text: string): string {
  return text.trim().slice(-maxQuoted);
}

/** The last characters of a file that a task writes. */
async function tail(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined);
  try {
    const size = (await file?.stat())?.size ?? 0;
    const from = Math.max(0, size - maxQuoted);
    const read = await file?.read({ buffer: Buffer.alloc(size - from), position: from });
    return quoted(read?.buffer.toString() ?? '');
  } finally {
    await file?.close();
  }
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
