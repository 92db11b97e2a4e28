import {
  AnonymousCredential,
  BlobServiceClient,
  ContainerClient,
  newPipeline,
  type Pipeline,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import type { Connection } from './account';
import type { Agent } from './httpAgents';

/** Opens the SDK's client of an account. Its retries are off: ours, in `retry.ts`, take their place. */
export function blobService({ account, storage }: Connection, agent: Agent): BlobServiceClient {
  const credential =
    storage.kind === 'sharedKey'
      ? new StorageSharedKeyCredential(storage.name, storage.key)
      : storage.credential;
  return new BlobServiceClient(account.blobUrl, pipelineTo(credential, agent));
}

/** Opens a container by its SAS alone. */
export function containerBySas(url: string, agent: Agent): ContainerClient {
  return new ContainerClient(url, pipelineTo(new AnonymousCredential(), agent));
}

function pipelineTo(credential: Parameters<typeof newPipeline>[0], agent: Agent): Pipeline {
  // The package hands options that it does not name itself on to its pipeline, which knows `agent`.
  return newPipeline(credential, { retryOptions: { maxTries: 1 }, ...{ agent } });
}
