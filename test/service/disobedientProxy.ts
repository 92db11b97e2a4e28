import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** What a network, or a service that is not well, does to a request. */
export const disturbances = [
  'busy',
  'throttled',
  'timedOut',
  'failed',
  'failedAfterwards',
  'reset',
  'resetAfterwards',
  'cutBody',
  'late',
  'slow',
  'unauthorized',
  'forbidden',
  'notYet',
] as const;

export type Disturbance = (typeof disturbances)[number];

export interface Disturbed {
  readonly line: string;
  readonly by: Disturbance;
}

export interface DisobedientProxy {
  readonly url: string;
  /** Requests that were disturbed, in order. */
  readonly disturbed: Disturbed[];
  /** Whether no request is under way, also none whose client has given it up. */
  readonly isIdle: boolean;
  /** Requests so far. */
  readonly count: number;
  /** Chooses what is done to a request, `METHOD path`. */
  disturb: ((line: string) => Disturbance | undefined) | undefined;
  /** Called with each request, before it is answered. */
  onRequest: ((line: string) => void) | undefined;
  /** From now on, no request reaches the service, as if this window had been killed. */
  kill(): void;
  /** Holds all requests until the returned function is called, as if this machine slept. */
  sleep(): () => void;
  close(): Promise<void>;
}

/** Milliseconds for which a request or its answer is delayed. */
const delayMs = 700;

interface Reply {
  readonly status: number;
  readonly headers: string[];
  readonly body: Buffer;
}

/** A proxy in front of Batch or Storage that disturbs requests of a client. Those of tasks, with a SAS, pass. */
export async function disobedientProxy(target: string): Promise<DisobedientProxy> {
  const { origin, pathname } = new URL(target);
  let isDead = false;
  let awake: Promise<void> | undefined;
  let count = 0;
  const made = new Map<string, number>();
  let working = 0;
  const server = createServer((incoming, outgoing) => {
    working++;
    handle(incoming, outgoing)
      .catch(() => outgoing.destroy())
      .finally(() => working--);
  });

  async function handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { method = 'GET', url = '' } = incoming;
    const line = `${method} ${url}`;
    const ofTask = url.includes('sig=');
    if (isDead && !ofTask) return void outgoing.destroy();
    if (!ofTask) {
      count++;
      proxy.onRequest?.(line);
    }
    const by = ofTask ? undefined : proxy.disturb?.(line);
    const body = Buffer.concat(await incoming.toArray());
    if (!ofTask) {
      await awake;
      if (isDead) return void outgoing.destroy();
    }
    const forward = () => forwarded(incoming, body);
    if (by !== undefined) proxy.disturbed.push({ line, by });
    switch (by) {
      case 'busy':
        return refuse(outgoing, 503, 'ServerBusy');
      case 'throttled':
        return refuse(outgoing, 429, 'TooManyRequests', { 'retry-after': '1' });
      case 'timedOut':
        return refuse(outgoing, 408, 'OperationTimedOut');
      case 'failed':
        return refuse(outgoing, 500, 'InternalError');
      case 'unauthorized':
        return refuse(outgoing, 401, 'AuthenticationFailed');
      case 'forbidden':
        return refuse(outgoing, 403, 'AuthorizationFailure');
      case 'reset':
        return void outgoing.destroy();
      case 'failedAfterwards':
        await forward();
        return refuse(outgoing, 500, 'InternalError');
      case 'resetAfterwards':
        await forward();
        return void outgoing.destroy();
      case 'late':
        // Reaches the service when the client has given it up or asked again.
        outgoing.destroy();
        await pause(delayMs);
        await forward();
        return;
      case 'slow':
        await pause(delayMs);
        break;
      case 'notYet':
        if (method === 'GET' && Date.now() - (made.get(url.split('?')[0] ?? '') ?? 0) < delayMs)
          return refuse(outgoing, 404, notFoundCode(url));
        break;
    }
    const reply = await forward();
    noteMade(method, url, body);
    if (by === 'cutBody' && reply.body.length > 1) {
      outgoing.writeHead(reply.status, reply.headers);
      outgoing.write(reply.body.subarray(0, reply.body.length >> 1), () => outgoing.destroy());
      return;
    }
    outgoing.writeHead(reply.status, reply.headers).end(reply.body);
  }

  /** Remembers what was added, so that it can be denied for a moment. */
  function noteMade(method: string, url: string, body: Buffer): void {
    if (method !== 'POST' || !/^\/(jobs|pools)\?/.test(url)) return;
    const { id } = JSON.parse(body.toString()) as { id: string };
    made.set(`${url.split('?')[0]}/${id}`, Date.now());
  }

  function forwarded({ method, url, headers }: IncomingMessage, body: Buffer): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const onward = send(`${origin}${url}`, { method, headers, agent: false }, (answer) => {
        answer.toArray().then(
          (chunks) =>
            resolve({
              status: answer.statusCode ?? 500,
              headers: answer.rawHeaders,
              body: Buffer.concat(chunks),
            }),
          reject,
        );
      });
      onward.once('error', reject);
      onward.end(body);
    });
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: DisobedientProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`,
    disturbed: [],
    get count() {
      return count;
    },
    disturb: undefined,
    onRequest: undefined,
    get isIdle() {
      return working === 0;
    },
    kill() {
      isDead = true;
    },
    sleep() {
      let wake: () => void = () => undefined;
      awake = new Promise((resolve) => {
        wake = resolve;
      });
      return wake;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}

function notFoundCode(url: string): string {
  return url.startsWith('/jobs') ? 'JobNotFound' : 'PoolNotFound';
}

function refuse(
  outgoing: ServerResponse,
  status: number,
  code: string,
  headers: Record<string, string> = {},
): void {
  const isBatch = !outgoing.req.url?.startsWith('/localstorage');
  const body = isBatch
    ? JSON.stringify({ code, message: { lang: 'en-US', value: `${code} for a test.` } })
    : `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${code} for a test.</Message></Error>`;
  outgoing
    .writeHead(status, {
      'content-type': isBatch ? 'application/json' : 'application/xml',
      'x-ms-error-code': code,
      ...headers,
    })
    .end(outgoing.req.method === 'HEAD' ? undefined : body);
}
