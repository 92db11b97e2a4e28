import assert from 'node:assert/strict';
import { UserError } from '../../src/core/errors';
import type { NodeOf } from '../../src/vscode/explorer/explorerNode';
import { noTaskFiles, saysFilesAreGone } from '../../src/vscode/explorer/taskFiles';

const account: NodeOf<'task'>['account'] = {
  id: 'account',
  label: 'account',
  batchName: 'account',
  batchUrl: 'https://account.westeurope.batch.azure.com',
  storageName: 'storage',
  blobUrl: 'https://storage.blob.core.windows.net',
  signIn: 'keys',
};

function refusal(code: string): UserError {
  return new UserError({ kind: 'service', service: 'batch', operation: 'list files', status: 409, code });
}

describe('The files of a task in the Accounts view', () => {
  it('are gone if Batch says so of the task, its node or its pool, and not for any other reason', () => {
    for (const code of ['TaskFilesUnavailable', 'TaskFilesCleanedup', 'NodeNotFound', 'PoolNotFound'])
      assert.equal(saysFilesAreGone(refusal(code)), true, code);
    for (const error of [refusal('NodeNotReady'), refusal('TaskNotFound'), new Error('NodeNotFound')])
      assert.equal(saysFilesAreGone(error), false);
  });

  it('do not exist before the task starts, and were removed once it has completed', () => {
    const reasonOf = (state: 'active' | 'preparing' | 'running' | 'completed') => {
      const row = noTaskFiles({ kind: 'task', account, jobId: 'job', task: { id: 'task', state } });
      return row.kind === 'empty' ? row.reason : undefined;
    };
    assert.deepEqual(
      (['active', 'preparing', 'running'] as const).map(reasonOf),
      Array(3).fill('notStarted'),
    );
    assert.equal(reasonOf('completed'), 'removed');
  });
});
