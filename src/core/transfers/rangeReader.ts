import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { BlobDownloadResponseParsed } from '@azure/storage-blob';
import { connectionCut } from '../azure/retry';
import { base64, type Storage } from '../azure/storage';
import { hashOf } from '../files/hashing';
import type { DownloadRequest } from './requests';

export interface Range {
  readonly position: number;
  readonly length: number;
  /** The version to read. Undefined for the one that the first answer tells. */
  readonly etag?: string;
  /** Whether each answer is compared with a hash from Storage. Such a range is read at once. */
  readonly isChecked?: boolean;
  /** Receives the number of bytes that have arrived since the last call. */
  readonly onBytes: (count: number) => void;
  /** Receives the headers of each answer before its content. */
  readonly onAnswer?: (answer: BlobDownloadResponseParsed) => void;
}

interface OpenAnswer {
  readonly body: Readable;
  /** Base64; only of a checked range. */
  readonly md5?: string;
  readonly stop: AbortController;
}

/**
 * Reads a range of one version of a blob from its beginning to its end, with one request as long as the connection lasts:
 * after a lost one it continues at the byte that is missing. What is not read waits at the other side.
 */
export class RangeReader {
  #position: number;
  #etag: string | undefined;
  #open: OpenAnswer | undefined;
  /** Ends the request that is running, also before its answer. */
  #stop: AbortController | undefined;
  #isSlow = false;

  constructor(
    private readonly storage: Storage,
    private readonly request: Pick<DownloadRequest, 'container' | 'blob'>,
    private readonly range: Range,
  ) {
    this.#position = range.position;
    this.#etag = range.etag;
  }

  /** Reads what comes next into the buffer, all of it unless the range or the blob ends. */
  async read(buffer: Buffer, signal: AbortSignal): Promise<Uint8Array> {
    const { position, length, isChecked } = this.range;
    const wanted = buffer.subarray(0, Math.min(buffer.length, position + length - this.#position));
    const first = this.#position;
    const call = { operation: 'download', resource: this.request.blob, bytes: wanted.length, signal };
    const attempt = async (abortSignal: AbortSignal): Promise<Uint8Array> => {
      const from = this.#position - first;
      // The connection was lost after the last byte.
      if (from === wanted.length) return wanted;
      try {
        const open = await this.#answer(abortSignal);
        await this.#fill(open, wanted.subarray(from), abortSignal);
        const filled = wanted.subarray(0, this.#position - first);
        if (open.md5 && base64(await hashOf(filled.subarray(from))) !== open.md5) {
          throw connectionCut(new Error('what arrived is not what was sent'));
        }
        return filled;
      } catch (error) {
        this.close();
        // The hash of an answer covers all of it: an incomplete one is read again.
        if (isChecked) this.#position = first + from;
        if (!this.#isSlow || abortSignal.aborted) throw error;
        this.#isSlow = false;
        return attempt(abortSignal);
      }
    };
    return this.storage.call(call, attempt);
  }

  /** Continues over another connection, at the byte that is missing, because this one is slow. */
  reconnect(): void {
    if (this.#stop === undefined) return;
    this.#isSlow = true;
    this.#stop.abort(new Error('the connection is slow'));
  }

  /** Ends the request if it is still running. */
  close(): void {
    this.#stop?.abort();
    this.#stop = undefined;
    this.#open = undefined;
  }

  /** The answer that is being read, or that of a new request. */
  async #answer(signal: AbortSignal): Promise<OpenAnswer> {
    if (this.#open) return this.#open;
    const { position, length, isChecked, onAnswer } = this.range;
    const { container, blob } = this.request;
    const stop = new AbortController();
    this.#stop = stop;
    return whileRunning(signal, stop, async () => {
      const left = position + length - this.#position;
      const answer = await this.storage.blob(container, blob).download(this.#position, left, {
        conditions: { ifMatch: this.#etag },
        rangeGetContentMD5: isChecked,
        maxRetryRequests: 0,
        abortSignal: stop.signal,
      });
      this.#etag ??= answer.etag;
      onAnswer?.(answer);
      const body = answer.readableStreamBody;
      if (!(body instanceof Readable)) throw new Error('an answer without a body');
      // Between two reads nobody else listens; the next read reports it.
      body.on('error', () => undefined);
      if ((answer.contentLength ?? left) > left) {
        stop.abort();
        throw connectionCut(new Error('the answer is longer than the range'));
      }
      this.#open = { body, md5: isChecked ? base64(answer.contentMD5) : undefined, stop };
      return this.#open;
    });
  }

  async #fill({ body, stop }: OpenAnswer, buffer: Buffer, signal: AbortSignal): Promise<void> {
    const { position, length, onBytes } = this.range;
    await whileRunning(signal, stop, async () => {
      try {
        await fill(body, buffer, (count) => {
          this.#position += count;
          onBytes(count);
        });
        // The connection is free for the next request when the end has been read.
        if (this.#position === position + length) await finished(body.resume(), { writable: false });
      } catch (error) {
        throw connectionCut(error);
      }
    });
  }
}

/** Aborts `stop` when the signal of an attempt aborts during the step. */
async function whileRunning<T>(
  signal: AbortSignal,
  stop: AbortController,
  step: () => Promise<T>,
): Promise<T> {
  const abort = () => stop.abort(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await step();
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Fills a buffer from a stream, which is paused then. Resolves also at the end of the stream, and rejects when it fails. */
async function fill(body: Readable, buffer: Buffer, onBytes: (count: number) => void): Promise<void> {
  if (body.readableEnded || buffer.length === 0) return;
  let filled = 0;
  await new Promise<void>((resolve, reject) => {
    // Events take less of a processor than an iterator does.
    const onData = (chunk: Buffer) => {
      const count = Math.min(chunk.length, buffer.length - filled);
      // Copies as `set` does, which takes four times as long into shared memory.
      if (count > 0) buffer.fill(chunk.subarray(0, count), filled, filled + count);
      filled += count;
      onBytes(count);
      if (filled < buffer.length) return;
      settle(resolve);
      if (count < chunk.length) body.unshift(chunk.subarray(count));
    };
    const onClose = () => settle(() => reject(body.errored ?? new Error('the answer ended early')));
    const onEnd = () => settle(resolve);
    const settle = (outcome: () => void) => {
      body.pause().off('data', onData).off('end', onEnd).off('close', onClose);
      outcome();
    };
    if (body.destroyed) return onClose();
    body.on('data', onData).on('end', onEnd).on('close', onClose).resume();
  });
}
