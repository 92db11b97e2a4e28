import type { AudioChoice } from '../media/audioTracks';
import type { Manifest, ManifestFile, RefusedFile } from './manifest';
import { type PlanSource, plan } from './plan';

/** Files of a run that were refused before, and how they are now. */
export interface RepairedFiles {
  /** Files that can be transcoded now, with new ids. */
  readonly files: readonly ManifestFile[];
  readonly refused: readonly RefusedFile[];
}

/**
 * Plans the files of a run that were refused and can be transcoded now. The files of the run keep their ids and output
 * names; the new ones get others.
 */
export function planRepaired(
  manifest: Manifest,
  probed: { readonly sources: readonly PlanSource[]; readonly refused: readonly RefusedFile[] },
  audio: AudioChoice,
  ffmpegMajor?: number,
): RepairedFiles {
  // The names of the existing files are taken first, in the same order as when the run was planned.
  const existing = manifest.files.map(({ uri, path, size, modified }) => ({ uri, path, size, modified }));
  const planned = plan({
    sources: [...existing, ...probed.sources],
    preset: manifest.preset,
    audio,
    ffmpegMajor,
  });
  const repaired = new Set(probed.sources.map(({ uri }) => uri));
  const lastId = manifest.files.reduce((max, { id }) => Math.max(max, Number(id)), 0);
  const width = manifest.files.reduce((max, { id }) => Math.max(max, id.length), 4);
  const files = planned.files
    .filter(({ uri }) => repaired.has(uri))
    .map((file, index) => withId(file, String(lastId + index + 1).padStart(width, '0')));
  const refused = planned.refused.map(({ source, problem }) => ({
    path: source.path,
    uri: source.uri,
    problem,
  }));
  return { files, refused: [...probed.refused, ...refused] };
}

/** Blobs of a file are below its id. */
function withId(file: ManifestFile, id: string): ManifestFile {
  const below = (blob: string) => `${id}/${blob.slice(blob.indexOf('/') + 1)}`;
  const output = { ...file.output, blob: below(file.output.blob) };
  return { ...file, id, inputBlob: below(file.inputBlob), output };
}
