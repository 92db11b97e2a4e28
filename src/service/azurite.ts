import { spawn } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Account } from './api/signature';

export interface Azurite {
  /** `http://127.0.0.1:PORT/ACCOUNT` */
  readonly blobUrl: string;
  /** Resolves when it ends, for whatever reason. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

const startMs = 60_000;
const pidFile = 'azurite.pid';

/** What Azurite keeps in memory it writes when it ends: one that still does so must not be overtaken by the next. */
const endMs = 15_000;

/**
 * Ends Azurite in good order when this process dies, however that happens: the pipe between them closes then, which
 * Azurite itself does not look at. What it says then has no reader, which must not be its end before it has saved. The
 * pipe does not keep a process that has nothing else to do.
 */
const watchdog = `
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
const end = () => process.kill(process.pid, 'SIGTERM');
process.stdin.resume().on('end', end).on('error', end).unref();`;

/**
 * Every request makes objects that are soon of no use; with twice the usual room for them they are looked through half as
 * often. https://nodejs.org/docs/latest-v20.x/api/cli.html#--max-semi-space-sizesize-in-mebibytes
 */
const youngBytes = '--max-semi-space-size=32';

/** Starts Azurite's blob service on loopback, with a key of ours in its environment rather than on its command line. */
export async function startAzurite(
  script: string,
  folder: string,
  port: number,
  account: Account,
): Promise<Azurite> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await untilEnded(join(folder, pidFile));
  const child = spawn(
    process.execPath,
    [
      youngBytes,
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
  await writeFile(join(folder, pidFile), String(child.pid));
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

async function untilEnded(path: string): Promise<void> {
  const pid = Number(await readFile(path, 'utf8').catch(() => ''));
  if (!(pid > 0)) return;
  for (let waited = 0; waited < endMs; waited += 50) {
    try {
      process.kill(pid, 0);
    } catch {
      break;
    }
    await delay(50);
  }
  await rm(path, { force: true });
}
