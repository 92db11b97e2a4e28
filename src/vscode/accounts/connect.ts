import { ConfigurationTarget, commands, l10n, window, workspace } from 'vscode';
import {
  isConnectionString,
  parseBatchUrl,
  parseConnectionString,
  parseKey,
  parseStorageName,
  type StorageInput,
} from '../../core/accounts/accountInput';
import type { AccountRecord, Connection, SignIn, TokenSignIn } from '../../core/azure/account';
import { cloudOf } from '../../core/azure/clouds';
import { UserError } from '../../core/errors';
import type { AccountSecrets, Secrets } from '../secrets';
import { section } from '../settings';
import { sentenceOf } from '../words/sentences';
import { type Accounts, accountId, localAccountId } from './accounts';
import { type Answers, ask, type Question } from './questions';

/** Connects an account in one of the ways there are, step by step; the button back leads to the choice of the way. */
export async function connectAccount(accounts: Accounts, secrets: Secrets): Promise<void> {
  for (;;) {
    const way = await chooseWay();
    if (way === undefined) return;
    if ((await connectBy(way, accounts, secrets)) !== 'back') return;
  }
}

async function chooseWay(): Promise<SignIn | undefined> {
  const ways: { label: string; detail: string; way: SignIn }[] = [
    {
      label: l10n.t('$(azure) Sign in with Microsoft'),
      detail: l10n.t('Finds your Batch accounts. No key is fetched or kept.'),
      way: 'microsoft',
    },
    {
      label: l10n.t('$(key) Account keys'),
      detail: l10n.t('URL and key of a Batch account, and its storage account.'),
      way: 'keys',
    },
    {
      label: l10n.t('$(terminal) Azure CLI, environment or managed identity'),
      detail: l10n.t('For remote machines where one of them is signed in.'),
      way: 'identity',
    },
    {
      label: l10n.t('$(vm) Local Batch account'),
      detail: l10n.t('No Azure needed: the work runs on this machine.'),
      way: 'local',
    },
  ];
  const options = { title: l10n.t('Connect an account'), ignoreFocusOut: true };
  return (await window.showQuickPick(ways, options))?.way;
}

async function connectBy(
  way: SignIn,
  accounts: Accounts,
  secrets: Secrets,
): Promise<'done' | 'back' | 'cancelled'> {
  if (way === 'local') {
    await accounts.addLocal(l10n.t('Local Batch account'));
    return 'done';
  }
  const account = await (way === 'keys' ? findByKeys(secrets) : findBySignIn(way));
  if (typeof account === 'string') return account;
  await accounts.add(account);
  // Keys that it was connected by before are of no use any more.
  if (way !== 'keys') await secrets.delete(account.id);
  await commands.executeCommand(`${section}.checkConnection`, account.id);
  return 'done';
}

async function findBySignIn(way: TokenSignIn): Promise<AccountRecord | 'back' | 'cancelled'> {
  const signIn = await import('./signIn');
  return signIn.findBySignIn(way);
}

function findByKeys(secrets: Secrets): Promise<AccountRecord | 'back' | 'cancelled'> {
  return askForKeys(secrets, l10n.t('Connect an Azure Batch account'), questions(), accountOf);
}

/** Nothing is kept before a call has succeeded, unless the person wants it kept all the same. */
async function askForKeys(
  secrets: Secrets,
  title: string,
  asked: readonly Question[],
  made: (answers: Answers) => { account: AccountRecord; kept: AccountSecrets },
): Promise<AccountRecord | 'back' | 'cancelled'> {
  for (let answers: Answers | 'back' | 'cancelled' = {}; ; ) {
    answers = await ask(title, asked, answers);
    if (typeof answers === 'string') return answers;
    const { account, kept } = made(answers);
    const decision = await tried(account, kept);
    if (decision === 'again') continue;
    if (decision === 'cancelled') return decision;
    await keep(secrets, account, kept);
    return account;
  }
}

