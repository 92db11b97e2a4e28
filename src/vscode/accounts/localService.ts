import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { type LogOutputChannel, l10n, workspace } from 'vscode';
import { version } from '../../../package.json';
import type { AccountRecord, Connection } from '../../core/azure/account';
import { endedBy, UserError } from '../../core/errors';
import { showInformation, showWarning } from '../messages';
import type { AccountSecrets, Secrets } from '../secrets';
import { settings } from '../settings';
import { secondsOf } from '../words/numbers';
import { findFfmpeg, workingFfmpeg } from './ffmpeg';
import { batchName, localKeys, storageName } from './localKeys';

const maxStartMs = 60_000;
/**
 * The service discards most of what a request makes at once: a larger young generation only takes memory.
 * https://nodejs.org/docs/latest-v20.x/api/cli.html#--max-semi-space-sizesize-in-mebibytes
 */
const youngBytes = '--max-semi-space-size=4';
/** An idle service that is asked to end has ended by then. */
const maxIdleEndMs = 5_000;

/** What the service writes into its data folder while it runs. Holds no keys. */
interface Ready {
  readonly ready: true;
  readonly batchUrl: string;
  readonly blobUrl: string;
  readonly pid: number;
  readonly version: string;
  /** Folders in front of the PATH of tasks: the one of ffmpeg. */
  readonly pathPrepend?: readonly string[];
  /** What the user should know about this start: damage that was found, and what is lost. */
  readonly notices?: readonly string[];
}

/** What the service prints when it can't start. */
interface FailedStart {
  readonly ready: false;
  readonly reason: string;
  /** Whether a reset of the account can help. */
  readonly canReset: boolean;
}

/**
 * The local Batch account: one service for all windows of this user. It starts when it is first needed, survives window
 * reloads, and ends by itself when it is idle.
 */
