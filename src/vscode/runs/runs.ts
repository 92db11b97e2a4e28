import { EventEmitter, type LogOutputChannel, type Memento } from 'vscode';
import type { AccountRecord, Connection } from '../../core/azure/account';
import { type Problem, UserError, type WaitReason } from '../../core/errors';
import type { FileResult, Manifest } from '../../core/plan/manifest';
import type { PlannedRun } from '../../core/plan/planRun';
import type { Run, RunParts, Until } from '../../core/runs/run';
import type { RunEvent, RunSummary } from '../../core/runs/runEvents';
import { DisposableStore } from '../disposable';
import { settings } from '../settings';
import {
  cancelMs,
  type Failure,
  failureOf,
  type LiveRun,
  liveRun,
  type Opening,
  type OpeningRun,
  ServiceHealth,
} from './liveRun';
import { isToContinue, mergeRecords, type RunRecord, recordOf, withRecord } from './runRecord';

export interface ResumeOptions {
  /** Prepares the run before it continues: chooses files to transcode again, for example. */
  readonly prepare?: (run: Run, signal: AbortSignal) => Promise<void>;
  /** Milliseconds to wait for another window to release the run. */
  readonly waitMs?: number;
  /** Whether the run goes on because this window opened, not because the user asks: a canceled run is only ended. */
  readonly isInterrupted?: boolean;
}

export interface EndedRun {
  readonly account: AccountRecord;
  readonly manifest: Manifest;
  readonly results: readonly FileResult[];
}

const stateKey = 'runs';
const forgottenKey = 'forgottenRuns';
const maxForgotten = 200;

/** What a run is to do. */
interface Asked {
  readonly runId: string;
  readonly until: Until;
  readonly isNew: boolean;
  /** Whether the user asks for it now. */
  readonly isAsked: boolean;
  /** Whether files are chosen to be transcoded again before the run goes on. */
  readonly isRetry?: boolean;
}

/** The runs of this workspace: those that this window works on, and those that it remembers. */
export class Runs {
  readonly #changed = new EventEmitter<string | undefined>();
  /** Fires with the id of a run that changed, or with undefined when the list did. */
  readonly onChanged = this.#changed.event;
  readonly #waiting = new EventEmitter<void>();
  /** Fires when a run stopped because its account can't be used for now: it is to continue by itself. */
  readonly onWaiting = this.#waiting.event;
  readonly #cancelAsked = new EventEmitter<string>();
  /** Fires with the id of a run that waits for its account when the user cancels it. */
  readonly onCancelAsked = this.#cancelAsked.event;
  readonly #troubled = new EventEmitter<{ runId: string; problem: Problem }>();
  /** Fires with a problem that the user should know of although the run goes on. */
  readonly onTrouble = this.#troubled.event;
  readonly #ended = new EventEmitter<EndedRun>();
  /** Fires when this window stops working on a run: pools, jobs and containers of its account have changed. */
  readonly onEnded = this.#ended.event;
  readonly #live = new Map<string, LiveRun>();
  readonly #opening = new Map<string, Opening>();
  /** When this window last worked on a run: milliseconds since 1970. */
  readonly #changedAt = new Map<string, number>();
  /** Cancellations, by the ids of their runs. Each resolves with why the account did not take it. */
  readonly #canceling = new Map<string, Promise<Failure | undefined>>();
  #isDisposed = false;
  readonly #disposables = new DisposableStore();

