import { l10n } from 'vscode';
import type { Problem, Service } from '../../core/errors';
import { listed } from './listed';
import { bytes, count, minutesOf } from './numbers';

/** The meaning of each rejection, by the error code of Batch, Storage or Microsoft Entra. */
const refusals: Record<string, () => string> = {
  AuthenticationFailed: () => l10n.t('The key is wrong or was regenerated, or the sign-in expired.'),
  InvalidAuthenticationInfo: () => l10n.t('The signature is malformed. Check that the key is complete.'),
  KeyBasedAuthenticationNotPermitted: () =>
    l10n.t(
      "The storage account doesn't allow access keys. Connect the account by signing in with Microsoft.",
    ),
  SharedKeyAuthorizationNotAllowed: () =>
    l10n.t("The Batch account doesn't allow access keys. Connect the account by signing in with Microsoft."),
  AuthorizationPermissionMismatch: () =>
    l10n.t("You don't have the Storage Blob Data Contributor role on the storage account."),
  PermissionDenied: () =>
    l10n.t("You don't have a required role on the account, such as Azure Batch Data Contributor."),
  Forbidden: () =>
    l10n.t("You don't have a required role on the account, such as Azure Batch Data Contributor."),
  AuthorizationFailure: () =>
    l10n.t("The firewall of the account blocks this machine, or you don't have a required role."),
  IpAuthorizationNotAllowed: () => l10n.t('The firewall of the account blocks this machine.'),
  AccountIsDisabled: () => l10n.t('The account is disabled.'),
  CredentialUnavailable: () =>
    l10n.t(
      'No credential was found in the environment, a managed identity, or the Azure CLI. Run “az login” and try again.',
    ),
  AADSTS50057: () => l10n.t('The user account is disabled.'),
  AADSTS50020: () => l10n.t("The user doesn't exist in that directory."),
  AADSTS50076: () => l10n.t('The directory requires multifactor authentication. Sign in again.'),
  AADSTS50079: () => l10n.t('The directory requires multifactor authentication. Sign in again.'),
  AADSTS50158: () => l10n.t('The directory requires multifactor authentication. Sign in again.'),
  AADSTS50173: () =>
    l10n.t('The session expired, for example because the password was changed. Sign in again.'),
  AADSTS70043: () => l10n.t('The session expired. Sign in again.'),
  AADSTS700082: () => l10n.t('The session expired. Sign in again.'),
  AADSTS53003: () => l10n.t('A Conditional Access policy blocked this sign-in. Contact your administrator.'),
  AADSTS53000: () => l10n.t('A Conditional Access policy blocked this device. Contact your administrator.'),
  AADSTS65001: () => l10n.t("The directory hasn't granted consent to this app. Contact your administrator."),
  AADSTS90002: () => l10n.t("The directory (tenant) doesn't exist in this cloud."),
  AADSTS500011: () =>
    l10n.t("The service isn't registered in this directory. Check the cloud and the directory."),
  AADSTS700016: () => l10n.t("The app that is set in the environment isn't registered in that directory."),
  AADSTS7000215: () => l10n.t('The client secret in the environment is wrong.'),
  AADSTS7000222: () => l10n.t('The client secret in the environment expired.'),
  InvalidAudience: () => l10n.t('The token is for another cloud or service.'),
};

/**
 * The meaning of a rejection by its detail: `AuthenticationFailed` and `InvalidAuthenticationInfo` have several. Batch:
 * https://github.com/Azure/BatchExplorer/issues/239, Storage: https://github.com/Azure/azure-sdk-for-net/issues/10529.
 */
const refusalDetails: readonly (readonly [RegExp, () => string])[] = [
  [/SharedKey is not allowed/, () => refusals.SharedKeyAuthorizationNotAllowed?.() ?? ''],
  [
    /Issuer validation failed/,
    () =>
      l10n.t(
        "The sign-in is for another directory (tenant), not the account's. Sign in to the account's directory.",
      ),
  ],
  [/(Audience|Signature) validation failed/, () => refusals.InvalidAudience?.() ?? ''],
  [/Lifetime validation failed/, () => refusals.AADSTS70043?.() ?? ''],
];

