import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import Mocha from 'mocha';

/** Called by VS Code in its extension host. `scripts/test.mjs` checks that there were tests. */
export async function run(): Promise<void> {
  const reporter = (await import(join(process.cwd(), 'scripts/reporter.mjs')).catch(() => undefined))
    ?.default;
  const mocha = new Mocha({
    ui: 'bdd',
    timeout: 300_000,
    reporter: reporter ?? 'spec',
    grep: process.env.TEST_GREP || undefined,
  });
  for (const file of readdirSync(import.meta.dirname)) {
    if (file.endsWith('.test.js')) mocha.addFile(join(import.meta.dirname, file));
  }
  await mocha.loadFilesAsync();
  const failures = await new Promise<number>((resolve) => mocha.run(resolve));
  if (failures > 0) throw new Error(`${failures} tests failed`);
}