  constructor(
    private readonly state: Memento,
    private readonly log: LogOutputChannel,
    readonly claimFolder: string,
  ) {
    const emitters = [this.#changed, this.#waiting, this.#cancelAsked, this.#troubled, this.#ended];
    for (const emitter of emitters) this.#disposables.add(emitter);
  }

  /** Newest first. */
  get records(): RunRecord[] {
    return this.state.get<RunRecord[]>(stateKey, []);
  }

  /** Whether runs are to be continued without being asked: those that a window was working on, and those that wait. */
  get hasToContinue(): boolean {
    return this.records.some(isToContinue);
  }

  record(runId: string): RunRecord | undefined {
    return this.records.find((record) => record.runId === runId);
  }

  live(runId: string): LiveRun | undefined {
    return this.#live.get(runId);
  }

  /** Whether this window works on a run, also while it opens the run. */
  isWorkingOn(runId: string): boolean {
    return this.#live.has(runId) || this.#opening.has(runId);
  }

  /** A run that this window is creating or opening. */
  opening(runId: string): OpeningRun | undefined {
    return this.#opening.get(runId);
  }

  get liveRuns(): LiveRun[] {
    return [...this.#live.values()];
  }

  /** Starts a run and works on it until it is that far. The run is listed before anything of it exists. */
  async start(connection: Connection, planned: PlannedRun, until: Until): Promise<RunSummary> {
    const { runId } = planned.manifest;
    const asked = { runId, until, isNew: true, isAsked: true };
    return this.#work(connection, asked, async (parts, signal) => {
      const { begunNow } = await import('../../core/plan/planRun');
      const manifest = begunNow(planned.manifest, until);
      await this.#remember(recordOf(connection.account.id, manifest, [], 'running', until));
      const { Run } = await import('../../core/runs/run');
      const run = await Run.create(parts, manifest, signal);
      for (const note of planned.notes) run.tell({ kind: 'noted', note });
      return run;
    });
  }

