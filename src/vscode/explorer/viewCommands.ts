import type { AccountRecord } from '../../core/azure/account';
import { accountOfWorkspace } from '../accounts/accountCommands';
import type { ConnectParts } from '../accounts/connect';
import type { Handlers } from '../commands';
import type { ViewCommandId } from '../contributions';
import type { CleanUpRequest } from '../runs/cleanUp';
import type { Runs } from '../runs/runs';
import type { AccountsView } from './accountsView';
import type { ExplorerData } from './explorerData';
import type { ExplorerNode } from './explorerNode';
import type { IdleWatch } from './idleWatch';

interface ViewParts extends ConnectParts {
  readonly runs: Runs;
  readonly explorerData: ExplorerData;
  readonly accountsView: AccountsView;
  readonly idleWatch: IdleWatch;
}

/** The commands that concern an account as a whole, or the view itself. */
export function viewCommands(parts: ViewParts): Handlers<ViewCommandId> {
  const { accounts, runs, explorerData, accountsView, idleWatch } = parts;
  return {
    async cleanUp(request: CleanUpRequest | ExplorerNode = {}) {
      const account = 'kind' in request ? accountOf(request) : await accountOfRequest(parts, request);
      if (account === undefined) return;
      const { cleanUp } = await import('../runs/cleanUp');
      await cleanUp(accounts, runs, account, 'kind' in request ? {} : request);
    },
    refresh: (node?: ExplorerNode) => accountsView.refresh(node),
    loadMore(parent: ExplorerNode) {
      explorerData.more(parent);
      accountsView.refresh(parent);
    },
    showIdlePools: () => idleWatch.ask(),
  };
}

function accountOf(node: ExplorerNode): AccountRecord | undefined {
  return 'account' in node ? node.account : undefined;
}

function accountOfRequest(parts: ViewParts, { accountId }: CleanUpRequest) {
  return accountId ? parts.accounts.byId(accountId) : accountOfWorkspace(parts);
}
