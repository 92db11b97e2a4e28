import { l10n, window } from 'vscode';
import type { ListedRun } from '../../core/runs/runList';
import { background } from '../background';
import { time } from '../words/numbers';
import type { RunRecord } from './runRecord';
import type { LiveRun, Runs } from './runs';
import { runTitle, stateWords } from './runWords';

interface RunQuestion {
  readonly title: string;
  readonly suits: (record: RunRecord) => boolean;
  /** Said when no run suits. */
  readonly none: string;
}

/** The run that suits; asks if there are several. Says so and returns undefined if there is none. */
export async function pickRun(
  runs: Runs,
  { title, suits, none }: RunQuestion,
): Promise<RunRecord | undefined> {
  const records = runs.records.filter(suits);
  if (records.length === 0) background(window.showInformationMessage(none));
  if (records.length < 2) return records[0];
  const answer = await window.showQuickPick(
    records.map((record) => ({
      label: runTitle(record),
      description: time(new Date(record.created)),
      detail: stateWords(record, false),
      record,
    })),
    { title },
  );
  return answer?.record;
}

/** The run that this window is working on; asks if there are several. */
export async function pickLiveRun({ liveRuns }: Runs): Promise<LiveRun | undefined> {
  if (liveRuns.length === 0)
    background(window.showInformationMessage(l10n.t('No run is active in this window.')));
  if (liveRuns.length < 2) return liveRuns[0];
  const answer = await window.showQuickPick(
    liveRuns.map((live) => ({
      label: runTitle({
        files: live.manifest.files.length,
        preset: live.manifest.preset.label,
        presetId: live.manifest.preset.id,
      }),
      description: time(new Date(live.manifest.created)),
      live,
    })),
    { title: l10n.t('Cancel which run?') },
  );
  return answer?.live;
}

/** Asks for one of the runs in an account. */
export async function pickListedRun(found: readonly ListedRun[]): Promise<ListedRun | undefined> {
  const answer = await window.showQuickPick(
    found.map((run) => ({
      label: run.workspace || run.runId,
      description: time(run.modified),
      detail: run.runId,
      run,
    })),
    {
      title: l10n.t('Attach to which run?'),
      placeHolder: l10n.t('Newest first'),
      matchOnDetail: true,
    },
  );
  return answer?.run;
}
