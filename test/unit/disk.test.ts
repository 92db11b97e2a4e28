import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { UserError } from '../../src/core/errors';
import { maxAheadBytes } from '../../src/core/files/files';
import { DiskFiles } from '../../src/core/files/localFiles';
import { firstProgram, pathsOnPath } from '../../src/core/files/programs';

describe('Files on disks', () => {
  const files = new DiskFiles();
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'disk-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const uri = (name: string) => pathToFileURL(join(folder, name)).href;
  const write = (name: string, content: string) => writeFileSync(join(folder, name), content);
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');

  function kindOf(call: Promise<unknown>): Promise<string> {
    return call.then(
      () => assert.fail('it was expected to fail'),
      (error: unknown) => (error instanceof UserError ? error.problem.kind : Promise.reject(error)),
    );
  }

  async function writePart(name: string, content: string, version = 'v1') {
    const part = await files.part(uri(name), version);
    await part.write(0, Buffer.from(content));
    return part;
  }

  describe('that are inspected', () => {
    it('are missing, files, or folders', async () => {
      write('clip.mp4', 'abc');
      assert.equal(await files.stat(uri('none')), undefined);
      assert.equal(await files.stat(uri('clip.mp4/none')), undefined);
      assert.deepEqual(
        { ...(await files.stat(uri('clip.mp4'))), modified: 0 },
        {
          isFolder: false,
          size: 3,
          modified: 0,
        },
      );
      assert.equal((await files.stat(pathToFileURL(folder).href))?.isFolder, true);
    });

    it('are found behind links, but not behind a link to itself', async () => {
      write('clip.mp4', 'abc');
      symlinkSync('clip.mp4', join(folder, 'link.mp4'));
      symlinkSync('loop.mp4', join(folder, 'loop.mp4'));
      assert.equal((await files.stat(uri('link.mp4')))?.size, 3);
      assert.equal(await kindOf(files.stat(uri('loop.mp4'))), 'fileFailed');
    });
  });

  describe('that are read', () => {
    it('return the requested bytes, and fewer only at their end', async () => {
      write('clip.mp4', '0123456789');
      const file = await files.open(uri('clip.mp4'));
      assert.equal(Buffer.from(await file.read(2, 3)).toString(), '234');
      assert.equal(Buffer.from(await file.read(8, 5)).toString(), '89');
      assert.equal((await file.read(10, 5)).length, 0);
      await file.close();
    });

    it('count as changed when another file takes their name, even one of the same size and time', async () => {
      write('clip.mp4', 'abc');
      const file = await files.open(uri('clip.mp4'));
      const before = await file.stat();
      assert.deepEqual(await file.stat(), before);
      write('new.mp4', 'xyz');
      execFileSync('touch', ['-r', join(folder, 'clip.mp4'), join(folder, 'new.mp4')]);
      execFileSync('mv', [join(folder, 'new.mp4'), join(folder, 'clip.mp4')]);
      assert.notDeepEqual(await file.stat(), before);
      await file.close();
    });

    it('are refused with a reason', async () => {
      mkdirSync(join(folder, 'folder.mp4'));
      write('file', '');
      assert.equal(await kindOf(files.open(uri('none.mp4'))), 'fileMissing');
      assert.equal(await kindOf(files.open(uri('file/none.mp4'))), 'fileMissing');
      assert.equal(await kindOf(files.open(uri('folder.mp4'))), 'fileFailed');
    });

    if (process.platform !== 'win32') {
      it('are refused, not waited for, when they are pipes', async () => {
        execFileSync('mkfifo', [join(folder, 'pipe.mp4')]);
        assert.equal(await kindOf(files.open(uri('pipe.mp4'))), 'fileFailed');
      });
    }
  });

  describe('that are written', () => {
    it('get their name only when they are complete', async () => {
      const part = await writePart('clip.mp3', 'content');
      assert.equal(await files.stat(uri('clip.mp3')), undefined);
      await part.commit({ overwrite: false });
      assert.equal(read('clip.mp3'), 'content');
      assert.deepEqual(readdirSync(folder), ['clip.mp3']);
    });

    it('are resumed where they stopped, for the same version', async () => {
      const page = 'begun...'.repeat(512);
      await (await writePart('clip.mp3', `${page}and`)).close();
      const part = await files.part(uri('clip.mp3'), 'v1', { bytes: 5000 });
      assert.equal(part.resumeAt, page.length);
      assert.equal(Buffer.from(await part.read(1, 3)).toString(), 'egu');
      await part.write(page.length, Buffer.from('and ended'));
      await part.commit({ overwrite: false });
      assert.equal(read('clip.mp3'), `${page}and ended`);
    });

    it('have all their bytes if there are as many as expected', async () => {
      await (await writePart('clip.mp3', 'complete')).close();
      const part = await files.part(uri('clip.mp3'), 'v1', { bytes: 8 });
      assert.equal(part.resumeAt, 8);
      await part.commit({ overwrite: false });
      assert.equal(read('clip.mp3'), 'complete');
    });

    it('are resumed at their first gap', async () => {
      const page = 4096;
      const content = Buffer.alloc(8 * page, 'x');
      const part = await files.part(uri('clip.mp3'), 'v1');
      await part.write(0, content.subarray(0, 3 * page));
      await part.write(4 * page, content.subarray(4 * page));
      await part.close();
      const again = await files.part(uri('clip.mp3'), 'v1');
      assert.equal(again.resumeAt, 3 * page);
      await again.write(3 * page, content.subarray(3 * page));
      await again.commit({ overwrite: false });
      assert.equal(read('clip.mp3'), content.toString());
    });

    it('are resumed after zeros that are too far from their end to be a gap', async () => {
      const part = await files.part(uri('clip.mp3'), 'v1');
      const size = maxAheadBytes + 1024 * 1024;
      await part.write(0, Buffer.alloc(512 * 1024));
      await part.write(512 * 1024, Buffer.alloc(size - 512 * 1024, 'x'));
      await part.close();
      const again = await files.part(uri('clip.mp3'), 'v1');
      assert.equal(again.resumeAt, size);
      await again.discard();
    });

    it('of one version and one name are separate while both are open', async () => {
      const page = 'begun...'.repeat(512);
      const first = await writePart('clip.mp3', page);
      const second = await writePart('clip.mp3', 'second');
      assert.equal(second.resumeAt, 0);
      await second.close();
      await (await writePart('clip.mp3', 'third')).commit({ overwrite: false });
      assert.equal(await kindOf(first.commit({ overwrite: false })), 'outputExists');
      await first.close();
      assert.equal(read('clip.mp3'), 'third');
      const again = await files.part(uri('clip.mp3'), 'v1');
      assert.equal(again.resumeAt, page.length);
      await again.discard();
      assert.deepEqual(readdirSync(folder), ['clip.mp3']);
    });

    it('end without an error when they cannot be removed', async () => {
      const part = await writePart('clip.mp3', 'content');
      const [name = ''] = readdirSync(folder);
      rmSync(join(folder, name));
      mkdirSync(join(folder, name));
      await part.discard();
      assert.deepEqual(readdirSync(folder), [name]);
    });

    it('start over for another version', async () => {
      await (await writePart('clip.mp3', 'begun', 'v1')).close();
      const part = await files.part(uri('clip.mp3'), 'v2');
      assert.equal(part.resumeAt, 0);
      await part.discard();
    });

    it('do not replace an existing file', async () => {
      const part = await writePart('clip.mp3', 'new');
      write('clip.mp3', 'old');
      assert.equal(await kindOf(part.commit({ overwrite: false })), 'outputExists');
      await part.discard();
      assert.equal(read('clip.mp3'), 'old');
      assert.deepEqual(readdirSync(folder), ['clip.mp3']);
    });

    it('replace an existing file if asked to, but never a folder', async () => {
      write('clip.mp3', 'old');
      await (await writePart('clip.mp3', 'new')).commit({ overwrite: true });
      assert.equal(read('clip.mp3'), 'new');
      mkdirSync(join(folder, 'folder.mp3'));
      const part = await writePart('folder.mp3', 'new');
      assert.equal(await kindOf(part.commit({ overwrite: true })), 'fileDenied');
      await part.discard();
      assert.deepEqual(readdirSync(folder).sort(), ['clip.mp3', 'folder.mp3']);
    });

    it('leave nothing when they are discarded, once or twice', async () => {
      const part = await writePart('clip.mp3', 'content');
      await part.discard();
      await part.discard();
      assert.deepEqual(readdirSync(folder), []);
    });

    it('keep apart names of the maximum length that begin alike', async () => {
      const names = ['a', 'b'].map((end) => `${'n'.repeat(250)}${end}.mp3`);
      const parts = await Promise.all(names.map((name) => writePart(name, name, `of-${name.at(-5)}`)));
      for (const part of parts) await part.commit({ overwrite: false });
      for (const name of names) assert.equal(read(name), name);
    });

    it('get the folders that they need', async () => {
      const part = await writePart('a/b/clip.mp3', 'content');
      await part.commit({ overwrite: false });
      assert.equal(read('a/b/clip.mp3'), 'content');
    });

    it('say that their folder was deleted meanwhile', async () => {
      const part = await writePart('gone/clip.mp3', 'content');
      rmSync(join(folder, 'gone'), { recursive: true });
      assert.equal(await kindOf(part.commit({ overwrite: false })), 'folderMissing');
      await part.discard();
    });
  });

  it('report the free space, also for a folder that does not exist yet', async () => {
    assert.ok(((await files.freeBytes(uri('clip.mp3'))) ?? 0) > 0);
    assert.ok(((await files.freeBytes(uri('a/b/clip.mp3'))) ?? 0) > 0);
  });
});

describe('A program', () => {
  it('is the first executable file, never a folder and never in a relative folder of PATH', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'programs-'));
    const [directory, text, program] = ['folder', 'text', 'program'].map((name) => join(folder, name));
    assert.ok(directory && text && program);
    mkdirSync(directory);
    writeFileSync(text, '', { mode: 0o600 });
    writeFileSync(program, '', { mode: 0o700 });
    const isWindows = process.platform === 'win32';
    assert.equal(
      await firstProgram([join(folder, 'none'), directory, isWindows ? directory : text, program]),
      program,
    );
    assert.equal(await firstProgram([directory]), undefined);
    const path = ['bin', folder, ''].join(delimiter);
    assert.deepEqual(pathsOnPath('tool', path), [join(folder, isWindows ? 'tool.exe' : 'tool')]);
    rmSync(folder, { recursive: true });
  });
});
