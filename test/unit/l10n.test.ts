import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getL10nJson } from '@vscode/l10n-dev';
import { builtInPresets } from '../../src/core/presets/builtIn';

function json(path: string): Record<string, string> {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** Every string that the source passes to `l10n.t`. */
async function shownStrings(): Promise<string[]> {
  const files = readdirSync('src', { recursive: true }).map((file) => join('src', String(file)));
  const sources = files
    .filter((file) => file.endsWith('.ts'))
    .map((file) => ({ extension: '.ts' as const, contents: readFileSync(file, 'utf8') }));
  return Object.keys(await getL10nJson(sources)).sort();
}

const placeholders = (text: string) =>
  [...text.matchAll(/\{\d\}|\$\([\w~-]+\)/g)].map(([mark]) => mark).sort();

/** Strings that are the same in both languages: product names, and strings without words. */
const sameInChinese = ['Azure Batch', 'Microsoft Entra ID', '{0} → {1}'];

describe('Languages', () => {
  it('contain every string that is shown, and no others', async () => {
    const shown = await shownStrings();
    assert.deepEqual(Object.keys(json('l10n/bundle.l10n.json')).sort(), shown);
    assert.deepEqual(Object.keys(json('l10n/bundle.l10n.zh-cn.json')).sort(), shown);
  });

  it('contain the label of every built-in preset', () => {
    const chinese = json('l10n/bundle.l10n.zh-cn.json');
    assert.deepEqual(
      builtInPresets.map(({ label }) => label).filter((label) => chinese[label] === undefined),
      [],
    );
  });

  it('keep placeholders and icons', () => {
    for (const [english, chinese] of Object.entries(json('l10n/bundle.l10n.zh-cn.json'))) {
      assert.deepEqual(placeholders(chinese), placeholders(english), english);
    }
  });

  it('are translated', () => {
    const bundle = Object.entries(json('l10n/bundle.l10n.zh-cn.json'));
    assert.deepEqual(
      bundle
        .filter(([english, chinese]) => english === chinese)
        .map(([english]) => english)
        .sort(),
      [...sameInChinese].sort(),
    );
    const [english, chinese] = [json('package.nls.json'), json('package.nls.zh-cn.json')];
    const same = Object.keys(english).filter((key) => english[key] === chinese[key]);
    assert.deepEqual(same, ['category', 'submenu.more', 'views.container']);
  });

  it('cover every string of the manifest, and no others', () => {
    const manifest = readFileSync('package.json', 'utf8');
    const used = [...new Set([...manifest.matchAll(/"%([\w.-]+)%"/g)].map(([, key]) => key))].sort();
    assert.deepEqual(Object.keys(json('package.nls.json')).sort(), used);
    assert.deepEqual(Object.keys(json('package.nls.zh-cn.json')).sort(), used);
  });
});

describe('Notifications', () => {
  it('are shown as plain text, by one module', () => {
    const callers = readdirSync('src/vscode', { recursive: true })
      .map((file) => join('src/vscode', String(file)))
      .filter((file) => file.endsWith('.ts'))
      .filter((file) => /\.show(Information|Warning|Error)Message\b/.test(readFileSync(file, 'utf8')));
    assert.deepEqual(callers, [join('src/vscode', 'messages.ts')]);
  });
});
