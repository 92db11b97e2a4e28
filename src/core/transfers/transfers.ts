import pLimit, { type LimitFunction } from 'p-limit';
import type { Storage } from '../azure/storage';
import type { Files } from '../files/files';
import { Slots } from './blocks';
import { download } from './download';
import type { DownloadRequest, UploadRequest } from './requests';
import { upload } from './upload';

/** Files that are open for each parallel request, so that opening and finishing files leaves no request unused. */
const openPerRequest = 2;

/**
 * Uploads and downloads in blocks. All files share at most `parallel` requests, each with one buffer, which bounds the
 * memory whatever the size and number of files.
 */
export class Transfers {
  readonly #slots: Slots;
  readonly #open: LimitFunction;

  constructor(
    private readonly storage: Storage,
    private readonly files: Files,
    { parallel = 12 }: { parallel?: number } = {},
  ) {
    this.#slots = new Slots(parallel);
    this.#open = pLimit(openPerRequest * parallel);
    storage.onRetry(({ reason }) => {
      if (reason === 'throttled') this.#slots.throttled();
    });
  }

  /** Uploads a file as it was `expected`. If it rejects, no blob was written. */
  upload(request: UploadRequest): Promise<{ skipped: boolean }> {
    return this.#open(() => upload(this.storage, this.files, this.#slots, this.#measured(request)));
  }

  /** Downloads a blob. If it rejects, no file was written or replaced. */
  download(request: DownloadRequest): Promise<{ bytes: number; skipped: boolean }> {
    const files = request.files ?? this.files;
    return this.#open(() => download(this.storage, files, this.#slots, this.#measured(request)));
  }

  #measured<Request extends UploadRequest | DownloadRequest>(request: Request): Request {
    const onBytes = (count: number) => {
      if (count > 0) this.#slots.moved(count);
      request.onBytes(count);
    };
    return { ...request, onBytes };
  }
}
