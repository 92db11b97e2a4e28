import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, open, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { type LogOutputChannel, workspace } from 'vscode';
import type { AccountRecord, Connection } from '../../core/azure/account';
import { UserError } from '../../core/errors';
import type { AccountSecrets, Secrets } from '../secrets';
import { settings } from '../settings';
import { findFfmpeg } from './ffmpeg';
import { localKeys } from './localKeys';

const batchName = 'localbatch';
const storageName = 'localstorage';
const maxStartMs = 60_000;

/** What the service writes into its data folder while it runs. Holds no keys. */
interface Ready {
  readonly batchUrl: string;
  readonly blobUrl: string;
  readonly pid: number;
  readonly version: string;
}

/**
 * The local Batch account: one service for all windows of this user. It starts when it is first needed, survives window
 * reloads, and ends by itself when it is idle.
 */
export class LocalService {
  #starting: Promise<Ready> | undefined;

  constructor(
    private readonly script: string,
    private readonly dataFolder: string,
    private readonly secrets: Secrets,
    private readonly log: LogOutputChannel,
  ) {}

  /** The account without its URLs, which change when the service starts: the system chooses the ports. */
  get account(): AccountRecord {
    return {
      id: 'local',
      label: 'Local',
      signIn: 'local',
      batchName,
      batchUrl: 'http://127.0.0.1',
      storageName,
      blobUrl: 'http://127.0.0.1',
    };
  }

  get logFile(): string {
    return join(this.dataFolder, 'service.log');
  }

  /**
   * The account with its keys and URLs; starts the service unless it runs. Throws `noFfmpeg` before anything is started
   * or uploaded, and `untrusted` rather than start anything in Restricted Mode.
   */
  async connect(account: AccountRecord, signal?: AbortSignal): Promise<Connection> {
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined;
    });
    const { batchUrl, blobUrl } = await this.#starting;
    signal?.throwIfAborted();
    return connectionOf({ ...account, batchUrl, blobUrl }, await localKeys(this.dataFolder, this.secrets));
  }

  /** Whether a service runs that answers. Starts nothing. */
  async isRunning(): Promise<boolean> {
    return (await this.#running()) !== undefined;
  }

  async #start(): Promise<Ready> {
    const running = await this.#running();
    if (running) {
      this.log.debug(`Using the local Batch service of process ${running.pid} at ${running.batchUrl}`);
      return running;
    }
    if (!workspace.isTrusted) throw new UserError({ kind: 'untrusted' });
    const ffmpeg = await findFfmpeg();
    return this.#spawn(await localKeys(this.dataFolder, this.secrets), ffmpeg);
  }

  /**
   * The service that the data folder names, if it answers to our keys. A process id that was left behind proves
   * nothing: the process may be a zombie, or another program by now.
   */
  async #running(): Promise<Ready | undefined> {
    const text = await readFile(join(this.dataFolder, 'service.json'), 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    const ready = JSON.parse(text) as Ready;
    return (await isAnswering(ready, await localKeys(this.dataFolder, this.secrets))) ? ready : undefined;
  }

  async #spawn({ batchKey, storageKey }: AccountSecrets, ffmpeg: string): Promise<Ready> {
    await mkdir(this.dataFolder, { recursive: true, mode: 0o700 });
    const log = await open(this.logFile, 'a', 0o600);
    try {
      const child = spawn(
        process.execPath,
        [
          this.script,
          ...['--data-dir', this.dataFolder],
          ...['--idle-minutes', String(settings().idleMinutes)],
          ...['--path-prepend', dirname(ffmpeg)],
          ...['--credentials', 'stdin'],
        ],
        {
          detached: true,
          stdio: ['pipe', 'pipe', log.fd],
          env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
          windowsHide: true,
        },
      );
      const ready = readyLine(child);
      const credentials = JSON.stringify({ batchName, batchKey, storageName, storageKey });
      // A service that ends before it reads its credentials is reported by `readyLine`.
      child.stdin?.on('error', (error) => this.log.debug(`Local Batch service: ${error.message}`));
      child.stdin?.end(`${credentials}\n`);
      const started = await ready;
      child.stdout?.destroy();
      child.unref();
      if (!(await isAnswering(started, { batchKey, storageKey })))
        throw new UserError({ kind: 'localServiceFailed', detail: 'a service with other keys is running' });
      this.log.info(`Local Batch service: ${started.batchUrl} (process ${started.pid})`);
      return started;
    } finally {
      await log.close();
    }
  }
}

function connectionOf(account: AccountRecord, { batchKey, storageKey }: AccountSecrets): Connection {
  return {
    account,
    batch: { kind: 'sharedKey', name: batchName, key: batchKey },
    storage: { kind: 'sharedKey', name: storageName, key: storageKey },
  };
}

/** The line that a service prints when it is ready. Throws `localServiceFailed`. */
async function readyLine(child: ChildProcess): Promise<Ready> {
  const { stdout } = child;
  if (stdout === null) throw new Error('The service has no stdout.');
  return new Promise((resolve, reject) => {
    const fail = (detail: string) => reject(new UserError({ kind: 'localServiceFailed', detail }));
    const timer = setTimeout(() => fail(`no answer within ${maxStartMs / 1000} s`), maxStartMs);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => fail(`exit code ${code}`));
    createInterface(stdout).once('line', (line) => {
      clearTimeout(timer);
      resolve(JSON.parse(line) as Ready);
    });
  });
}

async function isAnswering({ batchUrl, blobUrl }: Ready, keys: AccountSecrets): Promise<boolean> {
  const { Batch } = await import('../../core/azure/batch');
  const account = { id: 'local', label: '', signIn: 'local' as const, batchName, storageName };
  const batch = new Batch(connectionOf({ ...account, batchUrl, blobUrl }, keys), { patienceMs: 0 });
  try {
    await batch.poolPage({ pageSize: 1 });
    return true;
  } catch {
    return false;
  }
}
