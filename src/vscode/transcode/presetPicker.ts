import { l10n, type Memento, type QuickPickItem, window } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import type { UserError } from '../../core/errors';
import type { Until } from '../../core/plan/manifest';
import type { Preset } from '../../core/presets/preset';
import { settings } from '../settings';
import { filesOf } from '../words/numbers';
import { presetItem } from '../words/presetLabels';
import { baseName } from '../words/shorten';
import type { ChosenFile } from './sources/chooseFiles';

const lastPresetKey = 'lastPreset';

/**
 * Asks for a preset; the one used last comes first. Undefined if the user canceled. Presets of the settings that are
 * invalid are passed to `onProblem` and left out.
 */
export async function pickPreset(
  chosen: readonly ChosenFile[],
  { account, until }: { readonly account: AccountRecord; readonly until: Until },
  state: Memento,
  onProblem: (problem: UserError) => void,
): Promise<Preset | undefined> {
  const presets = await allPresets(onProblem);
  const last = state.get<string>(lastPresetKey) ?? settings().preset;
  // A preset of the settings has a name only.
  const isFirst = ({ id }: Preset) => id === last || id === `user:${last}`;
  const items = presets
    .map((preset) => ({ ...presetItem(preset), preset }))
    .sort((one, other) => Number(isFirst(other.preset)) - Number(isFirst(one.preset)));
  const [only] = chosen;
  const files = only && chosen.length === 1 ? baseName(only.path) : filesOf(chosen.length);
  const title = titleOf(until, files, account.label);
  const answer = await window.showQuickPick<QuickPickItem & { preset: Preset }>(items, {
    title,
    placeHolder: l10n.t('Choose a preset'),
    matchOnDescription: true,
    matchOnDetail: true,
  });
  if (answer) await state.update(lastPresetKey, answer.preset.id);
  return answer?.preset;
}

/** The title: the action, the files and the account. The preset also decides how much of each file is uploaded. */
function titleOf(until: Until, files: string, account: string): string {
  switch (until) {
    case 'uploaded':
      return l10n.t('Upload {0} to {1}', files, account);
    case 'submitted':
      return l10n.t('Submit {0} to {1}', files, account);
    case 'fetched':
      return l10n.t('Transcode {0} on {1}', files, account);
  }
}

/** The presets of the settings, then the built-in ones. */
export async function allPresets(onProblem: (problem: UserError) => void): Promise<Preset[]> {
  const [{ builtInPresets }, { parseUserPresets }] = await Promise.all([
    import('../../core/presets/builtIn'),
    import('../../core/presets/userPreset'),
  ]);
  const own = parseUserPresets(settings().presets);
  own.problems.forEach(onProblem);
  return [...own.presets, ...builtInPresets];
}
