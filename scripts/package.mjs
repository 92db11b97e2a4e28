// Creates the .vsix: a production build, the third-party notices of all bundled packages, and vsce.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootstrap, root, say } from './bootstrap.mjs';

bootstrap();
say('Production build');
execFileSync(process.execPath, ['scripts/build.mjs', '--production'], { cwd: root, stdio: 'inherit' });
writeFileSync(join(root, 'THIRD-PARTY-NOTICES.txt'), notices());
say('Packing');
execFileSync(
  'npx',
  ['vsce', 'package', '--no-dependencies', '--allow-missing-repository', '--no-rewrite-relative-links'],
  {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  },
);

/** The licenses of the packages in the bundles. */
function notices() {
  const inputs = Object.keys(JSON.parse(readFileSync(join(root, 'dist/meta.json'), 'utf8')).inputs);
  const packages = new Set(
    inputs.flatMap((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[0] ?? []),
  );
  const parts = [...packages].sort().map((folder) => {
    const manifest = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
    const file = readdirSync(join(root, folder)).find((name) => /^(licen[cs]e|copying)/i.test(name));
    const text = file
      ? readFileSync(join(root, folder, file), 'utf8').trim()
      : `Licence: ${manifest.license}`;
    return `${manifest.name} ${manifest.version} (${manifest.license})\n\n${text}\n`;
  });
  return `This extension contains these packages:\n\n${parts.join(`\n${'-'.repeat(80)}\n\n`)}`;
}

if (!existsSync(join(root, 'media/icon.png'))) say('There is no media/icon.png');
