import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { build, type Metafile } from 'esbuild';

/** The entry and every chunk that loads with it: what opening VS Code pays for. */
function loadedAtActivation(entry: string, seen = new Set<string>()): Set<string> {
  if (seen.has(entry)) return seen;
  seen.add(entry);
  const imports = readFileSync(entry, 'utf8').matchAll(/^(?:import|export)[^'"`(]*?["'](\.[^"']+)["']/gm);
  for (const [, path = ''] of imports) loadedAtActivation(join(dirname(entry), path), seen);
  return seen;
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

describe('The extension bundle', () => {
  const files = [...loadedAtActivation('dist/extension.js')];
  const text = files.map((file) => readFileSync(file, 'utf8')).join('\n');

  it('loads no Azure SDK, no media parser and no run when VS Code opens', () => {
    for (const mark of [
      'BatchSharedKeyCredentials',
      'StorageSharedKeyCredential',
      'DefaultAzureCredential',
      'MatroskaInputFormat',
    ]) {
      assert.ok(!text.includes(`class ${mark}`) && !text.includes(`function ${mark}`), mark);
    }
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
