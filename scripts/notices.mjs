// Writes THIRD-PARTY-NOTICES.txt after a production build: the licenses of all packages in the bundles of dist/, with the
// notices that they ask to pass on, and where their source is.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './bootstrap.mjs';

const inputs = Object.keys(JSON.parse(readFileSync(join(root, 'dist/meta.json'), 'utf8')).inputs);
const packages = new Set(
  inputs.flatMap((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[0] ?? []),
);
const parts = [...packages].sort().map(notice);
const text = `This extension contains these packages:\n\n${parts.join(`\n${'-'.repeat(80)}\n\n`)}`;
writeFileSync(join(root, 'THIRD-PARTY-NOTICES.txt'), text);

/** Name, version, source, license and notice of the package in a folder. */
function notice(folder) {
  const { name, version, license, repository, homepage } = JSON.parse(
    readFileSync(join(root, folder, 'package.json'), 'utf8'),
  );
  const source = repository?.url ?? repository ?? homepage ?? `https://www.npmjs.com/package/${name}`;
  // The Apache license asks to pass on the file NOTICE. Azurite, which is under another, has one of all its dependencies.
  const isTerms = /^apache/i.test(license) ? /^(licen[cs]e|copying|notice)/i : /^(licen[cs]e|copying)/i;
  const texts = readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => entry.isFile() && isTerms.test(entry.name))
    .map((entry) => readFileSync(join(root, folder, entry.name), 'utf8').trim());
  const terms = texts.length > 0 ? texts.join('\n\n') : `License: ${license}`;
  return `${name} ${version} (${license})\n${source}\n\n${terms}\n`;
}
