import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { PastStates } from '../disturbances/pastStates';
import type { TaskTokens } from '../scheduling/managers';
import { BatchError } from '../wire/errors';
import { checkEncoding, parseBody, readBody, setCommonHeaders, splitUrl, useOriginForm } from './http/body';
import type { Context, Reply, Request } from './http/context';
import { checkQuery } from './http/query';
import type { Router } from './http/router';
import type { Rendered, Sender } from './http/sending';
import { type Account, authenticate } from './http/signature';

/** On a full disk, jobs and tasks are acknowledged without waiting longer for Blob Storage. */
const maxSaveMs = 5_000;

interface AnswerParts {
  readonly context: Context;
  readonly router: Router;
  readonly sender: Sender;
  readonly account: Account;
  /** Bearer tokens that are accepted in addition to signatures. */
  readonly tokens: readonly string[];
  readonly taskTokens: TaskTokens;
  readonly pastStates: PastStates;
  readonly dataDir: string;
}

/** Answers requests: authenticates them, finds their route, and sends what it replies. */
export class Answers {
  readonly #started: Promise<void>;
  /** Releases the requests that arrived while the service was starting. */
  start: () => void = () => undefined;

  constructor(private readonly parts: AnswerParts) {
    this.#started = new Promise((resolve) => {
      this.start = resolve;
    });
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A client that remembers the URL can send requests before the processes of the previous run have been ended.
    await this.#started;
    const requestId = randomUUID();
    setCommonHeaders(request, response, requestId);
    const { sender } = this.parts;
    let reply: Rendered;
    try {
      reply = sender.render(await this.#handle(request));
    } catch (error) {
      const isAbandoned = request.destroyed && !request.complete;
      if (isAbandoned) return;
      if (!(error instanceof BatchError))
        this.parts.context.log(`Unexpected: ${error instanceof Error ? error.stack : error}`);
      const known = error instanceof BatchError ? error : new BatchError('InternalError');
      sender.sendError(request, response, known, requestId);
      return;
    }
    await sender.send(request, response, reply);
  }

  async #handle(request: IncomingMessage): Promise<Reply> {
    const { context, router, taskTokens, account, tokens, pastStates } = this.parts;
    const { faults } = context;
    useOriginForm(request);
    // A web page whose name resolves to this address (DNS rebinding) sends that name as Host.
    const host = request.headers.host?.toLowerCase() ?? '';
    if (!/^(127\.0\.0\.1|localhost|\[::1\]):\d+$/.test(host)) throw new BatchError('Forbidden');
    // First, so that bodies of strangers take no memory.
    authenticate(request, account, tokens, (token) => taskTokens.jobOf(token));
    checkEncoding(request);
    const bytes = await readBody(request);
    const { path, query } = splitUrl(request.url ?? '/');
    const route = router.find(request.method ?? 'GET', path);
    if (path !== '/_faults') {
      await faults.delay();
      faults.maybeRefuse();
      if (faults.takeCut()) request.socket.destroy();
      checkQuery(query);
    } else if (!faults.isAllowed) {
      throw new BatchError('ResourceNotFound');
    }
    this.#mustHaveRoom(request.method);
    const handled: Request = {
      method: request.method ?? 'GET',
      params: route.params,
      query,
      headers: request.headers,
      body: parseBody(bytes),
      url: request.url ?? '/',
      version: query.get('api-version') ?? '',
    };
    const reply = await route.handler(context, handled);
    if (addsWork(handled.method, path)) await this.#saveStorage();
    const past = pastStates.stateFor(handled.method, path, route.params);
    return past ? route.handler({ ...context, state: past }, handled) : reply;
  }

  /** A job or task that is acknowledged must find its blobs again after a crash. */
  async #saveStorage(): Promise<void> {
    const { storage, log } = this.parts.context;
    await storage?.save(AbortSignal.timeout(maxSaveMs)).catch((error) => {
      log(`Blob Storage was not saved before a job or task was added: ${error}`);
    });
  }

  /** Refuses changes while they cannot be stored. Deletions make room. */
  #mustHaveRoom(method: string | undefined): void {
    if (this.parts.context.state.isWritable || method === 'GET' || method === 'HEAD' || method === 'DELETE')
      return;
    throw new BatchError(
      'ServerBusy',
      { Reason: `The disk of ${this.parts.dataDir} is full. Free some space.` },
      { 'Retry-After': '5' },
    );
  }
}

function addsWork(method: string, path: string): boolean {
  return method === 'POST' && /^\/jobs($|\/[^/]+\/(tasks|addtaskcollection)$)/.test(path);
}
