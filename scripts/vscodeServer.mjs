#!/usr/bin/env node
// Runs VS Code without its desktop: the server and extension host of the npm package code-server, with the workbench in
// headless Chromium. As a module, it opens workbenches for tests and screenshots. As a program, it takes the command line
// of VS Code's executable, so that @vscode/test-electron can run tests with it.
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { codeServerHome, findBrowser } from './bootstrap.mjs';

/** How long a machine that is slow or busy may take for one step. */
export const patienceMs = 180_000;

/** Deletes a folder that a process which is just ending may still write to. */
const deleting = { recursive: true, force: true, maxRetries: 10, retryDelay: 500 };

const entry = join(codeServerHome, 'node_modules/code-server/out/node/entry.js');

function nodeOfCodeServer() {
  const names = [`node-linux-${process.arch}`, `node-darwin-${process.arch}`, 'node'];
  const found = names
    .map((name) => join(codeServerHome, 'node_modules', name, 'bin/node'))
    .find((path) => existsSync(path));
  return found ?? process.execPath;
}

/** Settings that turn off prompts, updates and animations. */
const quiet = {
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.enableExperiments': false,
  'workbench.reduceMotion': 'on',
  'workbench.welcomePage.walkthroughs.openOnInstall': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'window.commandCenter': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'update.showReleaseNotes': false,
  'security.workspace.trust.enabled': false,
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true,
  'chat.disableAIFeatures': true,
  'git.openRepositoryInParentFolders': 'never',
  'git.autofetch': false,
};

function prepare({ dataDir, extensionsDir, settings, machineSettings, locale }) {
  const base = resolve(dataDir ?? mkdtempSync(join(tmpdir(), 'vscw-')));
  const settingsFile = join(base, 'User/settings.json');
  const config = join(base, 'code-server.yaml');
  mkdirSync(join(base, 'User'), { recursive: true });
  const kept = existsSync(settingsFile) ? JSON.parse(readFileSync(settingsFile, 'utf8')) : {};
  writeFileSync(settingsFile, JSON.stringify({ ...quiet, ...kept, ...settings }, null, 2));
  if (machineSettings) {
    mkdirSync(join(base, 'Machine'), { recursive: true });
    writeFileSync(join(base, 'Machine/settings.json'), JSON.stringify(machineSettings, null, 2));
  }
  writeFileSync(config, '{}\n');
  if (locale && !locale.startsWith('en')) declareLanguage(base, locale);
  const extensions = resolve(extensionsDir ?? join(base, 'extensions'));
  return { base, args: ['--user-data-dir', base, '--extensions-dir', extensions, '--config', config] };
}

/** Declares a language pack without strings, so that VS Code loads the extensions' own translations. */
function declareLanguage(base, locale) {
  const strings = join(base, 'strings.i18n.json');
  writeFileSync(strings, '{"contents":{}}');
  writeFileSync(
    join(base, 'languagepacks.json'),
    JSON.stringify({
      [locale]: {
        hash: 'none',
        label: locale,
        extensions: [{ extensionIdentifier: { id: `none.${locale}` }, version: '0.0.0' }],
        translations: { vscode: strings },
      },
    }),
  );
}

// An empty gallery prevents requests to a marketplace.
const serverEnv = (env) => ({ ...process.env, EXTENSIONS_GALLERY: '{}', ...env });

