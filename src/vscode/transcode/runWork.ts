import { l10n, ProgressLocation, window, workspace } from 'vscode';
import type { AccountRecord, Connection } from '../../core/azure/account';
import { isAbort, onAccount, UserError } from '../../core/errors';
import { isSubmitted, type Manifest, outputContainerOf } from '../../core/plan/manifest';
import type { PlannedRun } from '../../core/plan/planRun';
import type { Run, Until } from '../../core/runs/run';
import type { RunSummary } from '../../core/runs/runEvents';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import type { CleanUpRequest } from '../cleanUp/cleanUp';
import { failureOf } from '../runs/liveRun';
import { showFailures, showOutputs } from '../runs/outcome';
import type { RunRecord } from '../runs/runRecord';
import type { ResumeOptions, Runs } from '../runs/runs';
import { firstNames, openingWords } from '../runs/runWords';
import { settings } from '../settings';
import { filesOf } from '../words/numbers';
import { plainText } from '../words/plainText';
import { presetName } from '../words/presetLabels';
import type { NextStep } from './endMessages';
import type { CancelChoice } from './runNotification';

/** Loaded with the first run: most windows have none. */
const endMessages = () => import('./endMessages');

/** Works on runs: shows the progress, asks what to do when the user cancels, and tells how a run ended. */
export class RunWork {
  constructor(
    private readonly accounts: Accounts,
    private readonly runs: Runs,
  ) {}

  /** Starts a run that was planned. */
  async start(
    connection: Connection,
    planned: PlannedRun,
    until: Until,
    { showsOutput = false }: { showsOutput?: boolean } = {},
  ): Promise<void> {
    const { runId, preset, files, refused } = planned.manifest;
    const sources = files.map(({ uri }) => uri);
    const title = titleOf(presetName(preset), { sources, files: files.length + refused.length });
    const start = async () => {
      const summary = await this.runs.start(connection, planned, until);
      if (showsOutput && summary.succeeded > 0) await showOutputs(this.accounts, this.runs, runId);
      return summary;
    };
    await this.#work(connection, runId, title, start, until);
  }

  /** Continues a run that this window remembers. */
  async resume(record: RunRecord, until: Until, options: ResumeOptions = {}): Promise<void> {
    const { runId, outputContainer } = record;
    const title = titleOf(presetName({ id: record.presetId ?? '', label: record.preset }), record);
    const account = this.accounts.accountOf(record);
    const connection = await this.connect(account).catch(async (error: unknown) => {
      const { reason } = await failureOf(error, account);
      if (options.isInterrupted && reason) return this.runs.stopped(account, { runId, until }, error);
      throw error;
    });
    const resume = () => this.runs.resume(connection, outputContainer, until, options);
    await this.#work(connection, runId, title, resume, until);
  }

  /** Continues any run that an account holds. */
  async attach(
    connection: Connection,
    { runId, outputContainer, until }: Pick<RunRecord, 'runId' | 'outputContainer'> & { until: Until },
  ): Promise<void> {
    const resume = () => this.runs.resume(connection, outputContainer, until);
    await this.#work(connection, runId, l10n.t('Azure Batch'), resume, until);
  }

  /** Shows that the tasks of a run continue after the assistant that started it has stopped waiting. */
  async tellStopped(account: AccountRecord, stopped: Manifest): Promise<void> {
    await this.#canceled(account, stopped.runId, { choice: 'stopWatching', stopped, until: 'fetched' });
  }

  /** Connects to an account, and shows that in the status bar while it takes long. */
  async connect(account: AccountRecord): Promise<Connection> {
    return window.withProgress(
      {
        location: ProgressLocation.Window,
        title: plainText(l10n.t('Connecting to {0}', account.label)),
      },
      () => this.accounts.connect(account),
    );
  }

  /** Lists what can be cleaned up in an account, or deletes at once what was confirmed. */
  async cleanUp(account: AccountRecord, request: CleanUpRequest): Promise<void> {
    const { cleanUp } = await import('../cleanUp/cleanUp');
    await cleanUp(this.accounts, this.runs, account, request);
  }

