import {
  type CancellationToken,
  commands,
  l10n,
  type Memento,
  ProgressLocation,
  type Uri,
  window,
  workspace,
} from 'vscode';
import type { AccountRecord, Connection } from '../../core/azure/account';
import { type Problem, UserError } from '../../core/errors';
import type { Preset } from '../../core/presets/preset';
import type { Run, Until } from '../../core/runs/run';
import type { RunSummary } from '../../core/runs/runEvents';
import type { Accounts } from '../accounts/accounts';
import type { Commands } from '../commands';
import type { LiveRun, ResumeOptions, RunRecord, Runs } from '../runs/runs';
import { section, settings } from '../settings';
import { duration, filesOf } from '../words/numbers';
import { presetName } from '../words/presetLabels';
import { sentenceOf } from '../words/sentences';
import { follow } from './following';
import { chooseFiles } from './mediaFiles';
import { pickListed, pickLive, pickPreset, pickRun } from './picks';
import { prepare } from './prepare';

/** A window that was killed holds its runs for a quarter of a minute more. */
const leftClaimMs = 20_000;

/** The commands that make runs and go on with them. */
export class Transcode {
  constructor(
    private readonly accounts: Accounts,
    private readonly runs: Runs,
    private readonly commands: Commands,
    private readonly state: Memento,
  ) {}