export function installExtension(vsix, options = {}) {
  const args = [entry, ...prepare(options).args, '--install-extension', resolve(vsix), '--force'];
  const result = spawnSync(nodeOfCodeServer(), args, { env: serverEnv(), encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`Cannot install ${vsix}: ${result.stdout}${result.stderr}`);
}

/** Starts a server. `base` is its user data folder, which `stop` deletes unless `dataDir` was given. */
export async function startServer(options = {}) {
  const { base, args } = prepare(options);
  // Socket paths are limited to 107 bytes.
  const sockets = mkdtempSync(join(tmpdir(), 'vscs-'));
  const child = spawn(
    nodeOfCodeServer(),
    [
      ...[
        entry,
        '--auth',
        'none',
        '--bind-addr',
        '127.0.0.1:0',
        ...args,
        '--session-socket',
        join(sockets, 's'),
      ],
      ...['--disable-telemetry', '--disable-update-check', '--disable-getting-started-override'],
      ...(options.trust ? [] : ['--disable-workspace-trust']),
      ...(options.locale ? ['--locale', options.locale] : []),
    ],
    {
      env: serverEnv({
        TMPDIR: sockets,
        XDG_RUNTIME_DIR: sockets,
        VSCODE_AGENT_FOLDER: join(base, 'agent'),
        ...options.env,
      }),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let said = '';
  const url = await new Promise((found, failed) => {
    const hear = (chunk) => {
      said += chunk;
      const match = /HTTP server listening on (http:\S+?)\/?\s/.exec(said);
      if (match) found(match[1]);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('exit', (code) => failed(new Error(`code-server ended with code ${code}\n${said}`)));
    setTimeout(() => failed(new Error(`code-server did not start\n${said}`)), patienceMs).unref();
  });
  const kill = (signal) => {
    try {
      process.kill(-child.pid, signal);
    } catch {
      // The process has ended.
    }
  };
  const killAtExit = () => kill('SIGKILL');
  process.once('exit', killAtExit);
  return {
    url,
    base,
    pid: child.pid,
    localService: localServiceOf(base),
    uri: (path) => ({ scheme: 'vscode-remote', authority: new URL(url).host, path: resolve(path) }),
    async stop() {
      const gone = new Promise((done) => child.once('exit', done));
      kill('SIGTERM');
      await Promise.race([gone, new Promise((done) => setTimeout(done, 3000))]);
      kill('SIGKILL');
      process.removeListener('exit', killAtExit);
      await endLocalService(base);
      rmSync(sockets, deleting);
      if (!options.dataDir) rmSync(base, deleting);
    },
  };
}

/** The file that a running local Batch service writes. */
function localServiceOf(base) {
  return join(base, 'User/globalStorage/azure-batch-transcode.azure-batch-transcode/local/service.json');
}

/** Stops the local Batch service of a user data folder, which outlives its window by design. */
async function endLocalService(base) {
  const ready = join(
    base,
    'User/globalStorage/azure-batch-transcode.azure-batch-transcode/local/service.json',
  );
  try {
    const { pid } = JSON.parse(readFileSync(ready, 'utf8'));
    process.kill(pid, 'SIGTERM');
    for (const end = Date.now() + patienceMs; Date.now() < end; ) {
      process.kill(pid, 0);
      await new Promise((done) => setTimeout(done, 100));
    }
    process.kill(pid, 'SIGKILL');
  } catch {
    // No service was started, or it has ended.
  }
}

const browserFlags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Launches the browser for workbenches and pages. */
export async function launchBrowser() {
  return chromium.launch({
    executablePath: findBrowser(),
    headless: true,
    args: browserFlags,
    timeout: patienceMs,
  });
}

/**
 * Opens a workbench on a folder. A released workbench ignores extensions under development in its URL, so they are added
 * to the page's options before it loads.
 */
export async function openWorkbench(server, options = {}) {
  const {
    folder,
    extensions = [],
    testsPath,
    payload = {},
    viewport = { width: 1280, height: 800 },
    setup,
  } = options;
  const browser = await launchBrowser();
  const page = await browser.newPage({ viewport });
  page.setDefaultTimeout(patienceMs);
  const isElsewhere = (url) => /^https?:$/.test(url.protocol) && url.hostname !== '127.0.0.1';
  await page.context().route(isElsewhere, (route) => route.abort());
  const development = {
    ...(extensions.length > 0 ? { extensions: extensions.map(server.uri) } : {}),
    ...(testsPath ? { extensionTestsPath: server.uri(testsPath) } : {}),
  };
  await page.addInitScript((given) => {
    const original = Element.prototype.getAttribute;
    Element.prototype.getAttribute = function (name) {
      const value = original.call(this, name);
      if (name !== 'data-settings' || this.id !== 'vscode-workbench-web-configuration') return value;
      const config = JSON.parse(value);
      config.developmentOptions = { ...config.developmentOptions, ...given };
      return JSON.stringify(config);
    };
  }, development);
  await setup?.(page);
  const place =
    folder === undefined
      ? { ew: 'true' }
      : { [/\.code-workspace$/.test(folder) ? 'workspace' : 'folder']: resolve(folder) };
  const query = new URLSearchParams(place);
  query.set(
    'payload',
    JSON.stringify(Object.entries({ skipWelcome: 'true', skipReleaseNotes: 'true', ...payload })),
  );
  await page.goto(`${server.url}/?${query}`);
  await page.waitForSelector('.monaco-workbench .part.statusbar');
  return { page, url: page.url(), close: () => browser.close() };
}

/**
 * Wraps the tests in the extension host: copies the console to a file, because the host's console isn't shown, and writes
 * a file on success, because the workbench also reports success if its extension host crashes.
 */
const shim = `
const { appendFileSync, writeFileSync } = require('node:fs');
const { format } = require('node:util');
const { pathToFileURL } = require('node:url');
const { CODE_WEB_DIR: folder, CODE_WEB_TESTS: tests } = process.env;
for (const level of ['debug', 'log', 'info', 'warn', 'error']) {
  Object.defineProperty(console, level, { value: (...said) => appendFileSync(folder + '/out', format(...said) + '\\n') });
}
exports.run = async () => {
  try {
    await (await import(pathToFileURL(tests))).run();
    writeFileSync(folder + '/ok', '');
  } catch (error) {
    console.error(error);
    throw error;
  }
};`;

async function runTests({ folder, extensions, testsPath, ...options }) {
  const shared = mkdtempSync(join(tmpdir(), 'vscr-'));
  const out = join(shared, 'out');
  const shimFile = join(shared, 'shim.cjs');
  writeFileSync(out, '');
  writeFileSync(shimFile, shim);
  let seen = 0;
  const flush = () => {
    const said = readFileSync(out);
    process.stdout.write(said.subarray(seen));
    seen = said.length;
  };
  const ticker = setInterval(flush, 200);
  let server;
  let workbench;
  try {
    let ended;
    const end = new Promise((done) => {
      ended = done;
    });
    server = await startServer({
      ...options,
      env: { CODE_WEB_DIR: shared, CODE_WEB_TESTS: resolve(testsPath) },
    });
    const minutes = Number(process.env.CODE_WEB_MINUTES ?? 10);
    setTimeout(() => {
      console.error(`The tests didn't end within ${minutes} minutes.`);
      ended(124);
    }, minutes * 60_000).unref();
    workbench = await openWorkbench(server, {
      folder,
      extensions,
      testsPath: shimFile,
      setup: async (page) => {
        await page.exposeFunction('codeAutomationLog', () => undefined);
        await page.exposeFunction('codeAutomationExit', (code) => ended(code));
        page.on('crash', () => ended(70));
      },
    });
    const code = await end;
    flush();
    if (code === 0 && !existsSync(join(shared, 'ok'))) {
      console.error('The extension host ended before the tests did.');
      return 70;
    }
    return code;
  } finally {
    clearInterval(ticker);
    await workbench?.close();
    await server?.stop();
    rmSync(shared, deleting);
  }
}

/** Command-line flags of VS Code that take a value. */
const valued = [
  'extensionDevelopmentPath',
  'extensionTestsPath',
  'user-data-dir',
  'extensions-dir',
  'locale',
  'folder-uri',
];

async function main(argv) {
  const flags = {};
  const rest = [];
  for (let index = 0; index < argv.length; index++) {
    const [, name, value] = /^--([^=]+)(?:=([\s\S]*))?$/.exec(argv[index]) ?? [];
    if (name === undefined) rest.push(argv[index]);
    else flags[name] = [...(flags[name] ?? []), value ?? (valued.includes(name) ? argv[++index] : 'true')];
  }
  const testsPath = flags.extensionTestsPath?.[0];
  if (!testsPath) {
    console.error('--extensionTestsPath is required.');
    return 64;
  }
  return runTests({
    dataDir: flags['user-data-dir']?.[0],
    extensionsDir: flags['extensions-dir']?.[0],
    locale: flags.locale?.[0],
    folder: rest[0] ?? flags['folder-uri']?.[0].replace(/^file:\/\//, ''),
    extensions: flags.extensionDevelopmentPath ?? [],
    testsPath,
  });
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));
  main(process.argv.slice(2)).then(
    (code) => process.exit(code),
    (error) => {
      console.error(error);
      process.exit(70);
    },
  );
}
