import type { SecretStorage } from 'vscode';

/** The secrets of one account. */
export interface AccountSecrets {
  readonly batchKey: string;
  readonly storageKey: string;
}

/**
 * Keys in VS Code's SecretStorage and nowhere else. Where there is no keyring, they are kept for this session only,
 * once the person has agreed.
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

  /** Throws when there is no place to keep secrets. */
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
