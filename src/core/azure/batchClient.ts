import { BatchServiceClient, BatchSharedKeyCredentials } from '@azure/batch';
import { type AbortSignalLike, AzureIdentityCredentialAdapter } from '@azure/ms-rest-js';
import { type Log, noLog } from '../log';
import type { Connection } from './account';
import { type CallOptions, callBatch, isBatchCode } from './batchCall';
import type { ListOptions } from './batchTypes';
import { cloudOf } from './clouds';
import { type Agent, agentFor, batchHttpClient, closeIdle, ServiceClock } from './http';
import type { Page } from './pages';
import { defaultPolicy, type RetryPolicy } from './retry';

/**
 * The version of the REST API. Versions before 2025-06-01 are announced for retirement
 * (https://github.com/Azure/Batch/issues/140). Setting the property is enough for the calls that are made here, as long
 * as a pool is changed with `patch`: `updateproperties` sends a certificate list that 2025-06-01 refuses.
 */
const apiVersion = '2025-06-01';

/** A connection on which nothing moves for so long is closed. */
const silenceMs = 60_000;

type Reply<T> = T[] & { odatanextLink?: string };

/** One attempt, with a signal that ends with it. */
export type Attempt<T> = (abortSignal: AbortSignalLike) => Promise<T>;

/** The connection to a Batch account: client, credentials, retries and paging for the calls of the subclasses. */
export class BatchClient {
  /** For decisions about the resources of the account. */
  readonly log: Log;
  protected readonly client: BatchServiceClient;
  readonly #host: string;
  readonly #policy: RetryPolicy;
  readonly #agent: Agent;
  readonly #clock = new ServiceClock();

  /** `policy` replaces members of the default policy: retries for 20 s, 60 s for each attempt. */
  constructor({ account, batch, log = noLog }: Connection, policy: Partial<RetryPolicy> = {}) {
    const credentials =
      batch.kind === 'sharedKey'
        ? new BatchSharedKeyCredentials(batch.name, batch.key)
        : new AzureIdentityCredentialAdapter(
            batch.credential,
            `${cloudOf(account.batchUrl).batchAudience}/.default`,
          );
    this.#policy = { ...defaultPolicy, log, ...policy };
    this.log = policy.log ?? log;
    this.#agent = agentFor(account.batchUrl, silenceMs);
    this.client = new BatchServiceClient(credentials, account.batchUrl, {
      noRetryPolicy: true,
      httpClient: batchHttpClient(this.#agent, {
        clock: this.#clock,
        log: this.log,
        onUnauthorized: () => batch.kind === 'token' && batch.credential.forget?.(),
      }),
    });
    this.client.apiVersion = apiVersion;
    this.#host = new URL(account.batchUrl).host;
  }

  /**
   * The service's time, for comparisons with times that it sends: this machine's clock can be minutes off. It is this
   * machine's time before the first answer.
   */
  now(): Date {
    return this.#clock.now();
  }

  /** Closes connections that no request uses. */
  close(): void {
    closeIdle(this.#agent);
  }

  protected call<T>(options: CallOptions, attempt: Attempt<T>): Promise<T> {
    // The package declares its own AbortSignal, which differs in the `this` of a property that it never uses.
    return callBatch(this.#host, options, this.#policy, (signal) => attempt(signal as AbortSignalLike));
  }

  protected async page<T>(
    operation: string,
    { filter, select, expand, pageSize: maxResults, signal, resource }: ListOptions & { resource?: string },
    next: string | undefined,
    first: (
      options: { filter?: string; select?: string; expand?: string; maxResults?: number },
      abortSignal: AbortSignalLike,
    ) => Promise<Reply<T>>,
    more: (link: string, abortSignal: AbortSignalLike) => Promise<Reply<T>>,
  ): Promise<Page<T>> {
    const reply = await this.call({ operation, resource, signal }, (abortSignal) =>
      next === undefined
        ? first({ filter, select, expand, maxResults }, abortSignal)
        : more(next, abortSignal),
    );
    return { items: [...reply], next: reply.odatanextLink };
  }

  protected async all<T>(
    options: CallOptions,
    first: Attempt<Reply<T>>,
    more: (link: string, abortSignal: AbortSignalLike) => Promise<Reply<T>>,
  ): Promise<T[]> {
    const items: T[] = [];
    let reply = await this.call(options, first);
    for (;;) {
      items.push(...reply);
      const link = reply.odatanextLink;
      if (link === undefined) return items;
      reply = await this.call(options, (abortSignal) => more(link, abortSignal));
    }
  }

  protected async orUndefined<T>(codes: string | string[], call: Promise<T>): Promise<T | undefined> {
    try {
      return await call;
    } catch (error) {
      if (isBatchCode(error, ...[codes].flat())) return undefined;
      throw error;
    }
  }
}