/**
 * Explains a rejection. The meaning comes first because a row of a tree shows only the beginning; the service, the account
 * and the code follow.
 */
export function unauthorizedWords({
  service,
  account,
  code,
  detail,
}: Extract<Problem, { kind: 'unauthorized' }>): string {
  const known = refusalDetails.find(([pattern]) => pattern.test(detail ?? ''))?.[1] ?? refusals[code];
  const meaning = known?.();
  if (meaning) return l10n.t('{0} ({1} of {2}: {3})', meaning, serviceName(service), account, code);
  const refused = l10n.t('{0} rejected the credentials for {1} ({2}).', serviceName(service), account, code);
  return withDetail(refused, detail);
}

/** What makes a run continue, or its cancellation, that waits for its account. */
export function waitWords({ waitsFor, isCanceling }: Extract<Problem, { kind: 'runWaits' }>): string {
  if (isCanceling) return l10n.t('The run is canceled as soon as the account can be used again.');
  switch (waitsFor) {
    case 'signIn':
      return l10n.t('The run continues after you sign in.');
    case 'access':
      return l10n.t('The run continues when the account grants access again.');
    case 'connection':
      return l10n.t('The run continues when the account can be reached again.');
  }
}

/** Says who ended a task: the time limit of its job, or somebody. */
export function endedWords({ file, isOutOfTime }: Extract<Problem, { kind: 'ended' }>): string {
  return isOutOfTime
    ? l10n.t(
        "{0} wasn't transcoded before the time limit of its job ended. Retry the file when nodes are available.",
        file,
      )
    : l10n.t('The task for {0} was terminated before it completed. Retry the file.', file);
}

/** Names the error of a node, and what helps. */
export function nodeFailedWords({ node, code, detail }: Extract<Problem, { kind: 'nodeFailed' }>): string {
  return l10n.t(
    'Node {0}: {1} ({2}). Reimage the node, or remove it so that the pool allocates another one.',
    node,
    detail ?? code,
    code,
  );
}

type Quota = Extract<Problem, { kind: 'quota' }>;

/** Names the quota that is used up, and what helps. */
export function quotaWords({ what, needed, available }: Quota): string {
  const known = needed !== undefined && available !== undefined;
  switch (what) {
    case 'spotCores':
      return known
        ? l10n.t(
            "The run requires more Spot cores ({0}) than the account's quota ({1}). Request a quota increase, or use dedicated nodes.",
            count(needed),
            count(available),
          )
        : l10n.t(
            "The account's Spot core quota is used up. Request a quota increase, or use dedicated nodes.",
          );
    case 'dedicatedCores':
      return known
        ? l10n.t(
            "The run requires more dedicated cores ({0}) than the account's quota ({1}). Request a quota increase, or use Spot nodes.",
            count(needed),
            count(available),
          )
        : l10n.t(
            'The dedicated core quota of the account or of this VM series is used up. Request a quota increase, or use another VM size or Spot nodes.',
          );
    case 'pools':
      return l10n.t(
        "The account's pool quota is used up. Delete pools that are no longer needed, or request a quota increase.",
      );
    case 'jobs':
      return l10n.t(
        "The account's active job quota is used up. Delete completed jobs, or request a quota increase.",
      );
  }
}

/** Names the Azure limit that is exceeded. */
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

/** What a scan of folders left out, with the numbers; undefined if nothing. */
export function leftOutWords({ outputs = 0, excluded = 0, unreadable = 0 }: LeftOut): string | undefined {
  const parts = [
    ...(outputs > 0 ? [l10n.t('outputs of earlier runs: {0}', count(outputs))] : []),
    ...(unreadable > 0 ? [l10n.t("folders that can't be read: {0}", count(unreadable))] : []),
    ...(excluded > 0 ? [l10n.t('excluded files and folders: {0}', count(excluded))] : []),
  ];
  return parts.length > 0 ? l10n.t('Left out: {0}', listed(parts)) : undefined;
}

