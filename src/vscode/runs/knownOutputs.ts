import { digestOf, digestsIn, type RunRecord } from './runRecord';

type Sources = Pick<RunRecord, 'sources' | 'otherSources'>;
type Outputs = Sources & Pick<RunRecord, 'outputs' | 'otherOutputs' | 'outputExtension'>;

/** Whether a run has all of these files as its sources, by their URIs. */
export function hasSources({ sources, otherSources }: Sources, uris: readonly string[]): boolean {
  const known = new Set(sources);
  const others = new Set(digestsIn(otherSources));
  return uris.every((uri) => known.has(uri) || (others.size > 0 && others.has(digestOf(uri))));
}

/**
 * Tells outputs of earlier runs, by their URI, from files that are sources. Where the outputs of a run are unknown, such
 * as those that another window fetched, they are known by the names that they get: `clip.mp3` and `clip (2).mp3` beside
 * `clip.mp4`, or the folder `clip`.
 */
export function knownOutputs(records: readonly Outputs[]): (uri: string) => boolean {
  const exact = new Set(records.flatMap(({ outputs = [] }) => outputs));
  const otherOutputs = new Set(records.flatMap((record) => digestsIn(record.otherOutputs)));
  const sources = new Set(records.flatMap((record) => record.sources));
  const byName = new Set<string>();
  for (const { outputs = [], sources, outputExtension } of records) {
    if (outputs.length > 0 || outputExtension === undefined) continue;
    for (const source of sources) byName.add(withExtension(stemOf(source), outputExtension));
  }
  return (uri) => {
    if (exact.has(uri)) return true;
    if (otherOutputs.size > 0 && otherOutputs.has(digestOf(uri))) return true;
    if (sources.has(uri)) return false;
    const extension = extensionOf(uri);
    return byName.has(withExtension(stemOf(uri).replace(/(?: |%20)(?:\(|%28)\d+(?:\)|%29)$/, ''), extension));
  };
}

function withExtension(stem: string, extension: string): string {
  return extension === '' ? stem : `${stem}.${extension}`;
}

function stemOf(uri: string): string {
  const extension = extensionOf(uri);
  return extension === '' ? uri : uri.slice(0, -extension.length - 1);
}

function extensionOf(uri: string): string {
  const name = uri.slice(uri.lastIndexOf('/') + 1);
  const dot = name.lastIndexOf('.');
  return dot > 0 ? name.slice(dot + 1).toLowerCase() : '';
}
