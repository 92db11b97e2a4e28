import { EventEmitter, once } from 'node:events';
import type { BlobInfo } from '../azure/storage';
import { aboutSource, type Problem, UserError } from '../errors';
import { type FileInParts, isSplit } from '../jobs/splitTasks';
import { type Attempt, type ManifestFile, toUpload } from '../plan/manifest';
import { type Piece, taskCount } from '../plan/pieces';
import { anyOf } from '../wait';
import { concernsRun } from './fileTrouble';
import type { RunState } from './runState';
import { SplitUpload, uploadSizes } from './splitUpload';

/** Files opened at a time: enough small ones for a long connection. `Transfers` limits the requests and the memory. */
const filesAtOnce = 48;

/**
 * No other file is opened while those that are open have more bytes to send: this keeps every connection busy, and the
 * first of many large files is complete, and transcoded, long before the last.
 */
const enoughBytes = 128 * 1024 * 1024;

/** Bytes per millisecond that are assumed until the first bytes have been measured: 2 MiB/s. */
const assumedRate = (2 * 1024 * 1024) / 1000;

/** A rate measured over less time than this, in milliseconds, says nothing. */
const minMeasureMs = 3_000;

/** What was uploaded: a whole file, or a piece of a split file. */
export interface Uploaded {
  readonly file: ManifestFile;
  readonly piece?: Piece;
}

/** Uploads the files of an attempt, and hands each over as soon as it has been uploaded; split files piece by piece. */
export class Uploads {
  /** Resolves `take` when a file was uploaded and when all uploads have ended. */
  readonly #changes = new EventEmitter();
  /** Bytes to send by file, or by part of a split file, of what has not been uploaded, in the order of the upload. */
  readonly #left: Map<string, number>;
  /** Files that are being uploaded, with what stops the upload. */
  readonly #open = new Map<ManifestFile, AbortController>();
  #uploaded: Uploaded[] = [];
  readonly #ended = new AbortController();
  #arrivals = 0;
  #sent = 0;
  #since: number;

  constructor(
    private readonly state: RunState,
    private readonly attempt: Attempt,
    private readonly files: readonly ManifestFile[],
    /** Blobs in the input container, by name. */
    private readonly existing: ReadonlyMap<string, BlobInfo>,
    /** Names of encoded pieces in the output container. */
    private readonly encoded: ReadonlySet<string>,
  ) {
    this.#left = new Map(files.flatMap((file) => [...this.#units(file)]));
    this.#since = state.clock.now();
  }

  /** Resolves when each file was uploaded or has failed for a reason of its own. Throws what concerns the whole run. */
  async run(signal: AbortSignal): Promise<void> {
    this.#since = this.state.clock.now();
    try {
      await this.#uploadAll(signal);
    } finally {
      this.#ended.abort();
      this.#changes.emit('change');
    }
  }