interface LeftOut {
  readonly outputs?: number;
  readonly excluded?: number;
  readonly unreadable?: number;
}

/** Says what is wrong with a preset, and what is right. */
export function presetFaultWords({
  fault,
  subject = '',
}: Extract<Problem, { kind: 'presetInvalid' }>): string {
  switch (fault) {
    case 'name':
      return l10n.t('Its name is missing.');
    case 'nameTaken':
      return l10n.t('Another preset has the same name.');
    case 'unknownPreset':
      return l10n.t("There's no preset with this ID.");
    case 'unknownProperty':
      return l10n.t('A preset has no property “{0}”.', subject);
    case 'arguments':
      return l10n.t('Its arguments must be a list of strings.');
    case 'missingPlaceholder':
      return l10n.t('{0} is missing in its arguments.', subject);
    case 'unknownPlaceholder':
      return l10n.t("The placeholder {0} doesn't exist or isn't allowed in this place.", subject);
    case 'nullCharacter':
      return l10n.t("Its arguments can't contain null characters.");
    case 'extension':
      return l10n.t('Its extension must be 1 to 10 letters and digits, such as mp3.');
    case 'needs':
      return l10n.t('The value of “needs” must be audio, video, subtitle, or any.');
    case 'inputs':
      return l10n.t('The value of “inputs” must be a list of extensions, such as mp4.');
    case 'boolean':
      return l10n.t('The value of “{0}” must be true or false.', subject);
  }
}

/** Says where ffmpeg was looked for. */
export function noFfmpegWords({ path }: Extract<Problem, { kind: 'noFfmpeg' }>): string {
  return path === undefined
    ? l10n.t(
        "The local Batch account requires ffmpeg, which wasn't found on this machine. Install ffmpeg, or set its path.",
      )
    : l10n.t(
        'The local Batch account requires ffmpeg, but there is none at {0}, the path in the settings. Correct the path.',
        path,
      );
}

/** Says why a program can't be used as ffmpeg. */
export function notFfmpegWords({ path, fault, detail }: Extract<Problem, { kind: 'notFfmpeg' }>): string {
  return fault === 'name'
    ? l10n.t(
        'Tasks run the program “ffmpeg”, but the setting names {0}. Rename it, or create a link named “ffmpeg” to it and enter the path of the link.',
        path,
      )
    : withDetail(
        l10n.t(
          "{0} isn't ffmpeg, or it can't run on this machine. Install ffmpeg, or correct the path.",
          path,
        ),
        detail,
      );
}

/** Describes the expected form of each account field. */
export const fieldWords: Record<Extract<Problem, { kind: 'accountInvalid' }>['what'], () => string> = {
  batchUrl: () => l10n.t('Enter the URL of a Batch account, such as https://name.region.batch.azure.com.'),
  batchKey: () => l10n.t('Enter the access key of a Batch account: 88 characters of Base64.'),
  storageName: () => l10n.t('Enter the name of a storage account: 3 to 24 lowercase letters and digits.'),
  storageKey: () => l10n.t('Enter the access key of a storage account: 88 characters of Base64.'),
  storageUrl: () =>
    l10n.t('Enter the Blob endpoint of a storage account, such as https://name.blob.core.windows.net.'),
  connectionString: () => l10n.t('Enter the connection string of a storage account.'),
};

/** Display name of a service. */
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

/** What a service answered, to which operation. */
export function serviceWords({
  service,
  operation,
  resource,
  status = 0,
  code,
  detail,
}: Extract<Problem, { kind: 'service' }>): string {
  const name = serviceName(service);
  // The service has failed, and has not judged the request.
  if (status >= 500) {
    const failed = resource
      ? l10n.t("{0} couldn't complete the operation “{1}” on {2} ({3}).", name, operation, resource, code)
      : l10n.t("{0} couldn't complete the operation “{1}” ({2}).", name, operation, code);
    return withDetail(l10n.t('{0} Try again in a few minutes.', failed), detail);
  }
  const rejected = resource
    ? l10n.t('{0} rejected the operation “{1}” on {2} ({3}).', name, operation, resource, code)
    : l10n.t('{0} rejected the operation “{1}” ({2}).', name, operation, code);
  return withDetail(rejected, detail);
}

