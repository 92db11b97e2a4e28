import type { AccountRecord } from '../../core/azure/account';
import type { Batch } from '../../core/azure/batch';
import type { Storage } from '../../core/azure/storage';
import type { Problem } from '../../core/errors';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';

/** Calls are retried only briefly: the user is waiting for the list. */
const patienceMs = 8_000;

/** After the lists of an account have been shown: opening VS Code comes first. */
const prepareMs = 500;

/** After these problems an account is connected anew: its address or its key may have changed. */
const reconnectAfter = new Set<Problem['kind']>(['unreachable', 'unauthorized', 'signedOut']);

export interface Gateways {
  readonly batch: Batch;
  readonly storage: Storage;
}

/** The connections of the Accounts view, one for each account. */
export class Connections {
  readonly #gateways = new Map<string, Promise<Gateways>>();
  readonly #prepared = new Set<string>();

  constructor(private readonly accounts: Accounts) {}

  async to(account: AccountRecord): Promise<Gateways> {
    const known = this.#gateways.get(account.id) ?? this.#connect(account);
    this.#gateways.set(account.id, known);
    try {
      return await known;
    } catch (error) {
      this.#gateways.delete(account.id);
      throw error;
    }
  }

  /**
   * Loads what connecting to an account takes, so that its first list needs one request only. Sends none, starts no local
   * service, and fails silently: the first list reports what is wrong.
   */
  prepare(account: AccountRecord): void {
    if (this.#prepared.has(account.id)) return;
    this.#prepared.add(account.id);
    const prepare = async () => {
      await (account.signIn === 'keys' ? this.to(account) : loadClients());
    };
    setTimeout(() => {
      prepare().catch(() => undefined);
    }, prepareMs).unref();
  }

  /** Connects anew the next time, if the problem is one that this may solve. */
  failed(account: AccountRecord, { kind }: Problem): void {
    if (reconnectAfter.has(kind)) this.#gateways.delete(account.id);
  }

  close(): void {
    const close = async (connection: Promise<Gateways>) => {
      const gateways = await connection.catch(() => undefined);
      gateways?.batch.close();
      gateways?.storage.close();
    };
    for (const connection of this.#gateways.values()) background(close(connection));
    this.#gateways.clear();
  }

  async #connect(account: AccountRecord): Promise<Gateways> {
    const [{ Batch, Storage }, connection] = await Promise.all([
      loadClients(),
      this.accounts.connect(account),
    ]);
    return { batch: new Batch(connection, { patienceMs }), storage: new Storage(connection) };
  }
}

async function loadClients() {
  const [{ Batch }, { Storage }] = await Promise.all([
    import('../../core/azure/batch'),
    import('../../core/azure/storage'),
  ]);
  return { Batch, Storage };
}
