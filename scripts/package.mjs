// Creates what is released: the .vsix, and an archive of the local Batch service that needs Node only. Both contain the
// third-party notices of all bundled packages.
import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootstrap, root, say } from './bootstrap.mjs';
import { assembleService } from './standalone.mjs';

bootstrap();
say('Production build');
execFileSync(process.execPath, ['scripts/build.mjs', '--production'], { cwd: root, stdio: 'inherit' });
writeFileSync(join(root, 'THIRD-PARTY-NOTICES.txt'), notices());
say('Packing the extension');
execFileSync(
  'npx',
  ['vsce', 'package', '--no-dependencies', '--allow-missing-repository', '--no-rewrite-relative-links'],
  {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  },
);

say('Packing the local Batch service');
packService();

/** `local-batch-service-VERSION.tar.gz`, which unpacks to one folder. */
function packService() {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const name = `local-batch-service-${version}`;
  const folder = join(root, 'out', name);
  rmSync(folder, { recursive: true, force: true });
  assembleService(folder, version);
  cpSync(join(root, 'THIRD-PARTY-NOTICES.txt'), join(folder, 'THIRD-PARTY-NOTICES.txt'));
  execFileSync('tar', ['-czf', `${name}.tar.gz`, '-C', 'out', name], { cwd: root, stdio: 'inherit' });
}

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
