import { BatchServiceClient, BatchSharedKeyCredentials } from '@azure/batch';
import type { GetTokenOptions, TokenCredential } from '@azure/identity';
import type {
  AbortSignalLike,
  CompositeMapper,
  OperationArguments,
  OperationSpec,
  RestResponse,
  SequenceMapper,
  ServiceClientCredentials,
  WebResourceLike,
} from '@azure/ms-rest-js';
import { onAccount } from '../errors';
import { type Log, noLog } from '../log';
import type { Connection } from './account';
import { type CallOptions, callBatch, isBatchCode } from './batchCall';
import type { ListOptions } from './batchTypes';
import { cloudOf } from './clouds';
import { type Agent, agentFor, batchHttpClient, closeIdle, ServiceClock } from './http';
import type { Page } from './pages';
import { defaultPolicy, type RetryPolicy, type ServiceFailure } from './retry';

/**
 * The version of the REST API. Versions before 2025-06-01 are announced for retirement
 * (https://github.com/Azure/Batch/issues/140). Setting the property is enough for the calls that are made here, as long
 * as a pool is changed with `patch`: `updateproperties` sends a certificate list that 2025-06-01 refuses.
 */
const apiVersion = '2025-06-01';

/** The version that is used where the first one is not known: Azure's other clouds get new versions later. */
const earlierVersion = '2022-10-01.16.0';

/** A connection on which nothing moves for so long is closed. */
const silenceMs = 60_000;

/**
 * Adds a token to each request. The package's own adapter doesn't pass the request's signal: an abort would
 * wait for a token that an external program creates.
 */
class TokenCredentials implements ServiceClientCredentials {
  constructor(
    private readonly credential: TokenCredential,
    private readonly scope: string,
  ) {}

  async signRequest(resource: WebResourceLike): Promise<WebResourceLike> {
    const abortSignal = resource.abortSignal as GetTokenOptions['abortSignal'];
    const token = await this.credential.getToken(this.scope, { abortSignal });
    if (token === null) throw new Error(`No token for ${this.scope}`);
    resource.headers.set('authorization', `Bearer ${token.token}`);
    return resource;
  }
}

/** Answers about a job or pool that does not exist. */
const notFoundCodes = ['JobNotFound', 'PoolNotFound'];

/**
 * How long after its creation a job or pool that a request does not find is asked for again, in milliseconds: the parts of the
 * service may not know of it at once, and a run whose job or pool does not exist is ended.
 */
const newMs = 5_000;

type Reply<T> = T[] & { odatanextLink?: string };

/** One attempt, with a signal that ends with it. */
export type Attempt<T> = (abortSignal: AbortSignalLike) => Promise<T>;

/**
 * The client of `@azure/batch` looks for each property that a resource can have in each item of a list. This one looks for
 * those that the list was asked for: a page of 1,000 jobs takes about half of the time.
 */
class SelectingClient extends BatchServiceClient {
  override sendOperationRequest(args: OperationArguments, spec: OperationSpec): Promise<RestResponse> {
    const select = selectOf(args);
    return super.sendOperationRequest(args, select === undefined ? spec : selecting(spec, select));
  }
}

/** What a list is asked for: `id,state`. Undefined for anything else than a list, and for all properties. */
function selectOf({ options, nextPageLink }: OperationArguments): string | undefined {
  if (typeof nextPageLink === 'string')
    return new URL(nextPageLink, 'https://localhost').searchParams.get('$select') ?? undefined;
  for (const value of Object.values(options ?? {})) {
    if (typeof value?.select === 'string') return value.select;
  }
  return undefined;
}

const selectingSpecs = new WeakMap<OperationSpec, Map<string, OperationSpec>>();

/** The operation with items that have these properties only. */
function selecting(spec: OperationSpec, select: string): OperationSpec {
  const known = selectingSpecs.get(spec) ?? new Map<string, OperationSpec>();
  selectingSpecs.set(spec, known);
  const made = known.get(select) ?? withItemsOf(spec, select);
  known.set(select, made);
  return made;
}