  /**
   * Upload, submit and fetch in a row; or only the first, or the first two. What it will do and cost is shown first where
   * the settings say so, or the caller does.
   */
  async transcode(
    until: Until,
    clicked?: Uri,
    selected?: readonly Uri[],
    { withOptions = false, on }: { withOptions?: boolean; on?: AccountRecord } = {},
  ): Promise<void> {
    mustBeTrusted();
    const chosen = await chooseFiles(clicked, selected);
    if (chosen === undefined) return;
    const account = on ?? (await this.account());
    if (account === undefined) return;
    const connection = await this.#connect(account);
    const preset = await pickPreset(chosen, this.state, (problem) => void this.commands.show(problem));
    if (preset === undefined) return;
    const planned = await prepare(account, chosen, preset, withOptions);
    if (planned === undefined) return;
    await this.#work(
      connection,
      planned.manifest.runId,
      planned.manifest,
      () => this.runs.start(connection, planned, until),
      until,
    );
  }

  /**
   * Transcodes files without asking anything, for callers that have asked already. Outputs that exist keep their names.
   * Throws for a preset or file that is not there.
   */
  async transcodeFiles(
    uris: readonly Uri[],
    presetId: string,
    token: CancellationToken,
  ): Promise<RunSummary> {
    mustBeTrusted();
    const account = this.accounts.current;
    if (account === undefined) throw new UserError({ kind: 'noAccount' });
    const [first] = uris;
    const chosen = first && (await chooseFiles(first, uris));
    if (chosen === undefined) throw new UserError({ kind: 'nothingChosen' });
    const [{ lookAtChosen }, { planRun }, { allPresets }] = await Promise.all([
      import('./planning'),
      import('../../core/plan/planRun'),
      import('./picks'),
    ]);
    const preset = (await allPresets(() => undefined)).find(({ id }) => id === presetId);
    if (preset === undefined)
      throw new UserError({ kind: 'presetInvalid', preset: presetId, detail: 'unknown' });
    const connection = await this.#connect(account);
    const aborted = new AbortController();
    token.onCancellationRequested(() => aborted.abort());
    const look = await lookAtChosen(chosen, preset, { report: () => undefined }, aborted.signal);
    const { pool, limits } = settings();
    const planned = planRun(look, {
      preset,
      pool,
      audio: 'default',
      limits,
      workspace: workspace.name ?? '',
    });
    const { runId } = planned.manifest;
    token.onCancellationRequested(() => this.runs.live(runId)?.stop());
    return this.runs.start(connection, planned, 'fetched');
  }

  /** Submits what was uploaded; files that were not are uploaded first. */
  async submit(clicked?: Uri, selected?: readonly Uri[]): Promise<void> {
    mustBeTrusted();
    const uploaded = clicked && this.#recordOf(clicked, selected, ['uploaded']);
    if (uploaded) return this.resume(uploaded, 'submitted');
    if (clicked) return this.transcode('submitted', clicked, selected);
    const record = await pickRun(
      this.runs,
      l10n.t('Submit which uploaded files?'),
      (record) => record.status === 'uploaded' || record.status === 'stopped',
    );
    if (record === 'choose') return this.transcode('submitted');
    if (record) await this.resume(record, 'submitted');
  }

  async fetch(clicked?: Uri, selected?: readonly Uri[]): Promise<void> {
    mustBeTrusted();
    const submitted = clicked && this.#recordOf(clicked, selected, ['submitted', 'stopped', 'finished']);
    if (submitted) return this.resume(submitted, 'fetched');
    const record = await pickRun(
      this.runs,
      l10n.t('Fetch the outputs of which run?'),
      ({ status }) => status !== 'uploaded',
    );
    if (record === 'choose') return this.attach();
    if (record) await this.resume(record, 'fetched');
  }

  async retryFailed(runId?: string): Promise<void> {
    mustBeTrusted();
    const record =
      this.runs.records.find((record) => record.runId === runId) ??
      (await pickRun(
        this.runs,
        l10n.t('Retry the failed files of which run?'),
        ({ failed }) => (failed ?? 0) > 0,
      ));
    if (record === undefined || record === 'choose') return;
    const connection = await this.#connectById(record.accountId);
    await this.#work(
      connection,
      record.runId,
      record,
      () => this.runs.resume(connection, record.outputContainer, 'fetched', { retry: unfinished }),
      'fetched',
    );
  }

  async resume(record: RunRecord, until: Until, options: ResumeOptions = {}): Promise<void> {
    const connection = await this.#connectById(record.accountId);
    await this.#work(
      connection,
      record.runId,
      record,
      () => this.runs.resume(connection, record.outputContainer, until, options),
      until,
    );
  }

  /** Any run that the account holds, whoever started it and wherever. */
  async attach(): Promise<void> {
    mustBeTrusted();
    const account = await this.account();
    if (account === undefined) return;
    const connection = await this.#connect(account);
    const { runsOf } = await import('../../core/runs/runList');
    const { Storage } = await import('../../core/azure/storage');
    const found = await runsOf(new Storage(connection), AbortSignal.timeout(120_000));
    const picked = await pickListed(found);
    if (picked === undefined) return;
    const { runId, outputContainer } = picked;
    await this.#work(
      connection,
      runId,
      undefined,
      () => this.runs.resume(connection, outputContainer, 'fetched'),
      'fetched',
    );
  }

  /** The outputs of the run that a job of an account belongs to. */
  async fetchJob(account: AccountRecord, runId: string): Promise<void> {
    mustBeTrusted();
    const { outputContainerOf } = await import('../../core/plan/manifest');
    const connection = await this.#connect(account);
    await this.#work(
      connection,
      runId,
      undefined,
      () => this.runs.resume(connection, outputContainerOf(runId), 'fetched'),
      'fetched',
    );
  }

  async cancelRun(runId?: string): Promise<void> {
    const live = runId ? this.runs.live(runId) : await pickLive(this.runs);
    if (live === undefined) return;
    const cancel = l10n.t('Cancel Run');
    const answer = await window.showWarningMessage(
      l10n.t('Cancel the run of {0}?', filesOf(live.manifest.files.length)),
      { modal: true, detail: l10n.t('Tasks are ended. What is done stays and can be fetched.') },
      cancel,
    );
    if (answer !== cancel) return;
    await live.terminate();
    live.stop();
  }

  /** Spot nodes that are taken away again and again: dedicated ones are offered instead. */
  async offerDedicatedNodes(runId: string, problem: Problem): Promise<void> {
    if (problem.kind !== 'preempted') return;
    const use = l10n.t('Use Dedicated Nodes');
    const answer = await window.showWarningMessage(
      sentenceOf(problem).text,
      use,
      l10n.t('Go On With Spot Nodes'),
    );
    const live = answer === use ? this.runs.live(runId) : undefined;
    if (live === undefined) return;
    const nodes = await live.useDedicatedNodes();
    void window.showInformationMessage(
      l10n.t('Pool {0} goes on with {1} dedicated nodes.', problem.pool, nodes),
    );
  }

  /** Runs that this window was working on when it went away are taken up again. */
  async resumeInterrupted(): Promise<void> {
    if (!workspace.isTrusted) return;
    const interrupted = this.runs.records.filter(({ status }) => status === 'running');
    await Promise.all(interrupted.map((record) => this.#resumeQuietly(record)));
  }

  /** Another window that works on the run is no trouble: it is being taken care of. */
  async #resumeQuietly(record: RunRecord): Promise<void> {
    try {
      await this.resume(record, 'fetched', { waitMs: leftClaimMs });
    } catch (error) {
      const isTaken = error instanceof UserError && error.problem.kind === 'runTaken';
      if (!isTaken) await this.commands.show(error);
    }
  }

  /** The account of this workspace; asked for at first use. Undefined when the person thought better of it. */
  async account(): Promise<AccountRecord | undefined> {
    const { current } = this.accounts;
    if (current) return current;
    const local = {
      label: l10n.t('$(vm) Use the local Batch account'),
      description: l10n.t('no Azure needed'),
    };
    const azure = { label: l10n.t('$(azure) Connect an Azure Batch account…') };
    const answer = await window.showQuickPick([local, azure], {
      title: l10n.t('Where should the files be transcoded?'),
      ignoreFocusOut: true,
    });
    if (answer === local) return this.accounts.addLocal(l10n.t('Local Batch account'));
    if (answer === azure) await commands.executeCommand(`${section}.connect`);
    return this.accounts.current;
  }

  /** The latest run in one of these states that has all of these files. */
  #recordOf(
    clicked: Uri,
    selected: readonly Uri[] | undefined,
    states: readonly RunRecord['status'][],
  ): RunRecord | undefined {
    const uris = (selected?.length ? selected : [clicked]).map((uri) => uri.toString());
    return this.runs.records.find(
      ({ status, sources, runId }) =>
        states.includes(status) && !this.runs.live(runId) && uris.every((uri) => sources.includes(uri)),
    );
  }

  async #connectById(accountId: string): Promise<Connection> {
    const account = this.accounts.byId(accountId);
    if (account === undefined) throw new UserError({ kind: 'noAccount' });
    return this.#connect(account);
  }

  async #connect(account: AccountRecord): Promise<Connection> {
    return window.withProgress(
      { location: ProgressLocation.Window, title: l10n.t('Connecting to {0}', account.label) },
      () => this.accounts.connect(account),
    );
  }

  /** Shows the work on a run, asks when it is cancelled, and says how it ended. */
  async #work(
    connection: Connection,
    runId: string,
    shown: { preset: Preset | string } | undefined,
    work: () => Promise<RunSummary>,
    until: Until,
  ): Promise<void> {
    const preset = shown && (typeof shown.preset === 'string' ? shown.preset : presetName(shown.preset));
    const title = preset ? l10n.t('Azure Batch: {0}', preset) : l10n.t('Azure Batch');
    let cancelled: 'stopWatching' | 'cancelRun' | 'cancelAndCleanUp' | undefined;
    const live = () => this.runs.live(runId);
    try {
      const summary = await follow(title, live, work(), (choice) => {
        cancelled = choice;
        void this.#cancel(live(), choice);
      });
      await this.#ended(connection, summary, until);
    } catch (error) {
      if (cancelled === undefined) throw error;
      await this.#cancelled(connection, runId, cancelled);
    }
  }

  async #cancel(live: LiveRun | undefined, choice: string): Promise<void> {
    if (live === undefined) return;
    if (choice !== 'stopWatching') await live.terminate().catch((error) => this.commands.show(error));
    live.stop();
  }

  async #cancelled(connection: Connection, runId: string, choice: string): Promise<void> {
    if (choice === 'cancelAndCleanUp') {
      await commands.executeCommand(`${section}.cleanUp`, {
        accountId: connection.account.id,
        runId,
        confirmed: true,
      });
      return;
    }
    const fetch = l10n.t('Fetch Outputs');
    const cleanUp = l10n.t('Clean Up…');
    const record = this.runs.records.find((record) => record.runId === runId);
    const done = record?.succeeded ?? 0;
    const answer = await window.showInformationMessage(
      choice === 'stopWatching'
        ? l10n.t(
            'The tasks of the run go on; {0} outputs are here so far. Its pool may cost money until it is done.',
            done,
          )
        : l10n.t(
            'The run was cancelled: {0} of {1} outputs are here; its containers and pool are left.',
            done,
            record?.files ?? 0,
          ),
      fetch,
      cleanUp,
    );
    if (answer === fetch && record) await this.resume(record, 'fetched');
    if (answer === cleanUp) await commands.executeCommand(`${section}.cleanUp`);
  }

  async #ended(connection: Connection, summary: RunSummary, until: Until): Promise<void> {
    const { total, succeeded, failed, unfinished, elapsedMs, runId } = summary;
    if (until !== 'fetched') return this.#partEnded(summary, until);
    const showOutputs = l10n.t('Show Outputs');
    const showFailures = l10n.t('Show Failures');
    const cleanUp = l10n.t('Clean Up…');
    if (unfinished > 0) {
      const { monitorMinutes: minutes } = settings().limits;
      return this.commands.showProblem({
        kind: 'monitoringTimeout',
        minutes,
        job: `transcode-${runId}`,
        unfinished,
      });
    }
    if (settings().cleanUp === 'delete') {
      await commands.executeCommand(`${section}.cleanUp`, {
        accountId: connection.account.id,
        runId,
        confirmed: true,
      });
    }
    const buttons = settings().cleanUp === 'ask' ? [cleanUp] : [];
    const answer =
      failed === 0
        ? await window.showInformationMessage(
            l10n.t('{0} of {1} transcoded in {2}', succeeded, total, duration(elapsedMs)),
            showOutputs,
            ...buttons,
          )
        : await window.showWarningMessage(
            l10n.t('{0} of {1} transcoded, {2} failed', succeeded, total, failed),
            showFailures,
            l10n.t('Retry Failed'),
            ...buttons,
          );
    if (answer === showOutputs) await commands.executeCommand(`${section}.showOutputs`, runId);
    else if (answer === showFailures) await commands.executeCommand(`${section}.showFailures`, runId);
    else if (answer === cleanUp)
      await commands.executeCommand(`${section}.cleanUp`, { accountId: connection.account.id });
    else if (answer) await this.retryFailed(runId);
  }

  async #partEnded({ total, failed, runId }: RunSummary, until: Until): Promise<void> {
    const next = until === 'uploaded' ? l10n.t('Submit Transcode') : l10n.t('Fetch Outputs');
    const answer = await window.showInformationMessage(
      until === 'uploaded'
        ? l10n.t('{0} of {1} files uploaded', total - failed, total)
        : l10n.t('{0} of {1} files submitted', total - failed, total),
      next,
    );
    const record = answer && this.runs.records.find((record) => record.runId === runId);
    if (record) await this.resume(record, until === 'uploaded' ? 'submitted' : 'fetched');
  }
}

function mustBeTrusted(): void {
  if (!workspace.isTrusted) throw new UserError({ kind: 'untrusted' });
}

/** What failed, or never came to an end. */
function unfinished({ manifest, results }: Run): string[] {
  return manifest.files
    .map(({ id }) => id)
    .filter((id) => !results.has(id) || results.get(id)?.problem !== undefined);
}
