import { l10n, ProgressLocation, window } from 'vscode';
import { background } from '../background';
import { showInformation, showWarning } from '../messages';
import { bytes } from '../words/numbers';
import type { Accounts } from './accounts';
import type { LocalService } from './localService';

/**
 * Deletes everything that the local Batch account holds, after a confirmation that says how much that is. Returns whether
 * it did.
 */
export async function resetLocalAccount(accounts: Accounts, service: LocalService): Promise<boolean> {
  const used = await service.diskUse();
  const reset = l10n.t('Delete Everything');
  const answer = await showWarning(
    l10n.t('Reset the local Batch account?'),
    {
      modal: true,
      detail: [
        l10n.t(
          'This ends all running tasks and deletes the pools, jobs, tasks, files, and containers of the account.',
        ),
        l10n.t('It frees {0}. Outputs in your folders stay.', bytes(used)),
      ].join('\n'),
    },
    reset,
  );
  if (answer !== reset) return false;
  // It can't be canceled.
  const progress = {
    location: ProgressLocation.Notification,
    title: l10n.t('Resetting the local Batch account'),
  };
  const freed = await window.withProgress(progress, () => service.reset());
  accounts.credentialsChanged();
  background(showInformation(l10n.t('The local Batch account is empty. {0} freed.', bytes(freed))));
  return true;
}
