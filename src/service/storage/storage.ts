import { statfs } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../guard/log';
import { type Azurite, type AzuriteParts, startAzurite } from './azurite';
import { repairTables } from './tables';

const restartPauseMs = 2_000;
const maxRestartPauseMs = 30_000;
/** How often a start is tried while another program uses the port, with pauses of 2 and 4 seconds. */
const portTries = 3;
const watchMs = 1_000;
/** Free bytes below which writes fail soon, and above which they work again. */
const fullBytes = 256 * 1024;

export interface StorageParts extends Omit<AzuriteParts, 'onTrouble'> {
  /** Where damaged tables are moved that Azurite left when it crashed. */
  readonly damaged: string;
  readonly log: Log;
}

/** Blob Storage of the service: Azurite, started again whenever it ends, on the same port. */
export class Storage {
  #closing = false;
  #wasFull = false;
  #current: Promise<Azurite>;
  #onPortLost: () => void = () => undefined;

  private constructor(
    first: Azurite,
    readonly blobUrl: string,
    private readonly restart: () => Promise<Azurite>,
    private readonly folder: string,
    private readonly log: Log,
  ) {
    this.#current = Promise.resolve(first);
    this.#watch(first);
    setInterval(() => this.#checkDisk().catch(() => undefined), watchMs).unref();
  }

  static async start({ damaged, log, onLaunched, ...parts }: StorageParts): Promise<Storage> {
    const { folder } = parts;
    const onTrouble = (message: string) =>
      log(`Blob Storage cannot save its tables, and tries again: ${message}`);
    const first = await startAzurite({ ...parts, onTrouble, onLaunched });
    const port = Number(new URL(first.blobUrl).port);
    const restart = async () => {
      for (const said of await repairTables(folder, damaged, new Date())) log(said);
      return startAzurite({ ...parts, port, onTrouble });
    };
    return new Storage(first, first.blobUrl, restart, folder, log);
  }

  /**
   * Resolves once all that Blob Storage has acknowledged is on the disk, so that a crash of the machine does not lose it.
   * Waits while Azurite is being started again or the disk is full; rejects only when the signal aborts.
   */
  async save(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      try {
        const azurite = await unlessAborted(this.#current, signal);
        await unlessAborted(azurite.save(), signal);
        return;
      } catch {
        await delay(restartPauseMs / 4, undefined, { signal });
      }
    }
  }

  /**
   * Sets what is called when another program has taken the port after Azurite had ended. Clients and tasks know this port, so
   * only a new start of the whole service, with another port, helps.
   */
  whenPortLost(onPortLost: () => void): void {
    this.#onPortLost = onPortLost;
  }

  async close(): Promise<void> {
    this.#closing = true;
    await (await this.#current.catch(() => undefined))?.close();
  }

  /** Ends Azurite without saving: its folder was deleted, or belongs to another service. */
  async kill(): Promise<void> {
    this.#closing = true;
    (await this.#current.catch(() => undefined))?.kill();
  }

  #watch(azurite: Azurite): void {
    azurite.ended.then(
      () => {
        if (this.#closing) return;
        this.log('Azurite ended; starting it again.');
        this.#current = this.#startAgain();
        // Callers that wait are told the reason. Only the end of the service rejects.
        this.#current.catch(() => undefined);
      },
      (error) => this.log(`Unexpected error about Azurite: ${error}`),
    );
  }

  async #startAgain(): Promise<Azurite> {
    for (let tries = 1; ; tries++) {
      try {
        const azurite = await this.restart();
        if (this.#closing) await azurite.close();
        this.#watch(azurite);
        return azurite;
      } catch (error) {
        if (this.#closing) throw error;
        const reason = error instanceof Error ? error.message : String(error);
        if (tries >= portTries && reason.includes('listen EADDRINUSE')) {
          this.#onPortLost();
          throw error;
        }
        this.log(`Azurite did not start, and is tried again: ${reason}`);
        await delay(Math.min(restartPauseMs * 2 ** (tries - 1), maxRestartPauseMs));
      }
    }
  }

  /** Azurite answers 500 for good once the disk was full: it is started again when there is room. */
  async #checkDisk(): Promise<void> {
    const { bavail, bsize } = await statfs(this.folder);
    const isFull = bavail * bsize < fullBytes;
    if (isFull && !this.#wasFull)
      this.log(`The disk of ${this.folder} is full. Free some space; work continues then.`);
    if (!isFull && this.#wasFull && !this.#closing) {
      this.log('There is room on the disk again; starting Azurite again.');
      await (await this.#current).close();
    }
    this.#wasFull = isFull;
  }
}

/** Resolves or rejects as a promise does; rejects earlier when the signal aborts. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let abort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
