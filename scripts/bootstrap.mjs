// Brings what a fresh machine lacks, in plain Node and with nothing installed before: the project's packages, a
// browser, ffmpeg, a real VS Code. Says what it does, and does nothing the second time.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** The project's folder, also when this module was bundled into out/. */
export const root = findRoot(import.meta.dirname);
export const codeServerHome = join(root, '.vscode-test/code-server');

const codeServer = { version: '4.139.1', node: '24.21.0' };

function findRoot(folder) {
  return existsSync(join(folder, 'package-lock.json')) ? folder : findRoot(dirname(folder));
}

/** Installs the packages of the lockfile, unless they are there. */
export function ensurePackages() {
  const lock = readFileSync(join(root, 'package-lock.json'));
  const hash = createHash('sha256').update(lock).digest('hex');
  const stamp = join(root, 'node_modules/.installed-lock');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  say('Installing the packages of package-lock.json');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root });
  writeFileSync(stamp, hash);
}

/** Programs that are not npm packages: ffmpeg, ffprobe, a Chromium, a font for Chinese. */
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
      `Please install ${needed.join(' and ')} and put ${needed.length > 1 ? 'them' : 'it'} on the PATH (Chromium also by the variable CHROMIUM), then try again.`,
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
 * VS Code's own server, workbench and extension host, from the npm package code-server: it needs no desktop and can be
 * had where VS Code's download cannot. It wants Node 24, which comes along as an npm package.
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
  // Log files of the extension host need two native modules; without a compiler there are only no log files.
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
  if (built.status !== 0) say('No compiler: going on without log files of the extension host');
  writeFileSync(stamp, wanted);
}

/** Everything, in the order in which it is needed. */
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

/** Runs a program to its end, its output shown; throws when it fails. */
export function run(program, args, options) {
  execFileSync(program, args, {
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
    ...options,
  });
}
