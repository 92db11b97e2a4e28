// README as it is packed, written before packing:
// - dist/README.md is what the details page of the extension shows. VS Code loads pictures from web pages only there, and opens links
//   to web pages only.
// - GUIDE.md and GUIDE.zh-CN.md are the user guide of Open Documentation. A preview loads pictures from below its folder only.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './bootstrap.mjs';

/** A link or picture in Markdown that leads to another file. */
const link = /(!?)\[([^\]]*)\]\(((?!https?:|#)[^)]+)\)/g;

/** The guides by the pages that they are made from. */
const guides = { 'README.md': 'GUIDE.md', 'README.zh-CN.md': 'GUIDE.zh-CN.md' };

/** README without pictures, and without links to other files. */
export function detailsPage(text) {
  const inOneLanguage = text.replace(/^\[[^\]]*\]\(README[^)]*\)\n\n/m, '');
  return inOneLanguage
    .replace(/^!\[[^\]]*\]\((?!https?:)[^)]+\)\n\n/gm, '')
    .replace(link, (_, _mark, title) => `**${title}**`);
}

/**
 * README as a guide, without links to files that are not packed.
 *
 * @param {string} text
 * @param {(path: string) => boolean} isPacked
 */
export function guide(text, isPacked) {
  return text.replace(link, (_, mark, title, target) => {
    if (guides[target]) return `[${title}](${guides[target]})`;
    return isPacked(target) ? `${mark}[${title}](${target})` : `**${title}**`;
  });
}

/** Whether a file is packed, by the patterns of .vscodeignore that begin with `!`. */
function isPacked(path) {
  const [, ...patterns] = readFileSync(join(root, '.vscodeignore'), 'utf8').trim().split('\n');
  return patterns.some((pattern) => {
    const [before = '', after = ''] = pattern.slice(1).split('*');
    return pattern.includes('*') ? path.startsWith(before) && path.endsWith(after) : path === before;
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  mkdirSync(join(root, 'dist'), { recursive: true });
  const english = readFileSync(join(root, 'README.md'), 'utf8');
  writeFileSync(join(root, 'dist/README.md'), detailsPage(english));
  for (const [page, name] of Object.entries(guides))
    writeFileSync(join(root, name), guide(readFileSync(join(root, page), 'utf8'), isPacked));
}
