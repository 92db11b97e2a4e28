import { setTimeout as delay } from 'node:timers/promises';
import type { Batch } from '../azure/batch';
import { madeBy } from '../azure/ownership';
import type { Storage } from '../azure/storage';
import { isAbort, UserError } from '../errors';
import type { Files } from '../files/files';
import {
  attemptOf,
  type FileResult,
  type Manifest,
  type ManifestFile,
  newAttempt,
  sasExpiryFor,
  toUpload,
} from '../plan/manifest';
import { nodeTargets, useDedicatedNodes } from '../pools/pool';
import type { Transfers } from '../transfers/transfers';
import { anyOf } from '../wait';
import { Claim } from './claim';
import { Collector } from './collect';
import { fetchTrouble } from './fetch';
import type { RunEvent, RunProgress, RunSummary, Step } from './runEvents';
import { Submitter } from './submit';
import type { WatchOutcome } from './watch';

/** How far a run is taken: the three commands, of which the combined one is all in a row. */
export type Until = 'uploaded' | 'submitted' | 'fetched';

export interface RunParts {
  readonly batch: Batch;
  readonly storage: Storage;
  readonly transfers: Transfers;
  readonly files: Files;
  /** Where the output of a file goes: beside its source, as that is found on this machine. */
  readonly outputUri: (file: ManifestFile, name: string) => string;
  readonly report: (event: RunEvent) => void;
  /** Where windows of this machine note which runs they act on; without it a killed one is waited for. */
  readonly claimFolder?: string;
}

/** A SAS that a run made so much earlier is as good as new. */
const renewAfterMs = 10 * 60_000;

const manifestBlob = 'manifest.json';
const resultsBlob = 'results.json';

/**
 * One transcoding run. Its truth lies in the account: containers, job, tasks and the manifest blob; an instance only
 * goes on with it. Every step looks first at what is there, so that a run that was cut off anywhere is taken up by
 * calling `advance` again, on any machine.
 */
export class Run {
  readonly results = new Map<string, FileResult>();
  readonly progress: RunProgress;
  nodeHours = 0;

  private constructor(
    readonly parts: RunParts,
    readonly manifest: Manifest,
    private readonly claim: Claim,
  ) {
    this.progress = emptyProgress(manifest);
  }

  /** Makes the run's output container and manifest. Nothing costs money yet. */
  static async create(parts: RunParts, manifest: Manifest, signal: AbortSignal): Promise<Run> {
    const { storage } = parts;
    const container = manifest.outputContainer;
    await storage.createContainer(container, containerMetadata(manifest, 'output'), signal);
    await storage.writeText(container, manifestBlob, JSON.stringify(manifest), { ifNoneMatch: '*', signal });
    const run = new Run(
      parts,
      manifest,
      await Claim.take(storage, container, manifestBlob, manifest.runId, {
        folder: parts.claimFolder,
        signal,
      }),
    );
    run.tell({
      kind: 'started',
      run: manifest.runId,
      files: manifest.files.length,
      preset: manifest.preset.label,
      at: new Date(),
    });
    run.tell({ kind: 'containerCreated', container });
    for (const { path, problem } of manifest.refused) run.tell({ kind: 'fileFailed', file: path, problem });
    return run;
  }

  /**
   * Takes up a run that the account holds. Throws `runNotFound`, or `runTaken` while another window acts on it; one that
   * was killed on another machine counts for 15 seconds more, which `waitMs` can wait out.
   */
  static async open(
    parts: RunParts,
    outputContainer: string,
    signal: AbortSignal,
    { waitMs = 0 }: { waitMs?: number } = {},
  ): Promise<Run> {
    const { storage } = parts;
    const { runId } = await readManifest(storage, outputContainer, signal);
    const claim = await takeClaim(parts, outputContainer, runId, waitMs, signal);
    // Read again: another window may have gone on with it until a moment ago.
    const run = new Run(parts, await readManifest(storage, outputContainer, signal), claim);
    for (const result of await readResults(storage, outputContainer, signal))
      run.results.set(result.id, result);
    run.tell({ kind: 'resumed', run: runId, at: new Date() });
    return run;
  }

