import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { endTree, recordPath, startTime } from './processTree';
import type { StartOrder, StartReply } from './startOrders';

// Starts programs for the service, in a process of its own that stays small: for every program that it starts, a process
// copies the tables of its memory, which takes the longer the more of that there is, and stops whatever else it does.

/** Groups that were started and have not ended. */
const running = new Set<number>();

process.on('message', (order: StartOrder) => void start(order));

// Without the service nobody waits for what was started; its next life starts it again.
process.on('disconnect', () => {
  for (const pid of running) endTree(pid, 'SIGKILL');
  process.exit(0);
});

// Whoever ends the service by a signal to its whole group leaves the order of things to it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

async function start({
  id,
  argv,
  cwd,
  env,
  stdoutPath,
  stderrPath,
  recordFolder,
}: StartOrder): Promise<void> {
  const [program = '', ...args] = argv;
  try {
    const [stdout, stderr] = await Promise.all([open(stdoutPath, 'a'), open(stderrPath, 'a')]);
    const child = spawn(program, args, {
      cwd,
      env,
      // Without a stdin: ffmpeg would wait there for an answer.
      stdio: ['ignore', stdout.fd, stderr.fd],
      detached: process.platform !== 'win32',
      windowsHide: true,
    });
    const exited = new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
      child.once('exit', (...end) => resolve(end));
    });
    child.once('error', (error) => refuse(id, error));
    const { pid } = child;
    if (pid !== undefined) running.add(pid);
    await Promise.all([stdout.close(), stderr.close()]);
    if (pid === undefined) return;
    mkdirSync(recordFolder, { recursive: true });
    writeFileSync(recordPath(recordFolder, pid), (await startTime(pid)) ?? '');
    say({ id, kind: 'started', pid });
    const [code, signal] = await exited;
    running.delete(pid);
    // What the program left running in its group ends with it, as on a node.
    endTree(pid, 'SIGKILL');
    say({ id, kind: 'ended', code, signal });
  } catch (error) {
    refuse(id, error);
  }
}

function refuse(id: number, error: unknown): void {
  const { code, message } = error as { code?: string; message: string };
  say({ id, kind: 'refused', code, message });
}

function say(reply: StartReply): void {
  // The service may be gone at any moment; `disconnect` is what tells.
  if (process.connected) process.send?.(reply, undefined, undefined, () => undefined);
}
