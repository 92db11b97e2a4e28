// Writes the table of settings into README.md and README.zh-CN.md, from package.json and its translations:
// `npm run readme`. With --check it only says whether both are current.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './bootstrap.mjs';

const pages = [
  { readme: 'README.md', words: 'package.nls.json' },
  { readme: 'README.zh-CN.md', words: 'package.nls.zh-cn.json' },
];
const table = /(<!-- settings, written by npm run readme -->\n)[\s\S]*?(<!-- end of settings -->)/;

const isCheck = process.argv.includes('--check');
for (const page of pages) {
  const path = join(root, page.readme);
  const text = readFileSync(path, 'utf8');
  const current = text.replace(table, (_, begin, end) => `${begin}${settingsTable(page)}${end}`);
  if (current === text) continue;
  if (isCheck) {
    console.error(`${page.readme} isn't current: run npm run readme.`);
    process.exitCode = 1;
  } else writeFileSync(path, current);
}

function settingsTable({ readme, words }) {
  const { contributes } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const translations = JSON.parse(readFileSync(join(root, words), 'utf8'));
  const inOrder = (one, other) => (one.order ?? 0) - (other.order ?? 0);
  const header = readme.includes('zh') ? '| 设置 | 含义 | 默认值 |' : '| setting | meaning | default |';
  const rows = contributes.configuration.toSorted(inOrder).flatMap(({ properties }) =>
    Object.entries(properties)
      .toSorted(([, one], [, other]) => inOrder(one, other))
      .map(([name, setting]) => row(name, setting, translations)),
  );
  return `${[header, '| --- | --- | --- |', ...rows].join('\n')}\n`;
}

function row(name, { markdownDescription, description, default: value }, translations) {
  const key = (markdownDescription ?? description).replace(/^%|%$/g, '');
  // References to settings are written `#name#`.
  const meaning = translations[key].replace(/`#([\w.]+)#`/g, '`$1`').replaceAll('|', '\\|');
  const text = Array.isArray(value) ? JSON.stringify(value) : String(value ?? '');
  return `| \`${name.replace('batchTranscode.', '')}\` | ${meaning} | ${text === '' ? '' : `\`${text}\``} |`;
}
