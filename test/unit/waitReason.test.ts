import assert from 'node:assert/strict';
import { waitOf } from '../../src/core/accounts/waitReason';
import { type Problem, UserError } from '../../src/core/errors';

const account = { id: 'a', batchUrl: 'https://a.batch.azure.com' };

describe('A run whose account cannot be used', () => {
  const wait = (problem: Problem) => waitOf(new UserError(problem), account)?.reason;

  it('waits for what passes or what the user solves, and for nothing else', () => {
    assert.equal(wait({ kind: 'signedOut', account: 'a' }), 'signIn');
    const refused = { kind: 'unauthorized', account: 'a', code: 'X' } as const;
    assert.equal(wait({ ...refused, service: 'identity' }), 'signIn');
    assert.equal(wait({ ...refused, service: 'storage' }), 'access');
    assert.equal(wait({ kind: 'unreachable', host: 'h', code: 'ENOTFOUND' }), 'connection');
    const answer = { kind: 'service', service: 'batch', operation: 'add job', code: 'X' } as const;
    assert.equal(wait({ ...answer, status: 503 }), 'connection');
    assert.equal(wait({ ...answer, status: 408 }), 'connection');
    assert.equal(wait({ ...answer, status: 409 }), undefined);
    assert.equal(wait({ kind: 'runTaken', run: 'r' }), undefined);
    assert.equal(waitOf(new Error('a bug'), account), undefined);
    assert.equal(waitOf(new DOMException('stopped', 'AbortError'), account), undefined);
  });

  it('says which account, what is wrong, and that it is to be canceled', () => {
    const cause = new DOMException('too late', 'TimeoutError');
    const { reason, error } = waitOf(cause, account, { isCanceling: true }) ?? {};
    assert.equal(reason, 'connection');
    assert.deepEqual(error?.problem, {
      ...{ kind: 'runWaits', account: 'a', waitsFor: 'connection', isCanceling: true },
      problem: { kind: 'unreachable', host: 'a.batch.azure.com', code: 'ETIMEDOUT' },
    });
    assert.equal(error?.cause, cause);
  });
});
