import { l10n } from 'vscode';
import type { Problem, Service } from '../../core/errors';

/** What each refusal means, by the code that Batch, Storage or Microsoft Entra gives. */
const refusals: Record<string, () => string> = {
  AuthenticationFailed: () => l10n.t('The key is wrong or has been renewed since, or the sign-in has ended.'),
  InvalidAuthenticationInfo: () => l10n.t('The signature is malformed: a key is damaged.'),
  KeyBasedAuthenticationNotPermitted: () =>
    l10n.t('The storage account forbids keys. Connect it by signing in with Microsoft.'),
  SharedKeyAuthorizationNotAllowed: () =>
    l10n.t('The Batch account forbids keys. Connect it by signing in with Microsoft.'),
  AuthorizationPermissionMismatch: () =>
    l10n.t('You lack the role Storage Blob Data Contributor on the storage account.'),
  PermissionDenied: () => l10n.t('You lack a role on the account, such as Azure Batch Data Contributor.'),
  Forbidden: () => l10n.t('You lack a role on the account, such as Azure Batch Data Contributor.'),
  AuthorizationFailure: () =>
    l10n.t('The firewall of the account keeps this machine out, or a role is missing.'),
  IpAuthorizationNotAllowed: () => l10n.t('The firewall of the account keeps this machine out.'),
  AccountIsDisabled: () => l10n.t('The account is disabled.'),
  CredentialUnavailable: () =>
    l10n.t(
      'On this machine neither the environment, nor a managed identity, nor the Azure CLI is signed in. Run "az login" and try again.',
    ),
  AADSTS50057: () => l10n.t('The user account is disabled.'),
  AADSTS50020: () => l10n.t('This user is not known in that directory.'),
  AADSTS50076: () => l10n.t('The directory wants multi-factor authentication. Sign in to it again.'),
  AADSTS50079: () => l10n.t('The directory wants multi-factor authentication. Sign in to it again.'),
  AADSTS50158: () => l10n.t('The directory wants multi-factor authentication. Sign in to it again.'),
  AADSTS50173: () =>
    l10n.t('The session has ended, for instance since the password was changed. Sign in again.'),
  AADSTS70043: () => l10n.t('The session has ended. Sign in again.'),
  AADSTS700082: () => l10n.t('The session has ended. Sign in again.'),
  AADSTS53003: () =>
    l10n.t('A rule of the directory (conditional access) keeps this sign-in out. Ask its administrator.'),
  AADSTS53000: () => l10n.t('A rule of the directory keeps this device out. Ask its administrator.'),
  AADSTS65001: () => l10n.t('The directory has not agreed to this application. Ask its administrator.'),
  AADSTS90002: () => l10n.t('The directory (tenant) does not exist in this cloud.'),
  AADSTS500011: () =>
    l10n.t('The directory does not know this service: the cloud or the directory may be another.'),
  AADSTS700016: () => l10n.t('The application of the environment is not known in that directory.'),
  AADSTS7000215: () => l10n.t('The client secret in the environment is wrong.'),
  AADSTS7000222: () => l10n.t('The client secret in the environment has ended.'),
  InvalidAudience: () => l10n.t('The token is for another cloud or service.'),
};

/** What a refusal means, where the code tells, and who refused: a row of a tree shows the beginning only. */
export function unauthorizedWords({
  service,
  account,
  code,
  detail,
}: Extract<Problem, { kind: 'unauthorized' }>): string {
  const meaning = refusals[code]?.();
  if (meaning) return l10n.t('{0} ({1} of {2}: {3})', meaning, serviceName(service), account, code);
  const refused = l10n.t('{0} of {1} refused the credentials ({2}).', serviceName(service), account, code);
  return withDetail(refused, detail);
}

type Quota = Extract<Problem, { kind: 'quota' }>;

/** Which quota is in the way, and what helps. */
export function quotaWords({ what, needed, available }: Quota): string {
  const known = needed !== undefined && available !== undefined;
  switch (what) {
    case 'spotCores':
      return known
        ? l10n.t(
            'The run needs {0} Spot cores, but the quota of the account is {1}. Ask for more, or use dedicated nodes.',
            needed,
            available,
          )
        : l10n.t(
            'The quota of Spot cores of the account is used up. Waiting does not help: ask for more, or use dedicated nodes.',
          );
    case 'dedicatedCores':
      return known
        ? l10n.t(
            'The run needs {0} dedicated cores, but the quota of the account is {1}. Ask for more, or use Spot nodes.',
            needed,
            available,
          )
        : l10n.t(
            'The quota of dedicated cores of the account, or of this size, is used up. Waiting does not help: ask for more, or use another size or Spot nodes.',
          );
    case 'pools':
      return l10n.t(
        'The account has as many pools as its quota allows. Delete pools that are not needed any more, or ask for more.',
      );
    case 'jobs':
      return l10n.t(
        'The account has as many active jobs as its quota allows. Delete jobs that are done, or ask for more.',
      );
  }
}

/** What is larger than Azure takes. */
export function limitWords({ what, limit, name }: Extract<Problem, { kind: 'limitExceeded' }>): string {
  switch (what) {
    case 'path':
      return l10n.t('The path of {0} is longer than {1} characters.', name, limit);
    case 'tasks':
      return l10n.t('{0} has more than {1} files.', name, limit);
    case 'commandLine':
      return l10n.t('The command line for {0} is longer than {1} characters.', name, limit);
  }
}

/** What is wrong with what was pasted for an account. */
export const fieldWords: Record<Extract<Problem, { kind: 'accountInvalid' }>['what'], () => string> = {
  batchUrl: () => l10n.t('This is not the URL of a Batch account, like https://name.region.batch.azure.com.'),
  batchKey: () => l10n.t('This is not the key of a Batch account: a key is Base64 text of 88 characters.'),
  storageName: () =>
    l10n.t('This is not the name of a storage account: 3 to 24 lower-case letters and digits.'),
  storageKey: () =>
    l10n.t('This is not the key of a storage account: a key is Base64 text of 88 characters.'),
  storageUrl: () =>
    l10n.t('This is not the Blob endpoint of a storage account, like https://name.blob.core.windows.net.'),
  connectionString: () => l10n.t('This is not the connection string of a storage account.'),
};

/** Names of the services, as a subject. */
export function serviceName(service: Service): string {
  switch (service) {
    case 'batch':
      return l10n.t('Azure Batch');
    case 'storage':
      return l10n.t('Azure Storage');
    case 'identity':
      return l10n.t('Microsoft Entra ID');
    case 'arm':
      return l10n.t('Azure Resource Manager');
  }
}

/** What a service said goes after what we say. */
export function withDetail(text: string, detail: string | undefined): string {
  return detail ? `${text} ${detail}` : text;
}
