import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { builtInPresets } from '../../src/core/presets/builtIn';

const pages = ['README.md', 'README.zh-CN.md'];

describe('The README', () => {
  it('lists every setting with its default, in both languages', () => {
    const { status, stderr } = spawnSync(process.execPath, ['scripts/readme.mjs', '--check'], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
  });

  it('lists every preset and no other', () => {
    for (const page of pages) {
      const [, section = ''] =
        /\n## (?:Presets|预设)\n([\s\S]*?)\n## /.exec(readFileSync(page, 'utf8')) ?? [];
      const cells = section.split('\n').flatMap((line) => /^\| (`[^|]*) \|/.exec(line)?.[1] ?? []);
      const listed = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, id]) => id));
      assert.deepEqual(listed.sort(), builtInPresets.map(({ id }) => id).sort(), page);
    }
  });

  it('has the same sections in both languages, and links to files that exist', () => {
    const [english, chinese] = pages.map((page) => readFileSync(page, 'utf8'));
    const sections = (text = '') => [...text.matchAll(/^## /gm)].length;
    assert.equal(sections(chinese), sections(english));
    for (const text of [english, chinese]) {
      for (const [, target = ''] of (text ?? '').matchAll(/\]\(((?!http|#)[^)]+)\)/g))
        assert.ok(existsSync(target), target);
    }
  });
});

describe('Documents', () => {
  it('link to files and pictures that exist, and no picture is unused', () => {
    const all = execFileSync('git', ['ls-files', '--', '*.md', 'media/screenshots'], {
      encoding: 'utf8',
    }).trim();
    const files = all.split('\n');
    const linked = new Set<string>();
    // The archive of the service has its pages in another place.
    const documents = files.filter((file) => file.endsWith('.md') && !file.startsWith('standalone/'));
    for (const document of documents) {
      const text = readFileSync(document, 'utf8').replace(/`[^`\n]*`/g, '');
      for (const [, target = ''] of text.matchAll(/\]\(((?!https?:|command:|#)[^)#\s]+)[^)]*\)/g)) {
        const path = join(dirname(document), target);
        assert.ok(existsSync(path), `${document}: ${target}`);
        linked.add(path);
      }
    }
    const pictures = files.filter((file) => file.startsWith('media/screenshots/'));
    assert.deepEqual(
      pictures.filter((picture) => !linked.has(picture)),
      [],
    );
  });
});
