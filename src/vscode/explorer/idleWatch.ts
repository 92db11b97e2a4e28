import {
  type LogOutputChannel,
  l10n,
  StatusBarAlignment,
  type StatusBarItem,
  ThemeColor,
  ThemeIcon,
  window,
} from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import { UserError } from '../../core/errors';
import type { IdlePool } from '../../core/pools/idlePools';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import { commandName, section } from '../contributions';
import { DisposableStore } from '../disposable';
import { longWork } from '../longWork';
import { showInformation } from '../messages';
import type { Runs } from '../runs/runs';
import { nodesOf, time } from '../words/numbers';
import { plainText } from '../words/plainText';

/** Nodes that are idle for so long cause a warning. */
const idleMinutes = 20;

/** Shows a warning in the status bar while nodes of an Azure account cost money without work. */
export class IdleWatch {
  readonly #disposables = new DisposableStore();
  readonly #item: StatusBarItem;
  #found: { account: AccountRecord; pools: readonly IdlePool[] } | undefined;

  constructor(
    private readonly accounts: Accounts,
    private readonly runs: Runs,
    /** Shows the account as it is after an action on it. */
    private readonly update: (account: AccountRecord) => Promise<void>,
    private readonly log: LogOutputChannel,
  ) {
    this.#item = this.#disposables.add(
      window.createStatusBarItem(`${section}.idle`, StatusBarAlignment.Left, 9),
    );
    this.#item.name = l10n.t('Azure Batch: Idle Nodes');
    this.#item.command = commandName('showIdlePools');
    this.#item.backgroundColor = new ThemeColor('statusBarItem.warningBackground');
    this.#disposables.add(accounts.onChanged(() => this.#dropOthers()));
  }

  /** Checks on a timer. An error of the account is only logged, because the next check follows. */
  async checkAgain(): Promise<void> {
    try {
      await this.check();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.log.debug(`Couldn't check for idle nodes: ${error.message}`);
    }
  }

  /** Asks the account of this workspace for idle pools, while the window has the focus. */
  async check(): Promise<void> {
    const account = this.accounts.current;
    this.#dropOthers();
    if (account === undefined || account.signIn === 'local' || !window.state.focused) return;
    const [{ Batch }, { idlePools }] = await Promise.all([
      import('../../core/azure/batch'),
      import('../../core/pools/idlePools'),
    ]);
    const batch = new Batch(await this.accounts.connect(account));
    const pools = await idlePools(batch, idleMinutes, AbortSignal.timeout(60_000));
    if (this.accounts.current?.id !== account.id) return;
    this.#found = { account, pools };
    this.#show(pools);
  }

  /** Offers to scale an idle pool to zero, or to clean up. */
  async ask(): Promise<void> {
    if (this.#found === undefined || this.#found.pools.length === 0) {
      background(showInformation(l10n.t('No nodes have been idle for long.')));
      return;
    }
    const { account, pools } = this.#found;
    const answer = await window.showQuickPick(
      [
        ...pools.map(({ id, nodes, since }) => ({
          label: l10n.t('Scale {0} to Zero', id),
          iconPath: new ThemeIcon('debug-pause'),
          detail: l10n.t(
            '{0}, idle since {1}. The pool stays for the next run.',
            nodesOf(nodes),
            time(since),
          ),
          poolId: id,
        })),
        {
          label: l10n.t('Clean Up…'),
          iconPath: new ThemeIcon('trash'),
          detail: plainText(l10n.t('All resources that this extension created in {0}', account.label)),
          poolId: undefined,
        },
      ],
      { title: l10n.t('Idle nodes cost money') },
    );
    if (answer === undefined) return;
    try {
      if (answer.poolId === undefined) await this.#cleanUp(account);
      else await this.#scaleToZero(account, answer.poolId);
    } finally {
      await this.update(account);
    }
    await this.check();
  }

  async #cleanUp(account: AccountRecord): Promise<void> {
    const { cleanUp } = await import('../cleanUp/cleanUp');
    await cleanUp(this.accounts, this.runs, account, {});
  }

  async #scaleToZero(account: AccountRecord, poolId: string): Promise<void> {
    const [{ Batch }, { scaleToZero }, { isForOthers }] = await Promise.all([
      import('../../core/azure/batch'),
      import('../../core/pools/poolSizes'),
      import('../../core/pools/poolUse'),
    ]);
    const batch = new Batch(await this.accounts.connect(account));
    const isScaled = await longWork(l10n.t('Scaling pool {0} to zero', poolId), async (_progress, signal) => {
      // The nodes were idle when the account was asked last.
      const pool = await batch.pool(poolId, { signal });
      if (pool && (await isForOthers(batch, pool, undefined, signal))) return false;
      await scaleToZero(batch, poolId, { signal });
      return true;
    });
    if (!isScaled)
      background(showInformation(l10n.t('Pool {0} is in use again and keeps its nodes.', poolId)));
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  /** Hides what was found in an account that this workspace no longer uses. */
  #dropOthers(): void {
    if (this.#found?.account.id === this.accounts.current?.id) return;
    this.#found = undefined;
    this.#item.hide();
  }

  #show(pools: readonly IdlePool[]): void {
    const nodes = pools.reduce((sum, pool) => sum + pool.nodes, 0);
    if (nodes === 0) {
      this.#item.hide();
      return;
    }
    this.#item.text = l10n.t('$(warning) Idle: {0}', nodesOf(nodes));
    this.#item.tooltip = l10n.t('Idle nodes cost money: {0}', pools.map(({ id }) => id).join(', '));
    this.#item.accessibilityInformation = { label: l10n.t('Azure Batch: {0} idle', nodesOf(nodes)) };
    this.#item.show();
  }
}
