import assert from 'node:assert/strict';
import { DataTransfer, DataTransferItem, MarkdownString } from 'vscode';
import type { AccountRecord } from '../../src/core/azure/account';
import { type Problem, UserError } from '../../src/core/errors';
import type { FileResult, ManifestFile } from '../../src/core/plan/manifest';
import { reportFailuresTo } from '../../src/vscode/background';
import { cleanUp } from '../../src/vscode/cleanUp/cleanUp';
import { isForRun } from '../../src/vscode/cleanUp/cleanUpPicker';
import { uriList } from '../../src/vscode/contributions';
import { namedByAccount } from '../../src/vscode/explorer/commands/actOnEach';
import { type Dropped, droppedFiles, handleDrop } from '../../src/vscode/explorer/dragAndDrop';
import type { ExplorerNode } from '../../src/vscode/explorer/explorerNode';
import { renderNode } from '../../src/vscode/explorer/renderNode';
import type { RunRecord } from '../../src/vscode/runs/runRecord';
import { contextOfFile, refusedItem } from '../../src/vscode/runs/runRows';
import type { Runs } from '../../src/vscode/runs/runs';
import { sentenceOf } from '../../src/vscode/words/sentences';
import { rowMenu } from './rowMenu';

const azure: AccountRecord = {
  id: 'team.westeurope.batch.azure.com',
  label: 'Team',
  signIn: 'keys',
  batchName: 'team',
  batchUrl: 'https://team.westeurope.batch.azure.com',
  storageName: 'team',
  blobUrl: 'https://team.blob.core.windows.net',
};
const local: AccountRecord = { ...azure, id: 'local', label: 'Local Batch account', signIn: 'local' };
const secret = 'https://team.blob.core.windows.net/c/b?sv=2024&sig=abc%2Fdef%3D&se=2026';

describe('The rows of the Accounts view', () => {
  const owner = `${azure.id}/jobs`;
  const problem = { kind: 'unreachable', host: azure.id, code: 'ECONNREFUSED' } as const;
  const jobs: ExplorerNode = { kind: 'jobs', account: azure };

  it('belong to their account, also those that say something about a list: files can be dropped on them', async () => {
    const accountOf = ({ accountId }: { readonly accountId: string }) => {
      if (accountId === azure.id) return azure;
      throw new UserError({ kind: 'noAccount', account: accountId });
    };
    const rows: ExplorerNode[] = [
      jobs,
      { kind: 'empty', owner, list: 'jobs', isFiltered: false },
      { kind: 'cut', owner, list: 'jobs', read: 5000 },
      { kind: 'more', parent: jobs, shown: 100 },
      { kind: 'problem', owner, problem },
    ];
    const data = new DataTransfer();
    data.set(uriList, new DataTransferItem('file:///v/clip.mp4'));
    for (const row of rows) assert.equal((await droppedFiles({ accountOf }, row, data)).account, azure);
    assert.equal((await droppedFiles({ accountOf }, undefined, data)).account, undefined);
    const command = renderNode({ kind: 'problem', owner, problem }).command;
    assert.deepEqual(command?.arguments, [{ problem, accountId: azure.id }]);
  });

  it('take files that are dropped, and report that their account was removed', async () => {
    const accountOf = () => {
      throw new UserError({ kind: 'noAccount', account: azure.id });
    };
    const data = new DataTransfer();
    data.set(uriList, new DataTransferItem('file:///v/clip.mp4'));
    const used: Dropped[] = [];
    const use = async (dropped: Dropped) => used.push(dropped);
    const reported = new Promise((resolve) => reportFailuresTo(resolve));
    await handleDrop({ accountOf }, jobs, data, use);
    const error = await reported;
    reportFailuresTo(console.error);
    assert.ok(error instanceof UserError && error.problem.kind === 'noAccount');
    await handleDrop({ accountOf: () => azure }, jobs, data, use);
    assert.deepEqual(
      used.map(({ account, uris }) => [account, uris.map(({ path }) => path)]),
      [[azure, ['/v/clip.mp4']]],
    );
  });

  it('report that their account was removed before a clean-up that was offered asks for its keys', async () => {
    const accountOf = () => {
      throw new UserError({ kind: 'noAccount', account: azure.id });
    };
    const connect = () => assert.fail('keys are asked for');
    const runs = {} as Runs;
    await assert.rejects(
      cleanUp({ accountOf, connect }, runs, azure, {}),
      (error) => error instanceof UserError && error.problem.kind === 'noAccount',
    );
  });

  it('show no signature of a SAS that a service quotes', () => {
    const rows: ExplorerNode[] = [
      {
        kind: 'node',
        account: azure,
        poolId: 'pool',
        node: { id: 'tvm', errors: [{ code: 'Failed', message: secret }] },
      },
      {
        kind: 'task',
        account: azure,
        jobId: 'job',
        task: { id: 'task', executionInfo: { failureInfo: { category: 'usererror', message: secret } } },
      } as ExplorerNode,
      {
        kind: 'problem',
        owner,
        problem: { kind: 'nodeFailed', node: 'tvm', code: 'Failed', detail: secret },
      },
    ];
    for (const row of rows) {
      const { tooltip, label } = renderNode(row);
      const shown = `${label} ${tooltip instanceof MarkdownString ? tooltip.value : tooltip}`;
      assert.match(shown, /sig=/);
      assert.doesNotMatch(shown, /abc|def/);
    }
    const { text } = sentenceOf({ kind: 'poolUnusable', pool: 'pool', detail: secret });
    assert.doesNotMatch(text, /abc|def/);
  });

  it('say why a task has no files', () => {
    const textOf = (reason: Extract<ExplorerNode, { kind: 'empty' }>['reason']) =>
      renderNode({ kind: 'empty', owner, list: 'files', isFiltered: false, reason }).label;
    assert.equal(textOf('notStarted'), 'No files until the task starts');
    assert.equal(textOf('neverStarted'), 'The task ended before it started, so it has no files');
    assert.equal(textOf('removed'), 'The node no longer has the files');
    assert.equal(textOf(undefined), 'No files');
  });

  it('open in the portal only what the portal has', () => {
    const openInPortal = (account: AccountRecord) =>
      [
        { kind: 'account', account } as const,
        { kind: 'pool', account, pool: { id: 'pool', state: 'active', allocationState: 'steady' } } as const,
        { kind: 'job', account, job: { id: 'job', state: 'active' } } as const,
        { kind: 'task', account, jobId: 'job', task: { id: 'task', state: 'active' } } as const,
      ].map((row) => rowMenu('accounts', renderNode(row).contextValue ?? '').includes('openInPortal'));
    for (const signIn of ['keys', 'microsoft', 'identity'] as const)
      assert.deepEqual(openInPortal({ ...azure, signIn }), [true, true, true, false], signIn);
    assert.deepEqual(openInPortal(local), [false, false, false, false]);
  });

  it('are named with their account where several are selected', () => {
    const job = (account: AccountRecord) => ({ kind: 'job', account, job: { id: 'same' } }) as const;
    const lineOf = () => 'same';
    assert.deepEqual(namedByAccount([job(azure), job(local)], lineOf), [
      'Team: same',
      'Local Batch account: same',
    ]);
    assert.deepEqual(namedByAccount([job(azure), job(azure)], lineOf), ['same', 'same']);
  });
});

