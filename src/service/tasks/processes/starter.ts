import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { endTree, forget, recordOf, recordPath, startTime } from './processTree';
import { type EndOrder, outputFlags, type StartOrder, type StartReply } from './startOrders';

// Starts programs for the service in a small process: to start a program, a process copies the tables of its memory and
// stops everything else meanwhile, which takes longer the more memory it has. starter.pl does the same where Perl is.

/** Process groups that were started and have not ended, with the orders that started them. */
const running = new Map<number, StartOrder>();

process.on('message', (order: StartOrder | EndOrder) => {
  if ('endGroup' in order) {
    running.delete(order.endGroup);
    endTree(order.endGroup, 'SIGKILL');
    return;
  }
  start(order).catch((error) => refuse(order.id, error));
});

// The service has died: what it started ends, and its next start runs it again.
process.on('disconnect', () => {
  for (const [pid, order] of running) {
    endTree(pid, 'SIGKILL');
    runIfLost(order);
  }
  process.exit(0);
});

// A signal to the whole process group, as Ctrl+C sends it, is for the service, which ends this process in its time.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

async function start(order: StartOrder): Promise<void> {
  const { id, recordFolder, keepsGroup = false } = order;
  try {
    const child = launch(order);
    const exited = new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
      child.once('exit', (...end) => resolve(end));
    });
    const { pid } = child;
    if (pid === undefined) return;
    running.set(pid, order);
    record(recordFolder, pid, startTime(pid), keepsGroup);
    say({ id, kind: 'started', pid });
    const [code, signal] = await exited;
    if (!keepsGroup) {
      running.delete(pid);
      // What the program left running in its group ends with it, as on a node.
      endTree(pid, 'SIGKILL');
      forget(recordFolder, pid);
    }
    say({ id, kind: 'ended', exitCode: code ?? 128 + constants.signals[signal ?? 'SIGTERM'] });
  } catch (error) {
    refuse(id, error);
  }
}

/**
 * Starts the program; its output files belong to it alone then. The calls block: this process does nothing else, and a
 * thread pool would cost more than they take.
 */
function launch({ id, argv, cwd, env, stdoutPath, stderrPath }: StartOrder): ChildProcess {
  const [program = '', ...args] = argv;
  const files: number[] = [];
  try {
    for (const path of [stdoutPath, stderrPath]) files.push(openSync(path, outputFlags, 0o666));
    const child = spawn(program, args, {
      cwd,
      env,
      // Without stdin: ffmpeg would wait there for an answer.
      stdio: ['ignore', ...files],
      detached: process.platform !== 'win32',
      windowsHide: true,
    });
    child.once('error', (error) => refuse(id, error));
    return child;
  } finally {
    for (const file of files) closeSync(file);
  }
}

/** Its command goes on when this process has ended. */
function runIfLost({ ifLost, env }: StartOrder): void {
  const [program, ...args] = ifLost ?? [];
  if (program === undefined) return;
  spawn(program, args, { env, stdio: 'ignore', detached: true })
    .once('error', () => undefined)
    .unref();
}

/** On a full disk the process runs all the same: this process ends it if the service dies. */
function record(folder: string, pid: number, start: string | undefined, keepsGroup: boolean): void {
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(recordPath(folder, pid), recordOf(start, keepsGroup));
  } catch {
    // Without a record, only a crash of the whole machine could leave it running, and that ends it as well.
  }
}

function refuse(id: number, error: unknown): void {
  const { code, message } = error as { code?: string; message: string };
  say({ id, kind: 'refused', code, message });
}

function say(reply: StartReply): void {
  // The service may end at any moment; `disconnect` tells.
  if (process.connected) process.send?.(reply, undefined, undefined, () => undefined);
}
