import type { Disposable } from 'vscode';
import { setContextKey } from '../contextKeys';
import { DisposableStore } from '../disposable';
import { type Accounts, canUpdateCredentials, localAccountId } from './accounts';

/** Sets the context keys that hide commands about accounts that would have no effect. */
export class AccountContext implements Disposable {
  readonly #disposables = new DisposableStore();

  constructor(private readonly accounts: Accounts) {
    this.#set();
    this.#disposables.add(accounts.onChanged(() => this.#set()));
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  #set(): void {
    const { all } = this.accounts;
    setContextKey('hasAccounts', all.length > 0);
    setContextKey('hasCredentials', all.some(canUpdateCredentials));
    setContextKey(
      'hasLocalAccount',
      all.some(({ id }) => id === localAccountId),
    );
  }
}
