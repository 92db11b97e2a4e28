import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type BenchResult, report } from './table';

/** Bytes that VS Code loads when it opens, bytes that the first run loads, and the download size of the extension. */
export async function run(): Promise<BenchResult> {
  for (const name of readdirSync('.').filter((file) => file.endsWith('.vsix'))) rmSync(name);
  execFileSync(process.execPath, ['scripts/package.mjs'], { stdio: 'ignore' });
  const opened = 'dist/extension.cjs';
  const vsix = readdirSync('.').find((name) => name.endsWith('.vsix')) ?? '';
  const sizeOf = (paths: Iterable<string>) => {
    const files = [...paths].map((path) => readFileSync(path));
    return {
      kB: files.reduce((sum, file) => sum + file.length, 0) / 1000,
      zipped: files.reduce((sum, file) => sum + gzipSync(file).length, 0) / 1000,
    };
  };
  const result = {
    name: 'opening',
    tables: [
      {
        title: 'What is loaded',
        columns: [
          { key: 'kB', label: 'kB', digits: 0 },
          { key: 'zipped', label: 'zipped, kB', digits: 0 },
        ],
        rows: [
          { way: 'when VS Code opens', figures: sizeOf([opened]) },
          {
            way: 'when both views are shown',
            figures: sizeOf([opened, 'dist/menus.cjs', 'dist/messages.cjs', 'dist/views.cjs']),
          },
          { way: 'in all, SDKs included, as it is needed', figures: sizeOf(closure(opened)) },
          { way: 'the local service', figures: sizeOf([join('dist', 'service.js')]) },
          {
            way: 'the .vsix',
            figures: { kB: statSync(vsix).size / 1000, zipped: statSync(vsix).size / 1000 },
          },
        ],
      },
    ],
  };
  report(result);
  return result;
}

/** A built file and all that it loads sooner or later, directly or indirectly. */
function closure(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  for (const [, path = ''] of readFileSync(file, 'utf8').matchAll(/require\(["'](\.[^"']+)["']\)/g))
    closure(join(dirname(file), path), found);
  return found;
}
