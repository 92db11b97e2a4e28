import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { commands, extensions, lm, workspace } from 'vscode';

const id = 'azure-batch-transcode.azure-batch-transcode';

describe('The extension in its host', () => {
  before(async () => {
    await extensions.getExtension(id)?.activate();
  });

  it('registers every command that its manifest declares', async () => {
    const declared: { command: string }[] = extensions.getExtension(id)?.packageJSON.contributes.commands;
    const registered = new Set(await commands.getCommands(true));
    assert.deepEqual(
      declared.map(({ command }) => command).filter((command) => !registered.has(command)),
      [],
    );
  });

  it('offers its tools to assistants', () => {
    const declared: { name: string }[] =
      extensions.getExtension(id)?.packageJSON.contributes.languageModelTools;
    const offered = new Set(lm.tools.map(({ name }) => name));
    assert.deepEqual(
      declared.map(({ name }) => name).filter((name) => !offered.has(name)),
      [],
    );
  });

  it('tells an assistant of jobs, in words that hold no secret', async () => {
    const result = await lm.invokeTool('batchTranscode_listJobs', {
      input: {},
      toolInvocationToken: undefined,
    });
    const [part] = result.content as { value?: string }[];
    assert.match(part?.value ?? '', /account/i);
  });

  it('finds the samples of its workspace', () => {
    const folder = workspace.workspaceFolders?.[0]?.uri.fsPath ?? '';
    assert.ok(existsSync(join(folder, 'sample-1.mp4')));
  });
});