/** Tries the keys. When they are refused, the person decides how to go on. */
async function tried(account: AccountRecord, kept: AccountSecrets): Promise<'keep' | 'again' | 'cancelled'> {
  const location = { viewId: `${section}.accounts` };
  try {
    await window.withProgress({ location, title: l10n.t('Trying {0}', account.label) }, () =>
      tryConnection({ account, ...credentialsOf(account, kept) }),
    );
    return 'keep';
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const again = l10n.t('Change Answers');
    const keepAnyway = l10n.t('Keep Anyway');
    const { text } = sentenceOf(error.problem);
    const options = { modal: true, detail: l10n.t('Nothing has been kept yet.') };
    const answer = await window.showErrorMessage(text, options, again, keepAnyway);
    return answer === again ? 'again' : answer === keepAnyway ? 'keep' : 'cancelled';
  }
}

/** Gives an account another name for people. */
export async function renameAccount(accounts: Accounts, account: AccountRecord | undefined): Promise<void> {
  const chosen = account ?? (await pickAccount(accounts, l10n.t('Rename which account?')));
  if (chosen === undefined) return;
  const label = await window.showInputBox({
    title: l10n.t('Rename {0}', chosen.label),
    value: chosen.label,
    validateInput: (text) => (text.trim() === '' ? l10n.t('An answer is needed.') : undefined),
  });
  if (label) await accounts.rename(chosen.id, label.trim());
}

/** Takes a new key, or signs in anew, after the old one has been refused. */
export async function signInAccount(
  accounts: Accounts,
  secrets: Secrets,
  account: AccountRecord | undefined,
): Promise<void> {
  const chosen =
    account ?? accounts.current ?? (await pickAccount(accounts, l10n.t('Sign in to which account?')));
  if (chosen === undefined || chosen.signIn === 'local') return connectAccount(accounts, secrets);
  if (chosen.signIn === 'microsoft') {
    const { signInAgain } = await import('./signIn');
    await signInAgain(chosen, cloudOf(chosen.batchUrl));
  } else if (chosen.signIn === 'keys') {
    await changeKeys(secrets, chosen);
  }
  await commands.executeCommand(`${section}.refresh`);
}

async function changeKeys(secrets: Secrets, account: AccountRecord): Promise<void> {
  const asked = questions().filter(({ id }) => id === 'batchKey' || id === 'storageKey');
  await askForKeys(secrets, l10n.t('New keys for {0}', account.label), asked, (answers) => ({
    account,
    kept: {
      batchKey: parseKey(answers.batchKey ?? '', 'batchKey'),
      storageKey: parseKey(answers.storageKey ?? '', 'storageKey'),
    },
  }));
}

async function pickAccount(accounts: Accounts, title: string): Promise<AccountRecord | undefined> {
  const items = accounts.all.map((account) => ({ label: account.label, account }));
  return (await window.showQuickPick(items, { title }))?.account;
}

function questions(): Question[] {
  return [
    {
      id: 'batchUrl',
      prompt: l10n.t('URL of the Batch account, as the portal shows it'),
      placeholder: 'https://name.region.batch.azure.com',
      check: checked(parseBatchUrl),
    },
    {
      id: 'batchKey',
      prompt: l10n.t('Access key of the Batch account'),
      secret: true,
      check: checked((text) => parseKey(text, 'batchKey')),
    },
    {
      id: 'storage',
      prompt: l10n.t('Name of its storage account, or a connection string'),
      check: checked((text) =>
        isConnectionString(text) ? parseConnectionString(text) : parseStorageName(text),
      ),
    },
    {
      id: 'storageKey',
      prompt: l10n.t('Access key of the storage account'),
      secret: true,
      isNeeded: ({ storage }) => storage === undefined || !isConnectionString(storage),
      check: checked((text) => parseKey(text, 'storageKey')),
    },
  ];
}

function checked(parse: (text: string) => unknown): Question['check'] {
  return (text) => {
    try {
      parse(text);
      return undefined;
    } catch (error) {
      if (error instanceof UserError) return sentenceOf(error.problem).text;
      throw error;
    }
  };
}

