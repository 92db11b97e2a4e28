import { setTimeout as delay } from 'node:timers/promises';
import type { BlobDownloadResponseParsed, BlobServiceClient, BlockBlobClient } from '@azure/storage-blob';
import type { Connection } from './account';
import { blobService, containerBySas } from './blobClients';
import { decodeMetadata, encodeMetadata } from './blobMetadata';
import { type Agent, agentFor, closeIdle } from './httpAgents';
import type { RetryPolicy } from './retry';
import { type SignContainer, signerOf } from './sas';
import { callStorage, connectionCut, isStorageCode, type StorageCall } from './storageCall';

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
  /** Base64, where the service has one. */
  readonly md5?: string;
  readonly metadata: Record<string, string>;
}

export interface Lease {
  readonly id: string;
  renew(): Promise<void>;
  release(): Promise<void>;
}

export interface WriteOptions {
  readonly ifMatch?: string;
  readonly ifNoneMatch?: string;
  readonly leaseId?: string;
  readonly signal: AbortSignal;
}

export interface StorageOptions extends Partial<RetryPolicy> {
  /** A connection on which nothing moves for so many milliseconds is given up and made anew: 60 s unless said. */
  readonly silenceMs?: number;
}

/** Azure refuses the name of a deleted container for about half a minute: waited out, within bounds. */
const beingDeletedMs = 120_000;
const beingDeletedPauseMs = 3_000;

/** A lease lasts a minute at most, so its calls are not worth more patience. */
const leaseCallMs = 10_000;

/** Containers and small blobs of one storage account. Large ones travel through `Transfers`. */
export class Storage {
  readonly host: string;
  readonly #service: BlobServiceClient;
  readonly #agent: Agent;
  readonly #policy: RetryPolicy;
  readonly #sign: SignContainer;

  /** `patienceMs` is how long a call is retried while the service throttles or cannot be reached: 20 s unless said. */
  constructor(connection: Connection, { silenceMs = 60_000, ...policy }: StorageOptions = {}) {
    this.host = new URL(connection.account.blobUrl).host;
    this.#agent = agentFor(connection.account.blobUrl, silenceMs);
    this.#service = blobService(connection, this.#agent);
    this.#policy = { patienceMs: 20_000, ...policy };
    this.#sign = signerOf(this.#service, connection.storage);
  }

