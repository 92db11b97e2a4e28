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

export interface Block {
  readonly index: number;
  readonly position: number;
  readonly length: number;
  /** Aborts with the transfer's own signal, and when another block has failed. */
  readonly signal: AbortSignal;
}

/**
 * Runs one job for each block of `size` under the limit, in order of their start. A file has no more blocks in the
 * queue than can run at once, so that a small file does not wait for all of a large one. The first failure ends the
 * rest; resolves when none is running any more.
 */
export async function eachBlock(
  limit: LimitFunction,
  { from, size, bytes, signal }: { from: number; size: number; bytes: number; signal: AbortSignal },
  job: (block: Block) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  let failure: { error: unknown } | undefined;
  let index = 0;
  const next = async () => {
    const position = from + index * bytes;
    if (failure || position >= size) return;
    try {
      either.throwIfAborted();
      await job({ index: index++, position, length: Math.min(bytes, size - position), signal: either });
    } catch (error) {
      failure ??= { error };
      stop.abort(error);
    }
  };
  const lane = async () => {
    while (!failure && from + index * bytes < size) await limit(next);
  };
  const lanes = Math.min(limit.concurrency, Math.ceil((size - from) / bytes));
  await Promise.all(Array.from({ length: lanes }, lane));
  if (failure) throw failure.error;
}
