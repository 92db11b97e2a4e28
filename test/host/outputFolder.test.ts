import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ConfigurationTarget, Uri, workspace } from 'vscode';
import { UserError } from '../../src/core/errors';
import type { Manifest, ManifestFile } from '../../src/core/plan/manifest';
import { section } from '../../src/vscode/settings';
import { resolveConflicts } from '../../src/vscode/transcode/conflicts';
import { configuredFolder, refuseReadOnly } from '../../src/vscode/transcode/outputFolder';
import { outputUri } from '../../src/vscode/workspaceFiles';
import { temporaryFolder } from '../media';

describe('The folder for outputs', () => {
  const workspaceFolder = workspace.workspaceFolders?.[0]?.uri ?? Uri.file('/');
  const inWorkspace = Uri.joinPath(workspaceFolder, 'day 1/clip.mp4').toString();

  const set = (value: string | undefined) =>
    workspace.getConfiguration(section).update('output.folder', value, ConfigurationTarget.Workspace);

  const folderFor = async (value: string, uri: string) => {
    await set(value);
    const folder = configuredFolder()?.of({ uri });
    return folder && Uri.parse(folder).path;
  };

  after(() => set(undefined));

  it('of the settings is in the workspace folder, and has the subfolders of the sources', async () => {
    const root = workspaceFolder.path;
    assert.equal(await folderFor('', inWorkspace), undefined);
    assert.equal(await folderFor('out', inWorkspace), `${root}/out/day 1/`);
    assert.equal(await folderFor('out/', `${workspaceFolder}/clip.mp4`), `${root}/out/`);
    assert.equal(await folderFor('a b/%20#?', inWorkspace), `${root}/a b/%20#?/day 1/`);
    assert.equal(await folderFor('out', 'file:///elsewhere/clip.mp4'), '/elsewhere/out/');
    assert.equal(await folderFor('.', inWorkspace), undefined, 'a source that is in it stays');
    assert.equal(await folderFor('out', `${workspaceFolder}/out/x/clip.mp4`), undefined);
  });

  it('of the settings may be elsewhere', async () => {
    assert.equal(await folderFor('/media/out', inWorkspace), '/media/out/day 1/');
    assert.equal(await folderFor('/media/out', 'file:///elsewhere/clip.mp4'), '/media/out/');
    assert.equal(await folderFor('~/out', 'file:///elsewhere/clip.mp4'), `${Uri.file(homedir()).path}/out/`);
    assert.equal(await folderFor('~', 'file:///elsewhere/clip.mp4'), `${Uri.file(homedir()).path}/`);
  });

  it('holds the outputs of its run; in another copy of the workspace they go beside their sources', () => {
    const file = (uri: string) =>
      ({ uri, path: 'day 1/clip.mp4', output: { folder: 'file:///media/out/' } }) as ManifestFile;
    assert.equal(outputUri(file(inWorkspace), 'clip/a.ts'), 'file:///media/out/clip/a.ts');
    const copied = outputUri(file('file:///another/copy/day%201/clip.mp4'), 'clip.mp3');
    assert.equal(copied, Uri.joinPath(workspaceFolder, 'day 1/clip.mp3').toString());
  });

  it('is refused if it cannot be written, also before it exists', async () => {
    const { path, remove } = await temporaryFolder('output-folder');
    const locked = join(path, 'locked');
    await mkdir(locked, { mode: 0o500 });
    const sources = [{ uri: Uri.parse(inWorkspace) }];
    const refusal = async (folder: string) => {
      await set(folder);
      return refuseReadOnly(sources).then(
        () => undefined,
        (error: unknown) => error instanceof UserError && error.problem.kind,
      );
    };
    try {
      // The administrator may write into any folder.
      const expected = process.getuid?.() === 0 ? undefined : 'outputReadOnly';
      assert.equal(await refusal(join(locked, 'a/b')), expected);
      assert.equal(await refusal(join(path, 'made later/b')), undefined);
    } finally {
      await remove();
    }
  });

  it('never holds an output in the place of a source, whatever path leads there', async () => {
    const { path, remove } = await temporaryFolder('output-folder');
    const values = workspace.getConfiguration(section);
    try {
      const [sources, link] = [join(path, 'sources'), join(path, 'link')];
      await mkdir(sources);
      await symlink(sources, link);
      for (const name of ['clip.mov', 'clip.mp4', 'other.mp3']) await writeFile(join(sources, name), name);
      const file = (id: string, source: string, name: string) => ({
        ...{ id, uri: Uri.file(join(sources, source)).toString(), path: join(sources, source) },
        output: { name, folder: `${Uri.file(link)}/` },
      });
      const files = [file('1', 'clip.mov', 'clip.mp4'), file('2', 'clip.mp4', 'other.mp3')];
      await values.update('output.onConflict', 'overwrite', ConfigurationTarget.Workspace);
      const resolved = await resolveConflicts({ files, onConflict: 'rename' } as unknown as Manifest);
      assert.equal(resolved?.onConflict, 'rename');
      assert.deepEqual(
        resolved?.files.map(({ replacesOutput }) => replacesOutput),
        [undefined, true],
      );
    } finally {
      await values.update('output.onConflict', undefined, ConfigurationTarget.Workspace);
      await remove();
    }
  });
});
