import pLimit, { type LimitFunction } from 'p-limit';
import { download } from './download';
import type { Files } from './files';
import { Slots } from './slots';
import type { BlobInfo, Storage } from './storage';
import { upload } from './upload';

export interface UploadRequest {
  readonly uri: string;
  readonly container: string;
  readonly blob: string;
  /** As it was when the run was planned; another size or time (in milliseconds) is a changed file. */
  readonly expected: { readonly size: number; readonly modified: number };
  /** Nobody looks at its pictures: they may stay behind. */
  readonly leavesPictures?: boolean;
  /** The blob that is there already, if any: with the same content it is not uploaded again. */
  readonly there?: BlobInfo;
  /** Told how many bytes more have arrived. */
  readonly onBytes: (count: number) => void;
  readonly signal: AbortSignal;
}

export interface DownloadRequest {
  readonly container: string;
  readonly blob: string;
  readonly uri: string;
  readonly overwrite: boolean;
  /** Other files than those of the transfers: ones that prove what they get before they name it. */
  readonly files?: Files;
  /** Told how many bytes more have arrived; a negative count when some have to be fetched again. */
  readonly onBytes: (count: number) => void;
  readonly signal: AbortSignal;
}

/**
 * Uploads and downloads in slots that the blocks of all files share, so that memory is bounded whatever the size and
 * number of files: one buffer for each of the `parallel` slots.
 */
export class Transfers {
  readonly #slots: Slots;
  /** Files open at once: more than slots, so that looking at files and finishing them does not keep slots empty. */
  readonly #open: LimitFunction;

  constructor(
    private readonly storage: Storage,
    private readonly files: Files,
    { parallel = 8 }: { parallel?: number } = {},
  ) {
    this.#slots = new Slots(parallel);
    this.#open = pLimit(2 * parallel);
  }

  /** The blob has all of the file, as it was `expected`, or the promise rejects and the blob is not there. */
  upload(request: UploadRequest): Promise<{ skipped: boolean }> {
    return this.#open(() => upload(this.storage, this.files, this.#slots, request));
  }

  /** The file is there, complete and checked, or the promise rejects and nothing has its name. */
  download(request: DownloadRequest): Promise<{ bytes: number; skipped: boolean }> {
    const files = request.files ?? this.files;
    return this.#open(() => download(this.storage, files, this.#slots, request));
  }
}
