import { commands, l10n, type QuickPickItem, ThemeIcon, Uri, window, workspace } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import { background } from '../background';
import type { Handlers } from '../commands';
import { type AccountCommandId, accountsView } from '../contributions';
import { showInformation } from '../messages';
import { settings } from '../settings';
import { plainText } from '../words/plainText';
import type { ShownProblem } from '../words/remedy';
import { type Accounts, localAccountId } from './accounts';
import type { ConnectParts } from './connect';
import type { LocalService } from './localService';
import type { UnendedRuns } from './manageAccounts';

interface AccountParts extends ConnectParts {
  readonly localService: LocalService;
  /** Called when the local account has been emptied. */
  readonly onLocalReset: () => Promise<void>;
  readonly unendedRuns: (accountId: string) => UnendedRuns;
}

/** An item of the Accounts view, or a run of the Transcodes view, as far as these commands use it. */
type AccountNode =
  | {
      readonly kind: string;
      readonly account?: AccountRecord;
      readonly record?: { readonly accountId: string };
    }
  | undefined;

/** The commands about accounts. Without an item of the tree they ask for an account, or take the one in use. */
export function accountCommands(parts: AccountParts): Handlers<AccountCommandId> {
  const { accounts, secrets, documents, localService, onLocalReset, unendedRuns } = parts;
  const showServiceLog = async () => {
    const log = Uri.file(localService.logFile);
    const exists = await workspace.fs.stat(log).then(
      () => true,
      () => false,
    );
    if (exists) await commands.executeCommand('vscode.open', log);
    else
      background(
        showInformation(l10n.t("The local Batch service hasn't been started yet, so it has no log.")),
      );
  };
  return {
    connect: async () => (await import('./connect')).connectAccount(parts),
    async signIn(subject?: AccountNode | ShownProblem) {
      const account = accountOf(accounts, subject);
      // The local account has keys of its own. The check tells what is wrong with them.
      if (account?.signIn === 'local') {
        const { checkAccount } = await import('./checkConnection');
        return checkAccount(accounts, documents, account);
      }
      const { updateCredentials } = await import('./connect');
      return updateCredentials(accounts, secrets, account, { alwaysAsks: subject !== undefined });
    },
    renameAccount: async (node?: AccountNode) => (await manage()).renameAccount(accounts, accountIn(node)),
    chooseAccount: async () => (await manage()).chooseAccount(accounts),
    removeAccount: async (node?: AccountNode) =>
      (await manage()).removeAccount(accounts, accountIn(node), unendedRuns),
    useLocalAccount: async () => {
      await accounts.addLocal();
      await commands.executeCommand(`${accountsView}.focus`);
      await (await manage()).offerForWorkspace(accounts, localAccountId);
    },
    async useInWorkspace(node?: AccountNode) {
      const account = accountIn(node);
      if (account) await (await manage()).useInWorkspace(account);
    },
    async checkConnection(subject?: AccountNode | ShownProblem) {
      const account =
        subject && 'problem' in subject
          ? await askAccountOf(accounts, subject)
          : (accountIn(subject) ?? (await accountOfWorkspace(parts)));
      if (account === undefined) return;
      const { checkAccount } = await import('./checkConnection');
      await checkAccount(accounts, documents, account);
    },
    async openTerminal(node?: AccountNode) {
      const account = accountIn(node) ?? (await accountOfWorkspace(parts));
      if (account) await (await connectionSettings()).openTerminalOn(accounts, account);
    },
    async copyConnectionSettings(node?: AccountNode) {
      const account = accountIn(node) ?? (await accountOfWorkspace(parts));
      if (account) await (await connectionSettings()).copyConnectionSettings(accounts, account);
    },
    startLocalService: async () => (await connectionSettings()).startLocalService(accounts, showServiceLog),
    async resetLocalAccount() {
      const { resetLocalAccount } = await import('./resetLocal');
      if (await resetLocalAccount(accounts, localService)) await onLocalReset();
    },
    async checkFfmpeg() {
      const { workingFfmpeg } = await import('./ffmpeg');
      const { path, version } = await workingFfmpeg();
      background(showInformation(l10n.t('ffmpeg {0} was found: {1}', version, path)));
    },
    showServiceLog,
  };
}

/** Loaded with the first command that needs it: most windows never do. */
const manage = () => import('./manageAccounts');
const connectionSettings = () => import('./connectionSettings');

function accountIn(node: AccountNode): AccountRecord | undefined {
  return node?.kind === 'account' ? node.account : undefined;
}

/**
 * The account of an item of the tree or of a run, or the one that a problem is about. Throws `noAccount` if it isn't
 * connected.
 */
function accountOf(accounts: Accounts, subject: AccountNode | ShownProblem): AccountRecord | undefined {
  if (subject === undefined) return undefined;
  if ('problem' in subject) return accountOfProblem(accounts, subject);
  return subject.record ? accounts.accountOf(subject.record) : accountIn(subject);
}

/** The account that a problem is about, as far as that is known. Throws `noAccount` if it isn't connected. */
function accountOfProblem(
  accounts: Accounts,
  { problem, accountId }: ShownProblem,
): AccountRecord | undefined {
  if (accountId !== undefined) return accounts.accountOf({ accountId });
  if (problem.kind === 'secretMissing') return accounts.accountOf({ accountId: problem.id });
  return problem.kind === 'runWaits' ? accounts.accountOf({ accountId: problem.account }) : undefined;
}

/** The account that a problem is about. Asks for it where that is not known; undefined if the user canceled. */
export async function askAccountOf(
  accounts: Accounts,
  shown: ShownProblem,
): Promise<AccountRecord | undefined> {
  const account = accountOfProblem(accounts, shown);
  return account ?? (await manage()).pickAccount(accounts, l10n.t('Choose a Batch account'));
}

/**
 * The account of this workspace; asks for one, with this title, at first use, and if the setting names one that isn't
 * connected on this machine. Undefined if the user canceled.
 */
export async function accountOfWorkspace(
  parts: ConnectParts,
  title = l10n.t('Choose a Batch account'),
): Promise<AccountRecord | undefined> {
  const { accounts } = parts;
  if (accounts.current) return accounts.current;
  const local = {
    iconPath: new ThemeIcon('vm'),
    label: l10n.t('Use the local Batch account'),
    description: l10n.t('no Azure account required'),
  };
  const { account: id } = settings();
  const others = accounts.all
    .filter((account) => account.id !== localAccountId)
    .map((account) => ({
      iconPath: new ThemeIcon('server-environment'),
      label: plainText(l10n.t('Use {0}', account.label)),
      description: l10n.t('this time'),
      account,
    }));
  const azure = { iconPath: new ThemeIcon('azure'), label: l10n.t('Connect an Azure Batch account…') };
  const answer = await window.showQuickPick<QuickPickItem & { account?: AccountRecord }>(
    [...others, local, azure],
    {
      title,
      placeHolder:
        id === ''
          ? undefined
          : l10n.t("The account of this workspace isn't connected on this machine: {0}", id),
      ignoreFocusOut: true,
    },
  );
  if (answer?.account) return answer.account;
  if (answer === local) return accounts.addLocal();
  if (answer !== azure) return undefined;
  // The setting may still name another account.
  const added = await (await import('./connect')).connectAccount(parts);
  return accounts.current ?? added;
}
