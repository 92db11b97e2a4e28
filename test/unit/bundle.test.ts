import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';

/** The entry and every chunk that loads with it: what opening VS Code pays for. */
function loadedAtActivation(entry: string, seen = new Set<string>()): Set<string> {
  if (seen.has(entry)) return seen;
  seen.add(entry);
  const imports = readFileSync(entry, 'utf8').matchAll(/^(?:import|export)[^'"`(]*?["'](\.[^"']+)["']/gm);
  for (const [, path = ''] of imports) loadedAtActivation(join(dirname(entry), path), seen);
  return seen;
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

  it('loads less than 100 kB when VS Code opens, minified as it ships', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bundle-'));
    try {
      await build({
        ...{ entryPoints: { extension: 'src/extension.ts' }, outdir: folder, external: ['vscode'] },
        ...{ bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20' },
        ...{ minify: true, keepNames: true, logLevel: 'error' },
      });
      const loaded = [...loadedAtActivation(join(folder, 'extension.js'))];
      const bytes = loaded.reduce((sum, file) => sum + statSync(file).size, 0);
      assert.ok(bytes < 100_000, `${bytes} bytes`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
