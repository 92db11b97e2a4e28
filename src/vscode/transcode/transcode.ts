import { type CancellationToken, l10n, type Memento, type Uri, workspace } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import { isAbort, onAccount, UserError } from '../../core/errors';
import type { Until } from '../../core/runs/run';
import type { RunSummary } from '../../core/runs/runEvents';
import { accountOfWorkspace } from '../accounts/accountCommands';
import type { ConnectParts } from '../accounts/connect';
import { background } from '../background';
import type { Commands } from '../commands';
import { knownOutputs } from '../runs/knownOutputs';
import type { RunCosts } from '../runs/runCosts';
import type { Runs } from '../runs/runs';
import { settings } from '../settings';
import { type RunWork, requireTrust } from './runWork';

interface TranscodeOptions {
  /** Shows what the run will do and cost, whatever the settings say. */
  readonly withOptions?: boolean;
  /** The account to use instead of the one of the workspace. */
  readonly account?: AccountRecord;
  /** Shows the output at the end without being asked. */
  readonly showsOutput?: boolean;
}

export interface DroppedFiles {
  /** Undefined when they were dropped beside the accounts. */
  readonly account: AccountRecord | undefined;
  readonly uris: readonly Uri[];
}

/** Starts runs. */
export class Transcode {
  constructor(
    private readonly parts: ConnectParts,
    private readonly runs: Runs,
    private readonly work: RunWork,
    private readonly costs: RunCosts,
    private readonly commands: Commands,
    private readonly state: Memento,
  ) {}

  /** The whole way from the chosen files to their outputs, or its first part: upload, or upload and submit. */
  async transcode(
    until: Until,
    clicked?: Uri,
    selected?: readonly Uri[],
    { withOptions = false, account: given, showsOutput = false }: TranscodeOptions = {},
  ): Promise<void> {
    requireTrust();
    const [{ chooseFiles }, { pickPreset }, { planTranscode }, { prepareProbes }] = await Promise.all([
      import('./sources/chooseFiles'),
      import('./presetPicker'),
      import('./planTranscode'),
      import('./probeChosen'),
    ]);
    const chosen = await chooseFiles(clicked, selected, knownOutputs(this.runs.records), until);
    if (chosen === undefined) return;
    const account =
      given ?? (await accountOfWorkspace(this.parts, l10n.t('Where do you want to transcode?')));
    if (account === undefined) return;
    const connection = await this.work.connect(account);
    // Asked now, so that the review does not wait for it.
    background(this.costs.pricesOf(account, settings().pool.vmSize));
    prepareProbes();
    const showProblem = (problem: UserError) => background(this.commands.show(problem));
    for (;;) {
      const preset = await pickPreset(chosen, { account, until }, this.state, showProblem);
      if (preset === undefined) return;
      const planned = await onAccount(account, () =>
        planTranscode(account, chosen, preset, { costs: this.costs, withOptions, until }),
      );
      if (planned === 'otherPreset') continue;
      if (planned) await this.work.start(connection, planned, until, { showsOutput });
      return;
    }
  }

  /** Transcodes files that were dropped on an item of the Accounts view, on its account. */
  async transcodeDropped({ account, uris }: DroppedFiles): Promise<void> {
    const [first] = uris;
    if (first) await this.transcode('fetched', first, uris, { account });
  }

  /**
   * Transcodes files without asking, for callers that have asked already. Outputs that exist are kept. Throws for a
   * preset or file that does not exist, and if none of the files can be transcoded.
   */
  async transcodeFiles(
    uris: readonly Uri[],
    presetId: string,
    token: CancellationToken,
  ): Promise<RunSummary> {
    requireTrust();
    const account = this.parts.accounts.current;
    if (account === undefined) throw new UserError({ kind: 'noAccount' });
    const [first] = uris;
    const { chooseFiles } = await import('./sources/chooseFiles');
    const chosen = first && (await chooseFiles(first, uris, knownOutputs(this.runs.records), 'fetched'));
    if (chosen === undefined) throw new UserError({ kind: 'nothingChosen' });
    const [
      { probeChosen },
      { planRun },
      { allPresets },
      { parseAudioChoice },
      { configuredFolder, refuseReadOnly },
      { poolFor, refuseBeyondQuota },
    ] = await Promise.all([
      import('./probeChosen'),
      import('../../core/plan/planRun'),
      import('./presetPicker'),
      import('../../core/media/audioTracks'),
      import('./outputFolder'),
      import('./planTranscode'),
    ]);
    const preset = (await allPresets(() => undefined)).find(({ id }) => id === presetId);
    if (preset === undefined)
      throw new UserError({ kind: 'presetInvalid', preset: presetId, fault: 'unknownPreset' });
    const pool = poolFor(account);
    await refuseReadOnly(chosen);
    const connection = await this.work.connect(account);
    const aborted = new AbortController();
    token.onCancellationRequested(() => aborted.abort());
    const probed = await probeChosen(chosen, preset, { report: () => undefined }, aborted.signal);
    const { taskFfmpegMajor } = await import('../accounts/ffmpeg');
    const { audio, limits, split } = settings();
    const planned = planRun(probed, {
      preset,
      pool,
      audio: parseAudioChoice(audio),
      limits,
      split,
      outputFolder: configuredFolder(),
      ffmpegMajor: await taskFfmpegMajor(account),
      workspace: workspace.name ?? '',
    });
    const [refused] = planned.manifest.refused;
    if (refused && planned.manifest.files.length === 0) throw new UserError(refused.problem);
    await refuseBeyondQuota(account, pool);
    const { withEstimate } = await import('../runs/runCosts');
    const fitting = await withEstimate(planned, await this.costs.expect(account, planned.manifest));
    aborted.signal.throwIfAborted();
    const { runId } = fitting.manifest;
    let stopped = fitting.manifest;
    token.onCancellationRequested(() => {
      stopped = this.runs.live(runId)?.manifest ?? stopped;
      this.runs.stop(runId);
    });
    try {
      return await this.runs.start(connection, fitting, 'fetched');
    } catch (error) {
      // The tasks go on, and the chat does not say so.
      if (token.isCancellationRequested && isAbort(error))
        background(this.work.tellStopped(account, stopped));
      throw error;
    }
  }
}
