import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import picomatch from 'picomatch';
import { detailsPage, guide } from '../../scripts/packagedReadme.mjs';
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

  it('calls each preset what VS Code calls it', () => {
    const chinese: Record<string, string> = JSON.parse(readFileSync('l10n/bundle.l10n.zh-cn.json', 'utf8'));
    const labels = new Map(builtInPresets.map(({ id, label }) => [id, label]));
    for (const page of pages) {
      const rows = readFileSync(page, 'utf8').matchAll(/^\| `([\w-]+)` \| (.*) \|$/gm);
      const presets = [...rows].filter(([, id = '']) => labels.has(id));
      assert.ok(presets.length > 10);
      for (const [, id = '', words = ''] of presets) {
        const label = labels.get(id) ?? '';
        const shown = page === 'README.md' ? label : (chinese[label] ?? '');
        assert.ok(words.startsWith(shown), `${page}, ${id}: ${words}, not ${shown}`);
      }
    }
  });

  it('quotes messages as VS Code shows them when it says what helps, in both languages alike', () => {
    const rows = pages.map((page) => {
      const bundle = page === 'README.md' ? 'l10n/bundle.l10n.json' : 'l10n/bundle.l10n.zh-cn.json';
      const shown: string[] = Object.values(JSON.parse(readFileSync(bundle, 'utf8')));
      const [, section = ''] =
        /\n## (?:Troubleshooting|故障排除)\n([\s\S]*?)\n## /.exec(readFileSync(page, 'utf8')) ?? [];
      const cells = [...section.matchAll(/^\| ([^|]*\*[^|]*) \|/gm)].map(([, cell = '']) => cell);
      for (const [, quote = ''] of cells.join('\n').matchAll(/\*([^*]+)\*/g)) {
        const escaped = quote.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
        const pattern = new RegExp(escaped.replace(/\d+/g, '\\{\\d\\}').replace('…', '.*'));
        assert.ok(
          shown.some((text) => pattern.test(text)),
          `${page}: ${quote}`,
        );
      }
      return cells.map((cell) => cell.split('*').length);
    });
    assert.ok((rows[0]?.length ?? 0) > 5);
    assert.deepEqual(rows[1], rows[0]);
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

describe('What is packed', () => {
  const tracked = execFileSync('git', ['ls-files'], { encoding: 'utf8' }).trim().split('\n');
  const [, ...patterns] = readFileSync('.vscodeignore', 'utf8').trim().split('\n');
  const isPacked = picomatch(patterns.map((pattern) => pattern.replace(/^!/, '')));
  const packed = tracked.filter((file) => isPacked(file));

  it('holds every page and picture that its pages, settings, walkthrough and messages name', () => {
    const missing: string[] = [];
    const pagesInIt = packed.filter((file) => file.endsWith('.md'));
    assert.ok(pagesInIt.includes('docs/presets.md'));
    for (const page of pagesInIt) {
      const text = readFileSync(page, 'utf8').replace(/`[^`\n]*`/g, '');
      for (const [, target = ''] of text.matchAll(/\]\(((?!https?:|command:|#)[^)#\s]+)[^)]*\)/g)) {
        if (!packed.includes(join(dirname(page), target))) missing.push(`${page}: ${target}`);
      }
    }
    const texts = ['package.json', 'package.nls.json', 'package.nls.zh-cn.json', 'l10n/bundle.l10n.json'];
    for (const file of [...texts, 'src/vscode/documentation.ts']) {
      const names = readFileSync(file, 'utf8').matchAll(/(?<![\w./-])[\w./-]+\.(?:md|png|svg|gif)(?![\w-])/g);
      for (const [name] of names) {
        const path = name.replace(/^\.\//, '');
        if (!packed.includes(path) && !pages.includes(path) && !path.startsWith('GUIDE.'))
          missing.push(`${file}: ${name}`);
      }
    }
    assert.deepEqual(missing, []);
  });

  it('names settings that exist', () => {
    const { contributes } = JSON.parse(readFileSync('package.json', 'utf8'));
    const known = contributes.configuration.flatMap(({ properties }: { properties: object }) =>
      Object.keys(properties),
    );
    const files = [...packed.filter((file) => /\.md$|nls.*json$|bundle.*json$/.test(file)), ...pages];
    const wrong = files.flatMap((file) => {
      const names = readFileSync(file, 'utf8').matchAll(/[`#](batchTranscode\.[\w.]+)[`#]/g);
      return [...names].flatMap(([, name = '']) => (known.includes(name) ? [] : `${file}: ${name}`));
    });
    assert.deepEqual(wrong, []);
  });

  it('shows README without pictures and links that VS Code does not load there, and has a guide with both', () => {
    const links = (text: string) =>
      [...text.matchAll(/(!?)\[[^\]]*\]\(([^)]+)\)/g)].map(([, mark = '', target = '']) => mark + target);
    for (const page of pages) {
      const text = readFileSync(page, 'utf8');
      assert.deepEqual(
        links(detailsPage(text)).filter((target) => !/^(https:|#)/.test(target)),
        [],
        page,
      );
      const shown = links(guide(text, (path) => packed.includes(path)));
      const pictures = (all: string[]) => all.filter((target) => target.startsWith('!')).length;
      assert.ok(pictures(shown) > 0 && pictures(shown) === pictures(links(text)), page);
      const others = shown.filter((target) => !/^(https:|#)/.test(target));
      for (const target of others.map((one) => one.replace(/^!/, ''))) {
        const isPage = ['GUIDE.md', 'GUIDE.zh-CN.md'].includes(target);
        assert.ok(isPage || packed.includes(target), `${page}: ${target}`);
      }
    }
  });
});