  /** Goes on from where the run stands. Returns when that far, when its time limit is over, or throws. */
  async advance(until: Until, signal: AbortSignal): Promise<RunSummary> {
    const started = Date.now();
    const both = anyOf(signal, this.claim.lost);
    await this.#renew(both);
    const attempt = attemptOf(this.manifest);
    const submitter = new Submitter(this, attempt, both);
    if (until !== 'fetched') {
      await submitter.advance(until);
      return this.#summary(started);
    }
    for (const { id, problem } of [...this.results.values()]) {
      if (problem && fetchTrouble.has(problem.kind)) this.results.delete(id);
    }
    const collector = new Collector(this, attempt, both);
    // Whichever of the two fails ends the other; both have come to rest before the failure is passed on.
    const [submitted, collected] = await Promise.allSettled([
      submitter.advance('submitted').catch((error) => {
        collector.stop(error);
        throw error;
      }),
      collector.collect(submitter).finally(() => submitter.stop()),
    ]);
    if (submitted.status === 'rejected' && !isAbort(submitted.reason)) throw submitted.reason;
    if (collected.status === 'rejected') throw collected.reason;
    if (submitted.status === 'rejected') throw submitted.reason;
    await this.#finish(collected.value, started, both);
    return this.#summary(started);
  }

  /**
   * A run that was left for long goes on all the same: SAS that end too soon for a job that begins now are made anew, and
   * a job that ended before all its tasks were in is followed by another for the files without an output.
   */
  async #renew(signal: AbortSignal): Promise<void> {
    const { batch, storage } = this.parts;
    const { manifest, results } = this;
    const expired = [...results.values()].filter(({ problem }) => problem?.kind === 'inputExpired');
    if (expired.length > 0) {
      await this.retry(
        expired.map(({ id }) => id),
        signal,
      );
      return;
    }
    const attempt = attemptOf(manifest);
    if (attempt.submitted !== undefined) return;
    const job = await batch.job(attempt.jobId, { select: 'state', signal });
    if (job === undefined) {
      const fresh = sasExpiryFor(manifest.limits);
      if (Date.parse(fresh) - Date.parse(attempt.sasExpiry) < renewAfterMs) return;
      attempt.sasExpiry = fresh;
      await this.save(signal);
      return;
    }
    if (job.state === 'active' || job.state === 'enabling') return;
    const waiting = attempt.fileIds.filter((id) => !results.has(id));
    const { active, running, completed } = await batch.taskCounts(attempt.jobId, signal);
    if (active + running + completed >= waiting.length) {
      // All its tasks were in when it ended; nobody lived to write that down.
      attempt.submitted = { at: new Date().toISOString(), tasks: active + running + completed };
      await this.save(signal);
      return;
    }
    const done = new Set<string>();
    for await (const { name } of storage.blobs(manifest.outputContainer, { signal }))
      done.add(name.split('/')[0] ?? '');
    const left = waiting.filter((id) => !done.has(id));
    manifest.attempts.push({ ...newAttempt(manifest, left), inputContainer: attempt.inputContainer });
    await this.save(signal);
  }

  /** Has the pool go on with dedicated nodes, after Spot nodes were taken away too often. Resolves with how many. */
  async useDedicatedNodes(signal: AbortSignal): Promise<number> {
    const { batch } = this.parts;
    const { pool } = this.manifest;
    const attempt = attemptOf(this.manifest);
    const job = await batch.job(attempt.jobId, { select: 'executionInfo', signal });
    const poolId = attempt.poolId ?? job?.executionInfo?.poolId;
    if (poolId === undefined) throw new UserError({ kind: 'jobEnded', job: attempt.jobId });
    const targets = nodeTargets(pool, attempt.fileIds.length);
    const { dedicated } = await useDedicatedNodes(batch, poolId, pool.lifetime, targets, signal);
    return dedicated;
  }

  /** Makes a new attempt for these files: what failed, or never came to an end. Their earlier outputs are replaced. */
  async retry(fileIds: readonly string[], signal: AbortSignal): Promise<void> {
    const { batch } = this.parts;
    const live = attemptOf(this.manifest);
    await batch.terminateJob(live.jobId, 'Retried', signal);
    this.manifest.attempts.push(newAttempt(this.manifest, fileIds));
    this.manifest.finished = undefined;
    for (const id of fileIds) this.results.delete(id);
    await this.saveResults(signal);
    await this.save(signal);
  }

  /** Ends the tasks; what is done stays. */
  async terminate(signal: AbortSignal): Promise<void> {
    await this.parts.batch.terminateJob(attemptOf(this.manifest).jobId, 'Cancelled', signal);
  }

  /** Gives up the right to act on the run, so that another window may at once. */
  async close(): Promise<void> {
    await this.claim.release();
  }

  tell(step: Step): void {
    this.parts.report({ kind: 'step', step });
  }

  tellProgress(): void {
    this.parts.report({ kind: 'progress', progress: this.progress });
  }

  /** Records how a file ended and says so. */
  settle(file: ManifestFile, result: Omit<FileResult, 'id'>): void {
    const whole = { id: file.id, ...result };
    this.results.set(file.id, whole);
    this.parts.report({ kind: 'file', result: whole });
    if (result.problem) this.tell({ kind: 'fileFailed', file: file.path, problem: result.problem });
  }

  async save(signal: AbortSignal): Promise<void> {
    await this.parts.storage.writeText(
      this.manifest.outputContainer,
      manifestBlob,
      JSON.stringify(this.manifest),
      {
        leaseId: this.claim.leaseId,
        signal,
      },
    );
  }

  /** Keeps what is known of each file, for a later life of this run and for its report. */
  async saveResults(signal: AbortSignal): Promise<void> {
    const results = JSON.stringify([...this.results.values()]);
    await this.parts.storage.writeText(this.manifest.outputContainer, resultsBlob, results, { signal });
  }

  async #finish(outcome: WatchOutcome, started: number, signal: AbortSignal): Promise<void> {
    const { storage } = this.parts;
    const { manifest } = this;
    if (outcome === 'timeLimit') {
      this.tell({
        kind: 'timeLimit',
        job: attemptOf(manifest).jobId,
        minutes: manifest.limits.monitorMinutes,
      });
      return;
    }
    await this.saveResults(signal);
    for (const container of new Set(manifest.attempts.map((attempt) => attempt.inputContainer))) {
      if ((await storage.containerMetadata(container, signal)) === undefined) continue;
      await storage.deleteContainer(container, signal);
      this.tell({ kind: 'containerDeleted', container });
    }
    manifest.finished = new Date().toISOString();
    manifest.nodeHours = (manifest.nodeHours ?? 0) + this.nodeHours;
    await this.save(signal);
    this.progress.phase = 'done';
    this.tellProgress();
    const { succeeded, total, elapsedMs, nodeHours } = this.#summary(started);
    this.tell({ kind: 'ended', at: new Date(), elapsedMs, succeeded, total, nodeHours });
  }

  #summary(started: number): RunSummary {
    const { manifest, results } = this;
    const all = [...results.values()];
    const failed = all.filter(({ problem }) => problem !== undefined).length;
    return {
      runId: manifest.runId,
      total: manifest.files.length + manifest.refused.length,
      succeeded: all.length - failed,
      failed: failed + manifest.refused.length,
      unfinished: manifest.files.length - all.length,
      elapsedMs: Date.now() - started,
      nodeHours: this.nodeHours,
    };
  }
}

