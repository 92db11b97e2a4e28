import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import http, { type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import https from 'node:https';
import { type AddressInfo, connect, type Server as NetServer } from 'node:net';
import { join } from 'node:path';
import type { Connection } from '../../src/core/azure/account';
import { TestService } from '../service/harness';
import { certificate, certificateKey, startTokenStorage, type TokenStorage } from './tokenStorage';

/** Names and addresses of the stand-in's account. */
export const azure = {
  tenant: '00000000-0000-0000-0000-000000000001',
  otherTenant: '00000000-0000-0000-0000-000000000009',
  subscription: '00000000-0000-0000-0000-00000000000a',
  batch: 'media',
  storage: 'linked',
  location: 'westeurope',
  batchHost: 'media.westeurope.batch.azure.com',
  batchUrl: 'https://media.westeurope.batch.azure.com',
  storageHost: 'linked.blob.core.windows.net',
} as const;

/** A request to the stand-in, without its token or key. */
export interface Seen {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly scheme: string;
}

/**
 * Azure behind a company's proxy: names that only the proxy can resolve, a certificate that is not trusted by default, an
 * authority that issues tokens, Resource Manager, Batch and Blob Storage. The last two are the local Batch service and
 * Azurite.
 */
export class AzureStandIn {
  readonly seen: Seen[] = [];
  /** Hosts that were requested but do not exist here. */
  readonly strangers: string[] = [];
  /** The quota of Spot cores that Resource Manager returns. */
  spotCores = 100;
  /** Whether Batch refuses signatures with a key, as after the keys were renewed. */
  refusesKeys = false;
  /** Whether the authority refuses the secrets of applications. */
  refusesSecrets = false;
  /** All tokens that were issued. */
  readonly tokens: string[] = [];
  #session = 1;

  private constructor(
    readonly service: TestService,
    private readonly storage: TokenStorage,
    private readonly door: https.Server,
    private readonly proxy: Server,
  ) {
    door.on('request', (request, reply) => this.#answer(request, reply));
    proxy.on('connect', (request, socket, head) => {
      const [host = ''] = (request.url ?? '').split(':');
      const port = this.#portOf(host);
      if (port === undefined) {
        this.strangers.push(host);
        socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
        return;
      }
      const target = connect(port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
        target.write(head);
        target.pipe(socket).pipe(target);
      });
      for (const end of [socket, target]) end.on('error', () => end.destroy());
    });
    proxy.on('request', (request, reply) => {
      this.strangers.push(request.url ?? '');
      reply.writeHead(502).end();
    });
  }

  static async start(folder: string): Promise<AzureStandIn> {
    mkdirSync(folder, { recursive: true });
    const proxy = http.createServer();
    const proxyUrl = await listen(proxy);
    const env = { HTTPS_PROXY: proxyUrl, NODE_EXTRA_CA_CERTS: certificate };
    const names = { batchName: azure.batch, storageName: azure.storage };
    const service = await TestService.startAs(names, env, '--trust-token', innerToken);
    const storageKey = service.credentials.storageKey;
    const storage = await startTokenStorage(join(folder, 'blobs'), azure.storage, storageKey);
    const door = https.createServer({ cert: readFileSync(certificate), key: readFileSync(certificateKey) });
    await listen(door);
    return new AzureStandIn(service, storage, door, proxy);
  }

  get proxyUrl(): string {
    return urlOf(this.proxy);
  }

  /** The account as the extension knows it, with its keys. */
  get connection(): Connection {
    const { batchKey, storageKey } = this.service.credentials;
    return {
      account: {
        id: azure.batch,
        label: azure.batch,
        signIn: 'keys',
        batchName: azure.batch,
        batchUrl: azure.batchUrl,
        storageName: azure.storage,
        blobUrl: `https://${azure.storageHost}`,
      },
      batch: { kind: 'sharedKey', name: azure.batch, key: batchKey },
      storage: { kind: 'sharedKey', name: azure.storage, key: storageKey },
    };
  }

  /** The environment of a process that connects to the stand-in. */
  get env(): Record<string, string> {
    return { HTTPS_PROXY: this.proxyUrl, NODE_EXTRA_CA_CERTS: certificate };
  }

  /** Revokes all tokens that were issued. */
  revokeTokens(): void {
    this.#session++;
  }

  /** Issues a token for a scope such as `https://storage.azure.com/.default`. */
  token(scope: string): string {
    const now = Math.floor(Date.now() / 1000);
    const token = jwt({
      aud: scope.replace(/\/\.default$/, ''),
      iss: `https://sts.windows.net/${azure.tenant}/`,
      nbf: now - 60,
      iat: now - 60,
      exp: now + 3600,
      oid: '00000000-0000-0000-0000-000000000002',
      tid: azure.tenant,
      session: this.#session,
    });
    this.tokens.push(token);
    return token;
  }

  async close(): Promise<void> {
    this.proxy.closeAllConnections();
    this.door.closeAllConnections();
    this.proxy.close();
    this.door.close();
    await this.storage.close();
    await this.service.close();
  }

  #portOf(host: string): number | undefined {
    if (host === azure.storageHost) return this.storage.port;
    const isKnown = [
      'login.microsoftonline.com',
      'management.azure.com',
      'prices.azure.com',
      azure.batchHost,
    ].includes(host);
    return isKnown ? portOf(this.door) : undefined;
  }

  #answer(request: IncomingMessage, reply: ServerResponse): void {
    const { host = '', authorization = '' } = request.headers;
    const [path = ''] = (request.url ?? '').split('?');
    this.seen.push({ host, method: request.method ?? '', path, scheme: authorization.split(' ')[0] ?? '' });
    if (host === azure.batchHost) this.#passToBatch(request, reply);
    else if (host === 'management.azure.com') this.#manage(request, path, reply);
    else if (host === 'prices.azure.com') send(reply, 200, priceList);
    else void this.#authorize(request, path, reply);
  }

  async #authorize(request: IncomingMessage, path: string, reply: ServerResponse): Promise<void> {
    const base = `https://login.microsoftonline.com/${path.split('/')[1]}`;
    if (path.endsWith('/openid-configuration')) {
      send(reply, 200, {
        token_endpoint: `${base}/oauth2/v2.0/token`,
        authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
        issuer: `${base}/v2.0`,
        jwks_uri: `${base}/discovery/v2.0/keys`,
      });
      return;
    }
    let body = '';
    for await (const chunk of request) body += chunk;
    const form = new URLSearchParams(body);
    if (this.refusesSecrets && form.has('client_secret')) {
      const text = 'AADSTS7000215: Invalid client secret provided.';
      send(reply, 401, { error: 'invalid_client', error_description: text, error_codes: [7000215] });
      return;
    }
    if (path.startsWith(`/${azure.otherTenant}/`)) {
      const text =
        'AADSTS50076: Due to a change made by your administrator, you must use multi-factor authentication.';
      send(reply, 400, { error: 'interaction_required', error_description: text, error_codes: [50076] });
      return;
    }
    const scope = (form.get('scope') ?? '').split(' ').find((one) => one.includes('/')) ?? '';
    send(reply, 200, { token_type: 'Bearer', expires_in: 3600, access_token: this.token(scope) });
  }

  #manage(request: IncomingMessage, path: string, reply: ServerResponse): void {
    if (!this.#isAccepted(request.headers.authorization, 'https://management.azure.com')) {
      send(reply, 401, { error: { code: 'InvalidAuthenticationToken', message: 'The token is not valid.' } });
      return;
    }
    const answer = this.#resources().find(([pattern]) => pattern.test(path))?.[1];
    send(
      reply,
      answer ? 200 : 403,
      answer ?? { error: { code: 'AuthorizationFailed', message: 'No role.' } },
    );
  }

  #resources(): [RegExp, unknown][] {
    const group = `/subscriptions/${azure.subscription}/resourceGroups/rg/providers`;
    const batchId = `${group}/Microsoft.Batch/batchAccounts/${azure.batch}`;
    const storageId = (name: string) => `${group}/Microsoft.Storage/storageAccounts/${name}`;
    const batch = {
      id: batchId,
      name: azure.batch,
      location: azure.location,
      properties: {
        accountEndpoint: azure.batchHost,
        autoStorage: { storageAccountId: storageId(azure.storage) },
        poolAllocationMode: 'BatchService',
        dedicatedCoreQuota: 20,
        lowPriorityCoreQuota: this.spotCores,
        poolQuota: 100,
        activeJobAndJobScheduleQuota: 300,
      },
    };
    const storages = [
      { name: 'far', location: 'eastus2' },
      { name: azure.storage, location: azure.location },
    ];
    return [
      [
        /^\/tenants$/,
        {
          value: [
            { tenantId: azure.tenant, displayName: 'Contoso' },
            { tenantId: azure.otherTenant, displayName: 'Fabrikam' },
          ],
        },
      ],
      [
        /^\/subscriptions$/,
        {
          value: [
            {
              subscriptionId: azure.subscription,
              displayName: 'Films',
              state: 'Enabled',
              tenantId: azure.tenant,
            },
          ],
        },
      ],
      [/\/providers\/Microsoft\.Batch\/batchAccounts$/, { value: [batch] }],
      [
        /\/providers\/Microsoft\.Storage\/storageAccounts$/,
        {
          value: storages.map(({ name, location }) => ({
            id: storageId(name),
            name,
            location,
            properties: { primaryEndpoints: { blob: `https://${name}.blob.core.windows.net/` } },
          })),
        },
      ],
      [/\/batchAccounts\/media$/, batch],
    ];
  }

  #passToBatch(request: IncomingMessage, reply: ServerResponse): void {
    const { authorization = '' } = request.headers;
    const isToken = authorization.startsWith('Bearer ');
    if (!isToken && this.refusesKeys) {
      request.resume();
      send(reply, 401, { code: 'AuthenticationFailed', message: { lang: 'en-US', value: 'No.' } });
      return;
    }
    const target = new URL(this.service.ready.batchUrl);
    const headers: http.OutgoingHttpHeaders = { ...request.headers, host: target.host };
    if (isToken) {
      const isGood = this.#isAccepted(authorization, 'https://batch.core.windows.net/');
      headers.authorization = `Bearer ${isGood ? innerToken : 'none'}`;
    }
    const { method, url: path } = request;
    const passed = http.request(target, { method, path, headers }, (answer) => {
      reply.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(reply);
    });
    passed.on('error', () => reply.destroy());
    request.pipe(passed);
  }

  #isAccepted(authorization: string | undefined, audience: string): boolean {
    const payload = /^Bearer [^.]+\.([^.]+)\./.exec(authorization ?? '')?.[1] ?? '';
    try {
      const { aud, exp, session } = JSON.parse(Buffer.from(payload, 'base64url').toString());
      return aud === audience && exp > Date.now() / 1000 && session === this.#session;
    } catch {
      return false;
    }
  }
}

/** One page of the public list of retail prices, for the default size of nodes. */
const priceList = {
  BillingCurrency: 'USD',
  Items: ['D2s v5', 'D2s v5 Spot'].map((skuName, index) => ({
    currencyCode: 'USD',
    retailPrice: index === 0 ? 0.115 : 0.023,
    armRegionName: azure.location,
    armSkuName: 'Standard_D2s_v5',
    productName: 'Virtual Machines Dsv5 Series',
    skuName,
    type: 'Consumption',
    unitOfMeasure: '1 Hour',
  })),
  NextPageLink: null,
  Count: 2,
};

const innerToken = randomBytes(16).toString('hex');

function jwt(claims: unknown): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}.${part('signature')}`;
}

function send(reply: ServerResponse, status: number, body: unknown): void {
  reply.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function listen(server: NetServer): Promise<string> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return urlOf(server);
}

function portOf(server: NetServer): number {
  return (server.address() as AddressInfo).port;
}

function urlOf(server: NetServer): string {
  return `http://127.0.0.1:${portOf(server)}`;
}
