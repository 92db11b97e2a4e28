import { window } from 'vscode';
import type { AccountRecord } from '../../../core/azure/account';
import { accountOfWorkspace, askAccountOf } from '../../accounts/accountCommands';
import type { ConnectParts } from '../../accounts/connect';
import type { Handlers } from '../../commands';
import { runsView, type ViewCommandId } from '../../contributions';
import type { Lazy } from '../../lazy/lazy';
import type { RunHistory } from '../../runs/runHistory';
import type { RunNode } from '../../runs/runRows';
import type { Runs } from '../../runs/runs';
import type { ShownProblem } from '../../words/remedy';
import type { AccountsView } from '../accountsView';
import type { ExplorerData } from '../explorerData';
import type { ExplorerNode } from '../explorerNode';
import type { IdleWatch } from '../idleWatch';

interface ViewParts extends ConnectParts {
  readonly runs: Runs;
  readonly explorerData: ExplorerData;
  readonly accountsView: AccountsView;
  readonly idleWatch: Lazy<IdleWatch>;
  readonly history: Lazy<RunHistory>;
}

/** What Clean Up applies to: an account, a run, or the account that a problem is about. */
type CleanUpTarget = ExplorerNode | RunNode | ShownProblem;

/** The commands that concern an account as a whole, or the view itself. */
export function viewCommands(parts: ViewParts): Handlers<ViewCommandId> {
  const { accounts, runs, explorerData, accountsView, idleWatch, history } = parts;
  const cleanUp = async (target?: CleanUpTarget) => {
    const account = target ? await accountOf(parts, target) : await accountOfWorkspace(parts);
    if (account === undefined) return;
    const { cleanUp } = await import('../../cleanUp/cleanUp');
    const runId = target && 'record' in target ? target.record.runId : undefined;
    try {
      await cleanUp(accounts, runs, account, { runId });
    } finally {
      accountsView.update(account);
    }
  };
  return {
    cleanUp,
    cleanUpAccount: () => cleanUp(),
    refresh: (node?: ExplorerNode) => accountsView.refresh(node),
    refreshAll: () => accountsView.refresh(),
    refreshRuns: () =>
      window.withProgress({ location: { viewId: runsView } }, () => history.use((part) => part.refreshNow())),
    loadMore(parent: ExplorerNode) {
      explorerData.showMore(parent);
      accountsView.refresh(parent);
    },
    showIdlePools: () => idleWatch.use((watch) => watch.ask()),
  };
}

/** The account of an item of the Accounts view, of a run in the Transcodes view, or of a problem. Throws `noAccount`. */
async function accountOf({ accounts }: ViewParts, target: CleanUpTarget): Promise<AccountRecord | undefined> {
  if ('record' in target) return accounts.accountOf(target.record);
  if ('problem' in target) return askAccountOf(accounts, target);
  return 'account' in target ? target.account : undefined;
}
