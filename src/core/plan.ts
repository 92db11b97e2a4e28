import { createHash } from 'node:crypto';
import { commandOf, toCommandLine } from './commandLine';
import type { Problem } from './errors';
import type { ManifestFile } from './manifest';
import type { MediaLook } from './media';
import type { Preset } from './preset';

/** A file that is to be transcoded, and what a look at it told. */
export interface PlanSource {
  readonly uri: string;
  /** As people see it: the path in its workspace folder, with slashes. */
  readonly path: string;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
  readonly media?: MediaLook;
}

/** What a person would like to know of the plan besides the plan. */
export type PlanNote =
  | { readonly kind: 'renamed'; readonly file: string; readonly name: string }
  | { readonly kind: 'trackChosen'; readonly file: string; readonly track: number; readonly tracks: number };

export interface PlanRequest {
  readonly sources: readonly PlanSource[];
  readonly preset: Preset;
}

export interface Plan {
  readonly files: ManifestFile[];
  readonly refused: { readonly source: PlanSource; readonly problem: Problem }[];
  readonly notes: PlanNote[];
}

/** Bytes that common file systems allow a name, less what a temporary name adds. */
const longestName = 255;

/** Blob names are for people to recognise; the task id before them makes them unique. */
const longestBlobPart = 200;

/**
 * Gives every source its names: task, blobs, names on the node, output. No two sources share one, whatever they are
 * called, on any file system; and none of people's names gets into a command line.
 */
export function plan({ sources, preset }: PlanRequest): Plan {
  const names = new OutputNames(sources);
  const width = Math.max(4, String(sources.length).length);
  const notes: PlanNote[] = [];
  const files = sources.map((source, index) => {
    const id = String(index + 1).padStart(width, '0');
    const { name, isExpected } = names.take(source, preset);
    if (!isExpected) notes.push({ kind: 'renamed', file: source.path, name });
    return planFile(id, source, preset, name, notes);
  });
  return { files, refused: [], notes };
}

function planFile(
  id: string,
  source: PlanSource,
  preset: Preset,
  name: string,
  notes: PlanNote[],
): ManifestFile {
  const { folder, file } = splitUri(source.uri);
  const isFolder = preset.folder === true;
  const nodeInput = `input${extensionOnNode(file)}`;
  const nodePath = isFolder ? 'output' : `output.${preset.extension}`;
  const audio = source.media?.tracks.filter(({ kind }) => kind === 'audio');
  const audioTrack = Math.max(audio?.findIndex((track) => track.isDefault) ?? 0, 0);
  if (audio && audio.length > 1 && preset.needs === 'audio') {
    notes.push({ kind: 'trackChosen', file: source.path, track: audioTrack + 1, tracks: audio.length });
  }
  const seconds = lengthOf(source.media, preset.proof, audioTrack);
  const argv = commandOf(preset, {
    nodeInput,
    nodeOutput: nodePath,
    audioTrack,
    isSilent: audio?.length === 0,
    seconds: source.media?.seconds,
  });
  return {
    id,
    path: source.path,
    uri: folder + file,
    size: source.size,
    modified: source.modified,
    inputBlob: `${id}/${blobPart(decodeURIComponent(file))}`,
    nodeInput,
    commandLine: toCommandLine(argv),
    output: { nodePath, blob: `${id}/${blobPart(name)}`, isFolder, name, proof: preset.proof },
    seconds,
  };
}

/** Length of the track that the output must match: the chosen audio's, or the picture's. */
function lengthOf(
  media: MediaLook | undefined,
  proof: Preset['proof'],
  audioTrack: number,
): number | undefined {
  if (media === undefined || proof === 'none') return undefined;
  const tracks = media.tracks.filter(({ kind }) => kind === proof);
  return tracks[proof === 'audio' ? audioTrack : 0]?.seconds;
}

/** The folder's URI with its slash, and the encoded name. */
function splitUri(uri: string): { folder: string; file: string } {
  const cut = uri.lastIndexOf('/') + 1;
  return { folder: uri.slice(0, cut), file: uri.slice(cut) };
}

/** ffmpeg looks at content first, but some formats are told by their extension alone. */
function extensionOnNode(file: string): string {
  return /(\.[A-Za-z0-9]{1,8})$/.exec(file)?.[1]?.toLowerCase() ?? '';
}

/**
 * A name as part of a blob name: Storage reads a backslash as a slash, refuses control characters and half characters,
 * and drops dots at the end. https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
 */
function blobPart(name: string): string {
  const safe = wellFormed(name)
    .replace(/[\p{Cc}\\/]/gu, '_')
    .replace(/[\ufffe\uffff]/g, '_');
  const dot = safe.lastIndexOf('.');
  const extension = dot > 0 && safe.length - dot <= 10 ? safe.slice(dot) : '';
  const base = extension ? safe.slice(0, dot) : safe;
  const short = Array.from(base).slice(0, longestBlobPart).join('');
  return `${short}${extension}`.replace(/\.+$/, (dots) => '_'.repeat(dots.length)) || '_';
}

/** Half characters (lone surrogates) cannot be encoded in a URL. */
function wellFormed(text: string): string {
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '_');
}

/** Which names are taken in each folder, as a file system sees it that tells neither case nor composition apart. */
class OutputNames {
  readonly #taken = new Map<string, Set<string>>();

  constructor(sources: readonly PlanSource[]) {
    for (const { uri } of sources) {
      const { folder, file } = splitUri(uri);
      this.#in(folder).add(fold(decodeURIComponent(file)));
    }
  }

  take(source: PlanSource, preset: Preset): { name: string; isExpected: boolean } {
    const { folder, file } = splitUri(source.uri);
    const taken = this.#in(folder);
    const whole = decodeURIComponent(file);
    const dot = whole.lastIndexOf('.');
    const base = dot > 0 ? whole.slice(0, dot) : whole;
    const end = preset.folder ? '' : `.${preset.extension}`;
    const label = preset.id.replace(/^user:/, '').replace(/[^\w-]+/g, '-');
    const expected = `${base}${end}`;
    const candidates = [expected, `${base}.${label}${end}`, `${whole}${end}`];
    for (let copy = 2; ; copy++) {
      const candidate = candidates.shift() ?? `${whole} (${copy})${end}`;
      const name = shortened(candidate, end);
      if (taken.has(fold(name))) continue;
      taken.add(fold(name));
      // An output that would replace its source gets the preset's name; that needs no word.
      return { name, isExpected: name === expected || name === `${base}.${label}${end}` };
    }
  }

  #in(folder: string): Set<string> {
    const taken = this.#taken.get(folder) ?? new Set();
    this.#taken.set(folder, taken);
    return taken;
  }
}

function fold(name: string): string {
  return name.normalize('NFC').toLowerCase();
}

/** Not longer than a file system allows, and still not the same as another that begins alike. */
function shortened(name: string, end: string): string {
  if (Buffer.byteLength(name) <= longestName) return name;
  const mark = `~${createHash('sha256').update(name).digest('hex').slice(0, 8)}${end}`;
  let base = Array.from(name.slice(0, name.length - end.length));
  while (Buffer.byteLength(base.join('') + mark) > longestName) base = base.slice(0, -1);
  return base.join('') + mark;
}
