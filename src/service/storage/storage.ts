import { statfs } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../guard/log';
import { type Azurite, type StorageAccount, startAzurite } from './azurite';
import { repairTables } from './tables';

const restartPauseMs = 2_000;
const watchMs = 1_000;
/** Free bytes below which writes fail soon, and above which they work again. */
const fullBytes = 256 * 1024;

/** Blob Storage of the service: Azurite, started again whenever it ends, on the same port. */
export class Storage {
  #closing = false;
  #wasFull = false;
  #current: Promise<Azurite>;

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

  static async start(
    script: string,
    folder: string,
    /** Where damaged tables are moved that Azurite left when it crashed. */
    damaged: string,
    port: number,
    account: StorageAccount,
    log: Log,
    onLaunched: () => void,
  ): Promise<Storage> {
    const trouble = (message: string) =>
      log(`Blob Storage cannot save its tables, and tries again: ${message}`);
    const first = await startAzurite(script, folder, port, account, trouble, onLaunched);
    const chosen = Number(new URL(first.blobUrl).port);
    const restart = async () => {
      for (const said of await repairTables(folder, damaged, new Date())) log(said);
      return startAzurite(script, folder, chosen, account, trouble);
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
    for (;;) {
      try {
        const azurite = await this.restart();
        if (this.#closing) await azurite.close();
        this.#watch(azurite);
        return azurite;
      } catch (error) {
        if (this.#closing) throw error;
        this.log(
          `Azurite did not start, and is tried again: ${error instanceof Error ? error.message : error}`,
        );
        await delay(restartPauseMs);
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
