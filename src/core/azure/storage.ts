import type { BlobServiceClient, BlockBlobClient } from '@azure/storage-blob';
import { onAccount } from '../errors';
import { pause } from '../wait';
import type { Connection } from './account';
import {
  type BlobHttp,
  blobService,
  bodyOf,
  containerBySas,
  decodeMetadata,
  encodeMetadata,
  isFolder,
} from './blobClients';
import { agentFor, closeIdle, ServiceClock } from './http';
import { defaultPolicy, type RetryNotice, type RetryPolicy } from './retry';
import { type SignContainer, signerOf } from './sas';
import {
  callStorage,
  isLeaseOver,
  isStorageCode,
  orUndefined,
  type StorageCall,
  type WriteOptions,
} from './storageCall';

export interface ContainerInfo {
  readonly name: string;
  readonly metadata: Record<string, string>;
  readonly modified: Date;
  readonly etag: string;
}

export interface BlobInfo {
  readonly name: string;
  readonly size: number;
  readonly modified: Date;
  readonly etag: string;
  /** In Base64; undefined for a blob without one. */
  readonly md5?: string;
  readonly metadata: Record<string, string>;
  /** Whether a client holds a lease on it. */
  readonly isLeased: boolean;
}

export interface Lease {
  readonly id: string;
  renew(): Promise<void>;
  release(): Promise<void>;
}

export interface StorageOptions extends Partial<RetryPolicy> {
  /** A connection on which nothing moves for so many milliseconds is closed. Default: 60 s. */
  readonly silenceMs?: number;
}

/** Azure refuses the name of a deleted container for about 30 seconds: how long, and how often, that is waited out. */
const beingDeletedMs = 120_000;
const beingDeletedPauseMs = 3_000;

/** A lease lasts 60 seconds at most: a call about it that takes longer is of no use. */
const leaseCallMs = 10_000;

type Metadata = Record<string, string>;

/** Containers and small blobs of one storage account. `Transfers` uploads and downloads large blobs. */
export class Storage {
  readonly host: string;
  readonly #account: Connection['account'];
  readonly #service: BlobServiceClient;
  readonly #http: BlobHttp;
  readonly #policy: RetryPolicy;
  readonly #retryObservers: ((notice: RetryNotice) => void)[] = [];
  readonly #sign: SignContainer;

  /** `options` replace members of the default policy: retries for 20 s, 60 s for each attempt. */
  constructor(connection: Connection, { silenceMs = 60_000, ...policy }: StorageOptions = {}) {
    this.#account = connection.account;
    this.host = new URL(connection.account.blobUrl).host;
    const { log = connection.log } = policy;
    this.#http = { agent: agentFor(connection.account.blobUrl, silenceMs), clock: new ServiceClock(), log };
    const { service, renew } = blobService(connection, this.#http);
    this.#service = service;
    const onRetry = (notice: RetryNotice) => {
      policy.onRetry?.(notice);
      for (const observer of this.#retryObservers) observer(notice);
    };
    this.#policy = { ...defaultPolicy, renew, ...policy, log, onRetry };
    this.#sign = signerOf(service, {
      credential: connection.storage,
      accountName: connection.account.storageName,
      now: () => this.#http.clock.now(),
    });
  }

  /** Tells the observer, beside that of the policy, about each retry of a call. */
  onRetry(observer: (notice: RetryNotice) => void): void {
    this.#retryObservers.push(observer);
  }

