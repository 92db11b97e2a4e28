import type { AccountRecord } from '../../../core/azure/account';
import { accountOfWorkspace } from '../../accounts/accountCommands';
import type { Accounts } from '../../accounts/accounts';
import type { ConnectParts } from '../../accounts/connect';
import type { Handlers } from '../../commands';
import type { ViewCommandId } from '../../contributions';
import type { Lazy } from '../../lazy/lazy';
import type { RunNode } from '../../runs/runRows';
import type { Runs } from '../../runs/runs';
import type { AccountsView } from '../accountsView';
import type { ExplorerData } from '../explorerData';
import type { ExplorerNode } from '../explorerNode';
import type { IdleWatch } from '../idleWatch';

interface ViewParts extends ConnectParts {
  readonly runs: Runs;
  readonly explorerData: ExplorerData;
  readonly accountsView: AccountsView;
  readonly idleWatch: Lazy<IdleWatch>;
}

/** The commands that concern an account as a whole, or the view itself. */
export function viewCommands(parts: ViewParts): Handlers<ViewCommandId> {
  const { accounts, runs, explorerData, accountsView, idleWatch } = parts;
  return {
    async cleanUp(target?: ExplorerNode | RunNode) {
      const account = target ? accountOf(accounts, target) : await accountOfWorkspace(parts);
      if (account === undefined) return;
      const { cleanUp } = await import('../../cleanUp/cleanUp');
      const runId = target && 'record' in target ? target.record.runId : undefined;
      await cleanUp(accounts, runs, account, { runId });
      accountsView.update(account);
    },
    refresh: (node?: ExplorerNode) => accountsView.refresh(node),
    loadMore(parent: ExplorerNode) {
      explorerData.showMore(parent);
      accountsView.refresh(parent);
    },
    showIdlePools: () => idleWatch.use((watch) => watch.ask()),
  };
}

/** The account of an item of the Accounts view, or of a run in the Transcodes view. Throws `noAccount`. */
function accountOf(accounts: Accounts, target: ExplorerNode | RunNode): AccountRecord | undefined {
  if ('record' in target) return accounts.accountOf(target.record);
  return 'account' in target ? target.account : undefined;
}