  /** Gives up connections that nobody uses. */
  close(): void {
    closeIdle(this.#agent);
  }

  /** For blocks and ranges, within `call`: `Transfers`' own business. */
  blob(container: string, blob: string): BlockBlobClient {
    return this.#service.getContainerClient(container).getBlockBlobClient(blob);
  }

  /** Does the work with the retries of this account, and throws UserErrors only. */
  call<T>(call: StorageCall, work: () => Promise<T>): Promise<T> {
    return callStorage(this.host, call, this.#policy, work);
  }

  /** One cheap answer that needs address, network, credential and clock to be right. */
  async check(signal: AbortSignal): Promise<void> {
    await this.call({ operation: 'list containers', resource: this.host, signal }, () =>
      this.#service.listContainers({ abortSignal: signal }).byPage({ maxPageSize: 1 }).next(),
    );
  }

  async createContainer(
    name: string,
    metadata: Record<string, string>,
    signal: AbortSignal,
  ): Promise<'created' | 'exists'> {
    const client = this.#service.getContainerClient(name);
    const end = Date.now() + beingDeletedMs;
    for (;;) {
      try {
        await this.call({ operation: 'create container', resource: name, signal }, () =>
          client.create({ metadata: encodeMetadata(metadata), abortSignal: signal }),
        );
        return 'created';
      } catch (error) {
        if (isStorageCode(error, 'ContainerAlreadyExists')) return 'exists';
        if (!isStorageCode(error, 'ContainerBeingDeleted') || Date.now() > end) throw error;
        await delay(beingDeletedPauseMs, undefined, { signal });
      }
    }
  }

  /** Deleting what is gone, or going, is no error. */
  async deleteContainer(name: string, signal: AbortSignal): Promise<void> {
    try {
      await this.call({ operation: 'delete container', resource: name, signal }, () =>
        this.#service.getContainerClient(name).delete({ abortSignal: signal }),
      );
    } catch (error) {
      if (!isStorageCode(error, 'HTTP 404', 'ContainerBeingDeleted')) throw error;
    }
  }

  async *containers(prefix: string, signal: AbortSignal): AsyncGenerator<ContainerInfo> {
    const list = this.#service.listContainers({ prefix, includeMetadata: true, abortSignal: signal });
    const pages = this.#pages({ operation: 'list containers', resource: prefix, signal }, (from) =>
      list.byPage({ continuationToken: from }).next(),
    );
    for await (const { containerItems } of pages) {
      for (const { name, metadata, properties } of containerItems) {
        const { lastModified: modified, etag } = properties;
        yield { name, metadata: decodeMetadata(metadata), modified, etag };
      }
    }
  }

  /** Undefined when there is no such container. */
  async containerMetadata(name: string, signal: AbortSignal): Promise<Record<string, string> | undefined> {
    const properties = await orUndefined(
      this.call({ operation: 'get container', resource: name, signal }, () =>
        this.#service.getContainerClient(name).getProperties({ abortSignal: signal }),
      ),
    );
    return properties && decodeMetadata(properties.metadata);
  }

  /** Nothing when there is no such container. */
  async *blobs(
    container: string,
    { prefix, signal }: { prefix?: string; signal: AbortSignal },
  ): AsyncGenerator<BlobInfo> {
    const list = this.#service
      .getContainerClient(container)
      .listBlobsFlat({ prefix, includeMetadata: true, abortSignal: signal });
    const pages = this.#pages({ operation: 'list blobs', resource: container, signal }, (from) =>
      list.byPage({ continuationToken: from }).next(),
    );
    try {
      for await (const { segment } of pages) {
        for (const { name, properties, metadata } of segment.blobItems) {
          const { contentLength: size = 0, contentMD5, lastModified: modified, etag } = properties;
          yield { name, size, modified, etag, md5: base64(contentMD5), metadata: decodeMetadata(metadata) };
        }
      }
    } catch (error) {
      if (!isStorageCode(error, 'ContainerNotFound')) throw error;
    }
  }

