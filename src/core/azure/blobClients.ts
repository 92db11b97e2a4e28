import type { TokenCredential } from '@azure/identity';
import {
  AnonymousCredential,
  type BlobDownloadResponseParsed,
  BlobServiceClient,
  ContainerClient,
  newPipeline,
  type Pipeline,
  type RequestPolicyFactory,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import type { Log } from '../log';
import type { Connection } from './account';
import { type Agent, observed, type ServiceClock } from './http';
import { CachedCredential } from './identity';
import { connectionCut } from './retry';

/** How requests are sent and logged. */
export interface BlobHttp {
  readonly agent: Agent;
  /** Takes note of the service's time. */
  readonly clock: ServiceClock;
  readonly log?: Log;
}

/**
 * Opens the SDK's client of an account. Its own retries are off: `withRetries` takes their place. `renew` drops tokens that the
 * service has refused; undefined with a key.
 */
export function blobService(
  { account, storage }: Connection,
  http: BlobHttp,
): { readonly service: BlobServiceClient; readonly renew?: () => void } {
  const open = (credential: StorageSharedKeyCredential | TokenCredential) =>
    new BlobServiceClient(account.blobUrl, pipelineTo(credential, http));
  if (storage.kind === 'sharedKey')
    return { service: open(new StorageSharedKeyCredential(storage.name, storage.key)) };
  const tokens = new CachedCredential(storage.credential);
  return { service: open(askedEachTime(tokens)), renew: () => tokens.forget() };
}

/**
 * The SDK keeps a token until it expires, even if the service has refused it: this one is asked with each request. Requests that
 * are sent at once share one call, to which the SDK passes the signal of the first of them: an abort of that one would fail the
 * others. `withRetries` does not wait for the call after an abort.
 */
function askedEachTime(credential: CachedCredential): TokenCredential {
  return {
    async getToken(scopes, options) {
      const token = await credential.getToken(scopes, { ...options, abortSignal: undefined });
      return token && { token: token.token, expiresOnTimestamp: Date.now() };
    },
  };
}

/** Opens a container by its SAS alone. */
export function containerBySas(url: string, http: BlobHttp): ContainerClient {
  return new ContainerClient(url, pipelineTo(new AnonymousCredential(), http));
}

function pipelineTo(
  credential: Parameters<typeof newPipeline>[0],
  { agent, ...observer }: BlobHttp,
): Pipeline {
  // The package passes options that it does not declare on to its HTTP client, which takes `agent`.
  const pipeline = newPipeline(credential, { retryOptions: { maxTries: 1 }, ...{ agent } });
  pipeline.factories.push(observing(observer));
  return pipeline;
}

function observing(observer: Omit<BlobHttp, 'agent'>): RequestPolicyFactory {
  return {
    create: (next) => ({
      sendRequest: (request) => observed(request, observer, () => next.sendRequest(request)),
    }),
  };
}

/** Yields the bytes of an answer as they arrive. A body that ends early throws an error that is retried. */
export async function* bodyOf(answer: BlobDownloadResponseParsed): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of answer.readableStreamBody ?? []) yield chunk as Buffer;
  } catch (error) {
    throw connectionCut(error);
  }
}

/**
 * Encodes metadata for headers. Storage answers text that is not ASCII with 403, which looks like a bad key. Lone
 * surrogates cannot be encoded and become U+FFFD.
 */
export function encodeMetadata(metadata: Record<string, string>): Record<string, string> {
  return mapValues(metadata, (value) => encodeURIComponent(value.replace(/\p{Surrogate}/gu, '\ufffd')));
}

/** Decodes metadata. Values that were written without encoding stay as they are. */
export function decodeMetadata(metadata: Record<string, string> = {}): Record<string, string> {
  return mapValues(metadata, (value) => {
    try {
      return decodeURIComponent(value);
    } catch {
      return value;
    }
  });
}

function mapValues(
  record: Record<string, string>,
  change: (value: string) => string,
): Record<string, string> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
}

/**
 * Whether a listed blob is a folder: an account with a hierarchical namespace lists folders as empty blobs with this metadata.
 * https://github.com/MicrosoftDocs/azure-docs/issues/57754
 */
export function isFolder(metadata: Record<string, string> = {}): boolean {
  return Object.entries(metadata).some(
    ([name, value]) => name.toLowerCase() === 'hdi_isfolder' && value.toLowerCase() === 'true',
  );
}
