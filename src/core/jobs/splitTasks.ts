import type { TaskAdd } from '../azure/batch';
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
