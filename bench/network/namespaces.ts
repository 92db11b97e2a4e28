import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface LinkOptions {
  readonly bitsPerSecond: number;
  readonly roundTripMs: number;
  /** Share of the packets that is lost, from 0 to 1. */
  readonly loss: number;
  readonly seed: number;
  /** TCP's congestion control on both sides. Default: this machine's. */
  readonly congestion?: string;
}

const congestionSetting = 'net.ipv4.tcp_congestion_control';

/** Two network namespaces of this machine that a slow link joins. Needs root. */
export class Link {
  static readonly clientHost = '10.77.0.1';
  static readonly storageHost = '10.77.0.2';
  readonly #folder = mkdtempSync(join(tmpdir(), 'link-'));
  readonly #client = `bench-client-${process.pid}`;
  readonly #storage = `bench-storage-${process.pid}`;
  #program: ChildProcess | undefined;
  /** How the link is made. */
  kind = '';
  /** TCP's congestion control. */
  congestion = '';

  private constructor() {}

  static async open(options: LinkOptions): Promise<Link> {
    const link = new Link();
    try {
      await link.#open(options);
      return link;
    } catch (error) {
      link.close();
      throw error;
    }
  }

  async #open(options: LinkOptions): Promise<void> {
    for (const name of [this.#client, this.#storage]) ip('netns', 'add', name);
    if (hasNetem()) this.#openNetem(options);
    else await this.#openProgram(options);
    const { congestion } = options;
    if (congestion !== undefined) {
      for (const name of [this.#client, this.#storage])
        ip('netns', 'exec', name, 'sysctl', '-qw', `${congestionSetting}=${congestion}`);
    }
    const [file, read] = this.inside('client', 'sysctl', '-n', congestionSetting);
    this.congestion = execFileSync(file, read, { encoding: 'utf8' }).trim();
  }

  #openNetem({ bitsPerSecond, roundTripMs, loss }: LinkOptions): void {
    this.kind = 'veth pair with tc netem';
    ip(
      'link',
      'add',
      'link0',
      'netns',
      this.#client,
      'type',
      'veth',
      'peer',
      'link0',
      'netns',
      this.#storage,
    );
    const packets = Math.ceil(((bitsPerSecond / 8 / 1500) * Math.max(2 * roundTripMs, 20)) / 1000);
    for (const [name, host] of [
      [this.#client, Link.clientHost],
      [this.#storage, Link.storageHost],
    ] as const) {
      const inside = (...command: string[]) => ip('netns', 'exec', name, ...command);
      inside('ip', 'addr', 'add', `${host}/24`, 'dev', 'link0');
      inside('ip', 'link', 'set', 'link0', 'up');
      inside('ip', 'link', 'set', 'lo', 'up');
      const shape = [
        'rate',
        `${bitsPerSecond}bit`,
        'delay',
        `${roundTripMs / 2}ms`,
        'limit',
        String(packets),
      ];
      inside('tc', 'qdisc', 'add', 'dev', 'link0', 'root', 'netem', ...shape, 'loss', `${loss * 100}%`);
    }
  }

  async #openProgram({ bitsPerSecond, roundTripMs, loss, seed }: LinkOptions): Promise<void> {
    this.kind = 'two TUN interfaces with bench/network/link.c, because this kernel has no netem';
    const program = join(this.#folder, 'link');
    execFileSync('cc', ['-O2', '-o', program, 'bench/network/link.c'], { stdio: 'inherit' });
    const ends = [this.#client, `${Link.clientHost}/24`, this.#storage, `${Link.storageHost}/24`];
    const shape = [bitsPerSecond, roundTripMs, loss, seed].map(String);
    this.#program = spawn(program, [...ends, ...shape], { stdio: ['ignore', 'pipe', 'inherit'] });
    await firstLine(this.#program);
  }

  /** The command that runs a program on one side. */
  inside(side: 'client' | 'storage', ...command: string[]): [string, string[]] {
    return ['ip', ['netns', 'exec', side === 'client' ? this.#client : this.#storage, ...command]];
  }

  close(): void {
    this.#program?.kill();
    for (const name of [this.#client, this.#storage]) {
      try {
        ip('netns', 'del', name);
      } catch {
        // It was not created.
      }
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Resolves with the first line that a program prints. Rejects if it ends before that. */
export async function firstLine(program: ChildProcess): Promise<string> {
  if (program.stdout === null) throw new Error('the program has no output');
  const lines = createInterface(program.stdout);
  const ended = once(program, 'exit').then(([code]) => {
    throw new Error(`${program.spawnfile} ended with ${code}`);
  });
  const [line] = await Promise.race([once(lines, 'line'), ended]);
  ended.catch(() => undefined);
  return line;
}

/** Whether this machine can join two namespaces: why not, or undefined. */
export function whyNoLink(): string | undefined {
  if (process.getuid?.() !== 0) return 'Network namespaces need root.';
  try {
    ip('-V');
    return undefined;
  } catch {
    return 'The program ip (iproute2) is missing.';
  }
}

function hasNetem(): boolean {
  try {
    const probe = `bench-probe-${process.pid}`;
    ip('netns', 'add', probe);
    try {
      ip('netns', 'exec', probe, 'tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'netem', 'delay', '1ms');
      return true;
    } finally {
      ip('netns', 'del', probe);
    }
  } catch {
    return false;
  }
}

function ip(...options: string[]): void {
  execFileSync('ip', options, { stdio: ['ignore', 'ignore', 'pipe'] });
}
