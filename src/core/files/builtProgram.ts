import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Path of a program of dist/ that runs in a thread or process of its own. Tests in out/ use dist/ as well. */
export function builtProgram(name: string): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const found = [folder, join(folder, 'dist')]
      .map((place) => join(place, name))
      .find((path) => existsSync(path));
    if (found !== undefined) return found;
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`${name} is missing from the build.`);
    folder = parent;
  }
}
