import { spawn, spawnSync } from 'node:child_process';
import { mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface ProcessRequest {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly stdoutPath: string;
  readonly stderrPath: string;
  /** Wall-clock milliseconds after which its tree is ended. */
  readonly limitMs?: number;
  /** Folder where the process is recorded while it runs, so that the next life of the service finds it. */
  readonly recordFolder: string;
}

export interface ProcessEnd {
  /** As a shell tells it: 128 and the signal's number when a signal ended it. */
  readonly exitCode: number;
  readonly timedOut: boolean;
}

export interface RunningProcess {
  /** Rejects when the program could not be started (`ENOENT`). */
  readonly done: Promise<ProcessEnd>;
  /** Ends the process with everything it started. */
  kill(): void;
}

/** Time between asking a tree to end and ending it. */
const graceMs = 2_000;

const signalNumbers: Record<string, number> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

/** Starts a program in a process group of its own, without a stdin: ffmpeg would wait there for an answer. */
export async function startProcess(request: ProcessRequest): Promise<RunningProcess> {
  const { argv, cwd, env, stdoutPath, stderrPath, limitMs, recordFolder } = request;
  const [program = '', ...args] = argv;
  const [stdout, stderr] = await Promise.all([open(stdoutPath, 'a'), open(stderrPath, 'a')]);
  const child = spawn(program, args, {
    cwd,
    env,
    stdio: ['ignore', stdout.fd, stderr.fd],
    detached: process.platform !== 'win32',
    windowsHide: true,
  });
  let timedOut = false;
  let ended = false;
  const kill = () => {
    if (ended || child.pid === undefined) return;
    endTree(child.pid, 'SIGTERM');
    setTimeout(() => child.pid !== undefined && !ended && endTree(child.pid, 'SIGKILL'), graceMs).unref();
  };
  const hasLimit = limitMs !== undefined && Number.isFinite(limitMs);
  const timer = hasLimit
    ? setTimeout(
        () => {
          timedOut = true;
          kill();
        },
        Math.min(limitMs, 2_000_000_000),
      )
    : undefined;
  const done = new Promise<ProcessEnd>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      // What the program left running in its group ends with it, as on a node.
      if (child.pid !== undefined) endTree(child.pid, 'SIGKILL');
      resolve({ exitCode: code ?? 128 + (signalNumbers[signal ?? ''] ?? 15), timedOut });
    });
  }).finally(async () => {
    ended = true;
    clearTimeout(timer);
    await Promise.all([stdout.close(), stderr.close()]);
    if (child.pid !== undefined) await rm(recordPath(recordFolder, child.pid), { force: true });
  });
  done.catch(() => undefined);
  if (child.pid !== undefined) {
    await mkdir(recordFolder, { recursive: true });
    await writeFile(recordPath(recordFolder, child.pid), (await startTime(child.pid)) ?? '');
  }
  return { done, kill };
}

/** Ends the process groups that an earlier life of the service, killed in the middle, left running. */
export async function killLeftovers(recordFolder: string): Promise<void> {
  const names = await readdir(recordFolder).catch(() => []);
  for (const name of names) {
    const pid = Number(name);
    const recorded = await readFile(join(recordFolder, name), 'utf8').catch(() => '');
    // A pid may belong to somebody else by now; its start time tells.
    if (Number.isInteger(pid) && recorded !== '' && recorded === (await startTime(pid)))
      endTree(pid, 'SIGKILL');
    await rm(join(recordFolder, name), { force: true });
  }
}

function recordPath(folder: string, pid: number): string {
  return join(folder, String(pid));
}

function endTree(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    if (process.platform === 'win32')
      spawnSync('taskkill', ['/pid', String(pid), '/T', '/F'], { windowsHide: true });
    else process.kill(-pid, signal);
  } catch {
    // It is gone.
  }
}

/** What tells a process from a later one with the same pid; undefined where the system does not say. */
export async function startTime(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
