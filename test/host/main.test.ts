import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigurationTarget, commands, extensions, lm, Uri, workspace } from 'vscode';
import { sasExpiryFor } from '../../src/core/plan/manifest';
import { inWorkspace, summaryFor } from '../../src/vscode/chat/languageTools';
import { extensionId, section } from '../../src/vscode/contributions';
import { settings } from '../../src/vscode/settings';

describe('The extension in its host', () => {
  before(async () => {
    await extensions.getExtension(extensionId)?.activate();
  });

  it('registers every command that its manifest declares', async () => {
    const declared: { command: string }[] =
      extensions.getExtension(extensionId)?.packageJSON.contributes.commands;
    const registered = new Set(await commands.getCommands(true));
    assert.deepEqual(
      declared.map(({ command }) => command).filter((command) => !registered.has(command)),
      [],
    );
  });

  it('replaces values of settings that the manifest does not allow', async () => {
    const values = workspace.getConfiguration(section);
    const wrong = {
      'transfers.parallel': 0,
      'pool.lifetime': 'forever',
      'media.extensions': 'mxf',
      'pool.vmSize': ' ',
      'pool.spotNodes': '3',
      'prices.show': 'yes',
      audio: ' eng ',
      'monitoring.timeLimitMinutes': 1e15,
      'task.timeLimitMinutes': 1e300,
      'task.retries': -3,
      splitMinutes: 1e9,
      presets: { name: 'MP3' },
    };
    const set = async (name: string, value?: unknown) =>
      values.update(name, value, ConfigurationTarget.Workspace);
    for (const [name, value] of Object.entries(wrong)) await set(name, value);
    try {
      const { parallel, pool, extensions: added, audio, prices, limits, partSeconds, presets } = settings();
      assert.deepEqual([parallel, pool.lifetime, added], [1, 'scaleToZero', []]);
      assert.deepEqual(
        [pool.vmSize, pool.spotNodes, prices.show, audio],
        ['Standard_D2s_v5', 5, true, 'eng'],
      );
      const { monitorMinutes, taskMinutes, retries } = limits;
      assert.deepEqual([monitorMinutes, taskMinutes, retries, partSeconds], [10_080, 10_080, 0, 7200]);
      assert.deepEqual(presets, []);
      // Later, there are no dates.
      assert.ok(sasExpiryFor(limits) > new Date().toISOString());
      // An empty extension would be that of every file without one.
      await set('media.extensions', ['y4m', '.Mxf', '*.nut', ' ivf ', '', '.', 'a/b', 'mp4;avi', 7, null]);
      assert.deepEqual(settings().extensions, ['y4m', 'Mxf', 'nut', 'ivf']);
    } finally {
      for (const name of Object.keys(wrong)) await set(name);
    }
  });

  it('says in an editor why a file of an account cannot be read', async () => {
    const uri = Uri.parse('azure-batch://other.eastus.batch.azure.com/task/job/task/stdout.txt');
    await assert.rejects(
      Promise.resolve(workspace.fs.readFile(uri)),
      /The account other\.eastus\.batch\.azure\.com isn't connected\./,
    );
  });

  it('offers its tools to assistants', () => {
    const declared: { name: string }[] =
      extensions.getExtension(extensionId)?.packageJSON.contributes.languageModelTools;
    const offered = new Set(lm.tools.map(({ name }) => name));
    assert.deepEqual(
      declared.map(({ name }) => name).filter((name) => !offered.has(name)),
      [],
    );
  });

  it('finds the files that an assistant names, in each folder of a workspace', () => {
    const folders = ['one', 'two'].map((name, index) => ({ name, index, uri: Uri.file(`/videos/${name}`) }));
    const paths = ['clip.mp4', 'two/clip.mp4', 'two.mp4', '/other/clip.mp4'];
    assert.deepEqual(
      paths.map((path) => inWorkspace(path, folders).path),
      ['/videos/one/clip.mp4', '/videos/two/clip.mp4', '/videos/one/two.mp4', '/other/clip.mp4'],
    );
    const single = folders.slice(0, 1);
    assert.equal(inWorkspace('one/clip.mp4', single).path, '/videos/one/one/clip.mp4');
  });

  it('tells an assistant why files of a run failed', () => {
    const numbers = { total: 2, unfinished: 0, job: 'job', monitorMinutes: 30, elapsedMs: 1, nodeHours: 0 };
    const problem = { kind: 'fileMissing', file: 'b.mp4' } as const;
    const run = { runId: 'run', firstFiles: ['a.mp4', 'b.mp4'], ...numbers };
    assert.deepEqual(
      summaryFor({ ...run, succeeded: 1, failed: 1, firstFailed: [{ path: 'b.mp4', problem }] }),
      {
        ...{ run: 'run', succeeded: 1, failed: 1, total: 2 },
        failures: [{ file: 'b.mp4', reason: 'b.mp4 no longer exists.' }],
      },
    );
    assert.deepEqual(summaryFor({ ...run, succeeded: 2, failed: 0, firstFailed: [] }), {
      ...{ run: 'run', succeeded: 2, failed: 0, total: 2 },
    });
  });

  it('lists jobs for an assistant, without the keys of the account', async () => {
    await commands.executeCommand('batchTranscode.useLocalAccount');
    const result = await lm.invokeTool('batchTranscode_listJobs', {
      input: {},
      toolInvocationToken: undefined,
    });
    const [part] = result.content as { value?: string }[];
    const listed = JSON.parse(part?.value ?? '{}') as { account?: string; jobs?: unknown[] };
    assert.equal(listed.account, 'Local Batch account');
    assert.ok(Array.isArray(listed.jobs));
    const keys = await keysOfLocalAccount();
    assert.equal(keys.length, 2);
    for (const key of keys) assert.ok(!part?.value?.includes(key), 'the answer holds a key');
  });

  it('finds the samples of its workspace', () => {
    const folder = workspace.workspaceFolders?.[0]?.uri.fsPath ?? '';
    assert.ok(existsSync(join(folder, 'sample-1.mp4')));
  });
});

/** The keys that the local account uses, from the file beside its service. */
async function keysOfLocalAccount(): Promise<string[]> {
  const { VSCODE_AGENT_FOLDER: agent, VSCODE_LOGS: logs = '' } = process.env;
  // VS Code's server names its folder in the first, the desktop its logs in the second.
  const base = agent ? dirname(agent) : (logs.split('/logs/')[0] ?? '');
  const path = join(base, 'User/globalStorage', extensionId, 'local/credentials.json');
  const { batchKey, storageKey } = JSON.parse(readFileSync(path, 'utf8'));
  return [batchKey, storageKey];
}
