import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Ends a process with everything it started. */
export function endTree(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    if (process.platform === 'win32')
      spawnSync('taskkill', ['/pid', String(pid), '/T', '/F'], { windowsHide: true });
    else process.kill(-pid, signal);
  } catch {
    // It has ended.
  }
}

/** Where a process is recorded while it runs; the file holds its start time. */
export function recordPath(folder: string, pid: number): string {
  return join(folder, String(pid));
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

/**
 * Whether a process runs. One that was killed and whose parent never asked for its exit code stays in the process table
 * as a zombie, for example in a container whose first process is no init; it does not run.
 */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^ [ZXx]/.test(stat.slice(stat.lastIndexOf(')') + 1));
  } catch {
    // Only Linux tells; and there, a process without an entry has just ended.
    return process.platform !== 'linux';
  }
}
