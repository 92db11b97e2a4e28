import type { Batch } from '../azure/batch';
import { madeBy } from '../azure/ownership';
import type { Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import { UserError } from '../errors';
import type { Files } from '../files/files';
import type { FileResult, Manifest, ManifestFile, TimeSpan } from '../plan/manifest';
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

export const manifestBlob = 'manifest.json';
const resultsBlob = 'results.json';

/** What is known of a run in this process: its manifest, the results of its files, and its progress. */
export class RunState {
  readonly results = new Map<string, FileResult>();
  readonly progress: RunProgress;
  readonly totals: ProgressTotals;
  readonly clock: Clock;
  /** Whether the user has chosen dedicated nodes instead of Spot nodes that were preempted. */
  usesDedicatedNodes = false;
  /** Jobs whose creation was asked for and not answered. */
  readonly jobsAsked = new Set<string>();
  /** When this process uploaded files, by their ids. */
  readonly uploaded = new Map<string, TimeSpan>();
  #saving: Promise<unknown> = Promise.resolve();
  #unsavedResults = false;
  /** Node-hours of earlier windows, in the manifest already. */
  readonly #hoursBefore: number;

  constructor(
    readonly parts: RunParts,
    readonly manifest: Manifest,
    private readonly claim: Claim,
  ) {
    this.progress = emptyProgress(manifest);
    this.#hoursBefore = manifest.nodeHours ?? 0;
    this.clock = parts.clock ?? systemClock;
    this.totals = new ProgressTotals(this.progress, this.clock);
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
    this.results.set(file.id, whole);
    this.#unsavedResults = true;
    this.parts.report({ kind: 'file', result: whole });
    if (result.problem) this.tell({ kind: 'fileFailed', file: file.path, problem: result.problem });
  }

  /** Removes the results of files that are about to be tried again. */
  forget(fileIds: Iterable<string>): void {
    for (const id of fileIds) this.#unsavedResults = this.results.delete(id) || this.#unsavedResults;
  }

  /** Writes the manifest to the account, after earlier writes have ended. Throws `runTaken` if another window holds the run. */
  save(signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      const { outputContainer } = this.manifest;
      this.manifest.nodeHours = this.#hoursBefore + this.totals.nodeHours;
      const write = () =>
        this.parts.storage.writeText(outputContainer, manifestBlob, JSON.stringify(this.manifest), {
          leaseId: this.claim.leaseId,
          signal,
        });
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

  /** What it means for the run that its manifest or results could not be written; undefined if nothing. */
  #lossOf(error: unknown): UserError | undefined {
    const { runId, outputContainer } = this.manifest;
    if (isStorageCode(error, 'LeaseIdMismatchWithBlobOperation', 'LeaseIdMissing'))
      return new UserError({ kind: 'runTaken', run: runId }, { cause: error });
    if (isStorageCode(error, 'ContainerNotFound', 'ContainerBeingDeleted', 'BlobNotFound'))
      return new UserError({ kind: 'runNotFound', run: outputContainer }, { cause: error });
    return undefined;
  }

  /** Writes the results to the account, where a later process and the report find them. Does nothing if none changed. */
  saveResults(signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#unsavedResults) return;
      this.#unsavedResults = false;
      const results = JSON.stringify([...this.results.values()]);
      try {
        await this.parts.storage.writeText(this.manifest.outputContainer, resultsBlob, results, { signal });
      } catch (error) {
        this.#unsavedResults = true;
        throw this.#lossOf(error) ?? error;
      }
    });
  }

  /** One write at a time, so that the last one called is the last one in the account. */
  #inTurn(write: () => Promise<void>): Promise<void> {
    const written = this.#saving.then(write);
    this.#saving = written.catch(() => undefined);
    return written;
  }
}

/** Reads the manifest of a run. Throws `runNotFound`. */
export async function readManifest(
  storage: Storage,
  outputContainer: string,
  signal: AbortSignal,
): Promise<Manifest> {
  const blob = await storage.readText(outputContainer, manifestBlob, signal);
  if (blob === undefined) throw new UserError({ kind: 'runNotFound', run: outputContainer });
  return JSON.parse(blob.text) as Manifest;
}

/** Reads the results of a run's files as they were last saved. Empty if none were. */
export async function readResults(
  storage: Storage,
  outputContainer: string,
  signal: AbortSignal,
): Promise<FileResult[]> {
  const blob = await storage.readText(outputContainer, resultsBlob, signal);
  return blob === undefined ? [] : (JSON.parse(blob.text) as FileResult[]);
}

/** Metadata that identifies a container as ours, and its run. */
export function containerMetadata(manifest: Manifest, role: 'input' | 'output'): Record<string, string> {
  return { [madeBy.name]: role, [madeBy.run]: manifest.runId, workspace: manifest.workspace };
}
