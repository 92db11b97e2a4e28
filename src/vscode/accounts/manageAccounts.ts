import { ConfigurationTarget, l10n, window, workspace } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import { UserError } from '../../core/errors';
import { background } from '../background';
import { showInformation, showWarning } from '../messages';
import { section, settings, updateSetting } from '../settings';
import { count } from '../words/numbers';
import { plainText } from '../words/plainText';
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
  const title = hasWorkspace()
    ? l10n.t('Which account does this workspace use?')
    : l10n.t('Which account should workspaces without an account of their own use?');
  const chosen = await pickAccount(accounts, title);
  if (chosen) await useInWorkspace(chosen);
}

/** Whether a workspace is open, which can have settings of its own. */
function hasWorkspace(): boolean {
  return workspace.workspaceFile !== undefined || (workspace.workspaceFolders ?? []).length > 0;
}

/**
 * Makes an account the one of this workspace, or, where none is open, of all workspaces without one of their own. Says so,
 * and offers to undo it. Throws `untrusted` in Restricted Mode, in which VS Code ignores the setting of a workspace.
 */
export async function useInWorkspace({ id, label }: AccountRecord): Promise<void> {
  const isWorkspace = hasWorkspace();
  if (isWorkspace && !workspace.isTrusted) throw new UserError({ kind: 'untrusted' });
  const target = isWorkspace ? ConfigurationTarget.Workspace : ConfigurationTarget.Global;
  const current = () => {
    const values = workspace.getConfiguration(section).inspect<string>('account');
    return isWorkspace ? values?.workspaceValue : values?.globalValue;
  };
  const before = current();
  if (before !== id) await updateSetting('account', id, target);
  const undo = l10n.t('Undo');
  const text = isWorkspace
    ? l10n.t('This workspace uses the account {0}.', label)
    : l10n.t('Workspaces without an account of their own use the account {0}.', label);
  const offer = async () => {
    const answer = await showInformation(text, ...(before === id ? [] : [undo]));
    // It may have been changed since.
    if (answer === undo && current() === id) await updateSetting('account', before, target);
  };
  background(offer());
}

/**
 * Asks whether this workspace uses an account that was just connected, unless it is in use already. Asks nothing in
 * Restricted Mode, in which VS Code ignores the setting of a workspace.
 */
export async function offerForWorkspace(accounts: Accounts, id: string): Promise<void> {
  const { current } = accounts;
  const added = accounts.byId(id);
  const isWorkspace = hasWorkspace();
  if (added === undefined || current?.id === id || (isWorkspace && !workspace.isTrusted)) return;
  const use = { label: plainText(l10n.t('Use {0}', added.label)) };
  const keep = {
    label: plainText(l10n.t('Keep {0}', current?.label ?? settings().account)),
    description: current ? l10n.t('in use') : l10n.t('not connected on this machine'),
  };
  const title = isWorkspace
    ? l10n.t('{0} is connected. Use it in this workspace?', added.label)
    : l10n.t('{0} is connected. Use it in workspaces without an account of their own?', added.label);
  const answer = await window.showQuickPick([use, keep], { title, ignoreFocusOut: true });
  if (answer === use) await useInWorkspace(added);
}

/** How many runs of this workspace use an account and have not ended. */
export interface UnendedRuns {
  /** Runs that this window works on: it has their credentials, and they go on when the account is removed. */
  readonly live: number;
  readonly others: number;
}

/** Forgets an account with its keys. Nothing in Azure is changed, and no run is stopped. */
export async function removeAccount(
  accounts: Accounts,
  account: AccountRecord | undefined,
  unendedRuns: (accountId: string) => UnendedRuns,
): Promise<void> {
  const chosen = account ?? (await pickAccount(accounts, l10n.t('Remove which account?')));
  if (chosen === undefined) return;
  const remove = l10n.t('Remove');
  const kept =
    chosen.id === localAccountId
      ? l10n.t('Its files stay on this machine.')
      : chosen.signIn === 'keys'
        ? l10n.t("Its keys are removed from VS Code's secret storage. Nothing in Azure is deleted.")
        : l10n.t('Nothing in Azure is deleted.');
  const detail = [kept, ...unendedWords(unendedRuns(chosen.id))].join('\n');
  const answer = await showWarning(l10n.t('Remove {0}?', chosen.label), { modal: true, detail }, remove);
  if (answer === remove) await accounts.remove(chosen.id);
}

/** What becomes of the runs of an account that is removed, a sentence or two for each kind. */
export function unendedWords({ live, others }: UnendedRuns): string[] {
  const liveWords =
    live === 1
      ? l10n.t(
          'This window is working on 1 run of the account. The run goes on and keeps using nodes. To end the run, cancel it before you remove the account.',
        )
      : l10n.t(
          'This window is working on {0} runs of the account. The runs go on and keep using nodes. To end the runs, cancel them before you remove the account.',
          count(live),
        );
  return [live > 0 ? liveWords : '', othersWords(others, live > 0)].filter(Boolean);
}

function othersWords(runs: number, areOthers: boolean): string {
  if (runs === 0) return '';
  if (areOthers) {
    return runs === 1
      ? l10n.t(
          "1 other run of this workspace hasn't ended. It can't continue until the account is connected again.",
        )
      : l10n.t(
          "{0} other runs of this workspace haven't ended. They can't continue until the account is connected again.",
          count(runs),
        );
  }
  return runs === 1
    ? l10n.t("1 run of this workspace hasn't ended. It can't continue until the account is connected again.")
    : l10n.t(
        "{0} runs of this workspace haven't ended. They can't continue until the account is connected again.",
        count(runs),
      );
}

/** Asks for one of the accounts. Throws `noAccount` if there is none to choose from. */
export async function pickAccount(
  accounts: Accounts,
  title: string,
  suits: (account: AccountRecord) => boolean = () => true,
): Promise<AccountRecord | undefined> {
  const items = accounts.all.filter(suits).map((account) => ({
    label: plainText(account.label),
    description: account.id === accounts.current?.id ? l10n.t('in use') : '',
    account,
  }));
  if (items.length === 0) throw new UserError({ kind: 'noAccount' });
  return (await window.showQuickPick(items, { title }))?.account;
}
