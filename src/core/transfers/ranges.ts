import { base64, type Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import { type Range, RangeReader } from './rangeReader';
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

interface FirstRange extends Pick<Range, 'length' | 'onBytes'> {
  readonly buffer: Buffer;
  /** May be called again when the request is repeated, with the same version. */
  readonly onVersion: (version: Version) => void;
}

/**
 * Reads the first range of a blob, of any version, and none of an empty one. `onVersion` receives the version before the
 * content arrives.
 */
export async function firstRange(
  storage: Storage,
  request: DownloadRequest,
  { onVersion, buffer, ...range }: FirstRange,
): Promise<Uint8Array> {
  const reader = new RangeReader(storage, request, {
    ...range,
    position: 0,
    onAnswer: ({ etag = '', contentLength, contentRange, contentMD5, blobContentMD5 }) => {
      const size = Number(contentRange?.split('/')[1] ?? contentLength);
      const md5 = blobContentMD5 ?? (contentRange ? undefined : contentMD5);
      onVersion({ size, etag, md5: base64(md5) });
    },
  });
  try {
    return await reader.read(buffer.subarray(0, range.length), request.signal);
  } catch (error) {
    if (!isStorageCode(error, 'InvalidRange', 'HTTP 416')) throw error;
    // An empty blob has no range.
    onVersion(await versionOf(storage, request));
    return new Uint8Array(0);
  } finally {
    reader.close();
  }
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
