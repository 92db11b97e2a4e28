import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { commandIds, contextKeys, section } from '../../src/vscode/contributions';
import { ambiguousExtensions, mediaExtensions } from '../../src/vscode/transcode/sources/mediaExtensions';

interface MenuItem {
  readonly command?: string;
  readonly submenu?: string;
  readonly when?: string;
  readonly group?: string;
}

const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
const { contributes } = manifest;
const menus: Record<string, MenuItem[]> = contributes.menus;
const items = Object.values(menus).flat();

/** Commands that only items of a tree run, with arguments that nobody can type. */
const internal = ['loadMore', 'showProblem'];

/** Ids in our own name that clauses may use besides context keys: views. */
const views: string[] = contributes.views.azureBatch.map(({ id }: { id: string }) => id);

describe('The manifest', () => {
  it('declares the commands of the code, and no others', () => {
    const declared = contributes.commands.map(({ command }: MenuItem) => command).sort();
    const expected = commandIds.filter((id) => !internal.includes(id)).map((id) => `${section}.${id}`);
    assert.deepEqual(declared, expected.sort());
  });

  it('uses only commands that exist, in menus and walkthroughs', () => {
    const known = new Set<string>(commandIds.map((id) => `${section}.${id}`));
    const used = items.flatMap(({ command }) => command ?? []);
    assert.deepEqual(
      used.filter((command) => !known.has(command)),
      [],
    );
    const text = readFileSync('package.json', 'utf8') + readFileSync('package.nls.json', 'utf8');
    const links = [...text.matchAll(/(?:command|onCommand):(batchTranscode\.\w+)/g)].map(([, id = '']) => id);
    assert.deepEqual(
      links.filter((id) => !known.has(id)),
      [],
    );
  });

  it('has commands of their own for the buttons of views, which get the row with the focus', () => {
    const ofRows = new Set(menus['view/item/context']?.map(({ command }) => command));
    assert.deepEqual(
      menus['view/title']?.map(({ command }) => command).filter((command) => ofRows.has(command)),
      [],
    );
  });

  it('asks only for context keys that the code sets', () => {
    const clauses = [
      ...items,
      ...contributes.viewsWelcome,
      ...contributes.commands.map(({ enablement }: { enablement?: string }) => ({ when: enablement })),
    ].flatMap(({ when }) => when ?? []);
    const used = new Set(
      clauses.flatMap((when: string) => [...when.matchAll(/batchTranscode\.\w+/g)].map(([key]) => key)),
    );
    const known = [...contextKeys.map((key) => `${section}.${key}`), ...views];
    assert.deepEqual(
      [...used].filter((key) => !known.includes(key)),
      [],
    );
    assert.deepEqual(
      contextKeys.filter((key) => !used.has(`${section}.${key}`)),
      [],
    );
  });

  it('offers its menus on the media extensions of the code, except those of TypeScript', () => {
    const clauses = items.flatMap(({ when = '' }) => when);
    const lists = clauses.flatMap((when) => [
      ...when.matchAll(/resourceExtname =~ \/\^\\\.\(([\w|]+)\)\$\/i/g),
    ]);
    assert.ok(lists.length >= 3, `${lists.length} lists`);
    const expected = mediaExtensions.filter((one) => !ambiguousExtensions.includes(one)).join('|');
    for (const [, list] of lists) assert.equal(list, expected);
  });

  it('shows no marks of Markdown in descriptions that VS Code shows as plain text', () => {
    const texts = [readNls('package.nls.json'), readNls('package.nls.zh-cn.json')];
    const found: string[] = [];
    const search = (value: unknown, key: string) => {
      if (typeof value === 'object' && value !== null)
        for (const [name, member] of Object.entries(value)) search(member, /^\d+$/.test(name) ? key : name);
      else if (key === 'enumDescriptions' || key === 'description' || key === 'title' || key === 'label')
        for (const text of texts)
          if (/\*\*|`/.test(text[`${value}`.replaceAll('%', '')] ?? '')) found.push(`${value}`);
    };
    search({ configuration: contributes.configuration, commands: contributes.commands }, '');
    assert.deepEqual(found, []);
  });
});

function readNls(path: string): Record<string, string> {
  return JSON.parse(readFileSync(path, 'utf8'));
}
