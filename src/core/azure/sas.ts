import {
  type BlobServiceClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  SASProtocol,
  StorageSharedKeyCredential,
  type UserDelegationKey,
} from '@azure/storage-blob';
import type { Credential } from './account';

/** Makes the URL of a container with a SAS of these permissions (`r`, `w`). */
export type SignContainer = (container: string, permissions: string, expiresOn: Date) => Promise<string>;

/** https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas */
const delegationMs = 7 * 24 * 3_600_000;

/** Before now, for services whose clock is behind this machine's. */
const slackMs = 5 * 60_000;

/** With a key a service SAS; with a token a user-delegation SAS, which ends after seven days whatever was asked for. */
export function signerOf(service: BlobServiceClient, credential: Credential): SignContainer {
  const signed = credential.kind === 'sharedKey' ? byKey(credential) : byDelegation(service);
  return async (container, permissions, expiresOn) => {
    const { url } = service.getContainerClient(container);
    const sas = await signed({
      containerName: container,
      permissions: ContainerSASPermissions.parse(permissions),
      expiresOn,
      protocol: url.startsWith('https:') ? SASProtocol.Https : SASProtocol.HttpsAndHttp,
    });
    return `${url}?${sas}`;
  };
}

interface SasValues {
  readonly containerName: string;
  readonly permissions: ContainerSASPermissions;
  readonly expiresOn: Date;
  readonly protocol: SASProtocol;
}

type Sign = (values: SasValues) => Promise<string>;

function byKey({ name, key }: { name: string; key: string }): Sign {
  const credential = new StorageSharedKeyCredential(name, key);
  return async (values) => generateBlobSASQueryParameters(values, credential).toString();
}

function byDelegation(service: BlobServiceClient): Sign {
  let known: { key: UserDelegationKey; expires: Date } | undefined;
  return async (values) => {
    const now = Date.now();
    const expiresOn = new Date(Math.min(values.expiresOn.getTime(), now + delegationMs - slackMs));
    if (known === undefined || known.expires < expiresOn) {
      const key = await service.getUserDelegationKey(new Date(now - slackMs), expiresOn);
      known = { key, expires: expiresOn };
    }
    return generateBlobSASQueryParameters(
      { ...values, expiresOn },
      known.key,
      service.accountName,
    ).toString();
  };
}
