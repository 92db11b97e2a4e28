import { finished } from 'node:stream/promises';
import type { BlobDownloadResponseParsed } from '@azure/storage-blob';
import { connectionCut } from '../azure/retry';
import { base64, type Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import { hashOf } from '../files/hashing';
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

/**
 * Reads the first range of a blob, of any version, and none of an empty one. `onVersion` receives the version before the
 * content arrives.
 */
export async function firstRange(
  storage: Storage,
  request: DownloadRequest,
  { onVersion, ...range }: FirstRange,
): Promise<Uint8Array> {
  const onAnswer = ({ etag = '', contentLength, contentRange, contentMD5, blobContentMD5 }: Answer) => {
    const size = Number(contentRange?.split('/')[1] ?? contentLength);
    const md5 = blobContentMD5 ?? (contentRange ? undefined : contentMD5);
    onVersion({ size, etag, md5: base64(md5) });
  };
  try {
    return await fetchRange(storage, request, { ...range, position: 0, isChecked: false, onAnswer });
  } catch (error) {
    if (!isStorageCode(error, 'InvalidRange', 'HTTP 416')) throw error;
    // An empty blob has no range.
    onVersion(await versionOf(storage, request));
    return new Uint8Array(0);
  }
}

type Answer = Pick<
  BlobDownloadResponseParsed,
  'etag' | 'contentLength' | 'contentRange' | 'contentMD5' | 'blobContentMD5'
>;

interface FirstRange extends Pick<Range, 'length' | 'buffer' | 'onBytes'> {
  /** May be called again when the request is repeated, with the same version. */
  readonly onVersion: (version: Version) => void;
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
  /** Receives the headers of each answer before its content. */
  readonly onAnswer?: (answer: BlobDownloadResponseParsed) => void;
}

/** Reads a range into its buffer, shorter if the blob ends. After a lost connection it continues at the byte that is missing. */
export async function fetchRange(
  storage: Storage,
  { container, blob, signal }: DownloadRequest,
  range: Range,
): Promise<Uint8Array> {
  const { position, length, buffer, isChecked, onBytes, onAnswer } = range;
  let { etag } = range;
  let filled = 0;
  const call = { operation: 'download', resource: blob, bytes: length, signal };
  return storage.call(call, async (abortSignal) => {
    const start = filled;
    const answer = await storage.blob(container, blob).download(position + start, length - start, {
      conditions: { ifMatch: etag },
      rangeGetContentMD5: isChecked,
      maxRetryRequests: 0,
      abortSignal,
    });
    etag ??= answer.etag;
    onAnswer?.(answer);
    try {
      await readBody(answer, (chunk) => {
        if (abortSignal.aborted) return;
        // Copies as `set` does, which takes four times as long into shared memory.
        if (chunk.length > 0) buffer.fill(chunk, filled, filled + chunk.length);
        filled += chunk.length;
        onBytes(chunk.length);
      });
      const theirs = isChecked ? base64(answer.contentMD5) : undefined;
      if (theirs && base64(await hashOf(buffer.subarray(start, filled))) !== theirs) {
        throw connectionCut(new Error('what arrived is not what was sent'));
      }
    } catch (error) {
      // The hash of a range covers all of it: an incomplete one is read again.
      if (isChecked) filled = start;
      throw error;
    }
    return buffer.subarray(0, filled);
  });
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
