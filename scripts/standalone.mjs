// The archive of the local Batch service, which needs Node only: its bundles, a start script and the documentation.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './bootstrap.mjs';

/** Files of the project and their names in the archive. */
const files = {
  'dist/service.js': 'service.js',
  'dist/starter.js': 'starter.js',
  'dist/starter.pl': 'starter.pl',
  'dist/azurite.cjs': 'azurite.cjs',
  'standalone/start.mjs': 'start.mjs',
  'standalone/env.mjs': 'env.mjs',
  'standalone/README.md': 'README.md',
  'docs/batch-programs.md': 'batch-programs.md',
  'docs/local-service.md': 'local-service.md',
  LICENSE: 'LICENSE',
};

/** Copies what the archive contains from the current build into a folder. */
export function assembleService(folder, version) {
  mkdirSync(folder, { recursive: true });
  for (const [from, to] of Object.entries(files)) cpSync(join(root, from), join(folder, to));
  const manifest = { name: 'local-batch-service', version, private: true, type: 'module' };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest)}\n`);
}