describe('The rows of the Transcodes view', () => {
  const file = { output: { name: 'clip.mp3' } } as ManifestFile;
  const menuOf = (problem: Problem | undefined, isLive: boolean) =>
    rowMenu('runs', contextOfFile(file, { id: '1', problem } as FileResult, isLive));
  const missing: Problem = { kind: 'fileMissing', file: 'clip.mp4' };

  it('offer to retry a failed file only when the window does not work on its run', () => {
    assert.ok(menuOf(missing, false).includes('retryFailed'));
    assert.ok(!menuOf(missing, true).includes('retryFailed'));
    assert.ok(!menuOf(undefined, false).includes('retryFailed'));
  });

  it('offer what is known of each file: its source, and why it failed', () => {
    const refused = {
      record: {} as RunRecord,
      file: { path: 'clip.mp4', uri: 'file:///clip.mp4', problem: missing },
    };
    for (const isLive of [false, true]) {
      const { contextValue = '' } = refusedItem({ kind: 'refused', ...refused }, isLive);
      for (const menu of [menuOf(missing, isLive), rowMenu('runs', contextValue)])
        assert.ok(menu.includes('showFailures') && menu.includes('revealSource'));
    }
    assert.ok(menuOf(undefined, false).includes('revealSource'));
    assert.ok(!menuOf(undefined, false).includes('showFailures'));
    assert.ok(rowMenu('runs', contextOfFile(file, undefined, true)).includes('revealSource'));
  });

  it('offer to save a partial output where a file has one, also while the window works on its run', () => {
    const damaged: Problem = { kind: 'sourceDamaged', file: 'clip.mp4' };
    for (const isLive of [false, true]) {
      assert.ok(menuOf(damaged, isLive).includes('savePartialOutput'), `live: ${isLive}`);
      assert.ok(!menuOf(missing, isLive).includes('savePartialOutput'));
      assert.ok(!menuOf(undefined, isLive).includes('savePartialOutput'));
    }
  });
});

describe('The resources that Clean Up selects', () => {
  const waiting: RunRecord = {
    ...{ runId: 'run', accountId: azure.id, outputContainer: '', created: '', preset: '', files: 1 },
    ...{ sources: [], status: 'stopped', waitsFor: 'access' },
  };

  it('are not those of a run that continues or can be continued, unless the user asks for that run', () => {
    const known = (found: RunRecord | undefined, ...asked: string[]) => ({
      find: () => found,
      asked: new Set(asked),
    });
    assert.equal(isForRun({ runId: 'run' }, known(undefined)), false);
    assert.equal(isForRun({ runId: 'run', isUnfinished: true }, known(undefined)), true);
    assert.equal(isForRun({ runId: 'run' }, known(waiting)), true);
    assert.equal(isForRun({ runId: 'run', isUnfinished: true }, known(undefined, 'run')), false);
    assert.equal(isForRun({ runId: 'run', isUnfinished: true }, known(waiting, 'run')), false);
    assert.equal(isForRun({ runId: 'run', isUnfinished: true }, known(waiting, 'other')), true);
  });
});
