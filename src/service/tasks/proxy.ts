import http from 'node:http';
import https from 'node:https';
import { HttpProxyAgent } from 'http-proxy-agent';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { getProxyForUrl } from 'proxy-from-env';

const direct = { http: new http.Agent({ keepAlive: true }), https: new https.Agent({ keepAlive: true }) };
const known = new Map<string, http.Agent>();

/** Keeps requests to this machine from proxies, also those of packages that read the environment themselves. */
export function keepLoopbackDirect(env: NodeJS.ProcessEnv): void {
  const hosts = [env.NO_PROXY || env.no_proxy, '127.0.0.1', 'localhost'].filter(Boolean).join(',');
  env.NO_PROXY = hosts;
  env.no_proxy = hosts;
}

/** The agent for a URL, which keeps connections to its host, or to the proxy that the environment names for it. */
export function agentFor(url: string): http.Agent {
  const isEncrypted = url.startsWith('https:');
  const proxy = getProxyForUrl(url);
  if (proxy === '') return isEncrypted ? direct.https : direct.http;
  const key = `${isEncrypted} ${proxy}`;
  const agent =
    known.get(key) ??
    (isEncrypted
      ? new HttpsProxyAgent(proxy, { keepAlive: true })
      : new HttpProxyAgent(proxy, { keepAlive: true }));
  known.set(key, agent);
  return agent;
}
