import type { Connection } from '../azure/account';

/** A variable of the environment that programs read to connect to an account. */
export interface ConnectionVariable {
  readonly name: string;
  readonly value: string;
  readonly isSecret: boolean;
}

/**
 * The variables that the Azure CLI (`az batch`, `az storage`), the Azure SDKs' samples and azcopy-like tools read:
 * https://learn.microsoft.com/cli/azure/batch and https://learn.microsoft.com/cli/azure/storage. Accounts without keys
 * get those that need none: programs sign in on their own.
 */
export function connectionVariables({ account, batch, storage }: Connection): ConnectionVariable[] {
  const { batchName, batchUrl, storageName, blobUrl } = account;
  const variables: ConnectionVariable[] = [
    { name: 'AZURE_BATCH_ACCOUNT', value: batchName, isSecret: false },
    { name: 'AZURE_BATCH_ENDPOINT', value: batchUrl, isSecret: false },
  ];
  if (batch.kind === 'sharedKey')
    variables.push({ name: 'AZURE_BATCH_ACCESS_KEY', value: batch.key, isSecret: true });
  variables.push(
    { name: 'AZURE_STORAGE_ACCOUNT', value: storageName, isSecret: false },
    { name: 'AZURE_STORAGE_BLOB_ENDPOINT', value: blobUrl, isSecret: false },
  );
  if (storage.kind === 'sharedKey') {
    variables.push(
      { name: 'AZURE_STORAGE_KEY', value: storage.key, isSecret: true },
      {
        name: 'AZURE_STORAGE_CONNECTION_STRING',
        value: [
          `DefaultEndpointsProtocol=${new URL(blobUrl).protocol.replace(':', '')}`,
          `AccountName=${storageName}`,
          `AccountKey=${storage.key}`,
          `BlobEndpoint=${blobUrl}`,
        ].join(';'),
        isSecret: true,
      },
    );
  }
  return variables;
}

/** The variables as lines of an `.env` file, which shells read, too. Values are quoted for a POSIX shell. */
export function toEnvFile(variables: readonly ConnectionVariable[]): string {
  return variables.map(({ name, value }) => `${name}='${value.replaceAll("'", "'\\''")}'\n`).join('');
}
