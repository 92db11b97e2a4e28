// Brings l10n/ up to date with the source: `npm run l10n` writes every string that is passed to `l10n.t` into
// bundle.l10n.json, drops translations that no source uses, and lists the strings that have no translation.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { getL10nJson } from '@vscode/l10n-dev';

const sources = readdirSync('src', { recursive: true })
  .map((file) => join('src', String(file)))
  .filter((file) => file.endsWith('.ts'))
  .map((file) => ({ extension: '.ts', contents: readFileSync(file, 'utf8') }));
const strings = Object.keys(await getL10nJson(sources)).sort();
const path = 'l10n/bundle.l10n.zh-cn.json';
const chinese = JSON.parse(readFileSync(path, 'utf8'));
write('l10n/bundle.l10n.json', Object.fromEntries(strings.map((text) => [text, text])));
write(
  path,
  Object.fromEntries(strings.filter((text) => text in chinese).map((text) => [text, chinese[text]])),
);
const missing = strings.filter((text) => !(text in chinese));
for (const text of missing) console.log(`No Chinese: ${text}`);
process.exitCode = missing.length === 0 ? 0 : 1;

function write(file, bundle) {
  writeFileSync(file, `${JSON.stringify(bundle, null, 2)}\n`);
}
