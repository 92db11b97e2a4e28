import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const answerMs = 15_000;

/**
 * Returns when a process started, in milliseconds since 1970, accurate to a few seconds; undefined if unknown. Starts a program:
 * on Linux, and for many processes, use `startTime`.
 */
export async function startedAt(
  pid: number,
  platform: NodeJS.Platform = process.platform,
): Promise<number | undefined> {
  try {
    const ms = platform === 'win32' ? await askWindows(pid) : await askPs(pid);
    return ms > 0 ? ms : undefined;
  } catch {
    return undefined;
  }
}

/** https://pubs.opengroup.org/onlinepubs/9799919799/utilities/ps.html has no such column; macOS, BSD and procps do. */
async function askPs(pid: number): Promise<number> {
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' };
  const { stdout } = await run('ps', ['-o', 'lstart=', '-p', String(pid)], { env, timeout: answerMs });
  return Date.parse(`${stdout.trim()} UTC`);
}

/** https://learn.microsoft.com/windows/win32/cimwin32prov/win32-process (CreationDate) */
async function askWindows(pid: number): Promise<number> {
  const query = `(Get-CimInstance Win32_Process -Filter 'ProcessId=${pid}').CreationDate`;
  const command = `([DateTimeOffset](${query})).ToUnixTimeMilliseconds()`;
  const options = { timeout: answerMs, windowsHide: true };
  const { stdout } = await run(
    'powershell.exe',
    ['-NoProfile', '-NonInteractive', '-Command', command],
    options,
  );
  return Number(stdout.trim());
}
