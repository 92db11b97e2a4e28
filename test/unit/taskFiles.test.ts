import assert from 'node:assert/strict';
import { UserError } from '../../src/core/errors';
import type { NodeOf } from '../../src/vscode/explorer/explorerNode';
import { noFilesCode, noTaskFiles } from '../../src/vscode/explorer/taskFiles';

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

const started = { startTime: new Date(0), retryCount: 0, requeueCount: 0 };

describe('The files of a task in the Accounts view', () => {
  it('are missing if Batch says so of the task, its node or its pool, and not for any other reason', () => {
    for (const code of ['TaskFilesUnavailable', 'TaskFilesCleanedup', 'NodeNotFound', 'PoolNotFound'])
      assert.equal(noFilesCode(refusal(code)), code);
    for (const error of [refusal('NodeNotReady'), refusal('TaskNotFound'), new Error('NodeNotFound')])
      assert.equal(noFilesCode(error), undefined);
  });

  const reasonOf = (task: NodeOf<'task'>['task'], code?: string) => {
    const row = noTaskFiles({ kind: 'task', account, jobId: 'job', task: { id: 'task', ...task } }, code);
    return row.kind === 'empty' ? row.reason : undefined;
  };

  it('do not exist before the task starts, or before a running task has made its folder', () => {
    assert.equal(reasonOf({ state: 'active' }), 'notStarted');
    for (const code of ['TaskFilesUnavailable', 'NodeNotFound', 'PoolNotFound'])
      assert.equal(reasonOf({ state: 'preparing' }, code), 'notStarted', code);
    assert.equal(
      reasonOf({ state: 'running', executionInfo: started }, 'TaskFilesUnavailable'),
      'notStarted',
    );
  });

  it('go with the node of a task, also while the task runs', () => {
    for (const code of ['NodeNotFound', 'PoolNotFound', 'TaskFilesCleanedup'])
      for (const state of ['running', 'completed'] as const)
        assert.equal(reasonOf({ state, executionInfo: started }, code), 'removed', `${state} ${code}`);
    assert.equal(reasonOf({ state: 'completed', executionInfo: started }, 'TaskFilesUnavailable'), 'removed');
  });

  it('never existed if the task ended before it started, as when it is terminated while it waits', () => {
    const ended = { endTime: new Date(0), retryCount: 0, requeueCount: 0 };
    for (const code of ['TaskFilesUnavailable', 'NodeNotFound', 'PoolNotFound'])
      assert.equal(reasonOf({ state: 'completed', executionInfo: ended }, code), 'neverStarted', code);
  });
});
