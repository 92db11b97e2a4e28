import { hasEnded } from '../azure/batchCall';
import { type Problem, UserError } from '../errors';
import { type OpenAttempt, openAttempts, retryAttempt } from '../plan/attempts';
import { attemptOf, type FileResult, type Manifest, tasksOfAttempt, type Until } from '../plan/manifest';
import { nodeTargets } from '../pools/nodeTargets';
import { PoolSearch } from '../pools/poolSearch';
import { useDedicatedNodes } from '../pools/poolSizes';
import { deleteBadPieces } from '../records/encodedPieces';
import { ManifestStore, manifestBlob } from '../records/manifestStore';
import { readStoredResults } from '../records/resultJournal';
import { checkSeal, sealOf } from '../records/seal';
import { anyOf, together } from '../wait';
import { Claim, takeClaim } from './claim';
import { Collector } from './collect';
import { canFetchAgain } from './fetch';
import {
  endAttemptIfFatal,
  endAttemptJobs,
  endEmptyJobs,
  endIfFatal,
  finish,
  summaryOf,
  takeBackPools,
} from './finish';
import { canBeRepaired, repairAttempts, retryTransfers } from './repair';
import type { RunProgress, RunSummary, Step } from './runEvents';
import { containerMetadata, type RunParts, RunState } from './runState';
import { Submitter } from './submit';

export type { Until } from '../plan/manifest';
export type { RunParts } from './runState';

/** Milliseconds for work that must be done after the signal has aborted. */
const tidyMs = 20_000;

/** Milliseconds for taking nodes back: Azure stops the allocation of nodes within a minute. */
const takeBackMs = 120_000;

/**
 * One transcoding run. The account holds all there is of it: containers, jobs, tasks, and the manifest. Each step looks at
 * what exists first, so that `advance` continues a run that was interrupted anywhere, on any machine.
 */
export class Run {
  readonly #canceled = new AbortController();
  #working: Promise<unknown> = Promise.resolve();
  #canceling: Promise<void> = Promise.resolve();

  private constructor(
    readonly state: RunState,
    private readonly claim: Claim,
  ) {}

  /** Creates the output container of a run, with its manifest. This costs nothing yet. */
  static async create(parts: RunParts, manifest: Manifest, signal: AbortSignal): Promise<Run> {
    const { storage } = parts;
    const container = manifest.outputContainer;
    const store = new ManifestStore(storage, container);
    // The service makes an auto pool by itself.
    const needsPool = manifest.goal !== 'uploaded' && manifest.pool.lifetime !== 'run';
    const search = needsPool ? new PoolSearch(parts.batch, manifest.pool, signal) : undefined;
    let claim: Claim;
    let isMade = false;
    try {
      const metadata = containerMetadata(manifest, 'output', [sealOf(manifest)]);
      const made = await storage.createContainer(container, metadata, signal);
      isMade = made === 'created';
      await store.write(manifest, { ifNoneMatch: '*', signal });
      claim = await Claim.take(storage, container, manifestBlob, manifest.runId, {
        folder: parts.claimFolder,
        isCurrent: (own) => store.isCurrent(own),
        signal,
      });
    } catch (error) {
      search?.end();
      // Nobody continues a run that could not begin, so its container is deleted. The account may be unreachable for
      // that, too.
      if (isMade || signal.aborted)
        await storage.deleteContainer(container, AbortSignal.timeout(tidyMs)).catch(() => undefined);
      throw error;
    }
    const state = new RunState(parts, manifest, claim, store);
    state.isNew = true;
    state.poolSearch = search;
    state.tell({
      kind: 'started',
      run: manifest.runId,
      files: manifest.files.length,
      preset: manifest.preset.label,
      presetId: manifest.preset.id,
      at: new Date(state.clock.now()),
    });
    state.tell({ kind: 'containerCreated', container });
    for (const { path, problem } of manifest.refused) state.tell({ kind: 'fileFailed', file: path, problem });
    return new Run(state, claim);
  }