  /** Closes connections that no request uses. */
  close(): void {
    closeIdle(this.#http.agent);
  }

  /** The SDK's client of a blob, for blocks and ranges. Its calls go through `call`. */
  blob(container: string, blob: string): BlockBlobClient {
    return this.#service.getContainerClient(container).getBlockBlobClient(blob);
  }

  /** The SDK's client of an append blob. Its calls go through `call`. */
  appendBlob(container: string, blob: string) {
    return this.#service.getContainerClient(container).getAppendBlobClient(blob);
  }

  /** Calls Storage with the retries of this account. The signal that `attempt` gets ends with each attempt. */
  call<T>(call: StorageCall, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return onAccount(this.#account, () => callStorage(this.host, call, this.#policy, attempt));
  }

  /** Makes one cheap request, which succeeds if address, network, credential and clock are right. */
  async check(signal: AbortSignal): Promise<void> {
    await this.call({ operation: 'list containers', resource: this.host, signal }, (abortSignal) =>
      this.#service.listContainers({ abortSignal }).byPage({ maxPageSize: 1 }).next(),
    );
  }

  async createContainer(
    name: string,
    metadata: Metadata,
    signal: AbortSignal,
  ): Promise<'created' | 'exists'> {
    const client = this.#service.getContainerClient(name);
    const end = Date.now() + beingDeletedMs;
    for (;;) {
      try {
        await this.call({ operation: 'create container', resource: name, signal }, (abortSignal) =>
          client.create({ metadata: encodeMetadata(metadata), abortSignal }),
        );
        return 'created';
      } catch (error) {
        if (isStorageCode(error, 'ContainerAlreadyExists')) return 'exists';
        if (!isStorageCode(error, 'ContainerBeingDeleted') || Date.now() > end) throw error;
        await pause(beingDeletedPauseMs, signal);
      }
    }
  }

  /** Deletes a container. False for one that does not exist or is being deleted. */
  async deleteContainer(name: string, signal: AbortSignal): Promise<boolean> {
    const deleting = this.call({ operation: 'delete container', resource: name, signal }, (abortSignal) =>
      this.#service.getContainerClient(name).delete({ abortSignal }),
    );
    return (await orUndefined(deleting)) !== undefined;
  }

  async *containers(prefix: string, signal: AbortSignal): AsyncGenerator<ContainerInfo> {
    const pages = this.#pages(
      { operation: 'list containers', resource: prefix, signal },
      (continuationToken, abortSignal) =>
        this.#service
          .listContainers({ prefix, includeMetadata: true, abortSignal })
          .byPage({ continuationToken })
          .next(),
    );
    for await (const { containerItems } of pages) {
      for (const { name, metadata, properties } of containerItems) {
        const { lastModified: modified, etag } = properties;
        yield { name, metadata: decodeMetadata(metadata), modified, etag };
      }
    }
  }

  /** Undefined if the container does not exist. */
  async containerMetadata(name: string, signal: AbortSignal): Promise<Record<string, string> | undefined> {
    const properties = await orUndefined(
      this.call({ operation: 'get container', resource: name, signal }, (abortSignal) =>
        this.#service.getContainerClient(name).getProperties({ abortSignal }),
      ),
    );
    return properties && decodeMetadata(properties.metadata);
  }

  async setContainerMetadata(name: string, metadata: Metadata, signal: AbortSignal): Promise<void> {
    await this.call({ operation: 'set container metadata', resource: name, signal }, (abortSignal) =>
      this.#service.getContainerClient(name).setMetadata(encodeMetadata(metadata), { abortSignal }),
    );
  }

  /** Lists blobs with their metadata, and no folders. Empty if the container does not exist. */
  async *blobs(
    container: string,
    { prefix, signal }: { prefix?: string; signal: AbortSignal },
  ): AsyncGenerator<BlobInfo> {
    const pages = this.#pages(
      { operation: 'list blobs', resource: container, signal },
      (continuationToken, abortSignal) =>
        this.#service
          .getContainerClient(container)
          .listBlobsFlat({ prefix, includeMetadata: true, abortSignal })
          .byPage({ continuationToken })
          .next(),
    );
    try {
      for await (const { segment } of pages) {
        for (const { name, properties, metadata } of segment.blobItems) {
          if (isFolder(metadata)) continue;
          yield {
            name,
            size: properties.contentLength ?? 0,
            modified: properties.lastModified,
            etag: properties.etag,
            md5: base64(properties.contentMD5),
            metadata: decodeMetadata(metadata),
            isLeased: properties.leaseState === 'leased',
          };
        }
      }
    } catch (error) {
      if (!isStorageCode(error, 'ContainerNotFound', 'ContainerBeingDeleted')) throw error;
    }
  }

  /** Reads a small blob into memory. Undefined if it does not exist. */
  async readText(
    container: string,
    blob: string,
    signal: AbortSignal,
  ): Promise<{ text: string; etag: string } | undefined> {
    return orUndefined(
      this.call({ operation: 'read blob', resource: blob, signal }, async (abortSignal) => {
        const { content, etag } = await this.#read(container, blob, 0, undefined, abortSignal);
        return { text: content.toString('utf8'), etag };
      }),
    );
  }

  /** Returns the new ETag. Throws a `service` problem with `ConditionNotMet` or `BlobAlreadyExists` where a condition fails. */
  async writeText(
    container: string,
    blob: string,
    text: string,
    { signal, ...conditions }: WriteOptions,
  ): Promise<string> {
    let attempts = 0;
    try {
      const { etag = '' } = await this.call(
        { operation: 'write blob', resource: blob, bytes: text.length, signal },
        (abortSignal) => {
          attempts++;
          const data = Buffer.from(text);
          return this.blob(container, blob).upload(data, data.length, {
            conditions,
            blobHTTPHeaders: { blobContentType: 'application/json' },
            abortSignal,
          });
        },
      );
      return etag;
    } catch (error) {
      if (attempts === 1 || !isStorageCode(error, 'ConditionNotMet', 'BlobAlreadyExists')) throw error;
      // An earlier attempt may have taken effect although its answer was lost.
      const there = await this.readText(container, blob, signal);
      if (there?.text === text) return there.etag;
      throw error;
    }
  }

