import { l10n, StatusBarAlignment, type StatusBarItem, ThemeColor, window } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import type { IdlePool } from '../../core/pools/idlePools';
import type { Accounts } from '../accounts/accounts';
import { DisposableStore } from '../disposable';
import { longWork } from '../longWork';
import type { Runs } from '../runs/runs';
import { section } from '../settings';
import { nodesOf, time } from '../words/numbers';

const everyMs = 10 * 60_000;
const idleMinutes = 20;

/** A warning in the status bar when nodes that were kept have long had nothing to do. Those of this machine cost nothing. */
export class IdleWatch {
  readonly #disposables = new DisposableStore();
  readonly #item: StatusBarItem;
  #found: { account: AccountRecord; pools: readonly IdlePool[] } | undefined;

  constructor(
    private readonly accounts: Accounts,
    private readonly runs: Runs,
  ) {
    this.#item = this.#disposables.add(
      window.createStatusBarItem(`${section}.idle`, StatusBarAlignment.Left, 9),
    );
    this.#item.name = l10n.t('Azure Batch: Idle Nodes');
    this.#item.command = `${section}.showIdlePools`;
    this.#item.backgroundColor = new ThemeColor('statusBarItem.warningBackground');
    const timer = setInterval(() => {
      // Asked again later.
      this.look().catch(() => undefined);
    }, everyMs);
    this.#disposables.add({ dispose: () => clearInterval(timer) });
  }

  /** Asks the account of this workspace, while somebody is at the window; what fails is asked again later. */
  async look(): Promise<void> {
    const account = this.accounts.current;
    if (account === undefined || account.signIn === 'local' || !window.state.focused) return;
    const [{ Batch }, { idlePools }] = await Promise.all([
      import('../../core/azure/batch'),
      import('../../core/pools/idlePools'),
    ]);
    const batch = new Batch(await this.accounts.connect(account));
    const pools = await idlePools(batch, idleMinutes, AbortSignal.timeout(60_000));
    this.#found = { account, pools };
    this.#show(pools);
  }

  /** What to do about them: give up the nodes, or clean up. */
  async ask(): Promise<void> {
    if (this.#found === undefined || this.#found.pools.length === 0) return;
    const { account, pools } = this.#found;
    const answer = await window.showQuickPick(
      [
        ...pools.map(({ id, nodes, since }) => ({
          label: l10n.t('$(debug-pause) Give Up the Nodes of {0}', id),
          detail: l10n.t(
            '{0}, idle since {1}. The pool stays for the next run.',
            nodesOf(nodes),
            time(since),
          ),
          poolId: id,
        })),
        {
          label: l10n.t('$(trash) Clean Up…'),
          detail: l10n.t('Everything this extension made on {0}', account.label),
          poolId: undefined,
        },
      ],
      { title: l10n.t('Idle nodes cost money') },
    );
    if (answer === undefined) return;
    this.#item.hide();
    if (answer.poolId === undefined) {
      const { cleanUp } = await import('../runs/cleanUp');
      await cleanUp(this.accounts, this.runs, account, {});
      return;
    }
    const { poolId } = answer;
    const [{ Batch }, { scaleToZero }] = await Promise.all([
      import('../../core/azure/batch'),
      import('../../core/pools/poolSizes'),
    ]);
    const batch = new Batch(await this.accounts.connect(account));
    await longWork(l10n.t('Scaling pool {0} to zero', poolId), (_progress, signal) =>
      scaleToZero(batch, poolId, { signal }),
    );
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  #show(pools: readonly IdlePool[]): void {
    const nodes = pools.reduce((sum, pool) => sum + pool.nodes, 0);
    if (nodes === 0) {
      this.#item.hide();
      return;
    }
    this.#item.text = l10n.t('$(warning) Idle: {0}', nodesOf(nodes));
    this.#item.tooltip = l10n.t(
      'Kept nodes without work cost money: {0}',
      pools.map(({ id }) => id).join(', '),
    );
    this.#item.accessibilityInformation = { label: l10n.t('Azure Batch: {0} without work', nodesOf(nodes)) };
    this.#item.show();
  }
}
