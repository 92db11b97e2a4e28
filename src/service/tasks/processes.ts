import { type ChildProcess, spawn } from 'node:child_process';
import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { endTree, recordPath, startTime } from './processTree';
import type { StartOrder, StartReply } from './startOrders';

export interface ProcessRequest extends Omit<StartOrder, 'id'> {
  /** Wall-clock milliseconds after which its tree is ended. */
  readonly limitMs?: number;
}

export interface ProcessEnd {
  /** As a shell tells it: 128 and the signal's number when a signal ended it. */
  readonly exitCode: number;
  readonly timedOut: boolean;
}

export interface RunningProcess {
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

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface Started {
  readonly pid: number;
  readonly ended: Promise<Ended>;
}

interface Waiting {
  readonly started: (pid: number) => void;
  readonly refused: (error: Error) => void;
  readonly ended: (end: Ended) => void;
  pid?: number;
}

/** The small process that starts programs for this one; `starter.ts` says why. */
class Starter {
  readonly #waiting = new Map<number, Waiting>();
  #child: ChildProcess | undefined;
  #orders = 0;

  async start(order: Omit<StartOrder, 'id'>): Promise<Started> {
    const id = this.#orders++;
    this.#child ??= this.#open();
    const child = this.#child;
    let ended: (end: Ended) => void = () => undefined;
    const end = new Promise<Ended>((resolve) => {
      ended = resolve;
    });
    const pid = await new Promise<number>((started, refused) => {
      this.#waiting.set(id, { started, refused, ended });
      child.send({ ...order, id }, (error) => error && this.#refuse(id, error));
    });
    return { pid, ended: end };
  }

  #open(): ChildProcess {
    const path = join(dirname(fileURLToPath(import.meta.url)), 'starter.js');
    const child = spawn(process.execPath, [path], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
      windowsHide: true,
    });
    child.on('message', (reply: StartReply) => this.#hear(reply));
    child.once('error', (error) => this.#lose(child, error));
    child.once('exit', (code) => this.#lose(child, new Error(`The starter ended with ${code}.`)));
    return child;
  }

  #hear(reply: StartReply): void {
    const waiting = this.#waiting.get(reply.id);
    switch (reply.kind) {
      case 'started':
        if (waiting) waiting.pid = reply.pid;
        waiting?.started(reply.pid);
        return;
      case 'refused':
        this.#refuse(reply.id, Object.assign(new Error(reply.message), { code: reply.code }));
        return;
      case 'ended':
        waiting?.ended(reply);
        this.#waiting.delete(reply.id);
    }
  }

  #refuse(id: number, error: Error): void {
    this.#waiting.get(id)?.refused(error);
    this.#waiting.delete(id);
  }

  /** What it had started is ended: nobody would learn how it ends by itself. */
  #lose(child: ChildProcess, error: Error): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    for (const { pid, refused, ended } of this.#waiting.values()) {
      if (pid !== undefined) endTree(pid, 'SIGKILL');
      refused(error);
      ended({ code: null, signal: 'SIGKILL' });
    }
    this.#waiting.clear();
  }
}

const starter = new Starter();

/** Starts a program in a process group of its own. Rejects when it could not be started (`ENOENT`). */
export async function startProcess({ limitMs, ...order }: ProcessRequest): Promise<RunningProcess> {
  const { pid, ended } = await starter.start(order);
  let timedOut = false;
  let isOver = false;
  const kill = () => {
    if (isOver) return;
    endTree(pid, 'SIGTERM');
    setTimeout(() => !isOver && endTree(pid, 'SIGKILL'), graceMs).unref();
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
  const done = ended.then(async ({ code, signal }) => {
    isOver = true;
    clearTimeout(timer);
    await rm(recordPath(order.recordFolder, pid), { force: true });
    return { exitCode: code ?? 128 + (signalNumbers[signal ?? ''] ?? 15), timedOut };
  });
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
