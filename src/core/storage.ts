import { setTimeout as delay } from 'node:timers/promises';
import {
  BlobServiceClient,
  type BlockBlobClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  SASProtocol,
  StorageSharedKeyCredential,
  type UserDelegationKey,
} from '@azure/storage-blob';
import type { Connection } from './account';
import { UserError } from './errors';
import { callStorage, isStorageCode } from './storageErrors';

export interface ContainerInfo {
  readonly name: string;
  readonly metadata: Record<string, string>;
  readonly modified: Date;
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

/** Azure refuses the name of a deleted container for about half a minute: waited out, within bounds. */
const beingDeletedMs = 120_000;

/** Containers and small blobs of one storage account. Large ones travel through `Transfers`. */
export class Storage {
  readonly host: string;
  readonly #service: BlobServiceClient;
  readonly #key: StorageSharedKeyCredential | undefined;
  #delegation: { key: UserDelegationKey; expires: Date } | undefined;

  constructor({ account, storage }: Connection) {
    this.#key =
      storage.kind === 'sharedKey' ? new StorageSharedKeyCredential(storage.name, storage.key) : undefined;
    const credential = this.#key ?? (storage.kind === 'token' ? storage.credential : undefined);
    this.host = new URL(account.blobUrl).host;
    this.#service = new BlobServiceClient(account.blobUrl, credential, {
      retryOptions: { maxTries: 6, tryTimeoutInMs: 120_000, retryDelayInMs: 500, maxRetryDelayInMs: 15_000 },
      keepAliveOptions: { enable: true },
    });
  }

  /** For blocks and ranges: `Transfers`' own business. */
  blob(container: string, blob: string): BlockBlobClient {
    return this.#service.getContainerClient(container).getBlockBlobClient(blob);
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
        await this.#call('create container', name, () =>
          client.create({ metadata: encoded(metadata), abortSignal: signal }),
        );
        return 'created';
      } catch (error) {
        if (isStorageCode(error, 'ContainerAlreadyExists')) return 'exists';
        if (!isStorageCode(error, 'ContainerBeingDeleted') || Date.now() > end) throw error;
        await delay(3_000, undefined, { signal });
      }
    }
  }

  /** Deleting what is gone, or going, is no error. */
  async deleteContainer(name: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#call('delete container', name, () =>
        this.#service.getContainerClient(name).delete({ abortSignal: signal }),
      );
    } catch (error) {
      if (!isStorageCode(error, 'ContainerNotFound', 'ContainerBeingDeleted', 'HTTP 404')) throw error;
    }
  }

  async *containers(prefix: string, signal: AbortSignal): AsyncGenerator<ContainerInfo> {
    const pages = this.#service
      .listContainers({ prefix, includeMetadata: true, abortSignal: signal })
      .byPage()
      [Symbol.asyncIterator]();
    for (;;) {
      const page = await this.#call('list containers', prefix, () => pages.next());
      if (page.done) return;
      for (const { name, metadata, properties } of page.value.containerItems) {
        yield { name, metadata: decoded(metadata), modified: properties.lastModified };
      }
    }
  }

  /** Undefined when there is no such container. */
  async containerMetadata(name: string, signal: AbortSignal): Promise<Record<string, string> | undefined> {
    return this.#orUndefined(
      this.#call('get container', name, async () => {
        const { metadata } = await this.#service
          .getContainerClient(name)
          .getProperties({ abortSignal: signal });
        return decoded(metadata);
      }),
    );
  }

  /** Nothing when there is no such container. */
  async *blobs(
    container: string,
    { prefix, signal }: { prefix?: string; signal: AbortSignal },
  ): AsyncGenerator<BlobInfo> {
    const pages = this.#service
      .getContainerClient(container)
      .listBlobsFlat({ prefix, includeMetadata: true, abortSignal: signal })
      .byPage()
      [Symbol.asyncIterator]();
    for (;;) {
      const page = await this.#orUndefined(this.#call('list blobs', container, () => pages.next()));
      if (page === undefined || page.done) return;
      for (const { name, properties, metadata } of page.value.segment.blobItems) {
        const { contentLength = 0, contentMD5, lastModified, etag } = properties;
        yield {
          name,
          size: contentLength,
          modified: lastModified,
          etag,
          md5: contentMD5 && Buffer.from(contentMD5).toString('base64'),
          metadata: decoded(metadata),
        };
      }
    }
  }

  /** Undefined when there is no such blob. For small ones: all of it is held in memory. */
  async readText(
    container: string,
    blob: string,
    signal: AbortSignal,
  ): Promise<{ text: string; etag: string } | undefined> {
    return this.#orUndefined(
      this.#call('read blob', blob, async () => {
        const client = this.blob(container, blob);
        const { etag = '' } = await client.getProperties({ abortSignal: signal });
        const data = await client.downloadToBuffer(0, undefined, {
          conditions: { ifMatch: etag },
          abortSignal: signal,
        });
        return { text: data.toString('utf8'), etag };
      }),
    );
  }

  /** Returns the new ETag. */
  async writeText(
    container: string,
    blob: string,
    text: string,
    {
      ifMatch,
      ifNoneMatch,
      leaseId,
      signal,
    }: { ifMatch?: string; ifNoneMatch?: string; leaseId?: string; signal: AbortSignal },
  ): Promise<string> {
    const data = Buffer.from(text);
    const { etag = '' } = await this.#call('write blob', blob, () =>
      this.blob(container, blob).uploadData(data, {
        conditions: { ifMatch, ifNoneMatch, leaseId },
        blobHTTPHeaders: { blobContentType: 'application/json' },
        abortSignal: signal,
      }),
    );
    return etag;
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
      return await this.#call('read blob', blob, async () => {
        const { readableStreamBody } = await this.blob(container, blob).download(position, length, {
          abortSignal: signal,
          maxRetryRequests: 5,
        });
        const chunks: Buffer[] = [];
        for await (const chunk of readableStreamBody ?? []) chunks.push(Buffer.from(chunk));
        return Buffer.concat(chunks);
      });
    } catch (error) {
      if (isStorageCode(error, 'InvalidRange', 'HTTP 416')) return new Uint8Array(0);
      throw error;
    }
  }

  async deleteBlob(container: string, blob: string, signal: AbortSignal): Promise<void> {
    await this.#call('delete blob', blob, () =>
      this.blob(container, blob).deleteIfExists({ abortSignal: signal }),
    );
  }

  /**
   * URL of a container with a SAS of these permissions (`r`, `w`). With a key it is a service SAS; with a token a
   * user-delegation SAS, which lives at most seven days.
   * https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
   */
  async sasUrl(container: string, permissions: string, expiresOn: Date): Promise<string> {
    const client = this.#service.getContainerClient(container);
    const isHttps = client.url.startsWith('https:');
    const values = {
      containerName: container,
      permissions: ContainerSASPermissions.parse(permissions),
      expiresOn,
      protocol: isHttps ? SASProtocol.Https : SASProtocol.HttpsAndHttp,
    };
    const sas = this.#key
      ? generateBlobSASQueryParameters(values, this.#key)
      : generateBlobSASQueryParameters(
          values,
          await this.#delegationKey(expiresOn),
          this.#service.accountName,
        );
    return `${client.url}?${sas}`;
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
      await this.#call('lease blob', blob, () => lease.acquireLease(seconds, { abortSignal: signal }));
    } catch (error) {
      if (isStorageCode(error, 'LeaseAlreadyPresent')) return undefined;
      throw error;
    }
    return {
      id: lease.leaseId,
      renew: async () => {
        await this.#call('renew lease', blob, () =>
          lease.renewLease({ abortSignal: AbortSignal.timeout(10_000) }),
        );
      },
      release: async () => {
        await this.#call('release lease', blob, () =>
          lease.releaseLease({ abortSignal: AbortSignal.timeout(10_000) }),
        );
      },
    };
  }

  async #delegationKey(expires: Date): Promise<UserDelegationKey> {
    if (this.#delegation && this.#delegation.expires >= expires) return this.#delegation.key;
    const key = await this.#call('get user delegation key', this.host, () =>
      this.#service.getUserDelegationKey(new Date(Date.now() - 5 * 60_000), expires),
    );
    this.#delegation = { key, expires };
    return key;
  }

  #call<T>(operation: string, resource: string, call: () => Promise<T>): Promise<T> {
    return callStorage(this.host, operation, resource, call);
  }

  async #orUndefined<T>(call: Promise<T>): Promise<T | undefined> {
    try {
      return await call;
    } catch (error) {
      if (isStorageCode(error, 'HTTP 404')) return undefined;
      throw error;
    }
  }
}

/** Storage answers 403 to metadata that is not ASCII, which then looks like a bad key. */
export function encoded(metadata: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [name, encodeURIComponent(value)]),
  );
}

function decoded(metadata: Record<string, string> | undefined): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata ?? {}).map(([name, value]) => {
      try {
        return [name, decodeURIComponent(value)];
      } catch {
        return [name, value];
      }
    }),
  );
}

/** A blob that is not there. */
export function isMissing(error: unknown): boolean {
  return error instanceof UserError && isStorageCode(error, 'HTTP 404');
}
