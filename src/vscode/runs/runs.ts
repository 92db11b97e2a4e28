import { EventEmitter, type LogOutputChannel, type Memento, Uri, workspace } from 'vscode';
import type { AccountRecord, Connection } from '../../core/azure/account';
import type { RetryNotice } from '../../core/azure/retry';
import { type Problem, UserError } from '../../core/errors';
import type { TimeLeft } from '../../core/estimates/timeLeft';
import type { FileResult, Manifest, ManifestFile } from '../../core/plan/manifest';
import type { PlannedRun } from '../../core/plan/planRun';
import type { Run, RunParts, Until } from '../../core/runs/run';
import type { RunEvent, RunProgress, RunSummary } from '../../core/runs/runEvents';
import { DisposableStore } from '../disposable';
import { settings } from '../settings';
import { mergeRecords, type RunRecord, recordOf } from './runRecord';

export interface ResumeOptions {
  /** Prepares the run before it continues: chooses files to transcode again, for example. */
  readonly prepare?: (run: Run, signal: AbortSignal) => Promise<void>;
  /** Milliseconds to wait for another window to release the run. */
  readonly waitMs?: number;
  /** Whether the run goes on because this window opened, not because the user asks: a canceled run is only ended. */
  readonly isInterrupted?: boolean;
}

/** A run that this window is working on. */
export interface LiveRun {
  readonly account: AccountRecord;
  readonly manifest: Manifest;
  readonly progress: RunProgress;
  readonly results: ReadonlyMap<string, FileResult>;
  /** Milliseconds that the run still takes, if known. */
  timeLeft(): number | undefined;
  /** The share of the work that is done, from 0 to 1. */
  share(): number;
  /** Stops working on the run, with the reason. Its tasks go on. */
  stop(reason?: unknown): void;
  /** Stops working on the run, waits until that has settled, and ends its jobs. */
  cancel(): Promise<void>;
  /** Enables a job of the run that was disabled. */
  enableJob(jobId: string): Promise<void>;
  /** Asks for dedicated nodes instead of Spot nodes. Resolves with how many. */
  useDedicatedNodes(): Promise<number>;
}

export interface EndedRun {
  readonly account: AccountRecord;
  readonly manifest: Manifest;
  readonly results: readonly FileResult[];
}

const stateKey = 'runs';
const forgottenKey = 'forgottenRuns';
const maxForgotten = 200;

/** An estimate changes slowly, and every view of a run asks for it. */
const estimateMs = 500;

/** How long a run tries to reach a service that throttles or does not answer. */
const patienceMs = 15 * 60_000;

/** Within this time the jobs and auto pools of a canceled run are ended. */
const cancelMs = 10 * 60_000;

/** A run that is being created or opened. */
interface Opening {
  readonly abort: AbortController;
  readonly isNew: boolean;
  isCanceled: boolean;
}

/** The runs of this workspace: those that this window works on, and those that it remembers. */
export class Runs {
  readonly #changed = new EventEmitter<string | undefined>();
  /** Fires with the id of a run that changed, or with undefined when the list did. */
  readonly onChanged = this.#changed.event;
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
  #isDisposed = false;
  readonly #disposables = new DisposableStore();

