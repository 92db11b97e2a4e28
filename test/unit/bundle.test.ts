import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { build, type Metafile } from 'esbuild';

/** The files that a built file requires, by their paths. */
function requiredBy(file: string): string[] {
  const requires = readFileSync(file, 'utf8').matchAll(/require\(["'](\.[^"']+)["']\)/g);
  return [...requires].map(([, path = '']) => join(dirname(file), path));
}

/** Bytes of the entry point and of all that it imports statically. */
function loadedBytes(outputs: Metafile['outputs']): number {
  const [entry] =
    Object.entries(outputs).find(([, { entryPoint }]) => entryPoint === 'src/extension.ts') ?? [];
  const loaded = new Set([entry ?? '']);
  for (const file of loaded) {
    for (const { path, kind, external } of outputs[file]?.imports ?? []) {
      if (kind === 'import-statement' && !external) loaded.add(path);
    }
  }
  return [...loaded].reduce((sum, file) => sum + (outputs[file]?.bytes ?? 0), 0);
}

/** Names of classes in the Azure SDKs. */
const sdkMarks = ['BatchSharedKeyCredentials', 'StorageSharedKeyCredential', 'DefaultAzureCredential'];

describe('The extension bundle', () => {
  const text = readFileSync('dist/extension.cjs', 'utf8');

  it('loads no Azure SDK, no media parser and no run when VS Code opens', () => {
    for (const mark of [...sdkMarks, 'MatroskaInputFormat']) {
      assert.ok(!text.includes(`class ${mark}`) && !text.includes(`function ${mark}`), mark);
    }
  });

  it('shows both views of a window without accounts from files that contain no Azure SDK', () => {
    const views = ['dist/messages.cjs', 'dist/views.cjs']
      .map((path) => readFileSync(path, 'utf8'))
      .join('\n');
    // The Transcodes view looks up the claims of runs every few seconds.
    assert.match(views, /function isClaimedHere/);
    for (const mark of sdkMarks) assert.ok(!views.includes(`class ${mark}`), mark);
  });

  it('searches for transport streams with a file that needs no other besides the first', () => {
    const required = new Set(requiredBy('dist/menus.cjs'));
    required.delete('dist/extension.cjs');
    assert.deepEqual([...required], []);
  });

  it('consists of files that all load when they are first used, and of no others', () => {
    const found = new Set(['dist/extension.cjs']);
    for (const file of found) for (const required of requiredBy(file)) found.add(required);
    const chunks = readdirSync('dist/chunks').filter((name) => name.endsWith('.cjs'));
    const merged = readdirSync('dist').filter((name) => name.endsWith('.cjs') && name !== 'azurite.cjs');
    const built = [
      ...merged.map((name) => join('dist', name)),
      ...chunks.map((name) => join('dist/chunks', name)),
    ];
    assert.deepEqual([...found].sort(), built.sort());
  });

  it('loads less than 40 kB when VS Code opens, minified as it ships', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bundle-'));
    try {
      const { metafile } = await build({
        ...{ entryPoints: { extension: 'src/extension.ts' }, outdir: folder, external: ['vscode'] },
        ...{ bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20' },
        ...{ minify: true, keepNames: true, metafile: true, logLevel: 'error' },
      });
      const bytes = loadedBytes(metafile.outputs);
      assert.ok(bytes < 40_000, `${bytes} bytes`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
