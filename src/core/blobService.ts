import { BlobServiceClient, newPipeline, StorageSharedKeyCredential } from '@azure/storage-blob';
import type { Connection } from './account';
import { agentFor } from './agents';

/** Opens the SDK's client of an account. Its retries are off: ours, in `retry.ts`, take their place. */
export function blobService({ account, storage }: Connection, silenceMs: number): BlobServiceClient {
  const credential =
    storage.kind === 'sharedKey'
      ? new StorageSharedKeyCredential(storage.name, storage.key)
      : storage.credential;
  // The package hands options that it does not name itself on to its pipeline, which knows `agent`.
  const transport = { agent: agentFor(account.blobUrl, silenceMs) };
  const pipeline = newPipeline(credential, { retryOptions: { maxTries: 1 }, ...transport });
  return new BlobServiceClient(account.blobUrl, pipeline);
}
