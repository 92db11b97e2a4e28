import {
  authentication,
  EventEmitter,
  type LogOutputChannel,
  l10n,
  type Memento,
  window,
  workspace,
} from 'vscode';
import type { AccountRecord, Connection } from '../../core/azure/account';
import { onAccount, UserError } from '../../core/errors';
import { section } from '../contributions';
import { DisposableStore } from '../disposable';
import type { Lazy } from '../lazy/lazy';
import type { Secrets } from '../secrets';
import { settings } from '../settings';
import type { LocalService } from './localService';

const stateKey = 'accounts';
export const localAccountId = 'local';

/** Whether an account has keys or a sign-in of its own that can be renewed. */
export function canUpdateCredentials({ signIn }: AccountRecord): boolean {
  return signIn === 'keys' || signIn === 'microsoft';
}

/** The id of an account is the host of its URL: names of Batch accounts are unique in a region only. */
export function accountId(batchUrl: string): string {
  return new URL(batchUrl).host;
}

/**
 * The accounts that this user has connected: records in global state, secrets in SecretStorage. A window notices what
 * another one changed when it gets the focus.
 */
export class Accounts {
  readonly #changed = new EventEmitter<void>();
  readonly onChanged = this.#changed.event;
  readonly #disposables = new DisposableStore();
  #known: string;

  constructor(
    private readonly state: Memento,
    private readonly secrets: Secrets,
    private readonly localService: Lazy<LocalService>,
    private readonly log: LogOutputChannel,
  ) {
    this.#known = JSON.stringify(this.all);
    this.#disposables.add(this.#changed);
    // Signing out elsewhere signs out here.
    this.#disposables.add(authentication.onDidChangeSessions(() => this.#changed.fire()));
    this.#disposables.add(
      workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration(`${section}.account`)) this.#changed.fire();
      }),
    );
    this.#disposables.add(window.onDidChangeWindowState(({ focused }) => focused && this.#noticeChanges()));
  }

  get all(): AccountRecord[] {
    return this.state.get<AccountRecord[]>(stateKey, []);
  }

  byId(id: string): AccountRecord | undefined {
    return this.all.find((account) => account.id === id);
  }

  /** The account of a run, or of a document. Throws `noAccount` if it isn't connected. */
  accountOf({ accountId }: { readonly accountId: string }): AccountRecord {
    const account = this.byId(accountId);
    if (account === undefined) throw new UserError({ kind: 'noAccount', account: accountId });
    return account;
  }

  /** The account of this workspace: the one of the setting, or the first one if nothing is set. */
  get current(): AccountRecord | undefined {
    const { all } = this;
    const { account } = settings();
    return all.find(({ id }) => id === account) ?? (account === '' ? all[0] : undefined);
  }

  /** Adds an account, or replaces the one with the same id, whose name it takes over. */
  async add(account: AccountRecord): Promise<void> {
    const there = this.byId(account.id);
    const named = { ...account, label: there?.label ?? account.label };
    await this.#save(
      there ? this.all.map((one) => (one.id === account.id ? named : one)) : [...this.all, named],
    );
  }

  async rename(id: string, label: string): Promise<void> {
    await this.#save(this.all.map((account) => (account.id === id ? { ...account, label } : account)));
  }

  /** Forgets the account and its secrets. Nothing in Azure is changed. */
  async remove(id: string): Promise<void> {
    await this.secrets.delete(id);
    await this.#save(this.all.filter((account) => account.id !== id));
  }

  /** Adds the local Batch account, whose service starts when it is first needed. */
  async addLocal(): Promise<AccountRecord> {
    const label = l10n.t('Local Batch account');
    const account = this.byId(localAccountId) ?? { ...(await this.localService.get()).account, label };
    await this.add(account);
    return account;
  }

  /** Whether an account can be asked without starting anything: the local one only while its service runs. */
  async isReachable(account: AccountRecord): Promise<boolean> {
    return account.signIn !== 'local' || (await this.localService.use((service) => service.isRunning()));
  }

  /** Tells the views that an account has new credentials. */
  credentialsChanged(): void {
    this.#changed.fire();
  }

  /** The account with its credentials. Starts the service of the local account. */
  async connect(account: AccountRecord, signal?: AbortSignal): Promise<Connection> {
    return onAccount(account, async () => ({
      ...(await this.#credentials(account, signal)),
      log: this.log,
    }));
  }

  async #credentials(account: AccountRecord, signal?: AbortSignal): Promise<Connection> {
    if (account.signIn === 'local')
      return this.localService.use((service) => service.connect(account, signal));
    if (account.signIn !== 'keys') {
      const { credentialOf } = await import('./credentials');
      const credential = await credentialOf(account);
      if (credential === undefined) throw new UserError({ kind: 'signedOut', account: account.label });
      return { account, batch: { kind: 'token', credential }, storage: { kind: 'token', credential } };
    }
    const { id } = account;
    const secrets = await this.secrets.get(id);
    if (secrets === undefined) throw new UserError({ kind: 'secretMissing', account: account.label, id });
    return {
      account,
      batch: { kind: 'sharedKey', name: account.batchName, key: secrets.batchKey },
      storage: { kind: 'sharedKey', name: account.storageName, key: secrets.storageKey },
    };
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  async #save(accounts: AccountRecord[]): Promise<void> {
    await this.state.update(stateKey, accounts);
    this.#known = JSON.stringify(accounts);
    this.#changed.fire();
  }

  #noticeChanges(): void {
    const now = JSON.stringify(this.all);
    if (now === this.#known) return;
    this.#known = now;
    this.#changed.fire();
  }
}
