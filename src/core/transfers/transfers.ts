import pLimit, { type LimitFunction } from 'p-limit';
import type { Storage } from '../azure/storage';
import type { Files } from '../files/files';
import { Slots } from './blocks';
import { download } from './download';
import type { DownloadRequest, UploadRequest } from './requests';
import { upload } from './upload';

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
