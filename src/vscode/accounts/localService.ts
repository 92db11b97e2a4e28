import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, constants, mkdir, open, readFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { LogOutputChannel } from 'vscode';
import type { AccountRecord, Connection } from '../../core/azure/account';
import { UserError } from '../../core/errors';
import type { AccountSecrets, Secrets } from '../secrets';
import { settings } from '../settings';

const batchName = 'localbatch';
const storageName = 'localstorage';
const startMs = 60_000;

/** What the service writes into its data folder while it runs. Holds no keys. */
interface Ready {
  readonly batchUrl: string;
  readonly blobUrl: string;
  readonly pid: number;
  readonly version: string;
}

/**
 * The local Batch account: one service for all windows of this user, started when it is needed, going on through
 * window reloads, ending by itself when idle. Its keys are made once and kept in SecretStorage.
 */
export class LocalService {
  #starting: Promise<Ready> | undefined;

  constructor(
    private readonly script: string,
    private readonly dataFolder: string,
    private readonly secrets: Secrets,
    private readonly log: LogOutputChannel,
  ) {}

  /** The record; its URLs are those of the moment, since the system chooses the ports. */
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

  /** Throws `noFfmpeg` before anything is started or uploaded. */
  async connect(account: AccountRecord, signal?: AbortSignal): Promise<Connection> {
    const secrets = await this.#secrets();
    const ffmpeg = await findFfmpeg();
    this.#starting ??= this.#start(secrets, ffmpeg).finally(() => {
      this.#starting = undefined;
    });
    const { batchUrl, blobUrl } = await this.#starting;
    signal?.throwIfAborted();
    return {
      account: { ...account, batchUrl, blobUrl },
      batch: { kind: 'sharedKey', name: batchName, key: secrets.batchKey },
      storage: { kind: 'sharedKey', name: storageName, key: secrets.storageKey },
    };
  }

  async #secrets(): Promise<AccountSecrets> {
    const kept = await this.secrets.get('local');
    if (kept) return kept;
    const made = { batchKey: newKey(), storageKey: newKey() };
    try {
      await this.secrets.set('local', made);
    } catch (error) {
      this.log.warn(
        'No secret storage; the local Batch account keeps its keys for this session.',
        String(error),
      );
      this.secrets.setForSession('local', made);
    }
    return made;
  }

  async #start(secrets: AccountSecrets, ffmpeg: string): Promise<Ready> {
    const running = await this.#running();
    const answer = running && (await answerOf(running, secrets));
    if (running && answer === 'accepted') return running;
    // Only a service that answers is ended: a process id that was left behind may be somebody else's by now.
    if (running && answer === 'refused') await end(running.pid);
    return this.#spawn(secrets, ffmpeg);
  }

  async #running(): Promise<Ready | undefined> {
    try {
      const ready = JSON.parse(await readFile(join(this.dataFolder, 'service.json'), 'utf8')) as Ready;
      process.kill(ready.pid, 0);
      return ready;
    } catch {
      return undefined;
    }
  }

  async #spawn(secrets: AccountSecrets, ffmpeg: string): Promise<Ready> {
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
      child.stdin?.end(
        `${JSON.stringify({ batchName, batchKey: secrets.batchKey, storageName, storageKey: secrets.storageKey })}\n`,
      );
      const ready = await readyLine(child);
      child.stdout?.destroy();
      child.unref();
      this.log.info(`Local Batch service: ${ready.batchUrl} (process ${ready.pid})`);
      return ready;
    } finally {
      await log.close();
    }
  }
}

async function readyLine(child: ReturnType<typeof spawn>): Promise<Ready> {
  const { stdout } = child;
  if (stdout === null) throw new Error('The service has no stdout.');
  return new Promise((resolve, reject) => {
    const fail = (detail: string) => reject(new UserError({ kind: 'localServiceFailed', detail }));
    const timer = setTimeout(() => fail(`no answer within ${startMs / 1000} s`), startMs);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => fail(`it ended with code ${code}`));
    createInterface(stdout).once('line', (line) => {
      clearTimeout(timer);
      resolve(JSON.parse(line) as Ready);
    });
  });
}

/** A key of the length that Azure's have. */
function newKey(): string {
  return randomBytes(64).toString('base64');
}

/** Whether the running service has our keys: a data folder may be from before the secret storage was cleared. */
async function answerOf(
  { batchUrl, blobUrl }: Ready,
  secrets: AccountSecrets,
): Promise<'accepted' | 'refused' | 'none'> {
  const { Batch } = await import('../../core/azure/batch');
  const batch = new Batch(
    {
      account: { id: 'local', label: '', signIn: 'local', batchName, batchUrl, storageName, blobUrl },
      batch: { kind: 'sharedKey', name: batchName, key: secrets.batchKey },
      storage: { kind: 'sharedKey', name: storageName, key: secrets.storageKey },
    },
    { patienceMs: 0 },
  );
  try {
    await batch.poolPage({ pageSize: 1 });
    return 'accepted';
  } catch (error) {
    return error instanceof UserError && error.problem.kind === 'unauthorized' ? 'refused' : 'none';
  }
}

async function end(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGTERM');
    for (let waited = 0; waited < 10_000; waited += 100) {
      process.kill(pid, 0);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}

/** The setting's ffmpeg, else the first on the PATH. */
export async function findFfmpeg(): Promise<string> {
  const { ffmpegPath } = settings();
  const name = process.platform === 'win32' ? 'ffmpeg.exe' : 'ffmpeg';
  const candidates = ffmpegPath
    ? [ffmpegPath, join(ffmpegPath, name)]
    : (process.env.PATH ?? '')
        .split(delimiter)
        .filter(Boolean)
        .map((folder) => join(folder, name));
  for (const candidate of candidates) {
    const found = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return candidate;
  }
  throw new UserError({ kind: 'noFfmpeg' });
}
