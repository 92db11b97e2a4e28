import http from 'node:http';
import https from 'node:https';
import { getProxyForUrl } from 'proxy-from-env';

/** Undefined where the SDKs are to make their own. */
export type Agent = http.Agent | undefined;

/**
 * Keeps connections to a service, and ends one on which nothing has moved for `silenceMs`: after a machine slept or
 * changed its network, a connection can stay open for hours without a byte, and the SDKs wait for it as long. Undefined
 * where the environment names a proxy on the way there: the SDKs then make agents of their own. They would also send
 * what is for this very machine to that proxy. Its sockets are not bounded: where a request waits for one, the client of
 * Batch (node-fetch 2) takes a chunked answer that is complete for one that was cut.
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

/** Closes the connections on which nothing is under way; what is under way ends in peace. */
export function closeIdle(agent: Agent): void {
  for (const sockets of Object.values(agent?.freeSockets ?? {})) {
    for (const socket of sockets ?? []) socket.destroy();
  }
}

export function isLoopback(url: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/i.test(new URL(url).hostname);
}

function silence(silenceMs: number): Error {
  return Object.assign(new Error(`no byte for ${silenceMs / 1000} s`), { code: 'ETIMEDOUT' });
}
