import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Account } from './signature';

export interface Azurite {
  /** `http://127.0.0.1:PORT/ACCOUNT` */
  readonly blobUrl: string;
  /** Resolves when it ends, for whatever reason. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

const startMs = 60_000;

/**
 * Ends Azurite when this process dies, however that happens: the pipe between them closes then, which Azurite itself
 * does not look at.
 */
const watchdog =
  "process.stdin.resume().on('end', () => process.exit(0)).on('error', () => process.exit(0));";

/** Starts Azurite's blob service on loopback, with a key of ours in its environment rather than on its command line. */
export async function startAzurite(
  script: string,
  folder: string,
  port: number,
  account: Account,
): Promise<Azurite> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const child = spawn(
    process.execPath,
    [
      ...[
        '-e',
        `${watchdog}\nprocess.argv.splice(1, 0, ${JSON.stringify(script)});\nrequire(${JSON.stringify(script)});`,
        '--',
      ],
      ...['--blobHost', '127.0.0.1', '--blobPort', String(port), '--location', folder],
      ...['--skipApiVersionCheck', '--disableTelemetry', '--silent'],
    ],
    {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', AZURITE_ACCOUNTS: `${account.name}:${account.key}` },
      windowsHide: true,
    },
  );
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.stdin.on('error', () => undefined);
  const url = await new Promise<string>((resolve, reject) => {
    let said = '';
    const fail = (why: string) => reject(new Error(`Azurite did not start: ${why}\n${said}`));
    const timer = setTimeout(() => fail('no answer'), startMs);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => fail(`it ended with code ${code}`));
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    createInterface(child.stdout).on('line', (line) => {
      said += `${line}\n`;
      const match = /listens on (http:\/\/127\.0\.0\.1:\d+)/i.exec(line);
      if (!match?.[1]) return;
      clearTimeout(timer);
      resolve(match[1]);
    });
  }).catch((error) => {
    child.kill('SIGKILL');
    throw error;
  });
  return {
    blobUrl: `${url}/${account.name}`,
    ended,
    async close() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
      await ended;
      clearTimeout(timer);
    },
  };
}
