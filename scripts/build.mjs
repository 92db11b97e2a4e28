// Builds the shipped bundles into dist/ and, with --tests, the tests into out/. `--watch` rebuilds on change.
//
// The extension is split into chunks: opening VS Code loads src/extension.ts and its static imports only. Everything else, such
// as the Azure SDKs, is in chunks behind `await import(...)`.
import { cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as esbuild from 'esbuild';
import { commonJs } from './commonJs.mjs';

const watch = process.argv.includes('--watch');
const tests = process.argv.includes('--tests');
const production = process.argv.includes('--production');

// CommonJS packages in an ESM bundle call require.
const commonJsBanner = {
  js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
};

/** @type {esbuild.BuildOptions} */
const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  // node-fetch recognizes an AbortSignal by its class name.
  keepNames: true,
  sourcemap: production ? false : 'linked',
  minify: production,
  logLevel: 'warning',
};

/** The files of the extension that are merged, in the order in which a window usually loads them. */
const loadedTogether = {
  extension: ['src/extension.ts'],
  menus: [inVscode('transcode/sources/transportStreams')],
  messages: ['errorMessages', 'words/sentences'].map(inVscode),
  views: [
    'explorer/accountsView',
    'explorer/explorerData',
    'runs/runsTree',
    'runs/runHistory',
    'runs/runCosts',
  ].map(inVscode),
  transcode: [
    ...[
      'transcodeCommands',
      'transcode',
      'runWork',
      'sources/chooseFiles',
      'presetPicker',
      'probeChosen',
      'planTranscode',
    ],
    ...['review', 'runNotification'],
  ].map((name) => inVscode(`transcode/${name}`)),
};

/** @type {esbuild.BuildOptions[]} */
const builds = [
  {
    ...common,
    entryPoints: { extension: 'src/extension.ts' },
    outdir: 'dist',
    chunkNames: 'chunks/[name]-[hash]',
    format: 'esm',
    splitting: true,
    metafile: true,
    external: ['vscode'],
    sourcemap: production ? false : 'inline',
    write: false,
    plugins: [commonJs('dist', loadedTogether)],
  },
  {
    ...common,
    entryPoints: {
      service: 'src/service/main.ts',
      starter: 'src/service/tasks/processes/starter.ts',
      hashWorker: 'src/core/files/hashWorker.ts',
      parserProcess: 'src/core/media/parser/process.ts',
      parserGuard: 'src/core/media/parser/guard.ts',
    },
    outdir: 'dist',
    format: 'esm',
    banner: commonJsBanner,
  },
  {
    ...common,
    entryPoints: { azurite: 'src/service/storage/blobServer.ts' },
    outdir: 'dist',
    outExtension: { '.js': '.cjs' },
    format: 'cjs',
    // Optional SQL drivers of Azurite, which the file-based store doesn't load.
    external: ['pg-hstore', 'sqlite3', 'pg', 'oracledb'],
    sourcemap: false,
    minify: true,
    logLevel: 'error',
  },
  {
    ...common,
    entryPoints: { heatMap: 'src/webview/heatMap.ts' },
    outdir: 'dist',
    platform: 'browser',
    target: 'es2022',
    format: 'iife',
    tsconfig: 'src/webview/tsconfig.json',
  },
];
if (tests) {
  const suites = ['test', 'bench']
    .flatMap((folder) => readdirSync(folder, { recursive: true }).map((file) => join(folder, file)))
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'));
  builds.push({
    ...common,
    entryPoints: suites,
    outdir: 'out',
    outbase: '.',
    chunkNames: 'chunks/[name]-[hash]',
    format: 'esm',
    splitting: true,
    external: [
      'vscode',
      'mocha',
      'fast-check',
      'playwright-core',
      'axe-core',
      'esbuild',
      '@vscode/test-electron',
      '@vscode/l10n-dev',
    ],
    banner: commonJsBanner,
  });
}

if (!watch) rmSync('dist', { recursive: true, force: true });
cpSync('src/service/tasks/processes/starter.pl', 'dist/starter.pl');
if (watch) {
  for (const options of builds) await (await esbuild.context(options)).watch();
} else {
  const results = await Promise.all(
    builds.map((options) => esbuild.build({ metafile: production, ...options })),
  );
  if (production) writeMeta(results);
}

/** Writes the inputs of the bundles, from which scripts/notices.mjs lists the packages. */
function writeMeta(results) {
  const inputs = Object.assign({}, ...results.map((result) => result.metafile.inputs));
  writeFileSync('dist/meta.json', JSON.stringify({ inputs }));
}

function inVscode(module) {
  return `src/vscode/${module}.ts`;
}
