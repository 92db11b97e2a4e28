import { createHash } from 'node:crypto';
import { numbered, staysBelow } from '../files/files';
import type { ManifestOutput } from './manifest';

/** Bytes of a name that common file systems allow. */
const maxNameBytes = 255;

/** Blob names show what a file was called; the task id before them makes them unique. */
const longestBlobPart = 200;

/** The URI of a folder with its slash, and what follows: a name, encoded, and a query where the scheme has one. */
export function splitUri(uri: string): { folder: string; name: string } {
  const path = /^[^?#]*/.exec(uri)?.[0] ?? uri;
  const cut = path.lastIndexOf('/') + 1;
  return { folder: path.slice(0, cut), name: decode(path.slice(cut)) };
}

function decode(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** `clip.v3.final.mp4` is `clip.v3.final` and `.mp4`; `.hidden` has no extension. */
function splitExtension(name: string): { base: string; extension: string } {
  const dot = name.lastIndexOf('.');
  return dot > 0 ? { base: name.slice(0, dot), extension: name.slice(dot) } : { base: name, extension: '' };
}

/** Extensions by which alone ffmpeg runs a file as a script, which opens other files. */
const scriptExtensions = new Set(['.avs', '.avsi', '.vpy']);

/** ffmpeg probes the content first, but recognizes some formats by their extension alone. */
export function extensionOnNode(name: string): string {
  const extension = /\.[A-Za-z0-9]{1,8}$/.exec(name)?.[0].toLowerCase() ?? '';
  return scriptExtensions.has(extension) ? '' : extension;
}

/**
 * A name as part of a blob name: Storage reads a backslash as a slash, refuses control characters and lone surrogates,
 * and drops dots at the end.
 * https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
 */
export function blobPart(name: string): string {
  const safe = wellFormed(name).replace(/[\p{Cc}\\/\ufffe\uffff]/gu, '_');
  const { base, extension } = splitExtension(safe);
  const end = extension.length <= 10 ? extension : '';
  const whole = end ? base : safe;
  // A character has one or two code units.
  const kept = whole.length <= longestBlobPart ? whole : Array.from(whole).slice(0, longestBlobPart).join('');
  return `${kept}${end}`.replace(/[.\s]+$/, (tail) => '_'.repeat(tail.length)) || '_';
}

/** Lone surrogates cannot be encoded in a URL. */
function wellFormed(text: string): string {
  return text.replace(/\p{Cs}/gu, '_');
}

/**
 * The name of an output whose usual name a source has: `clip.h264-720p.mp4`. Where the label says no more than the extension,
 * `song.flac` becomes `song.flac.mp3`, and `song.mp3` itself `song.transcoded.mp3`.
 */
function markedName(whole: string, base: string, label: string, end: string): string {
  if (`.${label}` !== end) return `${base}.${label}${end}`;
  return `${base}${end}`.toLowerCase() === whole.toLowerCase()
    ? `${base}.transcoded${end}`
    : `${whole}${end}`;
}

/** The names that are taken in each folder, compared as its file system compares them. */
export class OutputNames {
  readonly #folders = new Map<string, Folder>();

  /** `sources` are the URIs of a run: its outputs must not take their names. */
  constructor(sources: Iterable<string>) {
    const names = new Map<string, Set<string>>();
    for (const uri of sources) {
      const { folder, name } = splitUri(uri);
      const there = names.get(folder) ?? new Set();
      names.set(folder, there.add(name));
    }
    for (const [folder, there] of names) this.#folders.set(folder, new Folder(there));
  }

  /**
   * The name of a source's output in `folder` (a URI that ends with a slash): the source's own with another extension.
   * If a source in that folder or in the source's own has that name, the output is marked by `label`; if another output
   * has it, the source's extension stays. `end` is empty for a folder.
   *
   * Names of the source's own folder are never used: another copy of the workspace has its outputs there, and `folder` can
   * be the same one by another path.
   */
  take(
    uri: string,
    label: string,
    end: string,
    folder = splitUri(uri).folder,
  ): { name: string; isExpected: boolean } {
    const { folder: ownFolder, name: whole } = splitUri(uri);
    const there = this.#folders.get(folder) ?? new Folder(new Set());
    this.#folders.set(folder, there);
    const isSource = (name: string) =>
      there.isSource(name) || this.#folders.get(ownFolder)?.isSource(name) === true;
    const { base } = splitExtension(whole);
    const expected = `${base}${end}`;
    const own = isSource(expected) ? markedName(whole, base, label, end) : expected;
    for (let copy = 0; ; copy++) {
      const other = copy === 1 ? `${whole}${end}` : `${whole} (${copy})${end}`;
      const wanted = copy === 0 ? own : other;
      const name = shortened(end === '' ? asFolder(wanted) : wanted, end);
      if (!isSource(name) && there.take(name)) return { name, isExpected: name === own };
    }
  }
}

/**
 * The names of one folder. Most file systems distinguish neither the case nor the composition of characters. A file
 * system in which two sources differ only in that does.
 */
class Folder {
  readonly #tellsCase: boolean;
  readonly #tellsComposition: boolean;
  readonly #sources: ReadonlySet<string>;
  readonly #taken = new Set<string>();

  constructor(sources: ReadonlySet<string>) {
    const composed = new Set(Array.from(sources, (name) => name.normalize('NFC')));
    this.#tellsComposition = composed.size < sources.size;
    this.#tellsCase = new Set(Array.from(composed, withoutCase)).size < composed.size;
    this.#sources = new Set(Array.from(sources, (name) => this.#fold(name)));
  }

  isSource(name: string): boolean {
    return this.#sources.has(this.#fold(name));
  }

  take(name: string): boolean {
    const folded = this.#fold(name);
    if (this.#sources.has(folded) || this.#taken.has(folded)) return false;
    this.#taken.add(folded);
    return true;
  }

  #fold(name: string): string {
    const composed = this.#tellsComposition ? name : name.normalize('NFC');
    return this.#tellsCase ? composed : withoutCase(composed);
  }
}

/** Converted to upper case first, in which more letters are equal: `ß` becomes `SS`. */
function withoutCase(name: string): string {
  return name.toUpperCase().toLowerCase();
}

/** Windows removes dots and blanks from the end of a folder's name; `.` and `..` are other folders. */
function asFolder(name: string): string {
  return name.replace(/[. ]+$/, (tail) => '_'.repeat(tail.length));
}

/** Shortens a name to what file systems allow. A hash keeps names that begin alike apart. */
function shortened(name: string, end: string): string {
  if (Buffer.byteLength(name) <= maxNameBytes) return name;
  const mark = `~${createHash('sha256').update(name).digest('hex').slice(0, 8)}${end}`;
  let base = Array.from(name.slice(0, name.length - end.length));
  while (Buffer.byteLength(base.join('') + mark) > maxNameBytes) base = base.slice(0, -1);
  return base.join('') + mark;
}

/** The name of a copy of an output, from 1: `clip.mp3`, or `clip (2).mp3` where that name is taken. */
export function nameOfCopy(
  { name, isFolder }: Pick<ManifestOutput, 'name' | 'isFolder'>,
  copy: number,
): string {
  if (!isFolder) return numbered(name, copy);
  return copy === 1 ? name : `${name} (${copy})`;
}

/**
 * The name that an output was saved under, from its URI. Undefined if that is not a URI that this output gets: everyone who
 * can write to the account, nodes too, can write one.
 */
export function savedName(output: ManifestOutput, uri: string): string | undefined {
  const path = decode(uri);
  const copies = [1, ...Array.from(path.matchAll(/ \((\d{1,4})\)/g), ([, number]) => Number(number))];
  for (const copy of copies) {
    const name = nameOfCopy(output, copy);
    if (!output.isBeside && path.endsWith(`/${name}`)) return name;
    const start = output.isBeside ? path.lastIndexOf(`/${name}.`) + 1 : 0;
    if (start > 0 && staysBelow(path.slice(start))) return path.slice(start);
  }
  return undefined;
}
