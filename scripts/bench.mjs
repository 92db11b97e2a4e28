// Runs one benchmark of bench/: `npm run bench -- NAME [arguments]`. Without a name it lists them.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bootstrap, root } from './bootstrap.mjs';

const [name, ...args] = process.argv.slice(2);
const sources = join(root, 'bench');
const isBenchmark = (file) =>
  file.endsWith('.ts') && /export async function run\(/.test(readFileSync(join(sources, file), 'utf8'));
const names = existsSync(sources)
  ? readdirSync(sources)
      .filter(isBenchmark)
      .map((file) => file.replace(/\.ts$/, ''))
  : [];
if (!names.includes(name)) {
  console.log(`Benchmarks: ${names.join(', ') || 'none'}`);
  process.exit(name === undefined ? 0 : 64);
}
bootstrap();
execFileSync(process.execPath, ['scripts/build.mjs', '--tests'], { cwd: root, stdio: 'inherit' });
const { run } = await import(pathToFileURL(join(root, 'out/bench', `${name}.js`)).href);
await run(args);