  /** Undefined when there is no such blob. For small ones: all of it is held in memory. */
  async readText(
    container: string,
    blob: string,
    signal: AbortSignal,
  ): Promise<{ text: string; etag: string } | undefined> {
    return orUndefined(
      this.call({ operation: 'read blob', resource: blob, signal }, async () => {
        const { content, etag } = await this.#read(container, blob, 0, undefined, signal);
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
      const { etag = '' } = await this.call({ operation: 'write blob', resource: blob, signal }, () => {
        attempts++;
        const data = Buffer.from(text);
        return this.blob(container, blob).upload(data, data.length, {
          conditions,
          blobHTTPHeaders: { blobContentType: 'application/json' },
          abortSignal: signal,
        });
      });
      return etag;
    } catch (error) {
      if (attempts === 1 || !isStorageCode(error, 'ConditionNotMet', 'BlobAlreadyExists')) throw error;
      // An earlier attempt may have arrived although its answer did not.
      const there = await this.readText(container, blob, signal);
      if (there?.text === text) return there.etag;
      throw error;
    }
  }

  /** At most `length` bytes from `position`; none where the blob ends before it. */
  async readRange(
    container: string,
    blob: string,
    position: number,
    length: number,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    try {
      return await this.call({ operation: 'read blob', resource: blob, signal }, async () => {
        const { content } = await this.#read(container, blob, position, length, signal);
        return content;
      });
    } catch (error) {
      if (isStorageCode(error, 'InvalidRange', 'HTTP 416')) return new Uint8Array(0);
      throw error;
    }
  }

  /** Deleting what is gone is no error. */
  async deleteBlob(container: string, blob: string, signal: AbortSignal): Promise<void> {
    await orUndefined(
      this.call({ operation: 'delete blob', resource: blob, signal }, () =>
        this.blob(container, blob).delete({ abortSignal: signal }),
      ),
    );
  }

  /**
   * URL of a container with a SAS of these permissions (`r`, `w`). With a key it is a service SAS; with a token a
   * user-delegation SAS, which lives at most seven days.
   */
  sasUrl(container: string, permissions: string, expiresOn: Date): Promise<string> {
    return this.call({ operation: 'sign', resource: container }, () =>
      this.#sign(container, permissions, expiresOn),
    );
  }

  /** Writes a text to a blob and reads it back with a SAS alone, as a task does. Resolves with what was read. */
  async roundTrip(container: string, text: string, signal: AbortSignal): Promise<string> {
    const url = await this.sasUrl(container, 'rw', new Date(Date.now() + 10 * 60_000));
    const blob = containerBySas(url, this.#agent).getBlockBlobClient('check.txt');
    return this.call({ operation: 'write and read with a SAS', resource: container, signal }, async () => {
      await blob.upload(text, Buffer.byteLength(text), { abortSignal: signal });
      return (await blob.downloadToBuffer(0, undefined, { abortSignal: signal })).toString();
    });
  }

  /** Gives up a lease in the name of whoever had it; one that is over is given up already. */
  async releaseLease(container: string, blob: string, leaseId: string, signal: AbortSignal): Promise<void> {
    const lease = this.blob(container, blob).getBlobLeaseClient(leaseId);
    try {
      await this.call({ operation: 'release lease', resource: blob, signal }, () =>
        lease.releaseLease({ abortSignal: signal }),
      );
    } catch (error) {
      if (
        !isStorageCode(
          error,
          'LeaseIdMismatchWithLeaseOperation',
          'LeaseNotPresentWithLeaseOperation',
          'LeaseLost',
        )
      )
        throw error;
    }
  }

  /** Undefined while somebody else holds it. `seconds`: 15 to 60. */
  async lease(
    container: string,
    blob: string,
    seconds: number,
    signal: AbortSignal,
  ): Promise<Lease | undefined> {
    const lease = this.blob(container, blob).getBlobLeaseClient();
    try {
      await this.call({ operation: 'lease blob', resource: blob, signal }, () =>
        lease.acquireLease(seconds, { abortSignal: signal }),
      );
    } catch (error) {
      if (isStorageCode(error, 'LeaseAlreadyPresent')) return undefined;
      throw error;
    }
    const briefly = async (operation: string, work: (abortSignal: AbortSignal) => Promise<unknown>) => {
      const brief = AbortSignal.timeout(leaseCallMs);
      await this.call({ operation, resource: blob, signal: brief }, () => work(brief));
    };
    return {
      id: lease.leaseId,
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
   * Page after page, each asked for anew by its token: an iterator of the SDK that has thrown says "done" when it is
   * asked again, which would make a cut a short list.
   */
  async *#pages<Page extends { continuationToken?: string }>(
    call: StorageCall,
    get: (from: string | undefined) => Promise<IteratorResult<Page, unknown>>,
  ): AsyncGenerator<Page> {
    let from: string | undefined;
    do {
      const { done, value } = await this.call(call, () => get(from));
      if (done) return;
      yield value;
      from = value.continuationToken || undefined;
    } while (from !== undefined);
  }
}

/** The bytes of an answer as they come; a body that ends too early throws what retries take for a cut connection. */
export async function* bodyOf(answer: BlobDownloadResponseParsed): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of answer.readableStreamBody ?? []) yield chunk as Buffer;
  } catch (error) {
    throw connectionCut(error);
  }
}

export function base64(md5: Uint8Array | undefined): string | undefined {
  return md5 && Buffer.from(md5).toString('base64');
}

async function orUndefined<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isStorageCode(error, 'HTTP 404')) return undefined;
    throw error;
  }
}
