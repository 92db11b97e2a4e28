import { l10n, type QuickPickItem, ThemeIcon, window } from 'vscode';
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
import { background } from '../background';
import { accountsView } from '../contributions';
import type { Documents } from '../documents';
import { showError, showInformation, showWarning } from '../messages';
import type { AccountSecrets, Secrets } from '../secrets';
import { sentenceOf } from '../words/sentences';
import { type Accounts, accountId, canUpdateCredentials, localAccountId } from './accounts';
import { offerForWorkspace, pickAccount } from './manageAccounts';
import { type Answers, ask, type Question } from './questions';

/** What connecting an account needs. */
export interface ConnectParts {
  readonly accounts: Accounts;
  readonly secrets: Secrets;
  readonly documents: Documents;
}

/**
 * Connects an account in one of the possible ways, step by step. Back leads to the list of ways. Undefined if the user
 * canceled.
 */
export async function connectAccount(parts: ConnectParts): Promise<AccountRecord | undefined> {
  for (;;) {
    const way = await chooseWay();
    if (way === undefined) return undefined;
    const outcome = await connectBy(way, parts);
    if (outcome !== 'back') return outcome === 'cancelled' ? undefined : outcome;
  }
}

async function chooseWay(): Promise<SignIn | undefined> {
  const ways: (QuickPickItem & { way: SignIn })[] = [
    {
      iconPath: new ThemeIcon('azure'),
      label: l10n.t('Sign in with Microsoft'),
      detail: l10n.t('Finds your Batch accounts. No key is read or stored.'),
      way: 'microsoft',
    },
    {
      iconPath: new ThemeIcon('key'),
      label: l10n.t('Account keys'),
      detail: l10n.t('The URL and key of a Batch account, and of its storage account.'),
      way: 'keys',
    },
    {
      iconPath: new ThemeIcon('terminal'),
      label: l10n.t('Azure CLI, environment, or managed identity'),
      detail: l10n.t('For remote machines that are already signed in.'),
      way: 'identity',
    },
    {
      iconPath: new ThemeIcon('vm'),
      label: l10n.t('Local Batch account'),
      detail: l10n.t('No Azure account required: tasks run on this machine.'),
      way: 'local',
    },
  ];
  const options = { title: l10n.t('Connect an account'), ignoreFocusOut: true };
  return (await window.showQuickPick(ways, options))?.way;
}

async function connectBy(way: SignIn, parts: ConnectParts): Promise<AccountRecord | 'back' | 'cancelled'> {
  const { accounts, secrets, documents } = parts;
  if (way === 'local') {
    const local = await accounts.addLocal();
    await offerForWorkspace(accounts, localAccountId);
    return local;
  }
  const account = await (way === 'keys' ? findByKeys(secrets) : findBySignIn(way));
  if (typeof account === 'string') return account;
  await accounts.add(account);
  // Keys from an earlier connection are not used any more.
  if (way !== 'keys') await secrets.delete(account.id);
  await offerForWorkspace(accounts, account.id);
  const { checkAccount } = await import('./checkConnection');
  const added = accounts.byId(account.id) ?? account;
  await checkAccount(accounts, documents, added);
  return added;
}

async function findBySignIn(way: TokenSignIn): Promise<AccountRecord | 'back' | 'cancelled'> {
  const signIn = await import('./signIn');
  return signIn.findBySignIn(way);
}

function findByKeys(secrets: Secrets): Promise<AccountRecord | 'back' | 'cancelled'> {
  return askForKeys(secrets, l10n.t('Connect an Azure Batch account'), questions(), accountOf);
}

/** Asks for keys and tries them. Nothing is stored before a call succeeded, unless the user decides to. */
async function askForKeys(
  secrets: Secrets,
  title: string,
  asked: readonly Question[],
  toAccount: (answers: Answers) => { account: AccountRecord; keys: AccountSecrets },
): Promise<AccountRecord | 'back' | 'cancelled'> {
  let answers: Answers | 'back' | 'cancelled' = {};
  for (;;) {
    answers = await ask(title, asked, answers);
    if (typeof answers === 'string') return answers;
    const { account, keys } = toAccount(answers);
    const decision = await tryKeys(account, keys);
    if (decision === 'cancelled') return decision;
    if (decision === 'save') return (await save(secrets, account, keys)) ? account : 'cancelled';
  }
}

