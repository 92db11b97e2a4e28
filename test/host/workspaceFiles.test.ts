import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import {
  commands,
  type Disposable,
  EventEmitter,
  FileSystemError,
  type FileSystemProvider,
  FileType,
  Uri,
  workspace,
} from 'vscode';
import { UserError } from '../../src/core/errors';
import { DiskFiles } from '../../src/core/files/localFiles';
import type { ManifestFile } from '../../src/core/plan/manifest';
import { refuseReadOnly } from '../../src/vscode/transcode/outputFolder';
import { chooseFiles } from '../../src/vscode/transcode/sources/chooseFiles';
import { scanFolder } from '../../src/vscode/transcode/sources/folderScan';
import { savedOutput, WorkspaceFiles } from '../../src/vscode/workspaceFiles';
import { probe, temporaryFolder } from '../media';

/** A file system in memory, as extensions for remote repositories bring one. */
class Memory implements FileSystemProvider {
  readonly content = new Map<string, Uint8Array>();
  readonly locked = new Set<string>();
  readonly onDidChangeFile = new EventEmitter<never>().event;

  watch = () => ({ dispose: () => undefined });
  createDirectory = () => undefined;
  readDirectory = (_: { path: string }) =>
    [...this.content.keys()].map((path): [string, FileType] => [path.slice(1), FileType.File]);

