import { spawnSync } from 'node:child_process';
import { readFileSync, unlinkSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, sep } from 'node:path';

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

/** Where a process is recorded while it runs. */
export function recordPath(folder: string, pid: number): string {
  return join(folder, String(pid));
}

/** Removes the record of a process that has ended. One that stays is removed by the next start of the service. */
export function forget(folder: string, pid: number): void {
  try {
    unlinkSync(recordPath(folder, pid));
  } catch {
    // On a full disk there was no record.
  }
}

const groupMark = ' group';

/** The text of a record: the start time of the process, and whether its group stays when it ends. */
export function recordOf(start: string | undefined, keepsGroup: boolean): string {
  return `${start ?? ''}${keepsGroup ? groupMark : ''}`;
}

/**
 * Ends the process group of a record that a previous run of the service has left. Its id may belong to others by now:
 * the start time of its process tells, or, where only the group is left, the data folder in the environment of a member.
 */
export async function endRecorded(pid: number, record: string, dataDir: string): Promise<void> {
  const recorded = record.replace(groupMark, '');
  const present = startTime(pid);
  const isSame = recorded !== '' && recorded === present;
  const isGroupLeft =
    present === undefined && record.endsWith(groupMark) && (await hasMemberOf(pid, dataDir));
  if (isSame || isGroupLeft) endTree(pid, 'SIGKILL');
}

async function hasMemberOf(group: number, dataDir: string): Promise<boolean> {
  for (const pid of await groupMembers(group)) if (await isOf(pid, dataDir)) return true;
  return false;
}

/** Whether a process has the environment of a task whose node is in this data folder. */
async function isOf(pid: number, dataDir: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  return environment.includes(`AZ_BATCH_NODE_ROOT_DIR=${dataDir}${sep}`);
}

/**
 * Ends the daemons that tasks of a data folder have left: programs in sessions of their own, which belong to no process
 * group that is known. Their environment tells whose they are; only Linux shows it.
 */
export async function endDaemons(dataDir: string): Promise<void> {
  for (const name of await readdir('/proc').catch(() => [])) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || !(await isOf(pid, dataDir))) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
}

/** The processes of a group that run, zombies left out; none where the system does not say. */
export async function groupMembers(group: number): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    const [state = 'Z', , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(pgrp) === group && !/[ZXx]/.test(state)) found.push(Number(name));
  }
  return found;
}

/** The process groups whose members have a variable (`NAME=value`) in their environment; none where the system does not say. */
export async function groupsWith(variable: string): Promise<number[]> {
  const groups = new Set<number>();
  for (const name of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(name)) continue;
    const environment = await readFile(`/proc/${name}/environ`, 'utf8').catch(() => '');
    if (!environment.split('\0').includes(variable)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    const group = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]);
    if (group > 1) groups.add(group);
  }
  return [...groups];
}

/** What tells a process from a later one with the same pid; undefined where the system does not say. */
export function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
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
