import { readFileSync } from 'node:fs';

/**
 * The most memory in bytes that this process has had at a time. Not `maxRSS` where it can be helped: on Linux that
 * begins with what the parent had when it started this process.
 */
export function peakMemory(): number {
  try {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    if (kilobytes) return Number(kilobytes) * 1024;
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}
