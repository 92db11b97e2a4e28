import { env, l10n, ThemeIcon, window } from 'vscode';
import {
  type ConnectionVariable,
  connectionVariables,
  toEnvFile,
} from '../../core/accounts/connectionSettings';
import type { AccountRecord } from '../../core/azure/account';
import { background } from '../background';
import { showInformation, showWarning } from '../messages';
import type { Accounts } from './accounts';

/**
 * Opens a terminal whose programs connect to an account: `az batch`, `az storage` and scripts with the Azure SDKs. Says
 * first which variables it has. VS Code does not keep the terminal over a restart, and so not its keys.
 */
export async function openTerminalOn(accounts: Accounts, account: AccountRecord): Promise<void> {
  const variables = connectionVariables(await accounts.connect(account));
  const open = l10n.t('Open Terminal');
  const where = l10n.t('These variables are set in one new terminal, and nowhere else:');
  if (!(await confirm(l10n.t('Open a terminal on {0}?', account.label), where, variables, open))) return;
  const terminal = window.createTerminal({
    name: l10n.t('Azure Batch: {0}', account.label),
    iconPath: new ThemeIcon('server-environment'),
    env: Object.fromEntries(variables.map(({ name, value }) => [name, value])),
    isTransient: true,
  });
  terminal.show();
}

/** Copies the same variables as lines `NAME='value'`. */
export async function copyConnectionSettings(accounts: Accounts, account: AccountRecord): Promise<void> {
  const variables = connectionVariables(await accounts.connect(account));
  const copy = l10n.t('Copy');
  const where = l10n.t('These variables are copied to the clipboard, which any program can read:');
  if (!(await confirm(l10n.t('Copy the connection settings of {0}?', account.label), where, variables, copy)))
    return;
  await env.clipboard.writeText(toEnvFile(variables));
  background(showInformation(l10n.t('Copied the connection settings of {0}', account.label)));
}

async function confirm(
  question: string,
  where: string,
  variables: readonly ConnectionVariable[],
  button: string,
): Promise<boolean> {
  const lines = variables.map(({ name, isSecret }) => (isSecret ? l10n.t('{0} (secret)', name) : name));
  const hasKeys = variables.some(({ isSecret }) => isSecret);
  const detail = [
    where,
    ...lines,
    ...(hasKeys
      ? []
      : [l10n.t('The account has no keys. Programs sign in on their own, such as with “az login”.')]),
  ].join('\n');
  return (await showWarning(question, { modal: true, detail }, button)) === button;
}

/** Starts the local Batch service for programs of the user's own, and offers what connects them. */
export async function startLocalService(
  accounts: Accounts,
  showServiceLog: () => Thenable<unknown>,
): Promise<void> {
  const account = await accounts.addLocal();
  const { account: running } = await accounts.connect(account);
  const [terminal, copy, log] = [
    l10n.t('Open Terminal'),
    l10n.t('Copy Connection Settings'),
    l10n.t('Show Log'),
  ];
  const answer = await showInformation(
    l10n.t('The local Batch service is running at {0}', running.batchUrl),
    terminal,
    copy,
    log,
  );
  if (answer === terminal) await openTerminalOn(accounts, account);
  if (answer === copy) await copyConnectionSettings(accounts, account);
  if (answer === log) await showServiceLog();
}
