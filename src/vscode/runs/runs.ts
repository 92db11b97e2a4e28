import { EventEmitter, type LogOutputChannel, type Memento, Uri, workspace } from 'vscode';
import type { AccountRecord, Connection } from '../../core/azure/account';
import type { RetryNotice } from '../../core/azure/retry';
import { type Problem, UserError } from '../../core/errors';
import type { FileResult, Manifest, ManifestFile } from '../../core/plan/manifest';
import type { PlannedRun } from '../../core/plan/planRun';
import type { Run, RunParts, Until } from '../../core/runs/run';
import type { RunEvent, RunProgress, RunSummary } from '../../core/runs/runEvents';
import { DisposableStore } from '../disposable';
import { settings } from '../settings';
import { presetName } from '../words/presetLabels';
import { isTrouble, storyLine } from '../words/story';

/** A run of this workspace, as this window remembers it. The truth is in the account. */
export interface RunRecord {
  readonly runId: string;
  readonly accountId: string;
  readonly outputContainer: string;
  /** ISO 8601. */
  readonly created: string;
  readonly preset: string;
  readonly files: number;
  /** URIs of its sources, as many as are remembered: by them its uploads and outputs are found again. */
  readonly sources: readonly string[];
  /** URIs of its outputs, as far as they are known here and as many as are remembered. */
  readonly outputs?: readonly string[];
  /** Without a dot; empty if each output is a folder. Undefined in records of earlier versions. */
  readonly outputExtension?: string;
  readonly status: 'running' | 'uploaded' | 'submitted' | 'stopped' | 'finished';
  /** How far the user wants the run to go. Default: `fetched`. */
  readonly until?: Until;
  readonly succeeded?: number;
  readonly failed?: number;
}

export interface ResumeOptions {
  /** Files to submit once more. */
  readonly retry?: (run: Run) => readonly string[];
  /** How long to wait for another window to let the run go. */
  readonly waitMs?: number;
}

/** A run this window is working on. */
export interface LiveRun {
  readonly manifest: Manifest;
  readonly progress: RunProgress;
  readonly results: ReadonlyMap<string, FileResult>;
  /** When this window began to work on it: milliseconds since 1970. */
  readonly since: number;
  /** Stops the work on it in this window; its tasks go on. */
  stop(reason?: unknown): void;
  /** Stops the work on it, waits until that has settled, and ends its jobs. */
  cancel(): Promise<void>;
  /** Has its pool go on with dedicated nodes; resolves with how many. */
  useDedicatedNodes(): Promise<number>;
}

const stateKey = 'runs';
const remembered = 50;
const sourcesRemembered = 500;

/** How long a run goes on trying to reach a service that is throttling or away. */
const patienceMs = 15 * 60_000;

/** Within this time the jobs and auto pools of a canceled run are ended. */
const cancelMs = 10 * 60_000;

/** A run that is being created or opened. */
interface Opening {
  readonly abort: AbortController;
  readonly isNew: boolean;
  isCanceled: boolean;
}

/** The runs of this workspace: those being worked on here, and those remembered. */
export class Runs {
  readonly #changed = new EventEmitter<string | undefined>();
  /** Fires with the id of the run that changed, or undefined when runs came or went. */
  readonly onChanged = this.#changed.event;
  readonly #troubled = new EventEmitter<{ runId: string; problem: Problem }>();
  /** Fires with what a person should know of a run that goes on. */
  readonly onTrouble = this.#troubled.event;
  readonly #live = new Map<string, LiveRun>();
  readonly #opening = new Map<string, Opening>();
  #isDisposed = false;
  readonly #disposables = new DisposableStore();

  constructor(
    private readonly state: Memento,
    private readonly log: LogOutputChannel,
    private readonly claimFolder: string,
  ) {
    this.#disposables.add(this.#changed);
    this.#disposables.add(this.#troubled);
  }

  /** Newest first. */
  get records(): RunRecord[] {
    return this.state.get<RunRecord[]>(stateKey, []);
  }

