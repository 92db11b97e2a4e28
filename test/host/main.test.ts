import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { commands, extensions, workspace } from 'vscode';

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

  it('finds the samples of its workspace', () => {
    const folder = workspace.workspaceFolders?.[0]?.uri.fsPath ?? '';
    assert.ok(existsSync(join(folder, 'sample-1.mp4')));
  });
});
