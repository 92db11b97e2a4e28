import { l10n } from 'vscode';
import type { CheckDetail, CheckResult, CheckStep, SkipReason } from '../../core/accounts/connectionCheck';
import type { AccountRecord } from '../../core/azure/account';
import { cloudOf } from '../../core/azure/clouds';
import type { Quota, VmSizes } from '../../core/azure/resourceManager';
import { background } from '../background';
import type { Documents } from '../documents';
import { longWork } from '../longWork';
import { showInformation, showWarning } from '../messages';
import { settings } from '../settings';
import { listed } from '../words/listed';
import { count, secondsOf, time } from '../words/numbers';
import { textInMarkdown } from '../words/plainText';
import { sentenceOf } from '../words/sentences';
import type { Accounts } from './accounts';

/** Checks the connection of an account step by step, and shows the result of each step in a document. */
export async function checkAccount(
  accounts: Accounts,
  documents: Documents,
  account: AccountRecord,
): Promise<void> {
  const results = await longWork(
    l10n.t('Checking the connection to {0}', account.label),
    (progress, signal) =>
      check(accounts, account, signal, (step) => progress.report({ message: stepName(step) })),
  );
  await documents.show(`${account.label}.md`, reportOf(account, results));
  const failed = results.filter(({ status }) => status === 'failed').length;
  background(
    failed === 0
      ? showInformation(l10n.t('Connected to {0}', account.label))
      : showWarning(
          l10n.t('{0}: {1} of {2} steps failed. See the report.', account.label, failed, results.length),
        ),
  );
}

async function check(
  accounts: Accounts,
  account: AccountRecord,
  signal: AbortSignal,
  onStep: (step: CheckStep) => void,
): Promise<CheckResult[]> {
  const [{ checkConnection }, { Batch }, { Storage }] = await Promise.all([
    import('../../core/accounts/connectionCheck'),
    import('../../core/azure/batch'),
    import('../../core/azure/storage'),
  ]);
  const connection = await accounts.connect(account, signal);
  const policy = { patienceMs: 3_000 };
  const checked = {
    connection,
    batch: new Batch(connection, policy),
    storage: new Storage(connection, policy),
    pool: settings().pool,
    quota: () => quota(account, signal),
    sizes: () => supportedSizes(account, signal),
    isFirewalled: async () => {
      const manager = await resourceManagerOf(account);
      return manager?.arm.isFirewalled(manager.by, account, signal);
    },
    signal,
  };
  const results: CheckResult[] = [];
  for await (const result of checkConnection(checked)) {
    results.push(result);
    onStep(result.step);
  }
  return results;
}

/** The quota of an account. Undefined without a sign-in: keys give access to the account, not to its subscription. */
export async function quota(account: AccountRecord, signal: AbortSignal): Promise<Quota | undefined> {
  const manager = await resourceManagerOf(account);
  return manager?.arm.quotaOf(manager.by, account, signal);
}

/** The sizes that an account supports. Undefined without a sign-in, or if it may not be read. */
export async function supportedSizes(
  account: AccountRecord,
  signal: AbortSignal,
): Promise<VmSizes | undefined> {
  const manager = await resourceManagerOf(account);
  return manager?.arm.supportedSizes(manager.by, account, signal).catch(() => undefined);
}

/** Resource Manager and the credential for it; undefined for accounts without a sign-in. */
async function resourceManagerOf(account: AccountRecord) {
  if (account.resourceId === undefined) return undefined;
  const [arm, { credentialOf }] = await Promise.all([
    import('../../core/azure/resourceManager'),
    import('./credentials'),
  ]);
  const credential = await credentialOf(account);
  return credential && { arm, by: { cloud: cloudOf(account.batchUrl), credential } };
}

/** The result of each step, as Markdown. */
export function reportOf(account: AccountRecord, results: readonly CheckResult[]): string {
  const { host: batch } = new URL(account.batchUrl);
  const { host: storage } = new URL(account.blobUrl);
  const isLocal = account.signIn === 'local';
  return [
    `# ${textInMarkdown(account.label)}`,
    '',
    `${time(new Date())} · ${batch} · ${storage}`,
    '',
    ...results.map((result) => lineOf(result, isLocal)),
    '',
    ...(!isLocal && results.some(({ step, status }) => step === 'nodeView' && status === 'skipped')
      ? [
          l10n.t(
            'Nodes connect to the storage account on their own: a firewall that allows this machine can still block them.',
          ),
          '',
        ]
      : []),
  ].join('\n');
}

function lineOf(result: CheckResult, isLocal: boolean): string {
  const name = stepName(result.step);
  switch (result.status) {
    case 'ok':
      return `- ✓ **${name}** (${result.ms} ms)${result.detail === undefined ? '' : `: ${textInMarkdown(detailWords(result.detail))}`}`;
    case 'skipped':
      return `- – **${name}**: ${skipWords(result.why, isLocal)}`;
    case 'failed': {
      const { text } = sentenceOf(result.problem);
      const { problem } = result;
      const id =
        problem.kind === 'service' && problem.requestId
          ? `\n  request-id: ${textInMarkdown(problem.requestId)}`
          : '';
      return `- ✗ **${name}**: ${textInMarkdown(text)}${id}`;
    }
  }
}

function detailWords(detail: CheckDetail): string {
  if (typeof detail === 'string') return detail;
  if ('clockSeconds' in detail)
    return l10n.t('differs by {0}', secondsOf(Math.abs(Math.round(detail.clockSeconds))));
  const { dedicatedCores, spotCores, pools, jobs } = detail.quota;
  const cores = (value: number | undefined) => (value === undefined ? l10n.t('no limit') : count(value));
  return listed([
    l10n.t('Spot cores: {0}', cores(spotCores)),
    l10n.t('dedicated cores: {0}', cores(dedicatedCores)),
    l10n.t('pools: {0}', count(pools)),
    l10n.t('active jobs: {0}', count(jobs)),
  ]);
}

function skipWords(why: SkipReason, isLocal: boolean): string {
  switch (why) {
    case 'earlier':
      return l10n.t('not tried because an earlier step failed');
    case 'needsSignIn':
      return isLocal
        ? l10n.t('not required: tasks run on this machine')
        : l10n.t('unknown: this needs an account that is connected by signing in');
    case 'subnet':
      return l10n.t('unknown: the firewall of the storage account must allow the subnet of the nodes');
    case 'notEncrypted':
      return l10n.t('not encrypted');
    case 'proxy':
      return l10n.t('not tried because a proxy is in use');
  }
}

function stepName(step: CheckStep): string {
  switch (step) {
    case 'batchName':
      return l10n.t('Resolve the Batch account');
    case 'batchTls':
      return l10n.t('Encrypted connection to the Batch account');
    case 'clock':
      return l10n.t('Clock of this machine');
    case 'batchRead':
      return l10n.t('Read from the Batch account');
    case 'batchWrite':
      return l10n.t('Write to the Batch account');
    case 'image':
      return l10n.t('Node image');
    case 'quota':
      return l10n.t('Quota');
    case 'storageName':
      return l10n.t('Resolve the storage account');
    case 'storageTls':
      return l10n.t('Encrypted connection to the storage account');
    case 'storageRead':
      return l10n.t('Read from the storage account');
    case 'roundTrip':
      return l10n.t('Upload and download a test blob (SAS)');
    case 'nodeView':
      return l10n.t('Node access to storage');
  }
}
