import { l10n, type Memento, type QuickPickItem, window } from 'vscode';
import type { UserError } from '../../core/errors';
import type { Preset } from '../../core/presets/preset';
import type { ListedRun } from '../../core/runs/runList';
import type { LiveRun, RunRecord, Runs } from '../runs/runs';
import { settings } from '../settings';
import { filesOf, time } from '../words/numbers';
import { presetLabel } from '../words/presetLabels';
import type { Chosen } from './mediaFiles';

const lastPresetKey = 'lastPreset';

/**
 * The preset for some files, the one used last coming first. Undefined when the person thought better of it. A preset of
 * the settings that is wrong is `told` and does not keep the others from work.
 */
export async function pickPreset(
  chosen: readonly Chosen[],
  state: Memento,
  told: (problem: UserError) => void,
): Promise<Preset | undefined> {
  const presets = await allPresets(told);
  const last = state.get<string>(lastPresetKey) ?? settings().preset;
  const items = presets
    .map((preset) => ({ ...presetLabel(preset), preset }))
    .sort((one, other) => Number(other.preset.id === last) - Number(one.preset.id === last));
  const title =
    chosen.length === 1
      ? l10n.t('Transcode {0}', chosen[0]?.path ?? '')
      : l10n.t('Transcode {0}', filesOf(chosen.length));
  const answer = await window.showQuickPick<QuickPickItem & { preset: Preset }>(items, {
    title,
    placeHolder: l10n.t('Choose a preset'),
    matchOnDescription: true,
    matchOnDetail: true,
  });
  if (answer) await state.update(lastPresetKey, answer.preset.id);
  return answer?.preset;
}

/** The presets of the settings, then the built-in ones. */
export async function allPresets(told: (problem: UserError) => void): Promise<Preset[]> {
  const [{ builtInPresets }, { parseUserPresets }] = await Promise.all([
    import('../../core/presets/builtIn'),
    import('../../core/presets/userPreset'),
  ]);
  const own = parseUserPresets(settings().presets);
  own.problems.forEach(told);
  return [...own.presets, ...builtInPresets];
}

/** A remembered run that suits; `choose` when there is none. */
export async function pickRun(
  runs: Runs,
  title: string,
  suits: (record: RunRecord) => boolean,
): Promise<RunRecord | 'choose' | undefined> {
  const records = runs.records.filter((record) => suits(record) && !runs.live(record.runId));
  if (records.length === 0) return 'choose';
  const answer = await window.showQuickPick(
    records.map((record) => ({
      label: l10n.t('{0}, {1}', filesOf(record.files), record.preset),
      description: time(new Date(record.created)),
      record,
    })),
    { title },
  );
  return answer?.record;
}

/** A run that this window is working on. */
export async function pickLive({ liveRuns }: Runs): Promise<LiveRun | undefined> {
  if (liveRuns.length < 2) return liveRuns[0];
  const answer = await window.showQuickPick(
    liveRuns.map((live) => ({
      label: l10n.t('{0}, {1}', filesOf(live.manifest.files.length), live.manifest.preset.label),
      description: time(new Date(live.manifest.created)),
      live,
    })),
    { title: l10n.t('Cancel which run?') },
  );
  return answer?.live;
}

/** A run of those that an account holds. */
export async function pickListed(found: readonly ListedRun[]): Promise<ListedRun | undefined> {
  const answer = await window.showQuickPick(
    found.map((run) => ({
      label: run.workspace || run.runId,
      description: time(run.modified),
      detail: run.runId,
      run,
    })),
    {
      title: l10n.t('Attach to which run?'),
      placeHolder: l10n.t('The newest run comes first'),
      matchOnDetail: true,
    },
  );
  return answer?.run;
}
