import { l10n, window, workspace } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import { UserError } from '../../core/errors';
import type { Manifest, RunPool } from '../../core/plan/manifest';
import type { PlannedRun } from '../../core/plan/planRun';
import type { Preset } from '../../core/presets/preset';
import { longWork } from '../longWork';
import { settings } from '../settings';
import { filesOf } from '../words/numbers';
import { sentenceOf } from '../words/sentences';
import type { Chosen } from './mediaFiles';

/** Nobody waits long for what is only an advance warning. */
const quotaMs = 10_000;

/**
 * Looks at the files, plans the run, shows it where the settings say so and settles what becomes of outputs that exist.
 * Nothing has been uploaded when it returns. Undefined when the person thought better of it.
 */
export async function prepare(
  account: AccountRecord,
  chosen: readonly Chosen[],
  preset: Preset,
  withOptions: boolean,
): Promise<PlannedRun | undefined> {
  const [{ lookAtChosen, settleConflicts }, { planRun }, { parseAudioChoice }] = await Promise.all([
    import('./planning'),
    import('../../core/plan/planRun'),
    import('../../core/media/audioTracks'),
  ]);
  const look = await longWork(l10n.t('Looking at {0}', filesOf(chosen.length)), (progress, signal) =>
    lookAtChosen(chosen, preset, progress, signal),
  );
  const { pool, audio, review, limits } = settings();
  const choices = { preset, pool, audio: parseAudioChoice(audio), limits, workspace: workspace.name ?? '' };
  const first = planRun(look, choices);
  if (first.manifest.files.length === 0) return refuseAll(first.manifest);
  await refuseBeyondQuota(account, pool);
  const isReviewed = withOptions || review === 'always' || (review === 'azure' && account.signIn !== 'local');
  const planned = isReviewed ? await (await import('./review')).reviewRun(look, choices, account) : first;
  const manifest = planned && (await settleConflicts(planned.manifest));
  return manifest && { manifest, notes: planned.notes };
}

/** None of the files can be worked on: says why. */
async function refuseAll({ refused }: Manifest): Promise<undefined> {
  const [first] = refused;
  if (first && refused.length === 1) throw new UserError(first.problem);
  await window.showErrorMessage(
    l10n.t('None of the {0} files can be transcoded with this preset.', refused.length),
    {
      modal: true,
      detail: refused
        .slice(0, 10)
        .map(({ problem }) => sentenceOf(problem).text)
        .join('\n'),
    },
  );
  return undefined;
}

/** A run that cannot get a single node says so now. What is not known is no reason to refuse. */
async function refuseBeyondQuota(account: AccountRecord, pool: RunPool): Promise<void> {
  if (account.resourceId === undefined) return;
  const [{ quota }, { refuseBeyond }] = await Promise.all([
    import('../accounts/checkConnection'),
    import('../../core/accounts/connectionCheck'),
  ]);
  const allowed = await quota(account, AbortSignal.timeout(quotaMs)).catch(() => undefined);
  if (allowed) refuseBeyond(allowed, pool);
}
