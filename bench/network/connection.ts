import type { Connection } from '../../src/core/azure/account';

export const accountName = 'benchaccount';

/** The block store accepts any signature. */
export const accountKey = Buffer.alloc(64, 1).toString('base64');

/** The connection to a block store. */
export function connectionTo(host: string, port: number): Connection {
  const credential = { kind: 'sharedKey', name: accountName, key: accountKey } as const;
  const blobUrl = `http://${host}:${port}/${accountName}`;
  return {
    account: {
      id: 'bench',
      label: 'bench',
      signIn: 'keys',
      batchName: accountName,
      batchUrl: blobUrl,
      storageName: accountName,
      blobUrl,
    },
    batch: credential,
    storage: credential,
  };
}
