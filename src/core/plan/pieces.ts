import { encodedPart } from './splitNames';

/** How a video is transcoded in parts, as the manifest holds it. */
export interface SplitFile {
  /** About how long a part is. The source is cut again, in the same way, when it is uploaded. */
  readonly partSeconds: number;
  readonly parts: readonly {
    readonly startSeconds: number;
    readonly endSeconds: number;
    /** Bytes to upload. */
    readonly bytes: number;
  }[];
  /** Bytes of the head that each part needs; 0 if each is a file of its own. */
  readonly headBytes: number;
  /** Encodes one part. */
  readonly partCommandLine: string;
  readonly audio?: {
    readonly commandLine: string;
    /** Bytes to upload; 0 if the audio is in the parts. */
    readonly bytes: number;
    readonly output: string;
  };
  /** Text of the list of encoded parts that the join reads. */
  readonly partList: string;
  /** Of the encoded parts. */
  readonly extension: string;
}

/** One of the tasks that a split file needs before its join. */
export type Piece = { readonly kind: 'part'; readonly index: number } | { readonly kind: 'audio' };

/** All pieces of a file, parts first. */
export function piecesOf({ parts, audio }: SplitFile): Piece[] {
  const all: Piece[] = parts.map((_, index) => ({ kind: 'part', index }));
  return audio ? [...all, { kind: 'audio' }] : all;
}

/** Id of a piece's task: `0001-part-0003`, `0001-audio`. The join has the id of the file. */
export function pieceTaskId(fileId: string, piece: Piece): string {
  return piece.kind === 'audio'
    ? `${fileId}-audio`
    : `${fileId}-part-${String(piece.index + 1).padStart(4, '0')}`;
}

/** The file and the piece of a task id; undefined for the task of a whole file or of a join. */
export function pieceOfTask(taskId: string): { fileId: string; piece: Piece } | undefined {
  const [, fileId, index] = /^(\d+)-(?:part-(\d+)|audio)$/.exec(taskId) ?? [];
  if (fileId === undefined) return undefined;
  return {
    fileId,
    piece: index === undefined ? { kind: 'audio' } : { kind: 'part', index: Number(index) - 1 },
  };
}

/** Blob of an encoded piece in the output container. It serves every attempt of the run. */
export function encodedBlob(fileId: string, split: SplitFile, piece: Piece): string {
  const name =
    piece.kind === 'audio' ? (split.audio?.output ?? 'audio') : encodedPart(piece.index, split.extension);
  return `${encodedPrefix(fileId)}${name}`;
}

/** Prefix of the encoded pieces of a file in the output container. */
export function encodedPrefix(fileId: string): string {
  return `parts/${fileId}/`;
}

/** Bytes to upload for a split file. */
export function splitBytes({ parts, headBytes, audio }: SplitFile): number {
  return parts.reduce((sum, { bytes }) => sum + bytes, headBytes + (audio?.bytes ?? 0));
}

/** Tasks of a file: one, or for a split file one for each piece and one that joins them. */
export function taskCount({ split }: { readonly split?: SplitFile }): number {
  return split ? piecesOf(split).length + 1 : 1;
}
