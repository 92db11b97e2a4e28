// What the details page of an installed extension shows: README with its pictures in it, and without links to other files.
// VS Code opens only links to web pages there, and loads no pictures from the extension's folder. Run before packing.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './bootstrap.mjs';

const types = { '.gif': 'image/gif', '.png': 'image/png' };

/**
 * README as it is packed.
 *
 * @param {string} text
 * @param {string} folder the one that its links are relative to
 */
export function packagedReadme(text, folder = root) {
  const inOneLanguage = text.replace(/^\[[^\]]*\]\(README[^)]*\)\n\n/m, '');
  return inOneLanguage.replace(/(!?)\[([^\]]*)\]\(((?!https?:|#)[^)]+)\)/g, (_, mark, title, target) => {
    if (mark === '') return `**${title}**`;
    const data = readFileSync(join(folder, target)).toString('base64');
    return `![${title}](data:${types[extname(target)]};base64,${data})`;
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  mkdirSync(join(root, 'dist'), { recursive: true });
  for (const name of ['README.md', 'README.zh-CN.md'])
    writeFileSync(join(root, 'dist', name), packagedReadme(readFileSync(join(root, name), 'utf8')));
}
