import {
  type BlobServiceClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  SASProtocol,
  StorageSharedKeyCredential,
  type UserDelegationKey,
} from '@azure/storage-blob';
import type { Credential } from './account';

/** Returns the URL of a container with a SAS of these permissions (`r`, `w`). */
export type SignContainer = (
  container: string,
  permissions: string,
  expiresOn: Date,
  abortSignal: AbortSignal,
) => Promise<string>;

/** https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas */
const delegationMs = 7 * 24 * 3_600_000;

/**
 * How long before now a key is valid, and how much less than seven days: the clocks of Azure's machines differ a little.
 * https://learn.microsoft.com/azure/storage/common/storage-sas-overview
 */
const slackMs = 15 * 60_000;

/**
 * Services accept all earlier versions. Later ones sign more fields, none of which is used here, and Azurite cannot
 * verify them. https://learn.microsoft.com/rest/api/storageservices/versioning-for-the-azure-storage-services
 */
const sasVersion = '2022-11-02';

interface SignerOptions {
  readonly credential: Credential;
  /** Name of the storage account. The SDK knows it of endpoints such as `name.blob.core.windows.net` only. */
  readonly accountName: string;
  /** The service's time: with a token, requests succeed however wrong this machine's clock is. */
  readonly now: () => Date;
}

/** Signs a service SAS with a key, or a user delegation SAS with a token, which is valid for seven days at most. */
export function signerOf(
  service: BlobServiceClient,
  { credential, accountName, now }: SignerOptions,
): SignContainer {
  const signed =
    credential.kind === 'sharedKey' ? byKey(credential) : byDelegation(service, accountName, now);
  return async (container, permissions, expiresOn, abortSignal) => {
    const { url } = service.getContainerClient(container);
    const values = {
      containerName: container,
      permissions: ContainerSASPermissions.parse(permissions),
      expiresOn,
      protocol: url.startsWith('https:') ? SASProtocol.Https : SASProtocol.HttpsAndHttp,
      version: sasVersion,
    };
    const sas = await signed(values, abortSignal);
    return `${url}?${sas}`;
  };
}

interface SasValues {
  readonly containerName: string;
  readonly permissions: ContainerSASPermissions;
  readonly expiresOn: Date;
  readonly protocol: SASProtocol;
  readonly version: string;
}

type Sign = (values: SasValues, abortSignal: AbortSignal) => Promise<string>;

function byKey({ name, key }: { name: string; key: string }): Sign {
  const credential = new StorageSharedKeyCredential(name, key);
  return async (values) => generateBlobSASQueryParameters(values, credential).toString();
}

function byDelegation(service: BlobServiceClient, accountName: string, clock: () => Date): Sign {
  let known: { key: UserDelegationKey; expires: Date } | undefined;
  return async (values, abortSignal) => {
    const now = clock().getTime();
    const expiresOn = new Date(Math.min(values.expiresOn.getTime(), now + delegationMs - slackMs));
    if (known === undefined || known.expires < expiresOn) {
      const key = await service.getUserDelegationKey(new Date(now - slackMs), expiresOn, { abortSignal });
      known = { key, expires: expiresOn };
    }
    return generateBlobSASQueryParameters({ ...values, expiresOn }, known.key, accountName).toString();
  };
}
