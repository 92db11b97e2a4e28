import { UserError } from '../errors';

/** A storage account, as a person pastes it. */
export interface StorageInput {
  readonly name: string;
  readonly key: string;
  /** Without a slash at the end. */
  readonly blobUrl: string;
}

/** Blanks, line ends and quotes come along when something is copied. */
export function cleaned(pasted: string): string {
  return pasted
    .trim()
    .replace(/^(["'])(.*)\1$/s, '$2')
    .trim();
}

/** `https://name.region.batch.azure.com`, from what was pasted: with or without the scheme, with or without a slash. */
export function parseBatchUrl(pasted: string): { url: string; name: string } {
  const text = cleaned(pasted);
  let url: URL;
  try {
    url = new URL(/^[a-z]+:\/\//i.test(text) ? text : `https://${text}`);
  } catch {
    throw new UserError({ kind: 'accountInvalid', what: 'batchUrl' });
  }
  const isLoopback = url.hostname === '127.0.0.1' || url.hostname === 'localhost';
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback);
  if (!isSafe || (!isLoopback && !url.hostname.includes('.'))) {
    throw new UserError({ kind: 'accountInvalid', what: 'batchUrl' });
  }
  const [name = ''] = url.hostname.split('.');
  return { url: url.origin, name: isLoopback ? 'localbatch' : name };
}

/** The key of a Batch or storage account, also out of a connection string: 64 bytes in Base64. Checked before it is sent. */
export function parseKey(pasted: string, what: 'batchKey' | 'storageKey'): string {
  const text = cleaned(pasted);
  const key = isConnectionString(text) ? (fields(text).get('accountkey') ?? '') : text;
  if (!/^[A-Za-z0-9+/]{86}==$/.test(key)) throw new UserError({ kind: 'accountInvalid', what });
  return key;
}

/** 3 to 24 lower-case letters and digits: blanks or capitals would look like a bad key to the service, so they go. */
export function parseStorageName(pasted: string): string {
  const name = cleaned(pasted).toLowerCase();
  if (!/^[a-z0-9]{3,24}$/.test(name)) throw new UserError({ kind: 'accountInvalid', what: 'storageName' });
  return name;
}

/** Whether this is a connection string rather than a name. */
export function isConnectionString(pasted: string): boolean {
  return /(^|;)\s*AccountName=/i.test(cleaned(pasted));
}

/** https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string */
export function parseConnectionString(pasted: string): StorageInput {
  const parts = fields(pasted);
  const [name, key] = [parts.get('accountname'), parts.get('accountkey')];
  if (name === undefined || key === undefined) {
    throw new UserError({ kind: 'accountInvalid', what: 'connectionString' });
  }
  const scheme = parts.get('defaultendpointsprotocol') ?? 'https';
  const suffix = parts.get('endpointsuffix') ?? 'core.windows.net';
  const blobUrl = (parts.get('blobendpoint') ?? `${scheme}://${name}.blob.${suffix}`).replace(/\/+$/, '');
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