  constructor(
    private readonly state: Memento,
    private readonly log: LogOutputChannel,
    readonly claimFolder: string,
  ) {
    for (const emitter of [this.#changed, this.#troubled, this.#ended]) this.#disposables.add(emitter);
  }

  /** Newest first. */
  get records(): RunRecord[] {
    return this.state.get<RunRecord[]>(stateKey, []);
  }

  /** The runs whose last record says that a window works on them: at its start, those that were interrupted. */
  get interrupted(): RunRecord[] {
    return this.records.filter(({ status }) => status === 'running');
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

  /** Whether this window is creating or opening a run, which has no numbers yet. */
  isOpening(runId: string): boolean {
    return this.#opening.has(runId);
  }

  get liveRuns(): LiveRun[] {
    return [...this.#live.values()];
  }

  /** Starts a run and works on it until it is that far. The run is listed before anything of it exists. */
  async start(connection: Connection, planned: PlannedRun, until: Until): Promise<RunSummary> {
    const { runId } = planned.manifest;
    return this.#work(connection, until, { runId, isNew: true, isAsked: true }, async (parts, signal) => {
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
    const asked = { runId, isNew: false, isAsked: !isInterrupted };
    return this.#work(connection, until, asked, async (parts, signal) => {
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
      // A run that exists has to be opened before its jobs can be ended.
      if (opening.isNew) opening.abort.abort();
    }
    const canceling = opening ? undefined : this.#live.get(runId)?.cancel();
    // Noted here as well: this window may close before the account holds it.
    await Promise.all([canceling, this.#noteCanceling(runId)]);
  }

  async #noteCanceling(runId: string): Promise<void> {
    const note = (record: RunRecord) => (record.runId === runId ? { ...record, isCanceling: true } : record);
    if (this.isWorkingOn(runId)) await this.#save(this.records.map(note));
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
    until: Until,
    { runId, isNew, isAsked }: { runId: string; isNew: boolean; isAsked: boolean },
    open: (parts: RunParts, signal: AbortSignal) => Promise<Run>,
  ): Promise<RunSummary> {
    if (this.isWorkingOn(runId)) throw new UserError({ kind: 'runTaken', run: runId, here: true });
    const { account } = connection;
    // From here on the run can be canceled: it is in one of the two maps until it has ended.
    const opening: Opening = { abort: new AbortController(), isNew, isCanceled: false };
    this.#opening.set(runId, opening);
    this.#changed.fire(runId);
    const [{ TimeLeft }, run] = await Promise.all([
      import('../../core/estimates/timeLeft'),
      this.#open(connection, runId, opening, open),
    ]).finally(() => this.#opening.delete(runId));
    const remember = (status: Parameters<typeof recordOf>[3]) =>
      this.#remember(recordOf(account.id, run.manifest, [...run.results.values()], status, until));
    this.#live.set(runId, liveRun(account, run, new TimeLeft(run.manifest.files), opening.abort));
    let status: Parameters<typeof recordOf>[3] = 'stopped';
    try {
      if (opening.isCanceled) await this.cancel(runId);
      else await remember('running');
      const summary = await run.advance(until, opening.abort.signal, { isAsked });
      if (until !== 'fetched') status = until;
      return summary;
    } finally {
      // Until its record is written the run belongs to this window: it is neither shown as taken by another window nor
      // as interrupted.
      await run
        .close()
        .finally(() => remember(status))
        .finally(() => this.#live.delete(runId));
      this.#changed.fire(undefined);
      this.#ended.fire({ account, manifest: run.manifest, results: [...run.results.values()] });
    }
  }

  async #open(
    connection: Connection,
    runId: string,
    opening: Opening,
    open: (parts: RunParts, signal: AbortSignal) => Promise<Run>,
  ): Promise<Run> {
    const { abort, isNew } = opening;
    try {
      const parts = await this.#parts(connection, runId);
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
      else if (!isTaken) await this.#markStopped(runId);
      throw error;
    }
  }

  /** A run that cannot be opened is not resumed with each new window. */
  async #markStopped(runId: string): Promise<void> {
    const isMarked = (record: RunRecord) => record.runId === runId && record.status === 'running';
    await this.#save(
      this.records.map((record) =>
        isMarked(record) ? { ...record, status: 'stopped', isCanceling: undefined } : record,
      ),
    );
  }

  async #parts(connection: Connection, runId: string): Promise<RunParts> {
    const [{ Batch }, { Storage }, { Transfers }, { DiskFiles }, { WorkspaceFiles }, story] =
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
    const patient = (service: 'batch' | 'storage') => ({
      patienceMs,
      onRetry: (notice: RetryNotice) => report({ kind: 'step', step: { kind: 'waiting', service, notice } }),
    });
    const storage = new Storage(connection, patient('storage'));
    const files = new WorkspaceFiles(new DiskFiles());
    return {
      batch: new Batch(connection, patient('batch')),
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
    await this.#save(mergeRecords(this.records, record.accountId, [record], () => true));
  }

  async #save(records: readonly RunRecord[]): Promise<void> {
    await this.state.update(stateKey, records);
    this.#changed.fire(undefined);
  }
}

function liveRun(account: AccountRecord, run: Run, estimator: TimeLeft, abort: AbortController): LiveRun {
  const { progress } = run;
  let estimate: { at: number; ms: number | undefined } | undefined;
  return {
    account,
    manifest: run.manifest,
    progress,
    results: run.results,
    timeLeft() {
      const now = Date.now();
      if (estimate === undefined || now - estimate.at >= estimateMs)
        estimate = { at: now, ms: estimator.estimate(now, progress, run.results) };
      return estimate.ms;
    },
    share: () => estimator.share(Date.now(), progress, run.results),
    stop: (reason) => abort.abort(reason),
    cancel: () => run.cancel(AbortSignal.timeout(cancelMs)),
    enableJob: (jobId) => run.state.parts.batch.enableJob(jobId, AbortSignal.timeout(120_000)),
    useDedicatedNodes: () => run.useDedicatedNodes(AbortSignal.timeout(120_000)),
  };
}

/** Beside the source, where it was; or, in another copy of the workspace, where its path leads. */
function outputUri(file: ManifestFile, name: string): string {
  return Uri.joinPath(sourceUri(file), '..', ...name.split('/')).toString();
}

/** Where the source of a file is in this window. */
export function sourceUri({ uri, path }: Pick<ManifestFile, 'uri' | 'path'>): Uri {
  const source = Uri.parse(uri);
  const folders = workspace.workspaceFolders ?? [];
  const [first] = folders;
  const isAbsolute = /^([/\\]|[A-Za-z]:)/.test(path);
  if (isAbsolute || first === undefined || workspace.getWorkspaceFolder(source)) return source;
  // In a workspace of several folders, paths begin with the name of theirs.
  const named = folders.length > 1 ? folders.find(({ name }) => path.startsWith(`${name}/`)) : undefined;
  return named ? Uri.joinPath(named.uri, path.slice(named.name.length + 1)) : Uri.joinPath(first.uri, path);
}
