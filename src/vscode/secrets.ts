import type { SecretStorage } from 'vscode';

/** The secrets of one account. */
export interface AccountSecrets {
  readonly batchKey: string;
  readonly storageKey: string;
}

/**
 * Keys in VS Code's SecretStorage and nowhere else. Without a keyring they are kept in memory for this session, if the
 * user agrees.
 */
export class Secrets {
  readonly #session = new Map<string, AccountSecrets>();

  constructor(private readonly storage: SecretStorage) {}

  async get(accountId: string): Promise<AccountSecrets | undefined> {
    const session = this.#session.get(accountId);
    if (session) return session;
    const text = await this.storage.get(name(accountId));
    return text === undefined ? undefined : (JSON.parse(text) as AccountSecrets);
  }

  /** Throws if VS Code has no keyring to store secrets in. */
  async set(accountId: string, secrets: AccountSecrets): Promise<void> {
    await this.storage.store(name(accountId), JSON.stringify(secrets));
    this.#session.delete(accountId);
  }

  setForSession(accountId: string, secrets: AccountSecrets): void {
    this.#session.set(accountId, secrets);
  }

  async delete(accountId: string): Promise<void> {
    this.#session.delete(accountId);
    await this.storage.delete(name(accountId));
  }
}

function name(accountId: string): string {
  return `account:${accountId}`;
}
