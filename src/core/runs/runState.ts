import type { Batch } from '../azure/batch';
import { madeBy } from '../azure/ownership';
import type { Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import { UserError } from '../errors';
import type { Files } from '../files/files';
import {
  type Attempt,
  type FileResult,
  type Manifest,
  type ManifestFile,
  type TimeSpan,
  timeSpan,
} from '../plan/manifest';
import type { PoolSearch } from '../pools/poolSearch';
import type { GivenPool } from '../pools/takeBackNodes';
import { AddedTasks } from '../records/addedTasks';
import type { ManifestStore } from '../records/manifestStore';
import { ResultJournal, resultsOf, type StoredResults } from '../records/resultJournal';
import { sealOf, withSeals } from '../records/seal';
import type { Transfers } from '../transfers/transfers';
import { type Clock, systemClock } from '../wait';
import type { Claim } from './claim';
import { emptyProgress, ProgressTotals } from './progress';
import type { RunEvent, RunProgress, Step } from './runEvents';

export interface RunParts {
  readonly batch: Batch;
  readonly storage: Storage;
  readonly transfers: Transfers;
  readonly files: Files;
  /** URI of the output of a file: beside its source, where this machine has the source. */
  readonly outputUri: (file: ManifestFile, name: string) => string;
  readonly report: (event: RunEvent) => void;
  /**
   * Folder in which the windows of this machine note which runs they hold. Without it, a run of a killed window is free
   * only after its lease has expired.
   */
  readonly claimFolder?: string;
  /** Default: the system clock. */
  readonly clock?: Clock;
}

/**
 * Results are saved at most this often while files settle: every 5 seconds at first, and after long work in pauses of a
 * thousandth of its time. Each save appends a block, and an append blob has 50,000 at most:
 * https://learn.microsoft.com/rest/api/storageservices/append-block
 */
const saveEveryMs = 5_000;
const saveShare = 1_000;

/** Clocks that differ by less show the same time: the service tells its time to a second, in answers that can be late. */
const sameTimeMs = 30_000;

/** What is known of a run in this process: its manifest, the results of its files, and its progress. */
export class RunState {
  readonly results = new Map<string, FileResult>();
  readonly progress: RunProgress;
  readonly totals: ProgressTotals;
  readonly clock: Clock;
  /** `clock` with the time of the service. */
  readonly serviceClock: Clock;
  /** Whether the user has chosen dedicated nodes instead of Spot nodes that were preempted. */
  usesDedicatedNodes = false;
  /** Whether this process has created the run and not worked on it yet: the account holds no job of it. */
  isNew = false;
  /** Looks for the pool of a run that this process creates, until the run has one. */
  poolSearch: PoolSearch | undefined;
  /** Pools that this process gave nodes for attempts that have no task yet. */
  readonly poolsGiven = new Map<Attempt, GivenPool>();
  /** Jobs whose creation was asked for and not answered. */
  readonly jobsAsked = new Set<string>();
  readonly addedTasks = new AddedTasks();
  /** When this process uploaded files, by their ids. */
  readonly uploaded = new Map<string, TimeSpan>();
  #saving: Promise<unknown> = Promise.resolve();
  /** The files of the manifest in the account. */
  #sealed: Pick<Manifest, 'files' | 'refused'>;
  readonly #journal: ResultJournal;
  readonly #startedAt: number;
  #savedAt: number;
  /** Node-hours of earlier windows, in the manifest already. */
  readonly #hoursBefore: { readonly all: number; readonly dedicated: number | undefined };

  constructor(
    readonly parts: RunParts,
    readonly manifest: Manifest,
    private readonly claim: Claim,
    private readonly store: ManifestStore,
  ) {
    this.progress = emptyProgress(manifest);
    this.#sealed = { files: manifest.files, refused: manifest.refused };
    const { nodeHours = 0, dedicatedNodeHours } = manifest;
    // What an earlier version has counted was not told apart.
    const dedicated = dedicatedNodeHours ?? (nodeHours > 0 ? undefined : 0);
    this.#hoursBefore = { all: nodeHours, dedicated };
    this.clock = parts.clock ?? systemClock;
    this.serviceClock = { now: () => this.now(), pause: (ms, signal) => this.clock.pause(ms, signal) };
    this.#journal = new ResultJournal(
      parts.storage,
      manifest.outputContainer,
      this.results,
      this.addedTasks,
      (signal) => this.claim.regain(signal),
    );
    this.#startedAt = this.clock.now();
    this.#savedAt = this.#startedAt;
    this.totals = new ProgressTotals(this.progress, this.clock);
  }

  /** Takes results that an earlier process has saved. Those of an earlier version get into the journal with the next save. */
  restore({ results, journal }: StoredResults): void {
    this.addedTasks.restore(journal ?? '');
    for (const result of resultsOf(this.manifest, results)) {
      this.results.set(result.id, result);
      if (journal === undefined) this.#journal.note(result.id);
    }
  }

  /**
   * The time of the service now, in milliseconds: times in the account are compared with those of tasks, and this machine's
   * clock can be hours off.
   */
  now(): number {
    return this.clock.now() + this.aheadMs;
  }

  /** How far the clock of the service is ahead of this machine's, in milliseconds. */
  get aheadMs(): number {
    const ms = this.parts.batch.now().getTime() - Date.now();
    return Math.abs(ms) > sameTimeMs ? ms : 0;
  }

  /** The span from a time of `clock` until now, in the time of the service. */
  spanSince(started: number): TimeSpan {
    const end = this.now();
    return timeSpan(end - (this.clock.now() - started), end);
  }

  tell(step: Step): void {
    this.parts.report({ kind: 'step', step });
  }

  tellProgress(): void {
    this.parts.report({ kind: 'progress', progress: this.progress });
  }

  /** Records the result of a file and reports it. */
  settle(file: ManifestFile, result: Omit<FileResult, 'id'>): void {
    const whole = { id: file.id, uploaded: this.uploaded.get(file.id), ...result };
    this.progress.settling.delete(file.id);
    this.results.set(file.id, whole);
    this.#journal.note(file.id);
    this.parts.report({ kind: 'file', result: whole });
    if (result.problem) this.tell({ kind: 'fileFailed', file: file.path, problem: result.problem });
  }

  /** Removes the results of files that are about to be tried again. */
  forget(fileIds: Iterable<string>): void {
    for (const id of fileIds) if (this.results.delete(id)) this.#journal.note(id);
  }

  /**
   * Stores the seal of the manifest in the account before a manifest with other files is written. Earlier seals stay valid.
   * Throws `runTaken` if another window holds the run or has changed it.
   */
  async #seal(signal: AbortSignal): Promise<void> {
    const { manifest, parts } = this;
    const { files, refused } = manifest;
    if (files === this.#sealed.files && refused === this.#sealed.refused) return;
    const { storage } = parts;
    const container = manifest.outputContainer;
    // The lease does not cover the metadata of the container.
    await this.claim.regain(signal);
    const own = [sealOf({ ...manifest, ...this.#sealed }), sealOf(manifest)];
    const seals = await withSeals(storage, container, own, signal);
    await storage.setContainerMetadata(container, containerMetadata(manifest, 'output', seals), signal);
    this.#sealed = { files, refused };
  }

  /** Writes the manifest to the account, after earlier writes have ended. Throws `runTaken` if another window holds the run. */
  save(signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      const { all, dedicated } = this.#hoursBefore;
      this.manifest.nodeHours = all + this.totals.nodeHours;
      if (dedicated !== undefined)
        this.manifest.dedicatedNodeHours = dedicated + this.totals.dedicatedNodeHours;
      await this.#withLoss(() => this.#seal(signal));
      const write = () => this.store.write(this.manifest, { leaseId: this.claim.leaseId, signal });
      try {
        await write();
      } catch (error) {
        if (!isStorageCode(error, 'LeaseNotPresentWithBlobOperation', 'LeaseLost'))
          throw this.#lossOf(error) ?? error;
        // The lease has expired, for example while the machine slept, and nobody has taken the run.
        await this.claim.regain();
        await write();
      }
    });
  }

  /** The error that ends the run if its manifest or results could not be written; undefined if the run can go on. */
  #lossOf(error: unknown): UserError | undefined {
    const { runId, outputContainer } = this.manifest;
    if (isStorageCode(error, 'LeaseIdMismatchWithBlobOperation', 'LeaseIdMissing'))
      return new UserError({ kind: 'runTaken', run: runId }, { cause: error });
    if (isStorageCode(error, 'ContainerNotFound', 'ContainerBeingDeleted', 'BlobNotFound'))
      return new UserError({ kind: 'runNotFound', run: outputContainer }, { cause: error });
    return undefined;
  }

  /** Creates the journal of results of a new run. */
  createJournal(signal: AbortSignal): Promise<void> {
    return this.#inTurn(() => this.#withLoss(() => this.#journal.create(signal)));
  }

  /** Writes results that have changed to the account, where a later process and the report find them. */
  saveResults(signal: AbortSignal): Promise<void> {
    this.#savedAt = this.clock.now();
    return this.#inTurn(() => this.#withLoss(() => this.#journal.save(signal)));
  }

  async #withLoss(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      throw this.#lossOf(error) ?? error;
    }
  }

  /** Saves the results if that was long ago: a process that is killed does not lose them. */
  async saveResultsInTime(signal: AbortSignal): Promise<void> {
    const now = this.clock.now();
    const pauseMs = Math.max(saveEveryMs, (now - this.#startedAt) / saveShare);
    if (now - this.#savedAt >= pauseMs) await this.saveResults(signal);
  }

  /** One write at a time, so that the last one called is the last one in the account. */
  #inTurn(write: () => Promise<void>): Promise<void> {
    const written = this.#saving.then(write);
    this.#saving = written.catch(() => undefined);
    return written;
  }
}

/** Metadata that identifies a container as ours, and its run. `seals`: those of its manifest. */
export function containerMetadata(
  manifest: Manifest,
  role: 'input' | 'output',
  seals: readonly string[] = [],
): Record<string, string> {
  return {
    [madeBy.name]: role,
    [madeBy.run]: manifest.runId,
    workspace: manifest.workspace,
    ...(seals.length > 0 && { [madeBy.seal]: seals.join(' ') }),
  };
}