/** Appends the service's own message, if there is one. */
export function withDetail(text: string, detail: string | undefined): string {
  return detail ? `${text} ${detail}` : text;
}

/** Why a resource that was chosen to be deleted stays. */
export function keptWords(why: Extract<Problem, { kind: 'resourceKept' }>['why']): string {
  switch (why) {
    case 'used':
      return l10n.t(
        'A run or a task that began meanwhile needs this resource. Clean up again when it has ended.',
      );
    case 'changed':
      return l10n.t('This resource has changed since it was listed. Clean up again to review it.');
  }
}

export function runAlteredWords({ run }: Extract<Problem, { kind: 'runAltered' }>): string {
  return l10n.t(
    "The record of the run in container {0} was changed by something other than this extension, so it isn't used: it might lead to other files on this machine. Its outputs stay in the container.",
    run,
  );
}

/** Says how much space a disk lacks, if that is known. */
export function diskFullWords({
  folder,
  neededBytes,
  freeBytes = 0,
  isSave = false,
}: Extract<Problem, { kind: 'diskFull' }>): string {
  if (neededBytes === undefined) {
    return isSave
      ? l10n.t('The disk that holds {0} is full. Free up space, then save the file again.', folder)
      : l10n.t('The disk that holds {0} is full. Free up space, then fetch the outputs again.', folder);
  }
  return isSave
    ? l10n.t(
        'The disk that holds {0} has {1} free, but {2} is required. Free up space, then save the file again.',
        folder,
        bytes(freeBytes),
        bytes(neededBytes),
      )
    : l10n.t(
        'The disk that holds {0} has {1} free, but {2} is required. Free up space, then fetch the outputs again.',
        folder,
        bytes(freeBytes),
        bytes(neededBytes),
      );
}

/** Names the folder into which nothing can be written, and what to do then. */
export function folderReadOnlyWords({
  folder,
  isSave = false,
}: Extract<Problem, { kind: 'folderReadOnly' }>): string {
  return isSave
    ? l10n.t(
        "Couldn't write to {0}: access denied. Check the folder's permissions, then save the file again.",
        folder,
      )
    : l10n.t(
        "Couldn't write to {0}: access denied. Check the folder's permissions, then fetch the outputs again.",
        folder,
      );
}

/** Names the folder that was deleted, and what to do then. */
export function folderMissingWords({
  folder,
  isSave = false,
}: Extract<Problem, { kind: 'folderMissing' }>): string {
  return isSave
    ? l10n.t('{0} no longer exists. Create the folder, then save the file again.', folder)
    : l10n.t('{0} no longer exists. Create the folder, then fetch the outputs again.', folder);
}

export function unknownWords({ kind }: Problem): string {
  return l10n.t('The reason is unknown to this version of the extension ({0}). Update the extension.', kind);
}

export function clockWords({ minutes }: Extract<Problem, { kind: 'clockSkew' }>): string {
  return minutes > 0
    ? l10n.t(
        'The clock of this machine is {0} fast, so the service rejects its requests. Correct the clock.',
        minutesOf(minutes),
      )
    : l10n.t(
        'The clock of this machine is {0} slow, so the service rejects its requests. Correct the clock.',
        minutesOf(-minutes),
      );
}

export function localServiceWords({
  detail,
  canReset,
}: Extract<Problem, { kind: 'localServiceFailed' }>): string {
  const text = l10n.t("Couldn't start the local Batch service: {0}", detail);
  return canReset
    ? l10n.t('{0} If its data is damaged, reset the local Batch account, which deletes the data.', text)
    : text;
}

export function endedPoolWords(pool: string, why: 'deleted' | 'deleting'): string {
  return why === 'deleted'
    ? l10n.t('Pool {0} was deleted.', pool)
    : l10n.t('Pool {0} is still being deleted. Try again later.', pool);
}
