import pLimit from 'p-limit';
import type { Batch, TaskAdd } from '../azure/batch';
import { endedJobCodes, isBatchCode } from '../azure/batchCall';
import type { Problem } from '../errors';
import type { Attempt, Manifest, ManifestFile } from '../plan/manifest';
import { encodedBlob, type Piece, piecesOf, pieceTaskId, type SplitFile } from '../plan/pieces';
import { encodedPart, headFile, partInput, partList, rawName } from '../plan/splitNames';
import { blobUrl, type ContainerUrls, taskConstraints, taskLog } from './taskSpec';

/** Names of the blobs of a split file in the input container. */
export const splitBlobs = {
  head: (fileId: string) => `${fileId}/${headFile}`,
  part: (fileId: string, index: number) => `${fileId}/${rawName(index)}`,
  audio: (fileId: string) => `${fileId}/audio.bin`,
  list: (fileId: string) => `${fileId}/${partList}`,
};

const endedAtOnce = 8;

/** A file that is split. */
export type FileInParts = ManifestFile & { readonly split: SplitFile };

export function isSplit(file: ManifestFile): file is FileInParts {
  return file.split !== undefined;
}

/**
 * The task that encodes a part of a file, or its audio. A task that depends on a failed one runs all the same and fails
 * at once because its input is missing: otherwise it would wait, and its pool keep its nodes, until the job's time is
 * over.
 */
export function pieceTaskOf(
  manifest: Manifest,
  attempt: Attempt,
  file: FileInParts,
  piece: Piece,
  urls: ContainerUrls,
): TaskAdd {
  const { split } = file;
  const input = (blob: string, filePath: string) => ({ httpUrl: blobUrl(urls.input, blob), filePath });
  const head = split.headBytes > 0 ? [input(splitBlobs.head(file.id), headFile)] : [];
  const id = pieceTaskId(file.id, piece);
  const isPart = piece.kind === 'part';
  const resourceFiles = isPart
    ? [...head, input(splitBlobs.part(file.id, piece.index), partInput)]
    : split.audio && split.audio.bytes > 0
      ? [input(splitBlobs.audio(file.id), file.nodeInput)]
      : [...head, ...split.parts.map((_, index) => input(splitBlobs.part(file.id, index), rawName(index)))];
  const blob = encodedBlob(file.id, split, piece);
  return {
    id,
    displayName: file.path.slice(-1024),
    commandLine: isPart ? split.partCommandLine : (split.audio?.commandLine ?? ''),
    resourceFiles,
    outputFiles: [
      {
        filePattern: isPart ? `output.${split.extension}` : (split.audio?.output ?? ''),
        destination: { container: { containerUrl: urls.output, path: blob } },
        uploadOptions: { uploadCondition: 'tasksuccess' },
      },
      taskLog(attempt, id, urls),
    ],
    exitConditions: {
      default: { dependencyAction: 'satisfy' },
      preProcessingError: { dependencyAction: 'satisfy' },
      fileUploadError: { dependencyAction: 'satisfy' },
    },
    constraints: taskConstraints(manifest),
  };
}

/** The task of a split file: joins its encoded parts and audio to the output. */
export function joinTaskOf(
  manifest: Manifest,
  attempt: Attempt,
  file: FileInParts,
  urls: ContainerUrls,
  isEncoded: (piece: Piece) => boolean,
): TaskAdd {
  const { split, output, id } = file;
  const pieces = piecesOf(split);
  const waitsFor = pieces.filter((piece) => !isEncoded(piece)).map((piece) => pieceTaskId(id, piece));
  return {
    id,
    displayName: file.path.slice(-1024),
    commandLine: file.commandLine,
    resourceFiles: [
      { httpUrl: blobUrl(urls.input, splitBlobs.list(id)), filePath: partList },
      ...pieces.map((piece) => ({
        httpUrl: blobUrl(urls.encoded, encodedBlob(id, split, piece)),
        filePath:
          piece.kind === 'part' ? encodedPart(piece.index, split.extension) : (split.audio?.output ?? ''),
      })),
    ],
    outputFiles: [
      {
        filePattern: output.nodePath,
        destination: { container: { containerUrl: urls.output, path: output.blob } },
        uploadOptions: { uploadCondition: 'tasksuccess' },
      },
      taskLog(attempt, id, urls),
    ],
    ...(waitsFor.length > 0 && { dependsOn: { taskIds: waitsFor } }),
    constraints: taskConstraints(manifest),
  };
}

/** A problem with the task of a piece, as a problem of its file. */
export function pieceProblem(file: FileInParts, piece: Piece, problem: Problem): Problem {
  if (piece.kind !== 'part') return problem;
  const { startSeconds = 0, endSeconds = 0 } = file.split.parts[piece.index] ?? {};
  return { kind: 'partFailed', file: file.path, startSeconds, endSeconds, problem };
}

/** Ends tasks. Those that have completed or no longer exist, as all of a job that has ended, are no error. */
export async function endTasks(
  batch: Batch,
  jobId: string,
  taskIds: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const limit = pLimit(endedAtOnce);
  const end = async (id: string) => {
    try {
      await batch.terminateTask(jobId, id, signal);
    } catch (error) {
      if (!isBatchCode(error, 'TaskCompleted', 'TaskNotFound', ...endedJobCodes)) throw error;
    }
  };
  await Promise.all(taskIds.map((id) => limit(end, id)));
}
