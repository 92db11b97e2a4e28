import { isLoopback } from '../azure/account';
import { UserError } from '../errors';

/** A storage account, from what the user pasted. */
export interface StorageInput {
  readonly name: string;
  readonly key: string;
  /** Without a slash at the end. */
  readonly blobUrl: string;
}

/** Removes the spaces, line ends and quotes that are copied along with a value. */
export function cleaned(pasted: string): string {
  return pasted
    .trim()
    .replace(/^(["'])(.*)\1$/s, '$2')
    .trim();
}

/** Reads an account URL (`https://name.region.batch.azure.com`), with or without scheme and trailing slash. */
export function parseBatchUrl(pasted: string): { url: string; name: string } {
  const text = cleaned(pasted);
  let url: URL;
  try {
    url = new URL(/^[a-z]+:\/\//i.test(text) ? text : `https://${text}`);
  } catch {
    throw new UserError({ kind: 'accountInvalid', what: 'batchUrl' });
  }
  if (!isEncrypted(url) || (!isLoopback(url.href) && !url.hostname.includes('.'))) {
    throw new UserError({ kind: 'accountInvalid', what: 'batchUrl' });
  }
  const [name = ''] = url.hostname.split('.');
  return { url: url.origin, name: isLoopback(url.href) ? 'localbatch' : name };
}

/** Whether what is sent to a URL is encrypted, or does not leave this machine. */
function isEncrypted(url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.href));
}

/** Reads the key of a Batch or storage account, also from a connection string: 64 bytes in Base64. */
export function parseKey(pasted: string, what: 'batchKey' | 'storageKey'): string {
  const text = cleaned(pasted);
  const key = isConnectionString(text) ? (fields(text).get('accountkey') ?? '') : text;
  if (!/^[A-Za-z0-9+/]{86}==$/.test(key)) throw new UserError({ kind: 'accountInvalid', what });
  return key;
}

/**
 * Reads a storage account name: 3 to 24 lowercase letters and digits. The service responds to any other name as if the
 * key were wrong.
 */
export function parseStorageName(pasted: string): string {
  const name = cleaned(pasted).toLowerCase();
  if (!/^[a-z0-9]{3,24}$/.test(name)) throw new UserError({ kind: 'accountInvalid', what: 'storageName' });
  return name;
}

/** Whether the value is a connection string rather than a name. */
export function isConnectionString(pasted: string): boolean {
  return /(^|;)\s*AccountName=/i.test(cleaned(pasted));
}

/**
 * Reads the connection string of a storage account. Without encryption only for this machine.
 * https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string
 */
export function parseConnectionString(pasted: string): StorageInput {
  const parts = fields(pasted);
  const [name, key] = [parts.get('accountname'), parts.get('accountkey')];
  if (name === undefined || key === undefined) {
    throw new UserError({ kind: 'accountInvalid', what: 'connectionString' });
  }
  const scheme = parts.get('defaultendpointsprotocol') ?? 'https';
  const suffix = parts.get('endpointsuffix') ?? 'core.windows.net';
  const blobUrl = (parts.get('blobendpoint') ?? `${scheme}://${name}.blob.${suffix}`).replace(/\/+$/, '');
  const url = URL.canParse(blobUrl) ? new URL(blobUrl) : undefined;
  if (url === undefined || !isEncrypted(url))
    throw new UserError({ kind: 'accountInvalid', what: 'connectionString' });
  return { name, key: parseKey(key, 'storageKey'), blobUrl };
}

function fields(connectionString: string): Map<string, string> {
  return new Map(
    cleaned(connectionString)
      .split(';')
      .map((part) => [
        part.slice(0, part.indexOf('=')).trim().toLowerCase(),
        part.slice(part.indexOf('=') + 1).trim(),
      ]),
  );
}
