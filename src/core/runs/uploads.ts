import { EventEmitter, once } from 'node:events';
import type { BlobInfo } from '../azure/storage';
import { UserError } from '../errors';
import { type Attempt, type ManifestFile, timeSpan, toUpload } from '../plan/manifest';
import { anyOf } from '../wait';
import { concernsRun } from './fileTrouble';
import type { RunState } from './runState';

/** Files opened at a time; how many blocks are sent at a time is the limit of `Transfers`. */
const filesAtOnce = 16;

/**
 * No other file is opened while those that are open have more bytes to send: this keeps every connection busy, and the
 * first of many large files is complete, and transcoded, long before the last.
 */
const enoughBytes = 128 * 1024 * 1024;

/** Bytes per millisecond that are assumed until the first bytes have been measured: 2 MiB/s. */
const assumedRate = (2 * 1024 * 1024) / 1000;

/** A rate measured over less time than this, in milliseconds, says nothing. */
const minMeasureMs = 3_000;

/** Uploads the files of an attempt, and hands each over as soon as it has been uploaded. */
export class Uploads {
  /** Resolves `take` when a file was uploaded and when all uploads have ended. */
  readonly #changes = new EventEmitter();
  /** Bytes to send of files that have not been uploaded, in the order of the files. */
  readonly #left: Map<string, number>;
  readonly #open = new Set<string>();
  #uploaded: ManifestFile[] = [];
  #ended = false;
  #arrivals = 0;
  #sent = 0;
  #since: number;

  constructor(
    private readonly state: RunState,
    private readonly attempt: Attempt,
    private readonly files: readonly ManifestFile[],
    /** Blobs in the input container, by name. */
    private readonly existing: ReadonlyMap<string, BlobInfo>,
  ) {
    this.#left = new Map(files.map((file) => [file.id, this.#wanted(file).bytes]));
    this.#since = state.clock.now();
  }

  /** Resolves when each file was uploaded or has failed for a reason of its own. Throws what concerns the whole run. */
  async run(signal: AbortSignal): Promise<void> {
    this.#since = this.state.clock.now();
    try {
      await this.#uploadAll(signal);
    } finally {
      this.#ended = true;
      this.#changes.emit('change');
    }
  }

  /** The files uploaded since the last call; waits for at least one. Undefined when there will be no more. */
  async take(signal: AbortSignal): Promise<ManifestFile[] | undefined> {
    while (this.#uploaded.length === 0) {
      if (this.#ended) return undefined;
      await this.#change(signal);
    }
    return this.#uploaded.splice(0);
  }

  /** Resolves when at least one file has been uploaded, is likely to be within `ms`, or all uploads have ended. */
  async near(ms: number, signal: AbortSignal): Promise<void> {
    while (!this.#ended && this.#arrivals === 0 && this.#within(ms) === 0) {
      const done = new AbortController();
      const either = anyOf(signal, done.signal);
      const waits = [this.#change(either), this.state.clock.pause(1_000, either)];
      await Promise.race(waits).finally(() => done.abort());
    }
  }

  /** How many of the files have been uploaded, or are likely to be within `ms`. */
  expected(ms: number): number {
    return this.#arrivals + this.#within(ms);
  }

  #within(ms: number): number {
    const elapsed = this.state.clock.now() - this.#since;
    const rate = elapsed < minMeasureMs || this.#sent === 0 ? assumedRate : this.#sent / elapsed;
    // Files are sent in turn, those that were started first.
    let bytes = rate * ms;
    let count = 0;
    for (const left of this.#left.values()) {
      bytes -= left;
      if (bytes < 0) break;
      count++;
    }
    return count;
  }

  async #change(signal: AbortSignal): Promise<void> {
    try {
      await once(this.#changes, 'change', { signal });
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    }
  }

  async #uploadAll(signal: AbortSignal): Promise<void> {
    const uploading: Promise<void>[] = [];
    const stop = new AbortController();
    const either = anyOf(signal, stop.signal);
    try {
      for (const file of this.files) {
        while (this.#isBusy()) await this.#change(either);
        const upload = this.#upload(file, either);
        upload.catch((error) => stop.abort(error));
        uploading.push(upload);
      }
    } finally {
      await Promise.allSettled(uploading);
    }
    either.throwIfAborted();
  }

  #isBusy(): boolean {
    if (this.#open.size >= filesAtOnce) return true;
    let bytes = 0;
    for (const id of this.#open) bytes += this.#left.get(id) ?? 0;
    return bytes > enoughBytes;
  }

  #wanted(file: ManifestFile) {
    return toUpload(this.state.manifest, file, this.attempt);
  }

  async #upload(file: ManifestFile, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { state, attempt } = this;
    const { upload, tasks } = state.progress;
    const container = attempt.inputContainer;
    const { bytes: wanted, audioOnly } = this.#wanted(file);
    let sent = 0;
    this.#open.add(file.id);
    const started = state.clock.now();
    try {
      state.tell({ kind: 'uploading', file: file.path, container });
      const { skipped } = await state.parts.transfers.upload({
        uri: file.uri,
        container,
        blob: file.inputBlob,
        expected: file,
        audioOnly,
        there: this.existing.get(file.inputBlob),
        onBytes: (bytes) => {
          sent += bytes;
          this.#sent += bytes;
          this.#left.set(file.id, Math.max(wanted - sent, 0));
          this.#changes.emit('change');
          upload.bytes += bytes;
          state.tellProgress();
        },
        signal,
      });
      if (skipped) state.tell({ kind: 'alreadyUploaded', file: file.path, container });
      if (!skipped) state.uploaded.set(file.id, timeSpan(started, state.clock.now()));
      upload.files++;
      upload.bytes += wanted - sent;
      this.#uploaded.push(file);
      this.#arrivals++;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (!(error instanceof UserError) || (await concernsRun(state, error, container, signal))) throw error;
      upload.bytes -= sent;
      upload.bytesTotal -= wanted;
      upload.filesTotal--;
      tasks.total--;
      state.settle(file, { problem: error.problem, failedAt: 'upload' });
    } finally {
      this.#left.delete(file.id);
      this.#open.delete(file.id);
      this.#changes.emit('change');
    }
    state.tellProgress();
  }
}
