import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

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

  it('is small', () => {
    const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
    assert.ok(bytes < 280_000, `${bytes} bytes before minifying`);
  });
});
