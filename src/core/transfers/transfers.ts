import type { Storage } from '../azure/storage';
import type { Files } from '../files/files';
import { Turns } from '../files/turns';
import { Slots } from './blocks';
import { download } from './download';
import type { DownloadRequest, UploadRequest } from './requests';
import { upload } from './upload';

/** Default of the setting `transfers.parallel`. */
const defaultParallel = 64;

/** Files that are open for each request in flight, so that opening and finishing files leaves no request unused. */
const openPerRequest = 2;

/**
 * Uploads and downloads in blocks. All files share at most `parallel` requests and a fixed amount of memory, whatever the
 * size and number of files.
 */
export class Transfers {
  readonly #slots: Slots;
  readonly #turns = new Turns<undefined>();
  #open = 0;

  constructor(
    private readonly storage: Storage,
    private readonly files: Files,
    { parallel = defaultParallel }: { parallel?: number } = {},
  ) {
    this.#slots = new Slots(parallel);
    storage.onRetry(({ reason }) => {
      if (reason === 'throttled') this.#slots.throttled();
    });
  }

  /** Uploads a file as it was `expected`. If it rejects, no blob was written. */
  upload(request: UploadRequest): Promise<{ skipped: boolean }> {
    return this.#opened(() => upload(this.storage, this.files, this.#slots, request), request.signal);
  }

  /** Downloads a blob. If it rejects, no file was written or replaced. */
  download(request: DownloadRequest): Promise<{ bytes: number; skipped: boolean }> {
    const files = request.files ?? this.files;
    return this.#opened(() => download(this.storage, files, this.#slots, request), request.signal);
  }

  /** Waits until the file may be opened, which depends on the number of requests at the moment. */
  async #opened<T>(transfer: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.#turns.length > 0 || !this.#take()) await this.#turns.wait(undefined, signal);
    try {
      return await transfer();
    } finally {
      this.#open--;
      this.#turns.admit(() => this.#take());
    }
  }

  #take(): boolean {
    if (this.#open >= openPerRequest * this.#slots.maxInFlight) return false;
    this.#open++;
    return true;
  }
}
