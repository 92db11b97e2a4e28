import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

export type EngineChoice = 'auto' | 'docker' | 'podman' | 'none';

export function isEngineChoice(text: string): text is EngineChoice {
  return ['auto', 'docker', 'podman', 'none'].includes(text);
}

/** What a command of the engine has printed, and its exit code. */
export interface EngineResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
  /** Milliseconds after which the command is ended; 0 for no limit. */
  readonly limitMs?: number;
}

/** An engine whose daemon does not answer within this time counts as none. */
const answerMs = 5_000;
const defaultLimitMs = 60_000;
/** Bytes of a command's output that are kept. */
const maxOutput = 1024 * 1024;

/** The first field of each answer is the version of what runs containers, not of the command line. */
const questions = {
  docker: ['info', '--format', '{{.ServerVersion}} {{.SecurityOptions}}'],
  podman: ['info', '--format', '{{.Version.Version}} rootless={{.Host.Security.Rootless}}'],
} as const;

/** A container engine of this machine, called by its command line. */
export class ContainerEngine {
  private constructor(
    readonly name: 'docker' | 'podman',
    readonly version: string,
    /** Root in a container of a rootless engine is the user who runs the engine. */
    private readonly isRootless: boolean,
    /** Where Docker's client finds its daemon, if that is not the default of its environment. */
    private readonly dockerHost: string | undefined,
    /** Options of every container that this engine creates. */
    readonly createOptions: readonly string[],
  ) {}

  /**
   * The first engine on the PATH that answers; undefined if none does. A client without a daemon counts as none. Engines
   * are not looked for on Windows, where containers have no paths of the host.
   */
  static async find(choice: EngineChoice): Promise<ContainerEngine | undefined> {
    if (choice === 'none' || process.platform === 'win32') return undefined;
    for (const name of choice === 'auto' ? (['docker', 'podman'] as const) : [choice]) {
      const { code, stdout } = await call(name, questions[name], { limitMs: answerMs });
      const [version = ''] = stdout.trim().split(' ');
      if (code !== 0 || !/^\d/.test(version)) continue;
      const isRootless = /rootless=true|name=rootless/.test(stdout);
      const limits = name === 'podman' && !isRootless ? await ownLimits() : [];
      return new ContainerEngine(name, version, isRootless, await hostOf(name), limits);
    }
    return undefined;
  }

  /** `UID:GID` in a container whose files belong to the user of this process. */
  get user(): string {
    return this.isRootless ? '0:0' : `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;
  }

  /** `podman 4.3.1` */
  toString(): string {
    return `${this.name} ${this.version}`;
  }

  /** Runs a command of the engine. Never rejects: a command that cannot be run has the exit code 127. */
  run(args: readonly string[], options: RunOptions = {}): Promise<EngineResult> {
    return call(this.name, args, options);
  }

  /**
   * Runs work with arguments and an environment for a command that reads registry passwords from a private file, which
   * is removed afterwards. So no password is in a command line or an environment.
   */
  async withLogins<T>(
    folder: string,
    write: (path: string, defaultServer: string) => Promise<void>,
    work: (args: readonly string[], env: NodeJS.ProcessEnv) => Promise<T>,
  ): Promise<T> {
    const home = await mkdtemp(join(folder, 'logins-'));
    try {
      if (this.name === 'podman') {
        const path = join(home, 'auth.json');
        await write(path, 'docker.io');
        return await work(['--authfile', path], process.env);
      }
      await write(join(home, 'config.json'), 'https://index.docker.io/v1/');
      const host = this.dockerHost === undefined ? {} : { DOCKER_HOST: this.dockerHost };
      return await work([], { ...process.env, ...host, DOCKER_CONFIG: home });
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  }
}

/** The configuration of Docker's client names the daemon, and is replaced by one with passwords for a pull. */
async function hostOf(name: 'docker' | 'podman'): Promise<string | undefined> {
  if (name === 'podman' || process.env.DOCKER_HOST) return undefined;
  const { code, stdout } = await call(
    name,
    ['context', 'inspect', '--format', '{{.Endpoints.docker.Host}}'],
    {
      limitMs: answerMs,
    },
  );
  return code === 0 && stdout.trim() !== '' ? stdout.trim() : undefined;
}

/** Podman gives itself no more processes than a small system has process ids. */
const maxProcesses = 32_768;

/**
 * Options that give a container the limits of this process. Podman's own are higher, which root may be kept from
 * setting: in a virtual machine or container without CAP_SYS_RESOURCE, no program would start.
 */
async function ownLimits(): Promise<string[]> {
  const text = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  const option = (name: string, title: string, max: number) => {
    const found = new RegExp(`^${title} +(\\d+) +(\\d+) `, 'm').exec(text);
    const values = found?.slice(1).map((value) => Math.min(Number(value), max));
    return values === undefined ? [] : ['--ulimit', `${name}=${values.join(':')}`];
  };
  return [
    ...option('nofile', 'Max open files', Number.POSITIVE_INFINITY),
    ...option('nproc', 'Max processes', maxProcesses),
  ];
}

function call(
  program: string,
  args: readonly string[],
  { env = process.env, signal, limitMs = defaultLimitMs }: RunOptions,
): Promise<EngineResult> {
  return new Promise((resolve) => {
    const settings = { env, signal, timeout: limitMs, maxBuffer: maxOutput, killSignal: 'SIGKILL' as const };
    const child = execFile(program, args, settings, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 127;
      resolve({ code, stdout, stderr: stderr || (error?.message ?? '') });
    });
    child.stdin?.end();
  });
}