function accountOf(answers: Answers): { account: AccountRecord; kept: AccountSecrets } {
  const { url: batchUrl, name: batchName } = parseBatchUrl(answers.batchUrl ?? '');
  const storage = storageOf(answers, batchUrl);
  return {
    account: {
      id: accountId(batchUrl),
      label: batchName,
      signIn: 'keys',
      batchName,
      batchUrl,
      storageName: storage.name,
      blobUrl: storage.blobUrl,
    },
    kept: { batchKey: parseKey(answers.batchKey ?? '', 'batchKey'), storageKey: storage.key },
  };
}

/** A storage account that is given by its name alone lies in the cloud of the Batch account. */
function storageOf({ storage = '', storageKey = '' }: Answers, batchUrl: string): StorageInput {
  if (isConnectionString(storage)) return parseConnectionString(storage);
  const name = parseStorageName(storage);
  return {
    name,
    key: parseKey(storageKey, 'storageKey'),
    blobUrl: `https://${name}.blob.${cloudOf(batchUrl).storageSuffix}`,
  };
}

function credentialsOf(
  account: AccountRecord,
  { batchKey, storageKey }: AccountSecrets,
): Pick<Connection, 'batch' | 'storage'> {
  return {
    batch: { kind: 'sharedKey', name: account.batchName, key: batchKey },
    storage: { kind: 'sharedKey', name: account.storageName, key: storageKey },
  };
}

/** One cheap call to each service, so that a wrong key is told now and not in the middle of a run. */
async function tryConnection(connection: Connection): Promise<void> {
  const [{ Batch }, { Storage }] = await Promise.all([
    import('../../core/azure/batch'),
    import('../../core/azure/storage'),
  ]);
  await new Batch(connection).poolPage({ pageSize: 1 });
  const containers = new Storage(connection).containers('transcode-', AbortSignal.timeout(30_000));
  await containers.next();
}

async function keep(secrets: Secrets, account: AccountRecord, kept: AccountSecrets): Promise<void> {
  try {
    await secrets.set(account.id, kept);
  } catch {
    const session = l10n.t('Keep for This Session');
    const answer = await window.showWarningMessage(
      l10n.t('This machine has no secret storage (keyring) that VS Code can use.'),
      {
        modal: true,
        detail: l10n.t('The keys can be kept until VS Code is closed. They are never written to a file.'),
      },
      session,
    );
    if (answer !== session) throw new UserError({ kind: 'secretMissing', account: account.label });
    secrets.setForSession(account.id, kept);
  }
}

/** The account of this workspace: a setting without secrets, which may be committed. */
export async function chooseAccount(accounts: Accounts): Promise<void> {
  if (accounts.all.length === 0) throw new UserError({ kind: 'noAccount' });
  const answer = await window.showQuickPick(
    accounts.all.map((account) => ({
      label: account.label,
      description: account.id === accounts.current?.id ? l10n.t('in use') : '',
      account,
    })),
    { title: l10n.t('Which account does this workspace use?') },
  );
  if (answer === undefined) return;
  const target = workspace.workspaceFolders ? ConfigurationTarget.Workspace : ConfigurationTarget.Global;
  await workspace.getConfiguration(section).update('account', answer.account.id, target);
}

/** Forgets an account with its keys; nothing in Azure is touched. */
export async function removeAccount(accounts: Accounts, account: AccountRecord | undefined): Promise<void> {
  const chosen = account ?? (await pickAccount(accounts, l10n.t('Remove which account?')));
  if (chosen === undefined) return;
  const remove = l10n.t('Remove');
  const detail =
    chosen.id === localAccountId
      ? l10n.t('Its files stay on this machine.')
      : l10n.t('Its keys are forgotten. Nothing in Azure is deleted.');
  const answer = await window.showWarningMessage(
    l10n.t('Remove {0}?', chosen.label),
    { modal: true, detail },
    remove,
  );
  if (answer === remove) await accounts.remove(chosen.id);
}
