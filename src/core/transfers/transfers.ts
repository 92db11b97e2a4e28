import pLimit, { type LimitFunction } from 'p-limit';
import type { Storage } from '../azure/storage';
import type { Files } from '../files/files';
import { Slots } from './blocks';
import { download } from './download';
import type { DownloadRequest, UploadRequest } from './requests';
import { upload } from './upload';

/**
 * Uploads and downloads files in blocks. The blocks of all files share `parallel` slots with one buffer each, which bounds
 * the memory for files of any size and number.
 */
export class Transfers {
  readonly #slots: Slots;
  /** Files open at once: more than slots, so that slots stay busy while files are opened and checked. */
  readonly #open: LimitFunction;

  constructor(
    private readonly storage: Storage,
    private readonly files: Files,
    { parallel = 8 }: { parallel?: number } = {},
  ) {
    this.#slots = new Slots(parallel);
    this.#open = pLimit(2 * parallel);
  }

  /** Uploads a file as it was `expected`. If it rejects, no blob was written. */
  upload(request: UploadRequest): Promise<{ skipped: boolean }> {
    return this.#open(() => upload(this.storage, this.files, this.#slots, request));
  }

  /** Downloads a blob. If it rejects, no file was written or replaced. */
  download(request: DownloadRequest): Promise<{ bytes: number; skipped: boolean }> {
    const files = request.files ?? this.files;
    return this.#open(() => download(this.storage, files, this.#slots, request));
  }
}