  stat({ path }: { path: string }) {
    if (path === '/') return { type: FileType.Directory, size: 0, ctime: 0, mtime: 0 };
    return { type: FileType.File, size: this.#at(path).length, ctime: 1, mtime: 7 };
  }

  readFile({ path }: { path: string }): Uint8Array {
    if (this.locked.has(path)) throw FileSystemError.NoPermissions(path);
    return this.#at(path);
  }

  writeFile({ path }: { path: string }, content: Uint8Array): void {
    this.content.set(path, content);
  }

  delete({ path }: { path: string }): void {
    this.content.delete(path);
  }

  rename(
    { path: from }: { path: string },
    { path: to }: { path: string },
    { overwrite }: { overwrite: boolean },
  ): void {
    if (this.content.has(to) && !overwrite) throw FileSystemError.FileExists(to);
    this.content.set(to, this.#at(from));
    this.content.delete(from);
  }

  #at(path: string): Uint8Array {
    const content = this.content.get(path);
    if (content === undefined) throw FileSystemError.FileNotFound(path);
    return content;
  }
}

describe('Files of a virtual workspace', () => {
  const files = new WorkspaceFiles(new DiskFiles());
  let memory: Memory;
  let registered: Disposable;
  let schemes = 0;
  const uri = (name: string) => `memory${schemes}:/${name}`;
  const text = (content: Uint8Array | undefined) => content && Buffer.from(content).toString();

  beforeEach(() => {
    memory = new Memory();
    registered = workspace.registerFileSystemProvider(`memory${++schemes}`, memory);
    memory.content.set('/clip.mp4', Buffer.from('0123456789'));
  });

  afterEach(() => registered.dispose());

  async function failure(work: Promise<unknown>): Promise<string | undefined> {
    return work.then(
      () => undefined,
      (error) => (error instanceof UserError ? error.problem.kind : String(error)),
    );
  }

  /** Writes an output of two pieces under the name. */
  async function write(name: string, overwrite: boolean): Promise<void> {
    const part = await files.part(uri(name), 'v1');
    await part.write(0, Buffer.from('one '));
    await part.write(4, Buffer.from('two'));
    await part.commit({ overwrite });
  }

  it('are read at any position, with their size and time', async () => {
    const file = await files.open(uri('clip.mp4'));
    assert.deepEqual(file.opened, { isFolder: false, size: 10, modified: 7 });
    assert.equal(text(await file.read(3, 4)), '3456');
    assert.equal(text(await file.read(8, 10)), '89');
    memory.content.set('/clip.mp4', Buffer.from('other'));
    assert.equal((await file.stat()).size, 5);
  });

  it('that are missing, and those that must not be read, have errors of their own', async () => {
    assert.equal(await files.stat(uri('none.mp4')), undefined);
    assert.equal(await failure(files.open(uri('none.mp4'))), 'fileMissing');
    memory.locked.add('/clip.mp4');
    assert.equal(await failure(files.open(uri('clip.mp4'))), 'fileDenied');
  });

  it('get their name when they are complete, and leave no other file', async () => {
    await write('clip.mp3', false);
    assert.equal(text(memory.content.get('/clip.mp3')), 'one two');
    assert.deepEqual([...memory.content.keys()], ['/clip.mp4', '/clip.mp3']);
  });

  it('do not replace a file of the same name unless that is asked for', async () => {
    memory.content.set('/clip.mp3', Buffer.from('precious'));
    memory.content.set('/clip.mp3.part', Buffer.from('another file'));
    assert.equal(await failure(write('clip.mp3', false)), 'outputExists');
    assert.equal(text(memory.content.get('/clip.mp3')), 'precious');
    await write('clip.mp3', true);
    assert.equal(text(memory.content.get('/clip.mp3')), 'one two');
    assert.equal(text(memory.content.get('/clip.mp3.part')), 'another file');
    assert.deepEqual([...memory.content.keys()].sort(), ['/clip.mp3', '/clip.mp3.part', '/clip.mp4']);
  });

  it('are transcoded like any other, and get their outputs beside them', async () => {
    const folder = workspace.workspaceFolders?.[0]?.uri.fsPath ?? '';
    memory.content.set('/clip.mp4', await readFile(join(folder, 'sample-1.mp4')));
    await commands.executeCommand('batchTranscode.useLocalAccount');
    let isEnded = false;
    const transcoded = Promise.resolve(
      commands.executeCommand('batchTranscode.transcode', Uri.parse(uri('clip.mp4'))),
    ).finally(() => {
      isEnded = true;
    });
    while (!isEnded && !memory.content.has('/clip.mp3')) {
      // The list of presets, once it is there: its first is MP3.
      await commands.executeCommand('workbench.action.acceptSelectedQuickOpenItem');
      await pause(500);
    }
    // The command ends when its last notification is closed, which may come after the file.
    while (!isEnded) {
      await commands.executeCommand('notifications.clearAll');
      await pause(200);
    }
    await transcoded;
    const made = await temporaryFolder('memory');
    try {
      await writeFile(join(made.path, 'clip.mp3'), memory.content.get('/clip.mp3') ?? '');
      assert.ok(Math.abs((await probe(join(made.path, 'clip.mp3'))).seconds - 1) < 0.1);
    } finally {
      await made.remove();
    }
    assert.deepEqual([...memory.content.keys()].sort(), ['/clip.mp3', '/clip.mp4']);
  });

  it('are found in a folder, without the subfolders that must not be listed', async () => {
    memory.readDirectory = ({ path }) => {
      if (path === '/closed') throw FileSystemError.NoPermissions(path);
      if (path !== '/') return [['inner.mp4', FileType.File]];
      return [
        ['open', FileType.Directory],
        ['closed', FileType.Directory],
        ['clip.mp4', FileType.File],
      ];
    };
    const options = { isOutput: () => false, onFound: () => undefined, signal: AbortSignal.timeout(60_000) };
    const { files: found, unreadable } = await scanFolder(Uri.parse(uri('')), options);
    assert.deepEqual(found.map(({ path }) => path).sort(), ['/clip.mp4', '/open/inner.mp4']);
    assert.equal(unreadable, 1);
    assert.equal(await failure(scanFolder(Uri.parse(uri('closed')), options)), 'fileDenied');
  });

  it('are listed in the order of the Explorer', async () => {
    const names = ['clip 10.mp4', 'clip 2.mp4', 'clip 1.mp4'];
    for (const name of names) memory.content.set(`/${name}`, Buffer.from('0'));
    const chosen = await chooseFiles(
      undefined,
      names.map((name) => Uri.parse(uri(name))),
      () => false,
      'fetched',
    );
    assert.deepEqual(
      chosen?.map((file) => file.uri.path),
      ['/clip 1.mp4', '/clip 2.mp4', '/clip 10.mp4'],
    );
  });

  it('that must not be written have an error that names their folder', async () => {
    memory.writeFile = ({ path }) => {
      throw FileSystemError.NoPermissions(path);
    };
    assert.equal(await failure(write('clip.mp3', false)), 'folderReadOnly');
  });

  it('are refused before the run if their file system is read-only', async () => {
    const chosen = (scheme: string) => [{ uri: Uri.parse(`${scheme}:/clip.mp4`), path: 'clip.mp4' }];
    const scheme = `memory${++schemes}`;
    const readOnly = workspace.registerFileSystemProvider(scheme, memory, { isReadonly: true });
    try {
      // The window tells the extension host what it knows of a scheme.
      while (workspace.fs.isWritableFileSystem(scheme) === undefined) await pause(50);
      assert.equal(await failure(refuseReadOnly(chosen(scheme))), 'outputReadOnly');
      assert.equal(await failure(refuseReadOnly(chosen(`memory${schemes - 1}`))), undefined);
      const samePath = [...chosen(scheme), ...chosen(`memory${schemes - 1}`)];
      assert.equal(
        await failure(refuseReadOnly(samePath)),
        'outputReadOnly',
        'beside a folder of the same path',
      );
    } finally {
      readOnly.dispose();
    }
  });

  it('of any length are written', async () => {
    const part = await files.part(uri('long.mp3'), 'v1');
    for (let at = 0; at < 300_000; at += 1000) await part.write(at, Buffer.alloc(1000, at / 1000));
    assert.equal((await part.read(299_500, 10_000)).length, 500);
    await part.commit({ overwrite: false });
    const written = memory.content.get('/long.mp3');
    assert.equal(written?.length, 300_000);
    assert.equal(written?.[123_456], 123);
  });
});

describe('The output of a run that the account names', () => {
  const folder = 'file:///somewhere/else';
  const file = {
    uri: `${folder}/clip.mp4`,
    path: '/somewhere/else/clip.mp4',
    output: { name: 'clip.mp3', isFolder: false },
  } as ManifestFile;
  const savedAs = (outputUri: string | undefined) => savedOutput(file, { id: '0001', outputUri })?.toString();

  it('is opened beside its source only, under the names of that output', () => {
    assert.equal(savedAs(`${folder}/clip.mp3`), `${folder}/clip.mp3`);
    assert.equal(savedAs('file://attacker/share/clip%20(2).mp3'), `${folder}/clip%20%282%29.mp3`);
    assert.equal(savedAs('file:///bin/sh'), undefined);
    assert.equal(savedAs('command:workbench.action.quit'), undefined);
    assert.equal(savedAs(undefined), undefined);
  });
});
