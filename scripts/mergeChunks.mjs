// Merges the chunks that load with the extension into one CommonJS file. Each ES module that Node loads takes a millisecond or
// two, whatever its size, and esbuild makes a chunk for each combination of entry points. VS Code loads a CommonJS file at once,
// and does other work while it loads an ES module.
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import * as esbuild from 'esbuild';

/**
 * An esbuild plugin for a build with `splitting` and `metafile`: merges an entry point and all that it imports statically into
 * one CommonJS file, `NAME.cjs`. What was merged exports the same from there: it has one instance, whoever imports it.
 *
 * @param {string} entry the output file of the entry point
 * @param {string} name
 * @returns {esbuild.Plugin}
 */
export function mergeChunks(entry, name) {
  return {
    name: 'merge-chunks',
    setup(build) {
      build.onEnd(async ({ metafile, errors }) => {
        if (errors.length > 0) return;
        await merge(entry, name, metafile.outputs, build.initialOptions);
      });
    },
  };
}

async function merge(entry, name, outputs, { minify, sourcemap }) {
  const merged = [...staticImports(entry, outputs)];
  const folder = dirname(entry);
  const target = join(folder, `${name}.cjs`);
  // Different files may export different things by the same name.
  const exportsOf = (file, index) =>
    outputs[file].exports.map((exported) => ({
      exported,
      unique: file === entry ? exported : `${exported}_${index}`,
    }));
  const named = (pairs) => `{ ${pairs.join(', ')} }`;
  const imports = merged.map((file, index) => {
    const names = exportsOf(file, index).map(({ exported, unique }) => `${exported} as ${unique}`);
    return `export ${named(names)} from '${pathFrom(folder, file)}';`;
  });
  await esbuild.build({
    stdin: { contents: imports.join('\n'), resolveDir: folder },
    outfile: target,
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    define: { 'import.meta.url': '__importMetaUrl' },
    banner: { js: "const __importMetaUrl = require('node:url').pathToFileURL(__filename).href;" },
    minify,
    sourcemap,
    external: ['vscode'],
    logLevel: 'warning',
    plugins: [keepDynamicImports(folder)],
  });
  merged.forEach((file, index) => {
    const names = exportsOf(file, index).map(({ exported, unique }) => `${unique} as ${exported}`);
    writeFileSync(file, `export ${named(names)} from '${pathFrom(dirname(file), target)}';\n`);
    rmSync(`${file}.map`, { force: true });
  });
}

/** An output file and those that it imports statically, directly or indirectly, in the order in which they run. */
function staticImports(file, outputs, found = new Set()) {
  if (found.has(file)) return found;
  for (const { path, kind, external } of outputs[file].imports) {
    if (kind === 'import-statement' && !external && !found.has(path)) staticImports(path, outputs, found);
  }
  return found.add(file);
}

/** Leaves dynamic imports as they are, but relative to a folder. */
function keepDynamicImports(folder) {
  return {
    name: 'keep-dynamic-imports',
    setup(build) {
      build.onResolve({ filter: /^\./ }, ({ kind, path, resolveDir }) =>
        kind === 'dynamic-import'
          ? { path: pathFrom(resolve(folder), join(resolveDir, path)), external: true }
          : undefined,
      );
    },
  };
}

function pathFrom(folder, file) {
  const path = relative(folder, file).replaceAll('\\', '/');
  return path.startsWith('.') ? path : `./${path}`;
}