  /** Continues a run that the account holds. */
  async resume(
    connection: Connection,
    outputContainer: string,
    until: Until,
    { prepare, waitMs, isInterrupted = false }: ResumeOptions = {},
  ): Promise<RunSummary> {
    const runId = outputContainer.replace(/^transcode-|-output$/g, '');
    const isCanceling = isInterrupted && this.record(runId)?.isCanceling === true;
    const asked = { runId, until, isNew: false, isAsked: !isInterrupted, isRetry: prepare !== undefined };
    return this.#work(connection, asked, async (parts, signal) => {
      const { Run } = await import('../../core/runs/run');
      const run = await Run.open(parts, outputContainer, signal, { waitMs });
      try {
        if (isCanceling) await this.cancel(runId);
        await prepare?.(run, signal);
      } catch (error) {
        await run.close();
        throw error;
      }
      return run;
    });
  }

  /** Stops working on a run, at any moment. Its tasks go on. */
  stop(runId: string, reason?: unknown): void {
    this.#live.get(runId)?.stop(reason);
    this.#opening.get(runId)?.abort.abort(reason);
  }

  /** Cancels a run, at any moment: also while it is being created or waits for another window to release it. */
  async cancel(runId: string): Promise<void> {
    const opening = this.#opening.get(runId);
    if (opening) {
      opening.isCanceled = true;
      this.#changed.fire(runId);
      // A run that exists has to be opened before its jobs can be ended.
      if (opening.isNew) opening.abort.abort();
    }
    const canceling = opening ? undefined : this.#cancel(runId);
    // Noted here as well: this window may close before the account holds it.
    await Promise.all([canceling, this.#noteCanceling(runId)]);
  }

  async #cancel(runId: string): Promise<void> {
    const live = this.#live.get(runId);
    if (live === undefined) return;
    const canceling = this.#tryCancel(live);
    this.#canceling.set(runId, canceling);
    const failure = await canceling;
    if (failure) throw failure.error;
  }

  async #tryCancel(live: LiveRun): Promise<Failure | undefined> {
    try {
      await live.cancel();
      return undefined;
    } catch (error) {
      return failureOf(error, live.account, { isCanceling: true });
    }
  }

  /** Also of a run that waits for its account: it is canceled as soon as that can be used. */
  async #noteCanceling(runId: string): Promise<void> {
    const waits = !this.isWorkingOn(runId);
    if (waits && this.record(runId)?.waitsFor === undefined) return;
    await this.#change(runId, { isCanceling: true });
    if (waits) this.#cancelAsked.fire(runId);
  }

  async #change(runId: string, change: Partial<RunRecord>): Promise<void> {
    const record = this.record(runId);
    if (record) await this.#save(withRecord(this.records, { ...record, ...change }));
  }

  /** Removes a run from the list, for good. Nothing in the account is changed. */
  async forget(runId: string): Promise<void> {
    const forgotten = [runId, ...this.#forgotten].slice(0, maxForgotten);
    await this.state.update(forgottenKey, forgotten);
    await this.#save(this.records.filter((record) => record.runId !== runId));
  }

  /**
   * Merges what an account holds into the list: records of other windows, sessions and machines are added, and runs of
   * the account that no longer exist are dropped. What this window has worked on since `since` (milliseconds since 1970),
   * when the account began to be read, stays as it is.
   */
  async merge(accountId: string, found: readonly RunRecord[], since = Date.now()): Promise<void> {
    const isNewer = (runId: string) => this.#live.has(runId) || (this.#changedAt.get(runId) ?? 0) >= since;
    const isKept = ({ runId }: RunRecord) => isNewer(runId);
    const forgotten = new Set(this.#forgotten);
    const before = this.records;
    const merged = mergeRecords(
      before,
      accountId,
      found.filter(({ runId }) => !forgotten.has(runId) && !isNewer(runId)),
      isKept,
    );
    if (JSON.stringify(merged) !== JSON.stringify(before)) await this.#save(merged);
  }

  /** Stops working on all runs, as a window does when it closes. The runs go on in their accounts. */
  dispose(): void {
    for (const live of this.#live.values()) live.stop();
    // A run that is being created is not undone: the next window continues it.
    this.#isDisposed = true;
    this.#disposables.dispose();
  }

  get #forgotten(): string[] {
    return this.state.get<string[]>(forgottenKey, []);
  }

  async #work(
    connection: Connection,
    asked: Asked,
    open: (parts: RunParts, signal: AbortSignal) => Promise<Run>,
  ): Promise<RunSummary> {
    const { runId, until, isNew, isAsked } = asked;
    if (this.isWorkingOn(runId)) throw new UserError({ kind: 'runTaken', run: runId, here: true });
    const { account } = connection;
    // From here on the run can be canceled: it is in one of the two maps until it has ended.
    const [abort, answers] = [new AbortController(), new ServiceHealth(() => this.#changed.fire(runId))];
    const opening: Opening = { abort, answers, isNew, isCanceled: false };
    this.#opening.set(runId, opening);
    this.#changed.fire(runId);
    const [{ TimeLeft }, run] = await Promise.all([
      import('../../core/estimates/timeLeft'),
      this.#open(connection, asked, opening, open),
    ]).finally(() => this.#opening.delete(runId));
    const remember = (status: Parameters<typeof recordOf>[3], waitsFor?: WaitReason) => {
      const isCanceling = waitsFor && this.record(runId)?.isCanceling;
      const record = recordOf(account.id, run.manifest, [...run.results.values()], status, until);
      return this.#remember({ ...record, waitsFor, isCanceling });
    };
    this.#live.set(
      runId,
      liveRun(account, run, { estimator: new TimeLeft(run.manifest.files), abort, answers }),
    );
    let status: Parameters<typeof recordOf>[3] = 'stopped';
    let waitsFor: WaitReason | undefined;
    try {
      if (opening.isCanceled) await this.cancel(runId);
      else await remember('running');
      const summary = await run.advance(until, abort.signal, { isAsked });
      if (until !== 'fetched') status = until;
      return summary;
    } catch (error) {
      const failure = await failureOf(error, account);
      waitsFor = failure.reason;
      throw failure.error;
    } finally {
      // Until its record is written the run belongs to this window: it is neither shown as taken by another window nor
      // as interrupted.
      await run
        .close()
        .finally(async () => {
          waitsFor ??= (await this.#canceling.get(runId))?.reason;
          this.#canceling.delete(runId);
          // A window that closes leaves its runs to the next one.
          const isLeft = this.#isDisposed && !run.manifest.finished && !run.manifest.canceled;
          return remember(status === 'stopped' && isLeft ? 'running' : status, waitsFor);
        })
        .finally(() => this.#live.delete(runId));
      this.#changed.fire(undefined);
      if (waitsFor) this.#waiting.fire();
      this.#ended.fire({ account, manifest: run.manifest, results: [...run.results.values()] });
    }
  }

  async #open(
    connection: Connection,
    asked: Asked,
    opening: Opening,
    open: (parts: RunParts, signal: AbortSignal) => Promise<Run>,
  ): Promise<Run> {
    const { abort, isNew } = opening;
    const { runId } = asked;
    try {
      const parts = await this.#parts(connection, runId, opening.answers);
      const run = await open(parts, abort.signal);
      if (!opening.isCanceled && !abort.signal.aborted && !this.#isDisposed) return run;
      try {
        if (opening.isCanceled) await run.cancel(AbortSignal.timeout(cancelMs));
      } finally {
        await run.close();
      }
      const { manifest, results } = run;
      if (!this.#isDisposed)
        await this.#remember(recordOf(connection.account.id, manifest, [...results.values()], 'stopped'));
      abort.abort();
      throw abort.signal.reason;
    } catch (error) {
      const isTaken = error instanceof UserError && error.problem.kind === 'runTaken';
      if (this.#isDisposed) throw error;
      if (isNew) await this.#save(this.records.filter((record) => record.runId !== runId));
      else if (!isTaken) await this.stopped(connection.account, asked, error);
      throw error;
    }
  }

  /**
   * Notes that a run cannot be opened: it is not resumed with each new window, unless it waits for its account, and then it
   * goes as far as was asked. Throws what ends it.
   */
  async stopped(
    account: AccountRecord,
    { runId, until, isRetry }: Pick<Asked, 'runId' | 'until' | 'isRetry'>,
    error: unknown,
  ): Promise<never> {
    const record = this.record(runId);
    const { reason, error: told } = await failureOf(error, account, { isCanceling: record?.isCanceling });
    // The record has no place for what is to be retried: the user asks again.
    if (reason && isRetry && !record?.isCanceling) throw error;
    const status = record?.status === 'running' ? 'stopped' : record?.status;
    const isCanceling = reason && record?.isCanceling;
    await this.#change(runId, { status, waitsFor: reason, isCanceling, ...(reason && { until }) });
    if (record === undefined || reason === undefined) throw error;
    this.#waiting.fire();
    throw told;
  }

  async #parts(connection: Connection, runId: string, answers: ServiceHealth): Promise<RunParts> {
    const [{ Batch }, { Storage }, { Transfers }, { DiskFiles }, { outputUri, WorkspaceFiles }, story] =
      await Promise.all([
        import('../../core/azure/batch'),
        import('../../core/azure/storage'),
        import('../../core/transfers/transfers'),
        import('../../core/files/localFiles'),
        import('../workspaceFiles'),
        import('../words/story'),
      ]);
    const report = (event: RunEvent) => {
      if (event.kind === 'step') {
        const line = story.storyLine(event.step);
        if (story.isTrouble(event.step)) this.log.warn(line);
        else this.log.info(line);
        if (event.step.kind === 'trouble') this.#troubled.fire({ runId, problem: event.step.problem });
      }
      this.#changed.fire(runId);
    };
    const storage = new Storage(connection, answers.policy('storage', report));
    const files = new WorkspaceFiles(new DiskFiles());
    return {
      batch: new Batch(connection, answers.policy('batch', report)),
      storage,
      transfers: new Transfers(storage, files, { parallel: settings().parallel }),
      files,
      outputUri,
      report,
      claimFolder: this.claimFolder,
    };
  }

  async #remember(record: RunRecord): Promise<void> {
    this.#changedAt.set(record.runId, Date.now());
    await this.#save(withRecord(this.records, record));
  }

  async #save(records: readonly RunRecord[]): Promise<void> {
    await this.state.update(stateKey, records);
    this.#changed.fire(undefined);
  }
}
