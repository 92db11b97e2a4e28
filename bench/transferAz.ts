import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import type { WayFigures, WayOptions } from './transferWays';

const runFile = promisify(execFile);

export interface AzAccount {
  readonly name: string;
  readonly key: string;
  /** Connections for each file. */
  readonly parallel: number;
}

/** The Azure CLI's command that moves the files of a folder. */
export function azCommand(
  { direction, folder, connection, container }: Omit<WayOptions, 'way'>,
  { name, key, parallel }: AzAccount,
): { command: string[]; env: NodeJS.ProcessEnv } {
  const endpoint = connection.account.blobUrl;
  const connectionString = `DefaultEndpointsProtocol=http;AccountName=${name};AccountKey=${key};BlobEndpoint=${endpoint};`;
  const verb =
    direction === 'up'
      ? ['upload-batch', '-d', container, '-s', folder]
      : ['download-batch', '-d', folder, '-s', container];
  const options = ['--max-connections', String(parallel), '--no-progress', '-o', 'none'];
  return {
    command: ['az', 'storage', 'blob', ...verb, ...options],
    env: { AZURE_STORAGE_CONNECTION_STRING: connectionString, AZURE_CORE_COLLECT_TELEMETRY: '0' },
  };
}

export function hasAz(): boolean {
  try {
    execFileSync('az', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Runs a program and measures its time, memory, and processor time. */
export async function timed(
  [file, options]: [string, string[]],
  env: NodeJS.ProcessEnv,
): Promise<WayFigures> {
  const start = performance.now();
  const { stderr } = await runFile('/usr/bin/time', ['-f', '%M %U %S', file, ...options], {
    env: { ...process.env, ...env },
    maxBuffer: 64 * 1024 * 1024,
  });
  const seconds = (performance.now() - start) / 1000;
  const [kilobytes = 0, user = 0, system = 0] = (stderr.trim().split('\n').at(-1) ?? '')
    .split(' ')
    .map(Number);
  return { seconds, peakMB: kilobytes / 1024, cpuSeconds: user + system };
}
