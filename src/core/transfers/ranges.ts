import { finished } from 'node:stream/promises';
import type { BlobDownloadResponseParsed } from '@azure/storage-blob';
import { connectionCut } from '../azure/retry';
import { base64, type Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import { hashOf } from '../files/hashing';
import { anyOf } from '../wait';
import type { DownloadRequest } from './requests';

/** The longest range for which Storage returns a hash. */
export const checkedRangeBytes = 4 * 1024 * 1024;

/** One version of a blob. */
export interface Version {
  readonly size: number;
  readonly etag: string;
  /** Base64; blobs that were uploaded in blocks may have none. */
  readonly md5?: string;
}

/** Reads the version of a blob and its first range, which is all of a small blob. */
export async function firstRange(
  storage: Storage,
  request: DownloadRequest,
  buffer: Buffer,
  onBytes: (count: number) => void,
): Promise<{ version: Version; data?: Uint8Array }> {
  try {
    const range = { position: 0, length: buffer.length, buffer, isChecked: false, onBytes };
    const { answer, data } = await fetchRange(storage, request, range);
    const { etag = '', contentRange, contentMD5, blobContentMD5 } = answer;
    const size = Number(contentRange?.split('/')[1] ?? data.length);
    const md5 = blobContentMD5 ?? (contentRange ? undefined : contentMD5);
    return { version: { size, etag, md5: base64(md5) }, data };
  } catch (error) {
    // An empty blob has no range.
    if (isStorageCode(error, 'InvalidRange', 'HTTP 416'))
      return { version: await versionOf(storage, request) };
    throw error;
  }
}

/** A range is requested again over another connection only if at least this share of it is missing. */
const minMissingShare = 0.25;

/** A range that arrives. Connections to one service can differ in speed by an order of magnitude. */
export class Arrival {
  /** Bytes that have arrived, from the beginning of the range. */
  filled = 0;
  #request: AbortController | undefined;
  #isMoved = false;

  constructor(private readonly length: number) {}

  /** Requests what is missing over another connection, if it is much. Does so once. */
  move(): void {
    const isMuch = this.length - this.filled >= this.length * minMissingShare;
    if (this.#isMoved || !isMuch || this.#request === undefined) return;
    this.#isMoved = true;
    this.#request.abort(new Error('what is missing is requested over another connection'));
  }

  /** Makes a request, and one more if it is moved meanwhile. */
  async receive<T>(request: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const own = new AbortController();
    this.#request = own;
    try {
      return await request(anyOf(signal, own.signal));
    } catch (error) {
      if (!own.signal.aborted || signal.aborted) throw error;
      return await request(signal);
    } finally {
      this.#request = undefined;
    }
  }
}

interface Range {
  readonly position: number;
  readonly length: number;
  readonly buffer: Buffer;
  /** The version to read. Undefined for any. */
  readonly etag?: string;
  /** Whether to compare the range, of at most `checkedRangeBytes`, with a hash from Storage. */
  readonly isChecked: boolean;
  /** Receives the number of bytes that have arrived since the last call. */
  readonly onBytes: (count: number) => void;
  /** Given for a range that is not compared, to move it to another connection. */
  readonly arrival?: Arrival;
}

export interface Fetched {
  readonly answer: BlobDownloadResponseParsed;
  /** In the range's buffer. */
  readonly data: Buffer;
}

/** Reads a range, shorter if the blob ends. After a lost connection it continues at the byte that is missing. */
export async function fetchRange(
  storage: Storage,
  { container, blob, signal }: DownloadRequest,
  range: Range,
): Promise<Fetched> {
  const { position, length, buffer, isChecked, onBytes, arrival = new Arrival(length) } = range;
  let { etag } = range;
  const fetch = async (abortSignal: AbortSignal) => {
    const start = arrival.filled;
    const answer = await storage.blob(container, blob).download(position + start, length - start, {
      conditions: { ifMatch: etag },
      rangeGetContentMD5: isChecked,
      maxRetryRequests: 0,
      abortSignal,
    });
    etag ??= answer.etag;
    try {
      await readBody(answer, (chunk) => {
        if (abortSignal.aborted || chunk.length === 0) return;
        const end = arrival.filled + chunk.length;
        // Copies as `set` does, which takes several times as long into shared memory.
        buffer.fill(chunk, arrival.filled, end);
        arrival.filled = end;
        onBytes(chunk.length);
      });
      const theirs = isChecked ? base64(answer.contentMD5) : undefined;
      if (theirs && base64(await hashOf(buffer.subarray(start, arrival.filled))) !== theirs) {
        throw connectionCut(new Error('what arrived is not what was sent'));
      }
    } catch (error) {
      // The hash of a range covers all of it: an incomplete one is read again.
      if (isChecked) arrival.filled = start;
      throw error;
    }
    return { answer, data: buffer.subarray(0, arrival.filled) };
  };
  const call = { operation: 'download', resource: blob, bytes: length, signal };
  return storage.call(call, (abortSignal) => arrival.receive(fetch, abortSignal));
}

export async function versionOf(
  storage: Storage,
  { container, blob, signal }: DownloadRequest,
): Promise<Version> {
  const properties = await storage.call({ operation: 'download', resource: blob, signal }, (abortSignal) =>
    storage.blob(container, blob).getProperties({ abortSignal }),
  );
  const { contentLength: size = 0, etag = '', contentMD5 } = properties;
  return { size, etag, md5: base64(contentMD5) };
}

/** Hands over the chunks of an answer as they arrive. A body that ends early throws an error that is retried. */
async function readBody(
  { readableStreamBody }: BlobDownloadResponseParsed,
  onChunk: (chunk: Uint8Array) => void,
): Promise<void> {
  if (readableStreamBody === undefined) return;
  try {
    // Events take less of a processor than an iterator does.
    readableStreamBody.on('data', onChunk);
    await finished(readableStreamBody, { writable: false });
  } catch (error) {
    throw connectionCut(error);
  }
}