/** Tries the keys. If they are refused, the user decides what to do. */
async function tryKeys(account: AccountRecord, keys: AccountSecrets): Promise<'save' | 'edit' | 'cancelled'> {
  const location = { viewId: accountsView };
  try {
    await window.withProgress({ location, title: l10n.t('Connecting to {0}', account.label) }, () =>
      tryConnection({ account, ...credentialsOf(account, keys) }),
    );
    return 'save';
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const edit = l10n.t('Edit Details');
    const saveAnyway = l10n.t('Save Anyway');
    const { text } = sentenceOf(error.problem);
    const options = { modal: true, detail: l10n.t('Nothing has been saved yet.') };
    const answer = await showError(text, options, edit, saveAnyway);
    return answer === edit ? 'edit' : answer === saveAnyway ? 'save' : 'cancelled';
  }
}

/**
 * Asks for new keys, or signs in again, after the credentials of an account were refused or lost. Resolves with whether the
 * account has new ones. `alwaysAsks`: without an account, it is asked for even if only one can be meant.
 */
export async function updateCredentials(
  accounts: Accounts,
  secrets: Secrets,
  account: AccountRecord | undefined,
  { alwaysAsks = false }: { readonly alwaysAsks?: boolean } = {},
): Promise<boolean> {
  const [only, ...others] = accounts.all.filter(canUpdateCredentials);
  if (account === undefined && only === undefined && accounts.all.length > 0) {
    const text = l10n.t('No connected account has keys or a Microsoft sign-in that can be updated.');
    background(showInformation(text));
    return false;
  }
  const chosen =
    account ??
    (only && others.length === 0 && !alwaysAsks
      ? only
      : await pickAccount(
          accounts,
          l10n.t('Update the credentials of which account?'),
          canUpdateCredentials,
        ));
  if (chosen?.signIn === 'identity') {
    const text = l10n.t(
      '{0} uses the sign-in of the Azure CLI, the environment, or a managed identity. Sign in there, for example with “az login”.',
      chosen.label,
    );
    background(showInformation(text));
    return false;
  }
  if (chosen === undefined || !canUpdateCredentials(chosen)) return false;
  if (chosen.signIn === 'microsoft') {
    const { signInAgain } = await import('./signIn');
    await signInAgain(chosen, cloudOf(chosen.batchUrl));
  } else if (!(await updateKeys(secrets, chosen))) return false;
  accounts.credentialsChanged();
  return true;
}

/** Asks for new keys of an account that is connected by keys. Resolves with whether they are stored. */
async function updateKeys(secrets: Secrets, account: AccountRecord): Promise<boolean> {
  const asked = questions().filter(({ id }) => id === 'batchKey' || id === 'storageKey');
  const title = l10n.t('New keys for {0}', account.label);
  const updated = await askForKeys(secrets, title, asked, (answers) => ({
    account,
    keys: {
      batchKey: parseKey(answers.batchKey ?? '', 'batchKey'),
      storageKey: parseKey(answers.storageKey ?? '', 'storageKey'),
    },
  }));
  return typeof updated !== 'string';
}

function questions(): Question[] {
  return [
    {
      id: 'batchUrl',
      prompt: l10n.t('URL of the Batch account, as shown in the Azure portal'),
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

function accountOf(answers: Answers): { account: AccountRecord; keys: AccountSecrets } {
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
    keys: { batchKey: parseKey(answers.batchKey ?? '', 'batchKey'), storageKey: storage.key },
  };
}

/** A storage account given by name only is in the cloud of the Batch account. */
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

/** Makes one cheap call to each service, so that a wrong key is noticed now and not during a run. */
async function tryConnection(connection: Connection): Promise<void> {
  const [{ Batch }, { Storage }] = await Promise.all([
    import('../../core/azure/batch'),
    import('../../core/azure/storage'),
  ]);
  await new Batch(connection).poolPage({ pageSize: 1 });
  const containers = new Storage(connection).containers('transcode-', AbortSignal.timeout(30_000));
  await containers.next();
}

/** Stores keys. Without a keyring, the user decides; resolves with whether they are kept. */
async function save(secrets: Secrets, { id }: AccountRecord, keys: AccountSecrets): Promise<boolean> {
  try {
    await secrets.set(id, keys);
  } catch {
    const session = l10n.t('Keep for This Session');
    const answer = await showWarning(
      l10n.t('VS Code found no secret storage (keyring) on this machine.'),
      {
        modal: true,
        detail: l10n.t(
          'The keys can be kept in memory until VS Code is closed. They are never written to a file.',
        ),
      },
      session,
    );
    if (answer !== session) return false;
    secrets.setForSession(id, keys);
  }
  return true;
}