async function takeClaim(
  { storage, claimFolder: folder }: RunParts,
  container: string,
  runId: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<Claim> {
  const end = Date.now() + waitMs;
  for (;;) {
    try {
      return await Claim.take(storage, container, manifestBlob, runId, { folder, signal });
    } catch (error) {
      const taken = error instanceof UserError && error.problem.kind === 'runTaken';
      if (!taken || Date.now() >= end) throw error;
      await delay(1_000, undefined, { signal });
    }
  }
}

/** The manifest of a run, for whoever only wants to look. */
export async function readManifest(
  storage: Storage,
  outputContainer: string,
  signal: AbortSignal,
): Promise<Manifest> {
  const blob = await storage.readText(outputContainer, manifestBlob, signal);
  if (blob === undefined) throw new UserError({ kind: 'runNotFound', run: outputContainer });
  return JSON.parse(blob.text) as Manifest;
}

/** How the files of a finished run ended; empty for a run that never came to its end. */
export async function readResults(
  storage: Storage,
  outputContainer: string,
  signal: AbortSignal,
): Promise<FileResult[]> {
  const blob = await storage.readText(outputContainer, resultsBlob, signal);
  return blob === undefined ? [] : (JSON.parse(blob.text) as FileResult[]);
}

/** By which a container of ours is known, and which run it belongs to. */
export function containerMetadata(manifest: Manifest, role: 'input' | 'output'): Record<string, string> {
  return { [madeBy.name]: role, [madeBy.run]: manifest.runId, workspace: manifest.workspace };
}

function emptyProgress(manifest: Manifest): RunProgress {
  const { files, pool } = manifest;
  return {
    phase: 'uploading',
    upload: {
      files: 0,
      filesTotal: files.length,
      bytes: 0,
      bytesTotal: files.reduce((sum, file) => sum + toUpload(manifest, file).bytes, 0),
    },
    nodes: {
      idle: 0,
      running: 0,
      starting: 0,
      failed: 0,
      total: 0,
      target: pool.dedicatedNodes + pool.spotNodes,
    },
    tasks: { active: 0, running: 0, completed: 0, failed: 0, total: files.length },
    fetch: { files: 0, bytes: 0 },
    running: new Map(),
  };
}