  /**
   * Opens a run that the account holds. Throws `runNotFound`, `runAltered`, or `runTaken` while another window acts on it. A
   * window that was killed on another machine holds its run for another 15 seconds, which `waitMs` can wait for.
   */
  static async open(
    parts: RunParts,
    outputContainer: string,
    signal: AbortSignal,
    { waitMs = 0 }: { waitMs?: number } = {},
  ): Promise<Run> {
    const { storage } = parts;
    const store = new ManifestStore(storage, outputContainer);
    const { runId } = await store.read(signal);
    const claim = await takeClaim(parts, store, { container: outputContainer, runId, waitMs, signal });
    try {
      // Read again: until a moment ago another window may have changed it.
      const manifest = await store.read(signal);
      const state = new RunState(parts, manifest, claim, store);
      const [stored] = await Promise.all([
        readStoredResults(storage, outputContainer, signal),
        checkSeal(storage, outputContainer, manifest, signal),
      ]);
      state.restore(stored);
      state.tell({ kind: 'resumed', run: runId, at: new Date(state.clock.now()) });
      return new Run(state, claim);
    } catch (error) {
      await claim.release();
      throw error;
    }
  }

  get manifest(): Manifest {
    return this.state.manifest;
  }

  get results(): ReadonlyMap<string, FileResult> {
    return this.state.results;
  }

  get progress(): RunProgress {
    return this.state.progress;
  }

  tell(step: Step): void {
    this.state.tell(step);
  }

  /**
   * Continues the run from where it stands. Resolves when it is that far, or when the time limit for watching is over; throws
   * what ended it otherwise, or the signal's reason. When it has settled, nothing goes on in this process.
   *
   * `isAsked`: whether the user asks for it now. A run that was canceled before it was that far goes on only then; otherwise
   * its jobs are ended, and an AbortError is thrown.
   */
  advance(
    until: Until,
    signal: AbortSignal,
    { isAsked = true }: { isAsked?: boolean } = {},
  ): Promise<RunSummary> {
    const isCanceled = !isAsked && until !== 'fetched' && this.manifest.canceled !== undefined;
    const own = anyOf(signal, this.claim.lost, this.#canceled.signal);
    const advancing = isCanceled ? this.#cancelAgain(signal) : this.#advance(until, own);
    this.#working = advancing.catch(() => undefined);
    return advancing;
  }

  async #advance(until: Until, signal: AbortSignal): Promise<RunSummary> {
    const { state } = this;
    let failure: unknown;
    try {
      await this.#setGoal(until, signal);
      if (until === 'fetched')
        state.forget([...state.results.values()].filter(canFetchAgain).map(({ id }) => id));
      const outcome = await this.#workToTheEnd(until, signal);
      if (outcome === 'timeLimit') {
        const { monitorMinutes: minutes } = this.manifest.limits;
        state.tell({ kind: 'timeLimit', job: attemptOf(this.manifest).jobId, minutes });
      } else if (until === 'fetched') await finish(state, signal);
      return summaryOf(state);
    } catch (error) {
      failure = error;
      if (!signal.aborted) await endIfFatal(state, error, signal);
      throw error;
    } finally {
      await this.#takeBackPools(signal.aborted, failure);
      await this.#keepResults();
    }
  }

