import http from 'node:http';
import https from 'node:https';
import { HttpProxyAgent } from 'http-proxy-agent';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { getProxyForUrl } from 'proxy-from-env';

const direct = { http: new http.Agent({ keepAlive: true }), https: new https.Agent({ keepAlive: true }) };
const known = new Map<string, http.Agent>();

/** What is for this machine never goes to a proxy, also in the packages that read the environment by themselves. */
export function keepLoopbackDirect(env: NodeJS.ProcessEnv): void {
  const hosts = [env.NO_PROXY || env.no_proxy, '127.0.0.1', 'localhost'].filter(Boolean).join(',');
  env.NO_PROXY = hosts;
  env.no_proxy = hosts;
}

/** Keeps connections to where a URL leads: to its host, or to the proxy that the environment names for it. */
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
