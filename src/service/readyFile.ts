import { readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { Lock, lockFile } from './lock';

const answerMs = 2_000;

/** The lock of a data folder. */
export function lockOf(dataDir: string): Lock {
  const answers = async (pid: number) =>
    (await lineOfRunning(join(dataDir, 'service.json'), pid)) !== undefined;
  return new Lock(join(dataDir, lockFile), answers);
}

/**
 * The line that a process has printed when it was ready, from its `service.json`; the file may be that of an earlier
 * process, which was killed. Undefined also if no local Batch service answers at the URL in it.
 */
export async function lineOfRunning(readyFile: string, pid: number): Promise<string | undefined> {
  try {
    const line = readFileSync(readyFile, 'utf8');
    const ready = JSON.parse(line) as { readonly pid: number; readonly batchUrl: string };
    return ready.pid === pid && (await answers(ready.batchUrl)) ? line : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a Batch service listens at a URL: it answers anything, even a refusal, with the version of its protocol. */
async function answers(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = http.get(url, { timeout: answerMs }, (response) => {
      response.resume();
      resolve(response.headers.dataserviceversion !== undefined);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}
