import { UserError } from '../errors';
import type { Files } from '../files/files';
import type { Manifest, ManifestFile } from '../plan/manifest';
import type { RunState } from './runState';

/** Folders of the output container that hold no outputs: logs of failed tasks, and encoded parts. */
const notOutputs = new Set(['logs', 'parts']);

/** Id of the file whose output a blob of the output container belongs to; undefined for the manifest, logs and parts. */
export function fileIdOf(blob: string): string | undefined {
  const [id = ''] = blob.split('/');
  return blob.includes('/') && !notOutputs.has(id) ? id : undefined;
}

/** Ids of the files with an output in the output container. */
export async function outputIds(
  { parts: { storage }, manifest }: Pick<RunState, 'parts' | 'manifest'>,
  signal: AbortSignal,
): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const { name } of storage.blobs(manifest.outputContainer, { signal })) {
    const id = fileIdOf(name);
    if (id !== undefined) ids.add(id);
  }
  return ids;
}

interface OutputDownload {
  readonly blob: string;
  readonly uri: string;
  readonly files: Files;
  readonly overwrite: boolean;
}

/** Whether the output of a file takes the place of a file of its name. */
export function mayReplace({ onConflict }: Manifest, { replacesOutput }: ManifestFile): boolean {
  return onConflict === 'overwrite' || replacesOutput === true;
}

/**
 * Downloads a blob of an output. Resolves with its size in bytes, and with whether it was there already. Throws
 * `outputExists` if a file with other content exists. If the file appeared during the download, it is compared once more, since
 * another window may have downloaded the output.
 */
export async function downloadOutput(
  state: RunState,
  output: OutputDownload,
  signal: AbortSignal,
): Promise<{ bytes: number; skipped: boolean }> {
  const wasThere = (await output.files.stat(output.uri)) !== undefined;
  try {
    return await download(state, output, signal);
  } catch (error) {
    const exists = error instanceof UserError && error.problem.kind === 'outputExists';
    if (wasThere || !exists) throw error;
    return download(state, output, signal);
  }
}

function download(
  state: RunState,
  { blob, uri, files, overwrite }: OutputDownload,
  signal: AbortSignal,
): Promise<{ bytes: number; skipped: boolean }> {
  const { manifest, progress } = state;
  return state.parts.transfers.download({
    container: manifest.outputContainer,
    blob,
    uri,
    files,
    overwrite,
    onBytes: (count) => {
      progress.fetch.bytes += count;
      state.tellProgress();
    },
    signal,
  });
}

/** Reports that the output of a file is complete at its place, a file or a folder. */
export function tellFetched(
  state: RunState,
  { path: file }: ManifestFile,
  { output, bytes, skipped }: { readonly output: string; readonly bytes: number; readonly skipped: boolean },
): void {
  state.tell(skipped ? { kind: 'alreadyFetched', file, output } : { kind: 'fetched', file, output, bytes });
}