  async #workToTheEnd(until: Until, signal: AbortSignal): Promise<'done' | 'timeLimit'> {
    for (;;) {
      const outcome = await this.#work(until, signal);
      if (outcome === 'timeLimit') return outcome;
      if (outcome === 'again') continue;
      if (until !== 'fetched' || !(await retryTransfers(this.state, signal))) return outcome;
    }
  }

  /** Works on all attempts with files that have no result, at once. */
  async #work(until: Until, signal: AbortSignal): Promise<'done' | 'again' | 'timeLimit'> {
    const { state } = this;
    // The process that canceled the run may have ended before it had ended the jobs.
    if (state.manifest.canceled) await endAttemptJobs(state, state.manifest.attempts, signal);
    else if (!state.isNew) await repairAttempts(state, until, signal);
    let isOver = false;
    let failed: OpenAttempt | undefined;
    const work = async (open: OpenAttempt, own: AbortSignal) => {
      try {
        if ((await this.#workOn(open, until, own)) === 'timeLimit') isOver = true;
      } catch (error) {
        if (!own.aborted) failed ??= open;
        throw error;
      }
    };
    const all = openAttempts(state.manifest, state.results);
    try {
      state.totals.expect(state.manifest, all, state.results);
      state.tellProgress();
      await together(signal, ...all.map((open) => (own: AbortSignal) => work(open, own)));
    } catch (error) {
      if (signal.aborted) throw error;
      let reason = error;
      try {
        if (await canBeRepaired(state, error, until, signal)) return 'again';
      } catch (other) {
        reason = other;
      }
      // The tasks of other attempts may run.
      if (failed && all.length > 1 && (await endAttemptIfFatal(state, failed, reason, signal)))
        return 'again';
      throw reason;
    } finally {
      state.isNew = false;
    }
    return isOver ? 'timeLimit' : 'done';
  }

  async #workOn({ attempt, open }: OpenAttempt, until: Until, signal: AbortSignal) {
    const { state } = this;
    const submitter = state.manifest.canceled ? undefined : new Submitter(state, attempt);
    if (until !== 'fetched') {
      await submitter?.run(until, signal);
      await submitter?.growForAll(signal);
      return 'completed';
    }
    const collector = new Collector(state, attempt, open);
    if (submitter === undefined) return collector.run(undefined, signal);
    let outcome: Awaited<ReturnType<Collector['run']>> = 'completed';
    const watched = new AbortController();
    await together(
      signal,
      async (own) => {
        await submitter.run('submitted', own);
        await submitter.growForAll(own, watched.signal);
      },
      async (own) => {
        outcome = await collector.run(submitter, own);
        watched.abort();
      },
    );
    return outcome;
  }

  /** Remembers in the account how far the user wants the run to go, before anything is done for it. */
  async #setGoal(until: Until, signal: AbortSignal): Promise<void> {
    const { manifest } = this;
    // A run that was canceled meanwhile must not be revived.
    signal.throwIfAborted();
    const order: readonly Until[] = ['uploaded', 'submitted', 'fetched'];
    const goal = manifest.goal ?? (until === 'fetched' ? 'fetched' : undefined);
    const isFurther = goal === undefined || order.indexOf(until) > order.indexOf(goal);
    const isRevived = manifest.canceled !== undefined && until !== 'fetched';
    if (!isFurther && !isRevived) return;
    if (isFurther) manifest.goal = until;
    if (isRevived) manifest.canceled = undefined;
    await this.state.save(signal);
  }

  /**
   * Takes nodes back for attempts without tasks. Keeps pools with a job if the run was stopped, and all if another window has
   * taken it: their jobs wait for tasks. Does nothing for a canceled run: the cancellation takes the nodes back.
   */
  async #takeBackPools(isStopped: boolean, failure: unknown): Promise<void> {
    if (this.#canceled.signal.aborted || isProblem(failure, 'runTaken')) return;
    if (isProblem(failure, 'runNotFound')) await endEmptyJobs(this.state, AbortSignal.timeout(tidyMs));
    else if (isStopped)
      for (const attempt of this.state.poolsGiven.keys())
        if (attempt.hasJob) this.state.poolsGiven.delete(attempt);
    await takeBackPools(this.state, AbortSignal.timeout(takeBackMs));
  }

  /** What this process knows of its files serves the next one, however the work ended. */
  async #keepResults(): Promise<void> {
    if (this.claim.lost.aborted) return;
    const signal = AbortSignal.timeout(tidyMs);
    await this.state.saveResults(signal).catch(() => undefined);
    // The node-hours so far.
    if (!this.manifest.finished) await this.state.save(signal).catch(() => undefined);
  }

  /** Asks for dedicated nodes instead of Spot nodes that are preempted too often. Resolves with how many. */
  async useDedicatedNodes(signal: AbortSignal): Promise<number> {
    const { batch } = this.state.parts;
    const { pool } = this.manifest;
    const attempt = attemptOf(this.manifest);
    const job = await batch.job(attempt.jobId, { select: 'executionInfo', signal });
    const poolId = attempt.poolId ?? job?.executionInfo?.poolId;
    if (poolId === undefined) throw new UserError({ kind: 'jobEnded', job: attempt.jobId });
    const targets = nodeTargets(pool, tasksOfAttempt(this.manifest, attempt));
    const { lifetime } = pool;
    const { jobId } = attempt;
    this.state.usesDedicatedNodes = true;
    const { dedicated } = await useDedicatedNodes(batch, poolId, targets, { lifetime, jobId, signal });
    return dedicated;
  }

  /**
   * Makes a new attempt for these files, which replaces their outputs. Files whose tasks may still run are left out: they go
   * on. Resolves with the ids of the files that are tried again.
   */
  async retry(fileIds: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    const { state, manifest } = this;
    const running = new Set<string>();
    for (const { attempt, open } of openAttempts(manifest, state.results)) {
      const job = await state.parts.batch.job(attempt.jobId, { select: 'id,state', signal });
      if (job !== undefined && !hasEnded(job)) for (const id of open) running.add(id);
    }
    const again = fileIds.filter((id) => !running.has(id));
    if (again.length === 0) return again;
    const isAgain = new Set(again);
    const files = manifest.files.filter(({ id }) => isAgain.has(id));
    await deleteBadPieces({ storage: state.parts.storage, manifest }, files, state.results, signal);
    manifest.attempts.push(retryAttempt(manifest, again, state.results));
    manifest.finished = undefined;
    manifest.canceled = undefined;
    state.forget(again);
    await state.saveResults(signal);
    await state.save(signal);
    return again;
  }

  /**
   * Cancels the run: saves that it is canceled, stops the work of this process, waits until it has settled, ends the jobs, and
   * checks for what was being created meanwhile. Completed tasks and their outputs stay. Throws `runTaken` after `close`.
   */
  async cancel(signal: AbortSignal): Promise<void> {
    if (this.claim.isReleased) throw new UserError({ kind: 'runTaken', run: this.manifest.runId });
    // First of all: whatever is saved from here on says so, and if this process ends, the next one doesn't go on with the run.
    const before = this.manifest.canceled;
    this.manifest.canceled = new Date(this.state.now()).toISOString();
    this.#canceled.abort();
    const canceling = this.#cancel(signal, before);
    this.#canceling = canceling.catch(() => undefined);
    return canceling;
  }

  /** The process that canceled the run may have ended before the jobs had. */
  async #cancelAgain(signal: AbortSignal): Promise<never> {
    await this.cancel(signal);
    throw this.#canceled.signal.reason;
  }

  /** `before`: when the run was canceled before, maybe by another process, which is not taken back. */
  async #cancel(signal: AbortSignal, before: string | undefined): Promise<void> {
    const { state, manifest } = this;
    const saving = state.save(signal);
    const [saved, ended] = await Promise.allSettled([saving, this.#endAllJobs(signal)]);
    if (ended.status === 'rejected') {
      // Tasks may still run.
      manifest.canceled = before;
      // The signal may have aborted: the time for the cancellation is over.
      await state.save(AbortSignal.timeout(tidyMs)).catch(() => undefined);
      throw ended.reason;
    }
    await takeBackPools(state, anyOf(signal, AbortSignal.timeout(takeBackMs)));
    if (saved.status === 'rejected') throw saved.reason;
  }

  /**
   * Ends the jobs whose tasks cost money at once: the work of this process may take long to settle, for example while it
   * makes a pool. Then ends those that it was creating.
   */
  async #endAllJobs(signal: AbortSignal): Promise<void> {
    const known = this.manifest.attempts.filter(({ hasJob, submitted }) => hasJob || submitted !== undefined);
    const [ended] = await Promise.allSettled([endAttemptJobs(this.state, known, signal), this.#working]);
    if (ended.status === 'rejected') throw ended.reason;
    const others = this.manifest.attempts.filter((attempt) => !known.includes(attempt));
    await endAttemptJobs(this.state, others, signal);
  }

  /** Gives up the right to act on the run, after a cancel has ended, so that another window can act at once. */
  async close(): Promise<void> {
    this.state.poolSearch?.end();
    await this.#canceling;
    await this.claim.release();
  }
}

function isProblem(error: unknown, kind: Problem['kind']): boolean {
  return error instanceof UserError && error.problem.kind === kind;
}
