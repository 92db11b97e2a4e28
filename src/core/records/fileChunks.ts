import type { ManifestFile, RefusedFile } from '../plan/manifest';

/** Files in one chunk: about 0.75 MB, which one request writes. */
const filesPerChunk = 1_000;

/** The files of a run: those to transcode, and those that were refused. */
export interface RunFiles {
  readonly files: readonly ManifestFile[];
  readonly refused: readonly RefusedFile[];
}

type Line = { readonly file: ManifestFile } | { readonly refused: RefusedFile };

/** The files of a run as texts of JSON lines, `filesPerChunk` in each. */
export function chunksOf({ files, refused }: RunFiles): string[] {
  const lines: Line[] = [...files.map((file) => ({ file })), ...refused.map((each) => ({ refused: each }))];
  const chunks: string[] = [];
  for (let start = 0; start < lines.length; start += filesPerChunk) {
    const chunk = lines.slice(start, start + filesPerChunk);
    chunks.push(chunk.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }
  return chunks;
}

/** The files in chunks that `chunksOf` made. Throws a SyntaxError for other texts. */
export function filesIn(chunks: readonly string[]): RunFiles {
  const files: ManifestFile[] = [];
  const refused: RefusedFile[] = [];
  for (const text of chunks.flatMap((chunk) => chunk.split('\n'))) {
    if (text === '') continue;
    const line = JSON.parse(text) as Line | null;
    if (typeof line !== 'object' || line === null) throw new SyntaxError('A line of a chunk is an object.');
    if ('file' in line) files.push(line.file);
    else refused.push(line.refused);
  }
  return { files, refused };
}

/** Ids as ranges: `0001`, `0002` and `0003` are `0001-0003`. The order is kept. */
export function rangesOf(ids: readonly string[]): string[] {
  const ranges: { first: string; last: string }[] = [];
  for (const id of ids) {
    const range = ranges.at(-1);
    if (range !== undefined && next(range.last) === id) range.last = id;
    else ranges.push({ first: id, last: id });
  }
  return ranges.map(({ first, last }) => (first === last ? first : `${first}-${last}`));
}

/** More files than a run can have. */
const maxIds = 10_000_000;

/** The ids in ranges that `rangesOf` made. Throws a SyntaxError for ranges of more ids than a run can have. */
export function idsIn(ranges: readonly string[]): string[] {
  const ids: string[] = [];
  for (const range of ranges) {
    const [first = '', last = first] = range.split('-');
    if (ids.length + Number(last) - Number(first) >= maxIds) throw new SyntaxError(`Too many IDs: ${range}`);
    ids.push(first);
    for (let id = first; id !== last && Number(id) < Number(last); ) {
      id = next(id);
      ids.push(id);
    }
  }
  return ids;
}

function next(id: string): string {
  return String(Number(id) + 1).padStart(id.length, '0');
}