  /** The remembered run of this id. */
  record(runId: string): RunRecord | undefined {
    return this.records.find((record) => record.runId === runId);
  }

  live(runId: string): LiveRun | undefined {
    return this.#live.get(runId);
  }

  get liveRuns(): LiveRun[] {
    return [...this.#live.values()];
  }

  /** Starts a run and works on it until it is that far. The run is remembered before anything of it exists. */
  async start(connection: Connection, planned: PlannedRun, until: Until): Promise<RunSummary> {
    const manifest: Manifest = { ...planned.manifest, goal: until };
    const { runId } = manifest;
    await this.#remember(connection.account, manifest, { status: 'running', until });
    return this.#work(connection, until, { runId, isNew: true }, async (parts, signal) => {
      const { Run } = await import('../../core/runs/run');
      const run = await Run.create(parts, manifest, signal);
      for (const note of planned.notes) run.tell({ kind: 'noted', note });
      return run;
    });
  }

  /** Goes on with a run that the account holds. */
  async resume(
    connection: Connection,
    outputContainer: string,
    until: Until,
    { retry, waitMs }: ResumeOptions = {},
  ): Promise<RunSummary> {
    const runId = outputContainer.replace(/^transcode-|-output$/g, '');
    return this.#work(connection, until, { runId, isNew: false }, async (parts, signal) => {
      const { Run } = await import('../../core/runs/run');
      const run = await Run.open(parts, outputContainer, signal, { waitMs });
      try {
        if (retry) await run.retry(retry(run), signal);
        return run;
      } catch (error) {
        await run.close();
        throw error;
      }
    });
  }

  /** Stops the work on a run in this window, at any moment; its tasks go on. */
  stop(runId: string, reason?: unknown): void {
    this.#live.get(runId)?.stop(reason);
    this.#opening.get(runId)?.abort.abort(reason);
  }

  /** Cancels a run at any moment, also while it is being created or waits for another window to let it go. */
  async cancel(runId: string): Promise<void> {
    const opening = this.#opening.get(runId);
    if (opening === undefined) return this.#live.get(runId)?.cancel();
    opening.isCanceled = true;
    // A run that exists has to be opened before its jobs can be ended.
    if (opening.isNew) opening.abort.abort();
  }

  async forget(runId: string): Promise<void> {
    await this.state.update(
      stateKey,
      this.records.filter((record) => record.runId !== runId),
    );
    this.#changed.fire(undefined);
  }

  /** Stops working on all runs, which go on in the account: what a closing window does. */
  dispose(): void {
    for (const live of this.#live.values()) live.stop();
    // A run that is being created is not undone: the next window continues it.
    this.#isDisposed = true;
    this.#disposables.dispose();
  }

  async #work(
    connection: Connection,
    until: Until,
    { runId, isNew }: { runId: string; isNew: boolean },
    open: (parts: RunParts, signal: AbortSignal) => Promise<Run>,
  ): Promise<RunSummary> {
    if (this.#live.has(runId) || this.#opening.has(runId))
      throw new UserError({ kind: 'runTaken', run: runId });
    const opening: Opening = { abort: new AbortController(), isNew, isCanceled: false };
    const { abort } = opening;
    const run = await this.#open(connection, runId, opening, open);
    const { manifest, progress, results } = run;
    this.#live.set(runId, {
      manifest,
      progress,
      results,
      since: Date.now(),
      stop: (reason) => abort.abort(reason),
      cancel: () => run.cancel(AbortSignal.timeout(cancelMs)),
      useDedicatedNodes: () => run.useDedicatedNodes(AbortSignal.timeout(120_000)),
    });
    await this.#remember(connection.account, manifest, { status: 'running', until });
    let status: RunRecord['status'] = 'stopped';
    try {
      const summary = await run.advance(until, abort.signal);
      status = statusOf(until, manifest);
      return summary;
    } finally {
      this.#live.delete(runId);
      await run.close();
      const failed = [...results.values()].filter(({ problem }) => problem).length;
      await this.#remember(connection.account, manifest, {
        status,
        until,
        succeeded: results.size - failed,
        failed: failed + manifest.refused.length,
      });
    }
  }

  async #open(
    connection: Connection,
    runId: string,
    opening: Opening,
    open: (parts: RunParts, signal: AbortSignal) => Promise<Run>,
  ): Promise<Run> {
    const { abort, isNew } = opening;
    this.#opening.set(runId, opening);
    try {
      const parts = await this.#parts(connection, (event) => this.#heard(runId, event));
      const run = await open(parts, abort.signal);
      if (!opening.isCanceled && !abort.signal.aborted && !this.#isDisposed) return run;
      try {
        if (opening.isCanceled) await run.cancel(AbortSignal.timeout(cancelMs));
      } finally {
        await run.close();
      }
      abort.abort();
      throw abort.signal.reason;
    } catch (error) {
      const taken = error instanceof UserError && error.problem.kind === 'runTaken';
      if (this.#isDisposed) throw error;
      if (isNew) await this.forget(runId);
      else if (!taken) await this.#markStopped(runId);
      throw error;
    } finally {
      this.#opening.delete(runId);
    }
  }

  /** A run that cannot be opened is not taken up again at each start. */
  async #markStopped(runId: string): Promise<void> {
    const records = this.records.map((record) =>
      record.runId === runId && record.status === 'running'
        ? { ...record, status: 'stopped' as const }
        : record,
    );
    await this.state.update(stateKey, records);
    this.#changed.fire(runId);
  }

  async #parts(connection: Connection, report: (event: RunEvent) => void): Promise<RunParts> {
    const [{ Batch }, { Storage }, { Transfers }, { DiskFiles }, { WorkspaceFiles }] = await Promise.all([
      import('../../core/azure/batch'),
      import('../../core/azure/storage'),
      import('../../core/transfers/transfers'),
      import('../../core/files/localFiles'),
      import('./workspaceFiles'),
    ]);
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

  #heard(runId: string, event: RunEvent): void {
    if (event.kind === 'step') {
      const line = storyLine(event.step);
      if (isTrouble(event.step)) this.log.warn(line);
      else this.log.info(line);
      if (event.step.kind === 'trouble') this.#troubled.fire({ runId, problem: event.step.problem });
    }
    this.#changed.fire(runId);
  }

  async #remember(
    account: AccountRecord,
    manifest: Manifest,
    state: Pick<RunRecord, 'status' | 'until' | 'succeeded' | 'failed'>,
  ): Promise<void> {
    const { runId, outputContainer, created, preset, files, refused } = manifest;
    const record: RunRecord = {
      runId,
      accountId: account.id,
      outputContainer,
      created,
      preset: presetName(preset),
      files: files.length + refused.length,
      sources: files.slice(0, sourcesRemembered).map(({ uri }) => uri),
      ...state,
    };
    const others = this.records.filter((other) => other.runId !== runId);
    const records = [record, ...others].sort((one, other) => other.created.localeCompare(one.created));
    await this.state.update(stateKey, records.slice(0, remembered));
    this.#changed.fire(undefined);
  }
}

function statusOf(until: Until, manifest: Manifest): RunRecord['status'] {
  if (manifest.finished) return 'finished';
  return until === 'fetched' ? 'stopped' : until;
}

/** Beside the source: where it was, or, in another copy of the workspace, where it is by its path. */
function outputUri(file: ManifestFile, name: string): string {
  return Uri.joinPath(sourceUri(file), '..', ...name.split('/')).toString();
}

function sourceUri({ uri, path }: ManifestFile): Uri {
  const source = Uri.parse(uri);
  const [folder] = workspace.workspaceFolders ?? [];
  const isElsewhere = /^([/\\]|[A-Za-z]:)/.test(path);
  if (isElsewhere || folder === undefined || workspace.getWorkspaceFolder(source)) return source;
  return Uri.joinPath(folder.uri, path);
}
