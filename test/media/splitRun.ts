import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { parseArgsStringToArgv } from 'string-argv';
import { wholeOf } from '../../src/core/files/bytes';
import { DiskFiles } from '../../src/core/files/localFiles';
import type { PartLayout } from '../../src/core/media/cut/parts';
import { cutLayouts } from '../../src/core/media/parser/cutContent';
import { findFfprobe } from '../../src/core/media/probe/ffprobe';
import type { ManifestFile } from '../../src/core/plan/manifest';
import { encodedBlob, piecesOf, type SplitFile } from '../../src/core/plan/pieces';
import { type PlanSource, plan } from '../../src/core/plan/plan';
import { probeFiles } from '../../src/core/plan/probeFiles';
import { encodedPart, headFile, partInput, partList, rawName } from '../../src/core/plan/splitNames';
import type { Preset } from '../../src/core/presets/preset';

const run = promisify(execFile);
const files = new DiskFiles();
const never = new AbortController().signal;

/** A source that was transcoded as a whole and, if its plan says so, in parts. */
export interface Transcoded {
  /** Path of the output that was made in one task. */
  readonly whole: string;
  /** Path of the output that was joined, and the number of its parts; undefined if the file isn't split. */
  readonly joined?: { readonly path: string; readonly parts: number };
  /** Why the file isn't split. */
  readonly reason?: string;
}

/** Transcodes a file as a whole and in parts, with the plan's own command lines, as nodes do. */
export async function transcodeBoth(
  path: string,
  folder: string,
  preset: Preset,
  partSeconds: number,
): Promise<Transcoded> {
  const chosen = [{ uri: pathToFileURL(path).href, path: basename(path) }];
  const { sources, refused } = await probeFiles(files, chosen, preset, never, {
    ffprobe: await findFfprobe(''),
    partSeconds,
  });
  const [source] = sources;
  if (source === undefined) throw new Error(`${path} is refused: ${JSON.stringify(refused)}`);
  const whole = await transcodeWhole(source, path, join(folder, 'whole'), preset);
  const { files: planned, notes } = plan({ sources, preset, split: true });
  const note = notes.find(({ kind }) => kind === 'notSplit');
  const [file] = planned;
  if (file?.split === undefined)
    return { whole, reason: note?.kind === 'notSplit' ? note.reason : String(source.cut) };
  const joined = await transcodeParts({ ...file, split: file.split }, path, join(folder, 'split'));
  return { whole, joined: { path: joined, parts: file.split.parts.length } };
}

async function transcodeWhole(source: PlanSource, path: string, folder: string, preset: Preset) {
  const [file] = plan({ sources: [source], preset }).files;
  if (file === undefined) throw new Error(`${path} isn't planned.`);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, file.nodeInput), await readFile(path));
  await work(file.commandLine, folder);
  return join(folder, file.output.nodePath);
}

async function transcodeParts(
  file: ManifestFile & { readonly split: SplitFile },
  path: string,
  folder: string,
): Promise<string> {
  const { split } = file;
  const source = await readFile(path);
  const opened = await files.open(pathToFileURL(path).href);
  const layouts = await cutLayouts(wholeOf(opened), split.partSeconds, { signal: never });
  await opened.close();
  if (typeof layouts === 'string') throw new Error(`Cut again, ${path} stays whole: ${layouts}`);
  const join_ = join(folder, 'join');
  await mkdir(join_, { recursive: true });
  for (const piece of piecesOf(split)) {
    const isPart = piece.kind === 'part';
    const place = join(folder, isPart ? String(piece.index) : 'audio');
    await mkdir(place, { recursive: true });
    if (layouts.head) await writeFile(join(place, headFile), layouts.head);
    const contents: [string, PartLayout | undefined][] = isPart
      ? [[partInput, layouts.parts[piece.index]]]
      : split.audio && split.audio.bytes > 0
        ? [[file.nodeInput, layouts.audio]]
        : layouts.parts.map((layout, index) => [rawName(index), layout]);
    for (const [name, layout] of contents) {
      if (layout === undefined) throw new Error(`${name} has no layout.`);
      await writeFile(join(place, name), contentOf(layout, source));
    }
    await work(isPart ? split.partCommandLine : (split.audio?.commandLine ?? ''), place);
    const output = isPart ? `output.${split.extension}` : (split.audio?.output ?? '');
    const name = isPart ? encodedPart(piece.index, split.extension) : basename(encodedBlob('', split, piece));
    await writeFile(join(join_, name), await readFile(join(place, output)));
  }
  await writeFile(join(join_, partList), split.partList);
  await work(file.commandLine, join_);
  return join(join_, file.output.nodePath);
}

function contentOf({ head, ranges }: PartLayout, source: Buffer): Buffer {
  const content: Uint8Array[] = [head];
  for (let index = 0; index < ranges.length; index += 2)
    content.push(source.subarray(ranges[index], ranges[index + 1]));
  return Buffer.concat(content);
}

/** Runs a command line of the plan in a folder, with the encoders' fastest settings. Throws the end of its log. */
async function work(commandLine: string, folder: string): Promise<void> {
  const [program = '', ...args] = parseArgsStringToArgv(commandLine);
  const fast = args.map((arg, index) =>
    args[index - 1] === '-preset' ? 'ultrafast' : args[index - 1] === '-cpu-used' ? '8' : arg,
  );
  await run(program, fast, { cwd: folder, maxBuffer: 64 * 1024 * 1024 })
    .then(({ stderr }) => writeFile(join(folder, 'stderr.txt'), stderr))
    .catch((error: Error) => {
      throw new Error(`${commandLine}\n${error.message.split('\n').slice(-8).join('\n')}`);
    });
}
