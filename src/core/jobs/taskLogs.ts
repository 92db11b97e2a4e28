import type { Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import { type FfmpegStatement, parseFfmpegLog } from '../media/probe/ffmpegLog';
import { mergeStatements } from '../media/probe/mergeStatements';
import type { Attempt, Manifest, ManifestFile } from '../plan/manifest';
import { piecesOf, pieceTaskId, type SplitFile } from '../plan/pieces';
import { logBlob } from './taskSpec';

/** A log that is longer is read in two parts of this size, its beginning and its end. */
const partBytes = 1024 * 1024;

/**
 * The stderr of the last task of a file that has uploaded its logs: ffmpeg's log. Undefined if there is none. Damaged
 * input can make it longer than memory: the middle of a long log is left out.
 */
async function readTaskLog(
  storage: Storage,
  { attempts, outputContainer }: Pick<Manifest, 'attempts' | 'outputContainer'>,
  file: ManifestFile,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (const attempt of attempts.toReversed()) {
    if (!attempt.fileIds.includes(file.id)) continue;
    const log = await readLogOf(storage, outputContainer, attempt, file.id, signal);
    if (log !== undefined) return log;
  }
  return undefined;
}

/** What ffmpeg says about its work on a file; undefined if its log is not there. */
export async function readStatement(
  storage: Storage,
  manifest: Pick<Manifest, 'attempts' | 'outputContainer'>,
  file: ManifestFile,
  signal: AbortSignal,
): Promise<FfmpegStatement | undefined> {
  if (file.split) return readSplitStatement(storage, manifest, { id: file.id, split: file.split }, signal);
  const log = await readTaskLog(storage, manifest, file, signal);
  return log === undefined ? undefined : parseFfmpegLog(log);
}

/** The join only copies packets, so the logs of the pieces describe the input. */
async function readSplitStatement(
  storage: Storage,
  { attempts, outputContainer }: Pick<Manifest, 'attempts' | 'outputContainer'>,
  { id, split }: { readonly id: string; readonly split: SplitFile },
  signal: AbortSignal,
): Promise<FfmpegStatement | undefined> {
  const statements = await Promise.all(
    piecesOf(split).map(async (piece) => {
      for (const attempt of attempts.toReversed()) {
        const log = await readLogOf(storage, outputContainer, attempt, pieceTaskId(id, piece), signal);
        if (log !== undefined) return parseFfmpegLog(log) ?? [];
      }
      return [];
    }),
  );
  return mergeStatements(statements.flat());
}

/** The stderr of one task, if it has uploaded its logs. */
export function readLogOf(
  storage: Storage,
  outputContainer: string,
  attempt: Pick<Attempt, 'jobId'>,
  taskId: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  return readLog(storage, outputContainer, logBlob(attempt, { id: taskId }), signal);
}

async function readLog(
  storage: Storage,
  container: string,
  name: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const beginning = await storage.readRange(container, name, 0, partBytes, signal);
    if (beginning.length < partBytes) return Buffer.from(beginning).toString('utf8');
    let size = 0;
    for await (const blob of storage.blobs(container, { prefix: name, signal })) size = blob.size;
    const from = Math.max(partBytes, size - partBytes);
    const end = await storage.readRange(container, name, from, partBytes, signal);
    return `${Buffer.from(beginning).toString('utf8')}\n${Buffer.from(end).toString('utf8')}`;
  } catch (error) {
    if (isStorageCode(error, 'BlobNotFound', 'ContainerNotFound', 'HTTP 404')) return undefined;
    throw error;
  }
}
