import {
  AnonymousCredential,
  BlobServiceClient,
  ContainerClient,
  newPipeline,
  type Pipeline,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import type { Connection } from './account';
import { agentFor } from './agents';

/** Opens the SDK's client of an account. Its retries are off: ours, in `retry.ts`, take their place. */
export function blobService({ account, storage }: Connection, silenceMs: number): BlobServiceClient {
  const credential =
    storage.kind === 'sharedKey'
      ? new StorageSharedKeyCredential(storage.name, storage.key)
      : storage.credential;
  return new BlobServiceClient(account.blobUrl, pipelineTo(account.blobUrl, credential, silenceMs));
}

/** Opens a container by its SAS alone. */
export function containerBySas(url: string, silenceMs: number): ContainerClient {
  return new ContainerClient(url, pipelineTo(url, new AnonymousCredential(), silenceMs));
}

function pipelineTo(url: string, credential: Parameters<typeof newPipeline>[0], silenceMs: number): Pipeline {
  // The package hands options that it does not name itself on to its pipeline, which knows `agent`.
  const transport = { agent: agentFor(url, silenceMs) };
  return newPipeline(credential, { retryOptions: { maxTries: 1 }, ...transport });
}
