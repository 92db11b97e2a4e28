import type { Manifest } from './manifest';

/** A manifest of a run that has not started, without some of its files. */
export function withoutFiles(manifest: Manifest, ids: ReadonlySet<string>): Manifest {
  const isLeft = (id: string) => !ids.has(id);
  return {
    ...manifest,
    files: manifest.files.filter(({ id }) => isLeft(id)),
    attempts: manifest.attempts.map((attempt) => ({
      ...attempt,
      fileIds: attempt.fileIds.filter(isLeft),
    })),
  };
}
