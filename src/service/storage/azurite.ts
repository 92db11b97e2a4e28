import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isRunning, startTime } from '../tasks/processes/processTree';
import type { StorageOrder, StorageReply } from './messages';

export interface StorageAccount {
  readonly name: string;
  /** Base64. */
  readonly key: string;
}

export interface AzuriteParts {
  /** The program that runs Azurite. */
  readonly script: string;
  readonly folder: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly account: StorageAccount;
  /** Called when Azurite cannot save. */
  readonly onTrouble?: (message: string) => void;
  /** Called when its process has been sent its start message. */
  readonly onLaunched?: () => void;
}

export interface Azurite {
  /** `http://127.0.0.1:PORT/ACCOUNT` */
  readonly blobUrl: string;
  /** Resolves when the process ends, for whatever reason. */
  readonly ended: Promise<void>;
  /** Resolves once everything that Azurite has acknowledged is on the disk. Rejects if it cannot be written. */
  save(): Promise<void>;
  /** Has the process save everything and end. Resolves then, or after 1.5 seconds: it continues to the end by itself. */
  close(): Promise<void>;
  /** Ends the process without saving. */
  kill(): void;
}

/** Shorter than the minute that a client waits for the service, so that it hears the reason. */
const startMs = 45_000;
const closeMs = 1_500;
const pidFile = 'azurite.pid';

/** An Azurite that saves what it has in memory as it ends must not be overtaken by the next. */
const endMs = 15_000;

/**
 * Every request makes objects that are soon of no use; with twice the usual room for them they are collected half as
 * often. https://nodejs.org/docs/latest-v20.x/api/cli.html#--max-semi-space-sizesize-in-mebibytes
 */
const youngBytes = '--max-semi-space-size=32';

/**
 * Starts Azurite's blob service on 127.0.0.1. It saves and ends by itself when this process dies. Rejects if it does not
 * start within 45 seconds, or says why it cannot.
 */
export async function startAzurite({
  script,
  folder,
  port,
  account,
  onTrouble = () => undefined,
  onLaunched = () => undefined,
}: AzuriteParts): Promise<Azurite> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await azuriteEnded(folder);
  const child = spawn(process.execPath, [youngBytes, script], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
    windowsHide: true,
  });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  try {
    const listens = listening(child, {
      kind: 'start',
      folder,
      port,
      account: `${account.name}:${account.key}`,
    });
    onLaunched();
    const url = await listens;
    await record(child, join(folder, pidFile));
    const saves = new Saves(child, ended, onTrouble);
    return {
      blobUrl: `${url}/${account.name}`,
      ended,
      save: () => saves.save(),
      async close() {
        child.kill('SIGTERM');
        const waiting = new AbortController();
        await Promise.race([
          ended,
          delay(closeMs, undefined, { signal: waiting.signal }).catch(() => undefined),
        ]);
        waiting.abort();
      },
      kill: () => {
        child.kill('SIGKILL');
      },
    };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

async function listening(child: ChildProcess, order: StorageOrder): Promise<string> {
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr = (stderr + chunk).slice(-10_000);
  });
  return new Promise<string>((resolve, reject) => {
    const fail = (why: string) => {
      clearTimeout(timer);
      reject(new Error(`Azurite did not start: ${why}${stderr === '' ? '' : `\n${stderr}`}`));
    };
    const timer = setTimeout(() => fail(`no answer within ${startMs / 1000} s.`), startMs);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => fail(`it ended with code ${code}.`));
    child.on('message', (reply: StorageReply) => {
      if (reply.kind === 'failed') fail(reply.message);
      if (reply.kind !== 'listening') return;
      clearTimeout(timer);
      resolve(reply.url);
    });
    child.send(order, (error) => error && fail(error.message));
  });
}

/** Asks Azurite to save, and waits for its answers. */
class Saves {
  readonly #waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  #orders = 0;

  constructor(
    private readonly child: ChildProcess,
    ended: Promise<void>,
    onTrouble: (message: string) => void,
  ) {
    child.on('message', (reply: StorageReply) => {
      if (reply.kind === 'trouble') onTrouble(reply.message);
      if (reply.kind === 'saved') this.#settle(reply.id, reply.error);
    });
    const settleAll = () => {
      for (const id of [...this.#waiting.keys()]) this.#settle(id, 'Azurite ended.');
    };
    ended.then(settleAll, settleAll);
  }

  save(): Promise<void> {
    const id = this.#orders++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      const order: StorageOrder = { kind: 'save', id };
      this.child.send(order, (error) => error && this.#settle(id, error.message));
    });
  }

  #settle(id: number, error: string | undefined): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve();
    else waiting?.reject(new Error(error));
  }
}

/** Writes the process id and the start time of a process into a file, which is removed when the process ends. */
async function record(child: ChildProcess, path: string): Promise<void> {
  const { pid = 0 } = child;
  const content = `${pid} ${startTime(pid) ?? ''}`;
  await writeFile(path, content);
  child.once('exit', () => {
    try {
      if (readFileSync(path, 'utf8') === content) rmSync(path);
    } catch {
      // The folder was deleted.
    }
  });
}

/**
 * Waits until the Azurite of a folder has ended, at most 15 seconds. Another process may have its id by now: on Linux its
 * start time differs; elsewhere it is waited for, too.
 */
export async function azuriteEnded(folder: string): Promise<void> {
  const path = join(folder, pidFile);
  const [id = '', started = ''] = (await readFile(path, 'utf8').catch(() => '')).split(' ');
  const pid = Number(id);
  if (!(pid > 0)) return;
  const runs = () => isRunning(pid) && (started === '' || startTime(pid) === started);
  for (let waited = 0; waited < endMs && runs(); waited += 50) await delay(50);
  await rm(path, { force: true });
}