  /** What was uploaded since the last call; waits for something. Undefined when there will be no more. */
  async take(signal: AbortSignal): Promise<Uploaded[] | undefined> {
    while (this.#uploaded.length === 0) {
      if (this.#ended.signal.aborted) return undefined;
      await this.#change(signal);
    }
    return this.#uploaded.splice(0);
  }

  /** Whether all uploads have ended, and none has succeeded. */
  get isEmpty(): boolean {
    return this.#ended.signal.aborted && this.#arrivals === 0;
  }

  /** Stops the upload of a file that will have no task. */
  drop(file: ManifestFile): void {
    this.#open.get(file)?.abort();
  }

  /** Waits so long for more files to be uploaded, or until all uploads have ended. */
  async gather(ms: number, signal: AbortSignal): Promise<void> {
    const ended = this.#ended.signal;
    try {
      await this.state.clock.pause(ms, anyOf(signal, ended));
    } catch (error) {
      signal.throwIfAborted();
      if (!ended.aborted) throw error;
    }
  }

  /** Resolves when at least one file has been uploaded, is likely to be within `ms`, or all uploads have ended. */
  async near(ms: number, signal: AbortSignal): Promise<void> {
    while (!this.#ended.signal.aborted && this.#arrivals === 0 && this.#within(ms) === 0) {
      const done = new AbortController();
      const either = anyOf(signal, done.signal);
      const waits = [this.#change(either), this.state.clock.pause(1_000, either)];
      await Promise.race(waits).finally(() => done.abort());
    }
  }

  /** How many files and parts have been uploaded, or are likely to be within `ms`. */
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
    for (const file of this.#open.keys()) {
      for (const unit of this.#units(file).keys()) bytes += this.#left.get(unit) ?? 0;
    }
    return bytes > enoughBytes;
  }

  /** Bytes by unit: the file, or each part of a split one that has not been encoded. */
  #units(file: ManifestFile): Map<string, number> {
    if (isSplit(file)) return uploadSizes(file, this.encoded);
    return new Map([[file.id, this.#wanted(file).bytes]]);
  }

  #wanted(file: ManifestFile) {
    return toUpload(this.state.manifest, file, this.attempt);
  }

  async #upload(file: ManifestFile, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { state, attempt } = this;
    const { upload } = state.progress;
    const container = attempt.inputContainer;
    const { bytes: wanted } = this.#wanted(file);
    let sent = 0;
    const onBytes = (unit: string, bytes: number) => {
      sent += bytes;
      this.#sent += bytes;
      this.#left.set(unit, Math.max((this.#left.get(unit) ?? 0) - bytes, 0));
      this.#changes.emit('change');
      upload.bytes += bytes;
      state.tellProgress();
    };
    const dropped = new AbortController();
    const own = anyOf(signal, dropped.signal);
    this.#open.set(file, dropped);
    const started = state.clock.now();
    try {
      state.tell({ kind: 'uploading', file: file.path, container });
      const isNew = isSplit(file)
        ? await this.#uploadSplit(file, onBytes, own)
        : await this.#uploadWhole(file, onBytes, own);
      if (isNew) state.uploaded.set(file.id, state.spanSince(started));
      upload.files++;
      upload.bytes += wanted - sent;
      this.#hand({ file });
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      const problem = dropped.signal.aborted ? undefined : await this.#problemOf(file, error, signal);
      upload.bytes -= sent;
      upload.bytesTotal -= wanted;
      upload.filesTotal--;
      if (problem) {
        state.totals.expectFewer(attempt.jobId, taskCount(file));
        state.settle(file, { problem, failedAt: 'upload' });
      }
    } finally {
      for (const unit of this.#units(file).keys()) this.#left.delete(unit);
      this.#open.delete(file);
      this.#changes.emit('change');
    }
    state.tellProgress();
  }

  /** Throws what concerns the whole run. */
  async #problemOf(file: ManifestFile, error: unknown, signal: AbortSignal): Promise<Problem> {
    if (!(error instanceof UserError)) throw error;
    if (await concernsRun(this.state, error, this.attempt.inputContainer, signal)) throw error;
    return aboutSource(error.problem, file.path);
  }

  /** False if the blob was there. */
  async #uploadWhole(
    file: ManifestFile,
    onBytes: (unit: string, bytes: number) => void,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { state, attempt } = this;
    const container = attempt.inputContainer;
    const { skipped } = await state.parts.transfers.upload({
      uri: file.uri,
      container,
      blob: file.inputBlob,
      expected: file,
      audioOnly: this.#wanted(file).audioOnly,
      there: this.existing.get(file.inputBlob),
      onBytes: (bytes) => onBytes(file.id, bytes),
      signal,
    });
    if (skipped) state.tell({ kind: 'alreadyUploaded', file: file.path, container });
    return !skipped;
  }

  async #uploadSplit(
    file: FileInParts,
    onBytes: (unit: string, bytes: number) => void,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { state, attempt, existing, encoded } = this;
    const upload = new SplitUpload(state.parts, file, {
      container: attempt.inputContainer,
      existing,
      encoded,
      onBytes,
      onPiece: (piece) => this.#hand({ file, piece }),
    });
    await upload.run(signal);
    return true;
  }

  #hand(uploaded: Uploaded): void {
    this.#uploaded.push(uploaded);
    this.#arrivals++;
    this.#changes.emit('change');
  }
}