  async #work(
    connection: Connection,
    runId: string,
    title: string,
    work: () => Promise<RunSummary>,
    until: Until,
  ): Promise<void> {
    const live = () => this.runs.live(runId);
    const opening = () => {
      const run = this.runs.opening(runId);
      return run && openingWords(run, this.runs.record(runId));
    };
    let choice: CancelChoice | undefined;
    let stopped: Manifest | undefined;
    const { follow } = await import('./runNotification');
    try {
      const running = onAccount(connection.account, work);
      const summary = await follow(title, { live, opening, until }, running, (chosen) => {
        choice = chosen;
        stopped = live()?.manifest;
        background(this.#cancel(runId, chosen));
      });
      await this.#ended(connection.account, summary, until);
    } catch (error) {
      // The run may have been canceled from its row, too.
      const isCanceled = isAbort(error) && this.runs.record(runId)?.status === 'canceled';
      if (choice === undefined && !isCanceled) throw error;
      await this.#canceled(connection.account, runId, { choice: choice ?? 'cancelRun', stopped, until });
    }
  }

  /** Can be called at any time, also while the run is being created or opened. */
  async #cancel(runId: string, choice: CancelChoice): Promise<void> {
    if (choice === 'stopWatching') this.runs.stop(runId);
    else await this.runs.cancel(runId);
  }

  async #canceled(
    account: AccountRecord,
    runId: string,
    { choice, stopped, until }: { choice: CancelChoice; stopped: Manifest | undefined; until: Until },
  ): Promise<void> {
    const record = this.runs.record(runId);
    // The account did not take the cancellation, which has been told as an error.
    if (record?.isCanceling && record.waitsFor) return;
    const { tellCanceled, tellStopped } = await endMessages();
    switch (choice) {
      case 'cancelAndCleanUp':
        return this.cleanUp(account, { runId, confirmed: true });
      case 'stopWatching':
        return tellStopped(record, {
          isLocal: account.signIn === 'local',
          isSubmitted: stopped === undefined || isSubmitted(stopped),
          until,
        });
      case 'cancelRun':
        return this.#next(account, runId, await tellCanceled(record));
    }
  }

  async #ended(account: AccountRecord, summary: RunSummary, until: Until): Promise<void> {
    const { unfinished, runId } = summary;
    const { tellEnd, tellFetchedOfCanceled, tellPart, tellTimeout } = await endMessages();
    if (until !== 'fetched') return this.#next(account, runId, await tellPart(summary, until));
    if (unfinished > 0) return this.#next(account, runId, await tellTimeout(summary));
    const record = this.runs.record(runId);
    if (record?.status === 'canceled') return this.#next(account, runId, await tellFetchedOfCanceled(record));
    const setting = settings().cleanUp;
    // The account may have been removed during the run.
    const isConnected = this.accounts.byId(account.id) !== undefined;
    const offersCleanUp = setting === 'ask' && isConnected;
    const tell = async () => this.#next(account, runId, await tellEnd(summary, { offersCleanUp }));
    if (setting !== 'delete') return tell();
    try {
      await this.cleanUp(account, { runId, confirmed: true });
    } catch (error) {
      // The outcome of the run is shown even if its clean-up failed or was canceled.
      background(tell());
      throw error;
    }
    await tell();
  }

  /** Does what the button of a message says. The run may have been deleted since the message appeared. */
  async #next(account: AccountRecord, runId: string, step: NextStep | undefined): Promise<void> {
    if (step === undefined) return;
    if (step === 'cleanUp') return this.cleanUp(account, { runId });
    const record = this.runs.record(runId);
    if (record === undefined) throw new UserError({ kind: 'runNotFound', run: outputContainerOf(runId) });
    switch (step) {
      case 'continue':
      case 'fetch':
        return this.resume(record, 'fetched');
      case 'retry':
        return this.retry(record);
      case 'submit':
        return this.resume(record, 'submitted');
      case 'showFailures':
        return showFailures(this.accounts, this.runs, runId);
      case 'showOutputs':
        return showOutputs(this.accounts, this.runs, runId);
    }
  }

  /** Transcodes the files again that failed, never ended, or were refused and have been repaired since. */
  async retry(record: RunRecord): Promise<void> {
    const { retryUnfinished } = await import('../runs/retry');
    const account = this.accounts.accountOf(record);
    const prepare = (run: Run, signal: AbortSignal) => retryUnfinished(run, account, signal);
    await this.resume(record, 'fetched', { prepare });
  }
}

/** `Azure Batch: MP3 audio, clip.mp4`: tells runs apart that are worked on at the same time. */
function titleOf(preset: string, run: Pick<RunRecord, 'sources' | 'files'>): string {
  const names = run.files === 1 ? firstNames(run) : '';
  return l10n.t('Azure Batch: {0}, {1}', preset, names || filesOf(run.files));
}

/** Throws `untrusted` in Restricted Mode. */
export function requireTrust(): void {
  if (!workspace.isTrusted) throw new UserError({ kind: 'untrusted' });
}
