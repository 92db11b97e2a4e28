// Turns the chunks of the extension into CommonJS, and merges those that are loaded together. VS Code loads a CommonJS file at
// once. Each ES module takes a millisecond or two, whatever its size, and VS Code does other work meanwhile.
import { dirname, extname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as esbuild from 'esbuild';

/**
 * An esbuild plugin for a build with `splitting` and `metafile` that writes nothing itself. Writes each chunk as a file, or as a
 * part of a merged one: all that the modules of `merged` import statically, unless an earlier file has it. Each module has one
 * instance.
 *
 * @param {string} outdir
 * @param {Record<string, readonly string[]>} merged modules that the build makes entry points of, by the name of the output
 *   file. The modules of the first file are all that is loaded at first.
 * @returns {esbuild.Plugin}
 */
export function commonJs(outdir, merged) {
  return {
    name: 'common-js',
    setup(build) {
      build.onEnd(async ({ errors, metafile, outputFiles }) => {
        if (errors.length > 0) return;
        const texts = new Map(
          outputFiles.map((file) => [slashed(relative('.', file.path)), withAbsoluteSources(file)]),
        );
        const files = filesOf(outdir, merged, metafile.outputs);
        await write(outdir, { files, texts, outputs: metafile.outputs, options: build.initialOptions });
      });
    },
  };
}

/** The text of an output file. If it ends with a source map, that names its sources so that another file can contain them. */
function withAbsoluteSources({ path, text }) {
  return text.replace(/(?<=^\/\/# sourceMappingURL=data:application\/json;base64,).*/m, (encoded) => {
    const map = JSON.parse(Buffer.from(encoded, 'base64').toString());
    map.sources = map.sources.map((source) => pathToFileURL(resolve(dirname(path), source)).href);
    return Buffer.from(JSON.stringify(map)).toString('base64');
  });
}

/** The chunks that each file consists of, by the path of the file. */
function filesOf(outdir, merged, outputs) {
  const files = new Map();
  const placed = new Set();
  for (const [name, modules] of Object.entries(merged)) {
    const before = new Set(placed);
    for (const module of modules) {
      const [chunk] = Object.entries(outputs).find(([, { entryPoint }]) => entryPoint === module) ?? [];
      if (chunk === undefined)
        throw new Error(`${module} is no entry point, and no module imports it dynamically.`);
      addStaticImports(chunk, outputs, placed);
    }
    files.set(
      `${outdir}/${name}.js`,
      [...placed].filter((chunk) => !before.has(chunk)),
    );
  }
  for (const chunk of Object.keys(outputs))
    if (extname(chunk) === '.js' && !placed.has(chunk)) files.set(chunk, [chunk]);
  return files;
}

/** Adds a chunk and those that it imports statically, directly or indirectly, in the order in which they run. */
function addStaticImports(chunk, outputs, found) {
  if (found.has(chunk)) return;
  for (const { path, kind, external } of outputs[chunk].imports)
    if (kind === 'import-statement' && !external) addStaticImports(path, outputs, found);
  found.add(chunk);
}

async function write(outdir, { files, texts, outputs, options }) {
  await esbuild.build({
    entryPoints: [...files.keys()].map((file) => ({
      in: file,
      out: slashed(relative(outdir, file)).slice(0, -'.js'.length),
    })),
    outdir,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: options.target,
    external: options.external,
    minify: options.minify,
    sourcemap: options.sourcemap && 'linked',
    // Dynamic imports load CommonJS files, too.
    supported: { 'dynamic-import': false },
    define: { 'import.meta.url': '__importMetaUrl' },
    banner: { js: "const __importMetaUrl = require('node:url').pathToFileURL(__filename).href;" },
    logLevel: 'warning',
    // In a dependency, whose first build is silent about it.
    logOverride: { 'equals-negative-zero': 'silent' },
    plugins: [readChunks({ files, texts, outputs })],
  });
}

/** Reads chunks from memory, and those of another file by its exports. */
function readChunks({ files, texts, outputs }) {
  const fileOf = new Map([...files].flatMap(([file, chunks]) => chunks.map((chunk) => [chunk, file])));
  /** The exports of a chunk, each with its name among those of the file: several chunks of a file use the same names. */
  const exportsOf = (chunk) => {
    const chunks = files.get(fileOf.get(chunk));
    const isWhole = chunks.length === 1 || outputs[chunk].entryPoint === 'src/extension.ts';
    return outputs[chunk].exports.map((name) => [name, isWhole ? name : `${name}_${chunks.indexOf(chunk)}`]);
  };
  const pathOf = (file, from) => {
    const path = slashed(relative(dirname(from), file)).replace(/\.js$/, '.cjs');
    return path.startsWith('.') ? path : `./${path}`;
  };
  return {
    name: 'read-chunks',
    setup(build) {
      build.onResolve({ filter: /./ }, ({ kind, path, importer, namespace }) => {
        if (kind === 'entry-point') return { path, namespace: 'output' };
        if (namespace === 'output') return { path, namespace: 'chunk' };
        if (namespace === 'exports') return { path, external: true };
        if (!path.startsWith('.')) return undefined;
        const chunk = slashed(join(dirname(importer), path));
        const [file, from] = [fileOf.get(chunk), fileOf.get(importer)];
        if (file === from) return { path: chunk, namespace: 'chunk' };
        const other = pathOf(file, from);
        if (files.get(file).length === 1) return { path: other, external: true };
        return { path: chunk, namespace: 'exports', suffix: `?${other}` };
      });
      build.onLoad({ filter: /./, namespace: 'output' }, ({ path }) => ({
        contents: files
          .get(path)
          .map((chunk) => exportStatement(exportsOf(chunk), chunk))
          .join(''),
      }));
      build.onLoad({ filter: /./, namespace: 'chunk' }, ({ path }) => ({ contents: texts.get(path) }));
      build.onLoad({ filter: /./, namespace: 'exports' }, ({ path, suffix }) => ({
        contents: exportStatement(
          exportsOf(path).map(([name, unique]) => [unique, name]),
          suffix.slice(1),
        ),
      }));
    },
  };
}

function exportStatement(pairs, from) {
  return `export { ${pairs.map(([name, as]) => `${name} as ${as}`).join(', ')} } from '${from}';\n`;
}

function slashed(path) {
  return path.replaceAll('\\', '/');
}
