import { readFileSync } from 'node:fs';

/**
 * Peak memory of this process in bytes. On Linux, `maxRSS` isn't used because it includes the parent's memory at the time
 * of the fork.
 */
export function peakMemory(): number {
  try {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    if (kilobytes) return Number(kilobytes) * 1024;
  } catch {
    // Not on Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}
