import http from 'node:http';
import https from 'node:https';
import {
  createDefaultHttpClient,
  createEmptyPipeline,
  createHttpHeaders,
  createPipelineRequest,
  proxyPolicy,
} from '@azure/core-rest-pipeline';
import { HttpHeaders, type HttpClient as RestHttpClient } from '@azure/ms-rest-js';
import { getProxyForUrl } from 'proxy-from-env';
import { errorCode } from '../errors';
import type { Log } from '../log';
import { isLoopback } from './account';
import { currentAttempt } from './retry';

/** Undefined where the SDKs make agents of their own. */
export type Agent = http.Agent | undefined;

/**
 * Keeps connections to a service, and closes one on which nothing has moved for `silenceMs`: after a machine slept or
 * changed its network, a connection can stay open for hours without a byte, and the SDKs wait for it as long.
 *
 * Undefined where the environment names a proxy for the URL: the SDKs then make agents of their own. Loopback never goes
 * through a proxy, which the SDKs would do.
 */
export function agentFor(url: string, silenceMs: number): Agent {
  if (!isLoopback(url) && getProxyForUrl(url) !== '') return undefined;
  const agent = url.startsWith('https:')
    ? new https.Agent({ keepAlive: true, timeout: silenceMs })
    : new http.Agent({ keepAlive: true, timeout: silenceMs });
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    const socket = connect(options, callback);
    socket?.on('timeout', () => socket.destroy(silence(silenceMs)));
    return socket;
  };
  return agent;
}

/** Closes the connections that no request uses; requests in flight are not disturbed. */
export function closeIdle(agent: Agent): void {
  for (const sockets of Object.values(agent?.freeSockets ?? {})) {
    for (const socket of sockets ?? []) socket.destroy();
  }
}

function silence(silenceMs: number): Error {
  return Object.assign(new Error(`no byte for ${silenceMs / 1000} s`), { code: 'ETIMEDOUT' });
}

/** The time of a service, which can differ from this machine's by minutes. Known from the first answer on. */
export class ServiceClock {
  #aheadMs = 0;

  /** The service's time now, to a second. */
  now(): Date {
    return new Date(Date.now() + this.#aheadMs);
  }

  /** Takes note of the `Date` header of an answer. */
  observe(dateHeader: string | undefined): void {
    const time = Date.parse(dateHeader ?? '');
    if (!Number.isNaN(time)) this.#aheadMs = time - Date.now();
  }
}

interface Sent {
  readonly method: string;
  readonly url: string;
}

interface Received {
  readonly status: number;
  readonly headers: { get(name: string): string | undefined };
}

/** Sends a request, notes the service's time, and logs the request without its secrets at level `trace`. */
export async function observed<T extends Received>(
  { method, url }: Sent,
  { clock, log }: { clock?: ServiceClock; log?: Log },
  send: () => Promise<T>,
): Promise<T> {
  const started = performance.now();
  const write = (outcome: string) => {
    const ms = Math.round(performance.now() - started);
    log?.trace(`${method} ${withoutSecrets(url)} ${outcome} ${ms} ms, attempt ${currentAttempt()}`);
  };
  try {
    const reply = await send();
    const id = reply.headers.get('request-id') ?? reply.headers.get('x-ms-request-id');
    clock?.observe(reply.headers.get('date'));
    write(`${reply.status}${id ? ` ${id}` : ''}`);
    return reply;
  } catch (error) {
    write(errorCode(error) ?? (error instanceof Error ? error.name : 'failed'));
    throw error;
  }
}

/** Parameters that name the operation. All others can contain a signature or text of the user. */
const loggedParameters = ['comp', 'restype'];

/** Host and path of a URL, with the parameters that are safe to log. */
function withoutSecrets(url: string): string {
  const { host, pathname, searchParams } = new URL(url);
  const kept = loggedParameters.flatMap((name) =>
    searchParams.has(name) ? [`${name}=${searchParams.get(name)}`] : [],
  );
  return `${host}${pathname}${kept.length > 0 ? `?${kept.join('&')}` : ''}`;
}

export interface BatchHttpObserver {
  readonly clock: ServiceClock;
  readonly log?: Log;
}

/**
 * The HTTP client of `@azure/batch`, in place of its own (node-fetch 2), which never settles when an answer ends before
 * its Content-Length, and which drops the body, and so the code, of a refused file request.
 */
export function batchHttpClient(agent: Agent, observer: BatchHttpObserver): RestHttpClient {
  const client = createDefaultHttpClient();
  const pipeline = createEmptyPipeline();
  if (agent === undefined) pipeline.addPolicy(proxyPolicy());
  return {
    async sendRequest(resource) {
      const request = createPipelineRequest({
        url: resource.url,
        method: resource.method,
        headers: createHttpHeaders(resource.headers.rawHeaders()),
        body: resource.body,
        abortSignal: resource.abortSignal as AbortSignal | undefined,
        allowInsecureConnection: true,
        streamResponseStatusCodes: resource.streamResponseBody ? new Set([200, 206]) : undefined,
        agent,
      });
      const reply = await observed(resource, observer, () => pipeline.sendRequest(client, request));
      if (reply.bodyAsText !== undefined) resource.streamResponseBody = false;
      return {
        request: resource,
        status: reply.status,
        headers: new HttpHeaders(reply.headers.toJSON()),
        bodyAsText: reply.bodyAsText ?? undefined,
        readableStreamBody: reply.readableStreamBody,
      };
    },
  };
}