export class LocalService {
  #starting: Promise<Ready> | undefined;
  /** Process ID of an outdated service that was reported to the user. */
  #reported: number | undefined;

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
   * The account with its keys and URLs; starts the service unless it runs. Throws `noFfmpeg` or `notFfmpeg` before anything is
   * started or uploaded, and `untrusted` rather than start anything in Restricted Mode.
   */
  async connect(account: AccountRecord, signal?: AbortSignal): Promise<Connection> {
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined;
    });
    const { batchUrl, blobUrl } = await this.#starting;
    if (signal?.aborted) throw endedBy(signal.reason, new URL(batchUrl).host);
    return connectionOf({ ...account, batchUrl, blobUrl }, await localKeys(this.dataFolder, this.secrets));
  }

  /** Whether a service runs that answers. Starts nothing. */
  async isRunning(): Promise<boolean> {
    return (await this.#running()) !== undefined;
  }

  /** Bytes that the data of the service takes on the disk. */
  async diskUse(): Promise<number> {
    const { totalBytes } = await this.#run<{ totalBytes: number }>('--disk-use');
    return totalBytes;
  }

  /** Ends the service and deletes its data, except the keys. Resolves with the bytes that were freed. */
  async reset(): Promise<number> {
    const { freedBytes } = await this.#run<{ freedBytes: number }>('--reset');
    return freedBytes;
  }

  /** Runs the program of the service for an answer of one line of JSON. Throws `localServiceFailed`. */
  async #run<T>(flag: string): Promise<T> {
    await localKeys(this.dataFolder, this.secrets);
    const options = { env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' }, windowsHide: true };
    const args = [this.script, '--data-dir', this.dataFolder, flag];
    try {
      const { stdout } = await promisify(execFile)(process.execPath, args, options);
      return JSON.parse(stdout) as T;
    } catch (error) {
      const { stderr, message } = error as Error & { stderr?: string };
      throw new UserError(
        { kind: 'localServiceFailed', detail: stderr?.trim() || message },
        { cause: error },
      );
    }
  }

  async #start(): Promise<Ready> {
    const running = await this.#running();
    if (running && !(await this.#endsForNew(running))) {
      this.log.debug(`Using the local Batch service of process ${running.pid} at ${running.batchUrl}`);
      return running;
    }
    if (!workspace.isTrusted) throw new UserError({ kind: 'untrusted' });
    const { path } = await workingFfmpeg();
    await localKeys(this.dataFolder, this.secrets);
    return this.#spawn(path);
  }

  /**
   * Asks a service that another version of the extension or another ffmpeg setting has started to end as soon as it is
   * idle. Returns whether it has ended; otherwise it is used until it does, and the user is told.
   */
  async #endsForNew(running: Ready): Promise<boolean> {
    const ffmpeg = await findFfmpeg().catch(() => undefined);
    const isOther = running.version !== version;
    const hasOther = ffmpeg !== undefined && running.pathPrepend?.[0] !== dirname(ffmpeg);
    if ((!isOther && !hasOther) || !workspace.isTrusted || ffmpeg === undefined) return false;
    // It was asked before, and is still at work.
    if (this.#reported === running.pid) return false;
    await writeFile(join(this.dataFolder, 'end-when-idle'), '', { mode: 0o600 });
    for (const end = Date.now() + maxIdleEndMs; Date.now() < end; ) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      if (!(await this.#isNamed(running.pid))) return true;
    }
    if (this.#reported !== running.pid) {
      this.#reported = running.pid;
      const message = isOther
        ? l10n.t(
            'The local Batch service runs version {0}. It is restarted with version {1} when its tasks have completed.',
            running.version,
            version,
          )
        : l10n.t(
            'The local Batch service runs with another ffmpeg. It is restarted with {0} when its tasks have completed.',
            ffmpeg,
          );
      this.log.info(message);
      showInformation(message).then(undefined, (error) => this.log.error(error));
    }
    return false;
  }

  /** Whether the data folder still names this process: a service that ends removes its file first. */
  async #isNamed(pid: number): Promise<boolean> {
    return (await this.#named())?.pid === pid;
  }

  /** The service that the data folder names. Undefined if the file is damaged, as after a power failure. */
  async #named(): Promise<Ready | undefined> {
    const line = lineIn(await readFile(join(this.dataFolder, 'service.json'), 'utf8').catch(() => ''));
    return line?.ready ? line : undefined;
  }

  /**
   * The service that the data folder names, if it answers to our keys. A process id that was left behind proves
   * nothing: the process may be a zombie, or another program by now.
   */
  async #running(): Promise<Ready | undefined> {
    const ready = await this.#named();
    if (ready === undefined) return undefined;
    return (await isAnswering(ready, await localKeys(this.dataFolder, this.secrets))) ? ready : undefined;
  }

  async #spawn(ffmpeg: string): Promise<Ready> {
    await mkdir(this.dataFolder, { recursive: true, mode: 0o700 });
    const log = await open(this.logFile, 'a', 0o600);
    try {
      const child = spawn(
        process.execPath,
        [
          youngBytes,
          // What its packages use of Node that is deprecated says nothing to the user, who reads this log.
          '--no-deprecation',
          this.script,
          ...['--data-dir', this.dataFolder],
          ...['--idle-minutes', String(settings().idleMinutes)],
          ...['--path-prepend', dirname(ffmpeg)],
          ...['--credentials', 'file', '--quiet'],
        ],
        {
          detached: true,
          stdio: ['ignore', 'pipe', log.fd],
          env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
          windowsHide: true,
        },
      );
      const started = await readyLine(child);
      child.stdout?.destroy();
      child.unref();
      if (!(await isAnswering(started, await localKeys(this.dataFolder, this.secrets))))
        throw new UserError({
          kind: 'localServiceFailed',
          detail: l10n.t('A service with other keys is running.'),
        });
      for (const notice of started.notices ?? []) {
        showWarning(l10n.t('Local Batch account: {0}', notice)).then(undefined, (error) =>
          this.log.error(error),
        );
      }
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

/** The line that a service prints when it is ready. Throws `localServiceFailed` with the reason that it prints otherwise. */
async function readyLine(child: ChildProcess): Promise<Ready> {
  const { stdout } = child;
  if (stdout === null) throw new Error('The service has no stdout.');
  return new Promise<Ready>((resolve, reject) => {
    const fail = (detail: string, canReset?: boolean) =>
      reject(new UserError({ kind: 'localServiceFailed', detail, canReset }));
    const timer = setTimeout(
      () => fail(l10n.t("It didn't respond within {0}.", secondsOf(maxStartMs / 1000))),
      maxStartMs,
    );
    child.once('error', (error) => fail(error.message));
    // When all of its output has been read.
    child.once('close', (code) => fail(l10n.t('exit code {0}', String(code))));
    for (const event of ['error', 'close']) child.once(event, () => clearTimeout(timer));
    createInterface(stdout).once('line', (text) => {
      clearTimeout(timer);
      const line = lineIn(text);
      if (line?.ready) resolve(line);
      else fail(line?.reason ?? text, line?.canReset);
    });
  });
}

/** What a line of the service says; undefined if it is not whole. */
function lineIn(text: string): Ready | FailedStart | undefined {
  try {
    const line = JSON.parse(text) as Partial<Ready> | FailedStart | null;
    if (line?.ready === false) return line;
    return typeof line?.batchUrl === 'string' &&
      typeof line.blobUrl === 'string' &&
      Number.isInteger(line.pid)
      ? (line as Ready)
      : undefined;
  } catch {
    return undefined;
  }
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
