import assert from 'node:assert/strict';
import type { AccessToken, TokenCredential } from '@azure/identity';
import { CachedCredential } from '../../src/core/azure/identity';
import type { RetryNotice } from '../../src/core/azure/retry';
import { Storage } from '../../src/core/azure/storage';
import { UserError } from '../../src/core/errors';

const minute = 60_000;
const batch = 'https://batch.core.windows.net//.default';
const storage = 'https://storage.azure.com/.default';

describe('Tokens of an account', () => {
  let now: number;
  let asked: string[];
  let lifetime: number;
  let inner: TokenCredential;
  let tokens: CachedCredential;

  beforeEach(() => {
    now = 1_000_000;
    asked = [];
    lifetime = 60 * minute;
    inner = {
      async getToken(scopes, { tenantId = '' } = {}): Promise<AccessToken> {
        asked.push(`${scopes} ${tenantId}`);
        await new Promise((resolve) => setImmediate(resolve));
        return { token: `token ${asked.length}`, expiresOnTimestamp: now + lifetime };
      },
    };
    tokens = new CachedCredential(inner, () => now);
  });

  const get = async (scope: string, tenantId?: string) => (await tokens.getToken(scope, { tenantId }))?.token;

  it('are requested once for each audience and tenant', async () => {
    for (let count = 0; count < 3; count++) {
      assert.equal(await get(batch), 'token 1');
      now += 15 * minute;
    }
    assert.equal(await get(storage), 'token 2');
    assert.equal(await get(storage, 'other'), 'token 3');
    assert.equal(await get(batch), 'token 1');
    assert.equal(asked.length, 3);
  });

  it('are requested once for simultaneous calls', async () => {
    const got = await Promise.all(Array.from({ length: 10 }, () => get(batch)));
    assert.deepEqual(new Set(got), new Set(['token 1']));
  });

  it('are not waited for by a call that is aborted, and serve the others', async () => {
    let give: () => void = () => undefined;
    const given = new Promise<void>((resolve) => {
      give = resolve;
    });
    tokens = new CachedCredential({
      async getToken() {
        await given;
        return { token: 'late', expiresOnTimestamp: now + lifetime };
      },
    });
    const abort = new AbortController();
    const aborted = tokens.getToken(batch, { abortSignal: abort.signal });
    const other = get(batch);
    abort.abort();
    await assert.rejects(aborted, { name: 'AbortError' });
    give();
    assert.equal(await other, 'late');
  });

  it('are waited for by requests to Storage though another one is aborted', async () => {
    const refusal = { kind: 'unauthorized', account: 'a', service: 'identity', code: 'AADSTS50076' } as const;
    let give: () => void = () => undefined;
    const given = new Promise<void>((resolve) => {
      give = resolve;
    });
    const credential = {
      async getToken(): Promise<AccessToken> {
        asked.push('storage');
        await given;
        throw new UserError(refusal);
      },
    };
    const account = {
      ...{ id: 'a', label: 'a', signIn: 'identity' as const, batchName: 'a', storageName: 'a' },
      ...{ batchUrl: 'https://127.0.0.1:9', blobUrl: 'https://127.0.0.1:9/a' },
    } as const;
    const token = { kind: 'token', credential } as const;
    const retries: RetryNotice[] = [];
    const onRetry = (notice: RetryNotice) => retries.push(notice);
    const blobs = new Storage({ account, batch: token, storage: token }, { onRetry });
    const turns = async () => {
      for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    };
    const abort = new AbortController();
    const aborted = assert.rejects(blobs.check(abort.signal), { name: 'AbortError' });
    await turns();
    const other = assert.rejects(blobs.check(new AbortController().signal), { problem: refusal });
    await turns();
    assert.equal(asked.length, 1);
    abort.abort();
    await turns();
    give();
    await Promise.all([aborted, other]);
    blobs.close();
    assert.deepEqual(retries, []);
  });

  it('are replaced shortly before they expire', async () => {
    await get(batch);
    now += 54 * minute;
    assert.equal(await get(batch), 'token 1');
    now += 2 * minute;
    assert.equal(await get(batch), 'token 2');
  });

  it('that live for a short time are used for half of it', async () => {
    lifetime = 2 * minute;
    await get(batch);
    now += 0.9 * minute;
    assert.equal(await get(batch), 'token 1');
    now += 0.2 * minute;
    assert.equal(await get(batch), 'token 2');
  });

  it('are asked for again after a failure, and after a service has refused one', async () => {
    const { getToken } = inner;
    inner.getToken = async () => {
      throw new Error('no network');
    };
    await assert.rejects(get(batch), /no network/);
    inner.getToken = getToken;
    assert.equal(await get(batch), 'token 1');
    tokens.forget();
    assert.equal(await get(batch), 'token 2');
  });
});