  /** Reads at most `length` bytes from `position`; none if the blob ends before it. */
  async readRange(
    container: string,
    blob: string,
    position: number,
    length: number,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    try {
      return await this.call(
        { operation: 'read blob', resource: blob, bytes: length, signal },
        async (abortSignal) => (await this.#read(container, blob, position, length, abortSignal)).content,
      );
    } catch (error) {
      if (isStorageCode(error, 'InvalidRange', 'HTTP 416')) return new Uint8Array(0);
      throw error;
    }
  }

  /** Deletes a blob. One that does not exist is no error. */
  async deleteBlob(container: string, blob: string, signal: AbortSignal): Promise<void> {
    await orUndefined(
      this.call({ operation: 'delete blob', resource: blob, signal }, (abortSignal) =>
        this.blob(container, blob).delete({ abortSignal }),
      ),
    );
  }

  /**
   * Returns the URL of a container with a SAS of these permissions (`r`, `w`): a service SAS with a key, a user delegation
   * SAS with a token, which is valid for seven days at most.
   */
  sasUrl(container: string, permissions: string, expiresOn: Date, signal?: AbortSignal): Promise<string> {
    return this.call({ operation: 'sign', resource: container, signal }, (abortSignal) =>
      this.#sign(container, permissions, expiresOn, abortSignal),
    );
  }

  /** Writes a text to a blob and reads it back with a SAS alone, as a task does. Returns the text that was read. */
  async roundTrip(container: string, text: string, signal: AbortSignal): Promise<string> {
    const expiry = new Date(this.#http.clock.now().getTime() + 10 * 60_000);
    const url = await this.sasUrl(container, 'rw', expiry, signal);
    const blob = containerBySas(url, this.#http).getBlockBlobClient('check.txt');
    return this.call(
      { operation: 'write and read with a SAS', resource: container, signal },
      async (abortSignal) => {
        await blob.upload(text, Buffer.byteLength(text), { abortSignal });
        return (await blob.downloadToBuffer(0, undefined, { abortSignal })).toString();
      },
    );
  }

  /** Releases a lease by its id. A lease that is over is no error. */
  async releaseLease(container: string, blob: string, leaseId: string, signal: AbortSignal): Promise<void> {
    const lease = this.blob(container, blob).getBlobLeaseClient(leaseId);
    try {
      await this.call({ operation: 'release lease', resource: blob, signal }, (abortSignal) =>
        lease.releaseLease({ abortSignal }),
      );
    } catch (error) {
      if (!isLeaseOver(error)) throw error;
    }
  }

  /**
   * Acquires a lease for 15 to 60 seconds, with an ID that the caller has chosen (a UUID). Undefined while a lease with
   * another ID is active.
   */
  async lease(
    container: string,
    blob: string,
    leaseId: string,
    seconds: number,
    signal: AbortSignal,
  ): Promise<Lease | undefined> {
    const lease = this.blob(container, blob).getBlobLeaseClient(leaseId);
    try {
      await this.call({ operation: 'lease blob', resource: blob, signal }, (abortSignal) =>
        lease.acquireLease(seconds, { abortSignal }),
      );
    } catch (error) {
      if (isStorageCode(error, 'LeaseAlreadyPresent')) return undefined;
      throw error;
    }
    const briefly = async (operation: string, work: (abortSignal: AbortSignal) => Promise<unknown>) => {
      await this.call({ operation, resource: blob, signal: AbortSignal.timeout(leaseCallMs) }, work);
    };
    return {
      id: leaseId,
      renew: () => briefly('renew lease', (abortSignal) => lease.renewLease({ abortSignal })),
      release: () => briefly('release lease', (abortSignal) => lease.releaseLease({ abortSignal })),
    };
  }

  async #read(
    container: string,
    blob: string,
    position: number,
    length: number | undefined,
    signal: AbortSignal,
  ): Promise<{ content: Buffer; etag: string }> {
    const answer = await this.blob(container, blob).download(position, length, {
      maxRetryRequests: 0,
      abortSignal: signal,
    });
    const chunks: Uint8Array[] = [];
    for await (const chunk of bodyOf(answer)) chunks.push(chunk);
    return { content: Buffer.concat(chunks), etag: answer.etag ?? '' };
  }

  /**
   * Yields page after page, each requested by its continuation token. The SDK's own iterator says "done" when it is
   * called again after it has thrown, which would turn an answer that was cut into a short list.
   */
  async *#pages<Page extends { continuationToken?: string }>(
    call: StorageCall,
    get: (from: string | undefined, signal: AbortSignal) => Promise<IteratorResult<Page, unknown>>,
  ): AsyncGenerator<Page> {
    let from: string | undefined;
    do {
      const { done, value } = await this.call(call, (signal) => get(from, signal));
      if (done) return;
      yield value;
      from = value.continuationToken || undefined;
    } while (from !== undefined);
  }
}

export function base64(md5: Uint8Array | undefined): string | undefined {
  return md5 && Buffer.from(md5).toString('base64');
}
