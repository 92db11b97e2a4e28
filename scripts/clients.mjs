// Brings the official clients that know nothing of us, for the suite that lets them use the local Batch service: the
// Azure CLI and Microsoft's Python SDK from the system's packages, and the first JavaScript client from npm.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram, root, run, say } from './bootstrap.mjs';

/** Where the npm client is installed: out of the project's own packages, since it is deprecated. */
export const clientsHome = join(root, '.vscode-test/clients');

const oldClient = 'azure-batch@9.0.0';

/** Installs what is missing. Where the system's packages cannot be had, the suite says which client it skips. */
export function ensureClients() {
  ensureSystemClients();
  const stamp = join(clientsHome, 'node_modules/azure-batch/package.json');
  if (existsSync(stamp)) return;
  say(`Installing ${oldClient}`);
  mkdirSync(clientsHome, { recursive: true });
  writeFileSync(join(clientsHome, 'package.json'), '{"private":true}\n');
  run(
    'npm',
    ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', '--save-exact', oldClient],
    { cwd: clientsHome },
  );
}

function ensureSystemClients() {
  if (process.platform !== 'linux' || !findProgram('apt-get') || process.getuid?.() !== 0) return;
  const missing = [];
  if (!findProgram('az')) missing.push('azure-cli');
  const python = spawnSync('/usr/bin/python3', ['-c', 'import azure.batch, azure.storage.blob'], {
    stdio: 'ignore',
  });
  if (python.status !== 0) missing.push('python3-azure');
  if (missing.length === 0) return;
  say(`Installing ${missing.join(' and ')} with apt-get; this takes a minute`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = ['-qq', '-o', 'DPkg::Lock::Timeout=300'];
  run('apt-get', [...apt, 'update'], { env });
  run('apt-get', [...apt, 'install', '-y', '--no-install-recommends', ...missing], { env });
}
