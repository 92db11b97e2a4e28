import { ConfigurationTarget, l10n, window, workspace } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import { UserError } from '../../core/errors';
import { showWarning } from '../messages';
import { updateSetting } from '../settings';
import { type Accounts, localAccountId } from './accounts';

/** Gives an account another name. Only this extension shows it. */
export async function renameAccount(accounts: Accounts, account: AccountRecord | undefined): Promise<void> {
  const chosen = account ?? (await pickAccount(accounts, l10n.t('Rename which account?')));
  if (chosen === undefined) return;
  const label = await window.showInputBox({
    title: l10n.t('Rename {0}', chosen.label),
    value: chosen.label,
    validateInput: (text) => (text.trim() === '' ? l10n.t('Enter a value.') : undefined),
  });
  if (label) await accounts.rename(chosen.id, label.trim());
}

/** Chooses the account of this workspace: a setting without secrets, which may be committed. */
export async function chooseAccount(accounts: Accounts): Promise<void> {
  const chosen = await pickAccount(accounts, l10n.t('Which account does this workspace use?'));
  if (chosen) await useInWorkspace(chosen.id);
}

/** Makes an account the one of this workspace, or of all windows where no folder is open. */
export async function useInWorkspace(id: string): Promise<void> {
  const target = workspace.workspaceFolders ? ConfigurationTarget.Workspace : ConfigurationTarget.Global;
  await updateSetting('account', id, target);
}

/** Asks whether this workspace uses an account that was just connected, unless it is in use already. */
export async function offerForWorkspace(accounts: Accounts, id: string): Promise<void> {
  const { current } = accounts;
  const added = accounts.byId(id);
  if (added === undefined || current?.id === id) return;
  if (current === undefined) return useInWorkspace(id);
  const use = { label: l10n.t('Use {0}', added.label) };
  const keep = { label: l10n.t('Keep {0}', current.label), description: l10n.t('in use') };
  const answer = await window.showQuickPick([use, keep], {
    title: l10n.t('{0} is connected. Use it in this workspace?', added.label),
    ignoreFocusOut: true,
  });
  if (answer === use) await useInWorkspace(id);
}

/** Forgets an account with its keys. Nothing in Azure is changed. */
export async function removeAccount(accounts: Accounts, account: AccountRecord | undefined): Promise<void> {
  const chosen = account ?? (await pickAccount(accounts, l10n.t('Remove which account?')));
  if (chosen === undefined) return;
  const remove = l10n.t('Remove');
  const detail =
    chosen.id === localAccountId
      ? l10n.t('Its files stay on this machine.')
      : chosen.signIn === 'keys'
        ? l10n.t("Its keys are removed from VS Code's secret storage. Nothing in Azure is deleted.")
        : l10n.t('Nothing in Azure is deleted.');
  const answer = await showWarning(l10n.t('Remove {0}?', chosen.label), { modal: true, detail }, remove);
  if (answer === remove) await accounts.remove(chosen.id);
}

/** Asks for one of the accounts. Throws `noAccount` if there is none to choose from. */
export async function pickAccount(
  accounts: Accounts,
  title: string,
  suits: (account: AccountRecord) => boolean = () => true,
): Promise<AccountRecord | undefined> {
  const items = accounts.all.filter(suits).map((account) => ({
    label: account.label,
    description: account.id === accounts.current?.id ? l10n.t('in use') : '',
    account,
  }));
  if (items.length === 0) throw new UserError({ kind: 'noAccount' });
  return (await window.showQuickPick(items, { title }))?.account;
}
