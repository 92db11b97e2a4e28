import pLimit from 'p-limit';
import type { BlobInfo } from '../azure/storage';
import { UserError } from '../errors';
import { wholeOf } from '../files/bytes';
import { nameOf } from '../files/files';
import { type FileInParts, splitBlobs } from '../jobs/splitTasks';
import type { PartLayout } from '../media/cut/parts';
import { type CutLayouts, cutLayouts } from '../media/parser/cutContent';
import { encodedBlob, type Piece, piecesOf, pieceTaskId } from '../plan/pieces';
import { anyOf } from '../wait';
import type { RunParts } from './runState';

/** Parts uploaded at a time: the blocks of one keep the connection busy, the next keeps it so in between. */
const partsAtOnce = 2;

interface SplitUploadOptions {
  readonly container: string;
  /** Blobs in the input container, by name. */
  readonly existing: ReadonlyMap<string, BlobInfo>;
  /** Names of encoded pieces in the output container. */
  readonly encoded: ReadonlySet<string>;
  readonly onBytes: (unit: string, bytes: number) => void;
  /** Called when everything that the task of a piece reads has been uploaded. */
  readonly onPiece: (piece: Piece) => void;
}

/** Bytes to upload by unit of a split file: its parts, and its audio. What has been encoded isn't needed any more. */
export function uploadSizes(file: FileInParts, encoded: ReadonlySet<string>): Map<string, number> {
  const { id, split } = file;
  const units = new Map<string, number>();
  for (const piece of neededUploads(file, encoded)) {
    const bytes = piece.kind === 'part' ? split.parts[piece.index]?.bytes : split.audio?.bytes;
    units.set(pieceTaskId(id, piece), bytes ?? 0);
  }
  return units;
}

/** Pieces whose upload a task still reads: audio that is in the parts needs all of them. */
function neededUploads({ id, split }: FileInParts, encoded: ReadonlySet<string>): Piece[] {
  const isEncoded = (piece: Piece) => encoded.has(encodedBlob(id, split, piece));
  const audio = split.audio && !isEncoded({ kind: 'audio' }) ? split.audio : undefined;
  return piecesOf(split).filter((piece) => {
    if (piece.kind === 'audio') return audio !== undefined && audio.bytes > 0;
    return !isEncoded(piece) || audio?.bytes === 0;
  });
}

/** Uploads a split file, each part read from the source by ranges, and hands over each piece as soon as it is complete. */
export class SplitUpload {
  constructor(
    private readonly parts: Pick<RunParts, 'files' | 'storage' | 'transfers'>,
    private readonly file: FileInParts,
    private readonly options: SplitUploadOptions,
  ) {}

  /** Throws `fileChanged` if the source can't be cut as planned. */
  async run(signal: AbortSignal): Promise<void> {
    const { file, options } = this;
    const { id, split } = file;
    const needed = neededUploads(file, options.encoded);
    const isEncoded = (piece: Piece) => options.encoded.has(encodedBlob(id, split, piece));
    if (needed.length > 0) {
      const layouts = await this.#cut(signal);
      if (layouts.head) {
        await this.#upload(splitBlobs.head(id), 'head', layoutOfHead(layouts.head), () => undefined, signal);
      }
      await this.#uploadParts(needed, layouts, isEncoded, signal);
    }
    if (split.audio && !isEncoded({ kind: 'audio' })) options.onPiece({ kind: 'audio' });
    await this.parts.storage.writeText(options.container, splitBlobs.list(id), split.partList, { signal });
  }

  async #uploadParts(
    needed: readonly Piece[],
    layouts: CutLayouts,
    isEncoded: (piece: Piece) => boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { id } = this.file;
    const limit = pLimit(partsAtOnce);
    const stop = new AbortController();
    const own = anyOf(signal, stop.signal);
    const uploads = needed.map((piece) =>
      limit(async () => {
        own.throwIfAborted();
        const unit = pieceTaskId(id, piece);
        const layout = piece.kind === 'part' ? layouts.parts[piece.index] : layouts.audio;
        if (layout === undefined) throw changed(this.file.uri);
        const blob = piece.kind === 'part' ? splitBlobs.part(id, piece.index) : splitBlobs.audio(id);
        await this.#upload(blob, unit, layout, (bytes) => this.options.onBytes(unit, bytes), own);
        if (piece.kind === 'part' && !isEncoded(piece)) this.options.onPiece(piece);
      }),
    );
    for (const upload of uploads) upload.catch((error) => stop.abort(error));
    await Promise.allSettled(uploads);
    own.throwIfAborted();
  }

  async #cut(signal: AbortSignal): Promise<CutLayouts> {
    const { uri, split } = this.file;
    const file = await this.parts.files.open(uri);
    try {
      const layouts = await cutLayouts(wholeOf(file), split.partSeconds, { signal });
      const isAsPlanned =
        typeof layouts !== 'string' &&
        layouts.parts.length === split.parts.length &&
        layouts.parts.every(({ size }, index) => size === split.parts[index]?.bytes);
      if (!isAsPlanned) throw changed(uri);
      return layouts;
    } finally {
      await file.close();
    }
  }

  async #upload(
    blob: string,
    name: string,
    layout: PartLayout,
    onBytes: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { file, options } = this;
    await this.parts.transfers.upload({
      uri: file.uri,
      container: options.container,
      blob,
      expected: file,
      part: { name, layout },
      there: options.existing.get(blob),
      onBytes,
      signal,
    });
  }
}

function layoutOfHead(head: Uint8Array): PartLayout {
  return { head, ranges: new Float64Array(0), size: head.length };
}

function changed(uri: string): UserError {
  return new UserError({ kind: 'fileChanged', file: nameOf(uri) });
}
