// Creates what is released: the .vsix, and an archive of the local Batch service that needs Node only. Both contain the
// third-party notices of all bundled packages.
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ensurePackages, root, say } from './bootstrap.mjs';
import { assembleService } from './standalone.mjs';

ensurePackages();
say('Building and packing the extension');
// Runs the script `vscode:prepublish` first: the production build and the third-party notices.
execFileSync(
  'npx',
  [
    ...['vsce', 'package', '--no-dependencies', '--allow-missing-repository', '--no-rewrite-relative-links'],
    ...['--readme-path', 'dist/README.md'],
  ],
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
