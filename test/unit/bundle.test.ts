import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { transform } from 'esbuild';

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
    const sizes = await Promise.all(
      files.map(async (file) => {
        const { code } = await transform(readFileSync(file, 'utf8'), { format: 'esm', minify: true });
        return Buffer.byteLength(code);
      }),
    );
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    assert.ok(bytes < 100_000, `${bytes} bytes`);
  });
});
