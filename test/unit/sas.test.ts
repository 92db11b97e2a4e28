import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  AnonymousCredential,
  BlobServiceClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  newPipeline,
  SASProtocol,
  type UserDelegationKey,
} from '@azure/storage-blob';
import { signerOf } from '../../src/core/azure/sas';

const hour = 3_600_000;
const { signal } = new AbortController();

describe('A SAS without the key of the account', () => {
  const server = createServer();
  const asked: string[] = [];

  before(async () => {
    server.on('request', async (request, reply) => {
      const body = Buffer.concat(await request.toArray()).toString();
      asked.push(body);
      const of = (name: string) => new RegExp(`<${name}>([^<]+)`).exec(body)?.[1];
      const key = [
        ['SignedOid', 'oid'],
        ['SignedTid', 'tid'],
        ['SignedStart', of('Start')],
        ['SignedExpiry', of('Expiry')],
        ['SignedService', 'b'],
        ['SignedVersion', '2022-11-02'],
        ['Value', Buffer.alloc(32).toString('base64')],
      ].map(([name, value]) => `<${name}>${value}</${name}>`);
      reply.writeHead(200, { 'content-type': 'application/xml' });
      reply.end(`<?xml version="1.0"?><UserDelegationKey>${key.join('')}</UserDelegationKey>`);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });

  after(() => server.close());

  for (const aheadHours of [-24, 0, 24]) {
    it(`is valid now though the service's clock is ${aheadHours} h ahead of this machine's`, async () => {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/account`;
      const service = new BlobServiceClient(url, newPipeline(new AnonymousCredential()));
      const now = Date.now() + aheadHours * hour;
      const credential = { getToken: async () => null };
      const sign = signerOf(service, {
        credential: { kind: 'token', credential },
        accountName: 'account',
        now: () => new Date(now),
      });
      asked.length = 0;
      const signed = new URL(await sign('container', 'r', new Date(now + 2 * hour), signal));
      const time = (name: string) => Date.parse(signed.searchParams.get(name) ?? '');
      assert.ok(time('skt') < now && time('skt') > now - hour, asked[0]);
      assert.ok(time('ske') > now + hour && time('se') > now + hour, asked[0]);
      await sign('other', 'w', new Date(now + hour), signal);
      assert.equal(asked.length, 1);
    });
  }

  for (const host of ['media.z07.blob.storage.azure.net', 'media.example.com']) {
    it(`names the account in its signature though the endpoint is ${host}`, async () => {
      const local = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const pipeline = newPipeline(new AnonymousCredential());
      pipeline.factories.push({
        create: (next) => ({
          sendRequest(request) {
            request.url = request.url.replace(`https://${host}`, local);
            return next.sendRequest(request);
          },
        }),
      });
      const now = new Date();
      const expiresOn = new Date(now.getTime() + hour);
      const sign = signerOf(new BlobServiceClient(`https://${host}`, pipeline), {
        credential: { kind: 'token', credential: { getToken: async () => null } },
        accountName: 'media',
        now: () => now,
      });
      const { searchParams: signed } = new URL(await sign('container', 'r', expiresOn, signal));
      const key: UserDelegationKey = {
        signedObjectId: 'oid',
        signedTenantId: 'tid',
        signedStartsOn: new Date(signed.get('skt') ?? ''),
        signedExpiresOn: new Date(signed.get('ske') ?? ''),
        signedService: 'b',
        signedVersion: '2022-11-02',
        value: Buffer.alloc(32).toString('base64'),
      };
      const values = {
        containerName: 'container',
        permissions: ContainerSASPermissions.parse('r'),
        expiresOn,
        protocol: SASProtocol.Https,
        version: signed.get('sv') ?? '',
      };
      const expected = new URLSearchParams(generateBlobSASQueryParameters(values, key, 'media').toString());
      assert.equal(signed.get('sig'), expected.get('sig'));
    });
  }
});
