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
}

/** Whether the output of a file takes the place of a file of its name. */
export function mayReplace({ onConflict }: Manifest, { replacesOutput }: ManifestFile): boolean {
  return onConflict === 'overwrite' || replacesOutput === true;
}

/**
 * Downloads a blob of an output and reports it. Resolves with its size in bytes. Throws `outputExists` for a file of other
 * content: one that another window, which had the run before, has downloaded meanwhile is the output.
 */
export async function downloadOutput(
  state: RunState,
  file: ManifestFile,
  output: OutputDownload,
  signal: AbortSignal,
): Promise<number> {
  const wasThere = (await output.files.stat(output.uri)) !== undefined;
  try {
    return await download(state, file, output, signal);
  } catch (error) {
    const exists = error instanceof UserError && error.problem.kind === 'outputExists';
    if (wasThere || !exists) throw error;
    return download(state, file, output, signal);
  }
}

async function download(
  state: RunState,
  file: ManifestFile,
  { blob, uri, files }: OutputDownload,
  signal: AbortSignal,
): Promise<number> {
  const { manifest, progress } = state;
  const { bytes, skipped } = await state.parts.transfers.download({
    container: manifest.outputContainer,
    blob,
    uri,
    files,
    overwrite: mayReplace(manifest, file),
    onBytes: (count) => {
      progress.fetch.bytes += count;
      state.tellProgress();
    },
    signal,
  });
  state.tell(
    skipped
      ? { kind: 'alreadyFetched', file: file.path, output: uri }
      : { kind: 'fetched', file: file.path, output: uri, bytes },
  );
  return bytes;
}
