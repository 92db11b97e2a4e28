import type { Storage } from '../azure/storage';
import { pageBytes } from '../files/files';
import { anyOf } from '../wait';
import type { Slots } from './blocks';
import { blockBytes, type Lent } from './buffers';
import { firstRange, type Version } from './ranges';
import type { DownloadRequest } from './requests';

/** The first range of a blob, which is all of a small one, while it arrives. */
export interface Beginning {
  readonly version: Version;
  /** Memory of the range. */
  readonly lent: Lent;
  /** Bytes that were requested, in whole pages. */
  readonly length: number;
  /** Resolves with the range when all of it has arrived. Ends the request when the signal aborts. */
  data(signal: AbortSignal): Promise<Uint8Array>;
  /** Ends the request, if it is still running, and gives the memory back. */
  drop(): Promise<void>;
}

/**
 * Requests the first range of a blob. Resolves when its headers have identified the version, so that the other ranges can be
 * requested before its content is there.
 */
export async function beginBlob(
  storage: Storage,
  slots: Slots,
  request: DownloadRequest,
): Promise<Beginning> {
  const { signal, size = slots.blockBytes } = request;
  // A blob may have become larger, and then the next range begins at a page.
  const length = Math.min(Math.max(Math.ceil(size / pageBytes), 1) * pageBytes, blockBytes);
  const lent = await slots.memory(length, signal);
  const stop = new AbortController();
  const own = anyOf(signal, stop.signal);
  let arriving!: Promise<Uint8Array>;
  const known = new Promise<Version>((onVersion, onFailure) => {
    const range = { length, buffer: lent.buffer, onBytes: (bytes: number) => slots.moved(bytes), onVersion };
    const fetch = () => firstRange(storage, { ...request, signal: own }, range);
    arriving = slots.request(fetch, own);
    arriving.catch(onFailure);
  });
  const drop = async () => {
    stop.abort();
    // The memory must not be lent again while it is being filled.
    await Promise.allSettled([arriving]);
    lent.release();
  };
  const data = async (until: AbortSignal) => {
    const end = () => stop.abort(until.reason);
    if (until.aborted) end();
    until.addEventListener('abort', end, { once: true });
    try {
      return await arriving;
    } finally {
      until.removeEventListener('abort', end);
    }
  };
  try {
    return { version: await known, lent, length, data, drop };
  } catch (error) {
    await drop();
    throw error;
  }
}
