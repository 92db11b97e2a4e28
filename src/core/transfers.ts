import pLimit, { type LimitFunction } from 'p-limit';
import { download } from './download';
import type { Files } from './files';
import type { BlobInfo, Storage } from './storage';
import { upload } from './upload';

/** Bytes of a block or range: large enough that requests do not count, small enough that a few dozen fit in memory. */
export const blockBytes = 8 * 1024 * 1024;

export interface UploadRequest {
  readonly uri: string;
  readonly container: string;
  readonly blob: string;
  /** As it was when the run was planned; another size or time (in milliseconds) is a changed file. */
  readonly expected: { readonly size: number; readonly modified: number };
  /** The blob that is there already, if any: with the same content it is not uploaded again. */
  readonly there?: BlobInfo;
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
  readonly onBytes: (count: number) => void;
  readonly signal: AbortSignal;
}

/**
 * Uploads and downloads under one limit over the blocks of all files, so that memory is bounded by
 * `parallel * blockBytes` whatever the size and number of files.
 */
export class Transfers {
  readonly #limit: LimitFunction;

  constructor(
    private readonly storage: Storage,
    private readonly files: Files,
    { parallel = 8 }: { parallel?: number } = {},
  ) {
    this.#limit = pLimit(parallel);
  }

  /** The blob has all of the file, as it was `expected`, or the promise rejects and the blob is not there. */
  upload(request: UploadRequest): Promise<{ skipped: boolean }> {
    return upload(this.storage, this.files, this.#limit, request);
  }

  /** The file is there, complete and checked, or the promise rejects and nothing has its name. */
  download(request: DownloadRequest): Promise<{ bytes: number; skipped: boolean }> {
    return download(this.storage, request.files ?? this.files, this.#limit, request);
  }
}

/**
 * Runs one job for each block under the limit, in order of their start; the first failure keeps the rest from
 * starting. Resolves when none is running any more.
 */
export async function eachBlock(
  limit: LimitFunction,
  size: number,
  from: number,
  signal: AbortSignal,
  job: (position: number, length: number, index: number) => Promise<void>,
): Promise<void> {
  let failure: { error: unknown } | undefined;
  const jobs: Promise<void>[] = [];
  for (let position = from, index = 0; position < size; position += blockBytes, index++) {
    const length = Math.min(blockBytes, size - position);
    jobs.push(
      limit(async () => {
        if (failure) return;
        try {
          signal.throwIfAborted();
          await job(position, length, index);
        } catch (error) {
          failure ??= { error };
        }
      }),
    );
  }
  await Promise.all(jobs);
  if (failure) throw failure.error;
}
