// Installs what a fresh machine lacks: the project's packages, a browser, ffmpeg, and VS Code's server. Uses Node's own
// modules only, prints each step, and does nothing if all is installed.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** The project's folder, also when this module is bundled into out/. */
export const root = findRoot(import.meta.dirname);
export const codeServerHome = join(root, '.vscode-test/code-server');

const codeServer = { version: '4.139.1', node: '24.21.0' };

function findRoot(folder) {
  return existsSync(join(folder, 'package-lock.json')) ? folder : findRoot(dirname(folder));
}

/** Installs the packages of the lockfile if it changed since the last time. */
export function ensurePackages() {
  const lock = readFileSync(join(root, 'package-lock.json'));
  const hash = createHash('sha256').update(lock).digest('hex');
  const stamp = join(root, 'node_modules/.installed-lock');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  say('Installing the packages of package-lock.json');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root });
  writeFileSync(stamp, hash);
}

/** Installs the programs that aren't npm packages: ffmpeg, ffprobe, Chromium, and a font for Chinese. */
export function ensurePrograms() {
  const missing = [];
  if (!findProgram('ffmpeg') || !findProgram('ffprobe')) missing.push('ffmpeg');
  if (!findBrowser()) missing.push('chromium');
  if (process.platform === 'linux' && !hasChineseFont()) missing.push('fonts-noto-cjk');
  if (missing.length === 0) return;
  const canInstall = process.platform === 'linux' && findProgram('apt-get') && process.getuid?.() === 0;
  if (!canInstall) {
    const needed = missing.filter((name) => !name.startsWith('fonts'));
    if (needed.length === 0) return;
    throw new Error(
      `Install ${needed.join(' and ')} and add ${needed.length > 1 ? 'them' : 'it'} to the PATH (or set CHROMIUM to the browser), then try again.`,
    );
  }
  say(`Installing ${missing.join(', ')} with apt-get`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['-qq', '-o', 'DPkg::Lock::Timeout=300', 'update'], { env });
  run(
    'apt-get',
    ['-qq', '-o', 'DPkg::Lock::Timeout=300', 'install', '-y', '--no-install-recommends', ...missing],
    { env },
  );
}

/**
 * Installs VS Code's server, workbench and extension host from the npm package code-server, which needs no desktop and is
 * available where VS Code's download isn't. It requires Node 24, which is installed as an npm package.
 */
export function ensureVSCode() {
  const stamp = join(codeServerHome, '.installed');
  const wanted = JSON.stringify(codeServer);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say(`Installing VS Code's server (code-server ${codeServer.version}), once; this takes a minute`);
  mkdirSync(codeServerHome, { recursive: true });
  writeFileSync(join(codeServerHome, 'package.json'), '{"private":true}\n');
  const node = { linux: 'linux', darwin: 'darwin', win32: 'win' }[process.platform] ?? 'linux';
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const packages = [`node-${node}-${process.arch}@${codeServer.node}`, `code-server@${codeServer.version}`];
  run('npm', ['install', ...quiet, '--save-exact', ...packages], { cwd: codeServerHome });
  const vscode = join(codeServerHome, 'node_modules/code-server/lib/vscode');
  const bin = join(codeServerHome, `node_modules/node-${node}-${process.arch}/bin`);
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };
  run('npm', ['install', ...quiet, '--omit=dev'], { cwd: vscode, env });
  // The extension host's log files need two native modules. Without a compiler, only the log files are missing.
  const built = spawnSync(
    'npm',
    ['rebuild', '@vscode/spdlog', '@vscode/native-watchdog', '--loglevel=error'],
    {
      cwd: vscode,
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
      shell: process.platform === 'win32',
    },
  );
  if (built.status !== 0) say('No compiler found: the extension host has no log files');
  writeFileSync(stamp, wanted);
}

/** Installs everything, in the order of use. */
export function bootstrap() {
  ensurePackages();
  ensurePrograms();
  ensureVSCode();
}

export function findProgram(name) {
  const file = process.platform === 'win32' ? `${name}.exe` : name;
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, file))
    .find((path) => existsSync(path));
}

export function findBrowser() {
  const candidates = [
    process.env.CHROMIUM,
    ...['chromium', 'chromium-browser', 'google-chrome'].map(findProgram),
  ];
  return candidates.find((path) => path && existsSync(path));
}

function hasChineseFont() {
  const listed = spawnSync('fc-list', [':lang=zh'], { encoding: 'utf8' });
  return listed.status === 0 && listed.stdout.trim() !== '';
}

export function say(text) {
  console.log(`· ${text}`);
}

/** Runs a program and shows its errors; throws if it fails. */
export function run(program, args, options) {
  execFileSync(program, args, {
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
    ...options,
  });
}
