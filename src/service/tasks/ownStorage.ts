import { BlobClient, BlobSASPermissions, StorageSharedKeyCredential } from '@azure/storage-blob';

/** The storage account of the local Batch account. */
export interface OwnStorage {
  /** `http://127.0.0.1:PORT/ACCOUNT` */
  readonly blobUrl: string;
  readonly accountName: string;
  /** Base64. */
  readonly accountKey: string;
  /** Resolves once everything that was stored is on the disk, so that it survives a crash. */
  save(signal: AbortSignal): Promise<void>;
}

/** Whether a URL leads to the storage account of the local Batch account. */
export function isOwn(storage: OwnStorage | undefined, url: string): storage is OwnStorage {
  return storage !== undefined && (url === storage.blobUrl || url.startsWith(`${storage.blobUrl}/`));
}

/**
 * The credential for a URL of the account's own storage that has no SAS, as a linked storage account has it in Azure;
 * undefined for any other URL, which is used as it is.
 */
export function credentialFor(
  storage: OwnStorage | undefined,
  url: string,
): StorageSharedKeyCredential | undefined {
  if (!isOwn(storage, url) || new URL(url).searchParams.has('sig')) return undefined;
  return new StorageSharedKeyCredential(storage.accountName, storage.accountKey);
}

/** Long enough for a download that waits for others. */
const readableMs = 24 * 3_600_000;

/** A URL at which a blob can be read: with a SAS of its own if it is one of the account's own storage and has none. */
export async function readableUrl(storage: OwnStorage | undefined, url: string): Promise<string> {
  const credential = credentialFor(storage, url);
  if (credential === undefined || !isBlob(url)) return url;
  return new BlobClient(url, credential).generateSasUrl({
    permissions: BlobSASPermissions.parse('r'),
    expiresOn: new Date(Date.now() + readableMs),
  });
}

/** `/ACCOUNT/CONTAINER/BLOB` */
function isBlob(url: string): boolean {
  return new URL(url).pathname.split('/').filter(Boolean).length > 2;
}