function withItemsOf(spec: OperationSpec, select: string): OperationSpec {
  const list = spec.responses[200]?.bodyMapper as CompositeMapper | undefined;
  const items = list?.type.modelProperties?.value as SequenceMapper | undefined;
  const { className = '' } = (items?.type.element as CompositeMapper | undefined)?.type ?? {};
  const all = (spec.serializer.modelMappers[className] as CompositeMapper | undefined)?.type.modelProperties;
  if (list === undefined || items === undefined || all === undefined) return spec;
  const wanted = new Set(select.split(',').map((path) => path.trim().split('/')[0]));
  const modelProperties = Object.fromEntries(Object.entries(all).filter(([name]) => wanted.has(name)));
  const element: CompositeMapper = { type: { name: 'Composite', className, modelProperties } };
  const value: SequenceMapper = { ...items, type: { name: 'Sequence', element } };
  const bodyMapper: CompositeMapper = {
    ...list,
    type: { ...list.type, modelProperties: { ...list.type.modelProperties, value } },
  };
  return {
    ...spec,
    responses: { ...spec.responses, 200: { ...spec.responses[200], bodyMapper } },
  };
}

/** The connection to a Batch account: client, credentials, retries and paging for the calls of the subclasses. */
export class BatchClient {
  /** For decisions about the resources of the account. */
  readonly log: Log;
  protected readonly client: BatchServiceClient;
  readonly #host: string;
  readonly #account: Connection['account'];
  readonly #policy: RetryPolicy;
  readonly #agent: Agent;
  readonly #clock = new ServiceClock();
  /** When jobs and pools were added by this client, by their ids. */
  readonly #addedAt = new Map<string, number>();

  /** `policy` replaces members of the default policy: retries for 20 s, 60 s for each attempt. */
  constructor({ account, batch, log = noLog }: Connection, policy: Partial<RetryPolicy> = {}) {
    const credentials =
      batch.kind === 'sharedKey'
        ? new BatchSharedKeyCredentials(batch.name, batch.key)
        : new TokenCredentials(batch.credential, `${cloudOf(account.batchUrl).batchAudience}/.default`);
    this.#account = account;
    const renew = batch.kind === 'token' ? () => batch.credential.forget?.() : undefined;
    this.#policy = { ...defaultPolicy, log, renew, ...policy };
    this.log = policy.log ?? log;
    this.#agent = agentFor(account.batchUrl, silenceMs);
    this.client = new SelectingClient(credentials, account.batchUrl, {
      noRetryPolicy: true,
      httpClient: batchHttpClient(this.#agent, { clock: this.#clock, log: this.log }),
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

  /** Adds a job or pool. */
  protected async add<T>(
    options: CallOptions & { readonly resource: string },
    attempt: Attempt<T>,
  ): Promise<void> {
    await this.call(options, attempt);
    this.#addedAt.set(options.resource, performance.now());
  }

  /** Deletes a job or pool. */
  protected async remove<T>(
    options: CallOptions & { readonly resource: string },
    attempt: Attempt<T>,
  ): Promise<T> {
    this.#addedAt.delete(options.resource);
    return this.call(options, attempt);
  }

  #isNew(resource: string | undefined): boolean {
    const addedAt = this.#addedAt.get(resource ?? '') ?? Number.NEGATIVE_INFINITY;
    const isNew = performance.now() - addedAt < newMs;
    if (!isNew) this.#addedAt.delete(resource ?? '');
    return isNew;
  }

  protected call<T>(options: CallOptions, attempt: Attempt<T>): Promise<T> {
    const canPass = (error: unknown) =>
      notFoundCodes.includes((error as ServiceFailure).body?.code ?? '') && this.#isNew(options.resource);
    // The package declares its own AbortSignal, which differs in the `this` of a property that it never uses.
    const call = () =>
      callBatch(this.#host, options, { ...this.#policy, canPass }, (signal) =>
        attempt(signal as AbortSignalLike),
      );
    return onAccount(this.#account, async () => {
      const { apiVersion: version } = this.client;
      try {
        return await call();
      } catch (error) {
        if (version === earlierVersion || !isBatchCode(error, 'UnsupportedRequestVersion')) throw error;
        this.log.debug(
          `${this.#host} does not support version ${version}: ${earlierVersion} is used from now on.`,
        );
        this.client.apiVersion = earlierVersion;
        return call();
      }
    });
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
