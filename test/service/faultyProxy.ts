import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

export type Fault = (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;

export interface Answer {
  readonly request: IncomingMessage;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface FaultyProxy {
  readonly url: string;
  /** Method and path of every request, in order. */
  readonly requests: string[];
  /** Milliseconds for which the oldest request has waited for its answer; 0 if none waits. */
  waitingMs(): number;
  /** Answers instead of the service if it returns true. */
  fault: Fault | undefined;
  /** Changes an answer of the service. If it returns undefined, the connection is closed without an answer. */
  change: ((answer: Answer) => Answer | undefined) | undefined;
  close(): Promise<void>;
}

/** An HTTP proxy in front of a service, which can answer in its place or change its answers. */
export async function faultyProxy(target: string): Promise<FaultyProxy> {
  const { hostname, port, pathname } = new URL(target);
  const requests: string[] = [];
  const waitingSince = new Set<{ readonly at: number }>();
  const server = createServer(async (incoming, outgoing) => {
    const waiting = { at: Date.now() };
    waitingSince.add(waiting);
    outgoing.once('close', () => waitingSince.delete(waiting));
    requests.push(`${incoming.method} ${incoming.url}`);
    if (await proxy.fault?.(incoming, outgoing)) {
      incoming.resume();
      return;
    }
    const { method, url: path, headers } = incoming;
    const onward = request({ hostname, port, method, path, headers }, async (answer) => {
      const { statusCode: status = 500 } = answer;
      const { change } = proxy;
      if (change === undefined) {
        outgoing.writeHead(status, answer.rawHeaders);
        answer.pipe(outgoing);
        return;
      }
      const body = Buffer.concat(await answer.toArray());
      const changed = change({ request: incoming, status, headers: answer.headers, body });
      if (changed === undefined) outgoing.destroy();
      else outgoing.writeHead(changed.status, changed.headers).end(changed.body);
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: FaultyProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`,
    requests,
    waitingMs() {
      const [oldest] = waitingSince;
      return oldest === undefined ? 0 : Date.now() - oldest.at;
    },
    fault: undefined,
    change: undefined,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}

/** A fault that answers the next `count` requests with this status and code. */
export function answerNext(
  count: number,
  status: number,
  code: string,
  headers: Record<string, string> = {},
): Fault {
  let left = count;
  return (_request, response) => {
    if (left-- <= 0) return false;
    response.writeHead(status, { 'content-type': 'application/xml', 'x-ms-error-code': code, ...headers });
    response.end(
      `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${code} for a test.\nRequestId:1</Message></Error>`,
    );
    return true;
  };
}

/**
 * A fault that deletes containers as Azure does: until `linger` has passed, requests to a container that was deleted are
 * refused with ContainerBeingDeleted. `now` is in milliseconds; Azure takes at least 30 seconds.
 */
export function containersLinger(lingerMs: number, now: () => number = Date.now): Fault {
  const deletedAt = new Map<string, number>();
  return (request, response) => {
    const url = new URL(request.url ?? '/', 'http://storage');
    const container = url.pathname.split('/')[2] ?? '';
    const isContainer = url.searchParams.get('restype') === 'container' && !url.searchParams.has('comp');
    const since = now() - (deletedAt.get(container) ?? Number.NEGATIVE_INFINITY);
    if (since < lingerMs) return answerNext(1, 409, 'ContainerBeingDeleted')(request, response);
    if (request.method === 'DELETE' && isContainer) deletedAt.set(container, now());
    return false;
  };
}
