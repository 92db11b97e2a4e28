import { l10n, workspace } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import { UserError } from '../../core/errors';
import type { Manifest, RunPool, Until } from '../../core/plan/manifest';
import type { PlannedRun } from '../../core/plan/planRun';
import type { Preset } from '../../core/presets/preset';
import { longWork } from '../longWork';
import { showError } from '../messages';
import { type RunCosts, withEstimate } from '../runs/runCosts';
import { settings } from '../settings';
import { count, filesOf } from '../words/numbers';
import { sentenceOf } from '../words/sentences';
import type { ChosenFile } from './sources/chooseFiles';

/** Files whose reasons a message lists. */
const shownReasons = 10;

/** The quota check is only an early warning, so it does not delay a run for long. */
const quotaMs = 10_000;

/**
 * Probes the files, plans the run, shows the plan if the settings or the caller say so, and decides what happens to
 * outputs that exist. Uploads nothing. `otherPreset` if the user wants to choose the preset again, undefined if the user
 * canceled.
 */
export async function planTranscode(
  account: AccountRecord,
  chosen: readonly ChosenFile[],
  preset: Preset,
  { costs, withOptions, until }: { costs: RunCosts; withOptions: boolean; until: Until },
): Promise<PlannedRun | 'otherPreset' | undefined> {
  const [{ probeChosen }, { configuredFolder, writableFolder }, { planRun }, { parseAudioChoice }] =
    await Promise.all([
      import('./probeChosen'),
      import('./outputFolder'),
      import('../../core/plan/planRun'),
      import('../../core/media/audioTracks'),
    ]);
  const pool = poolFor(account);
  const outputFolder = until === 'fetched' ? await writableFolder(chosen) : configuredFolder();
  if (outputFolder === 'canceled') return undefined;
  const probed = await longWork(l10n.t('Reading {0}', filesOf(chosen.length)), (progress, signal) =>
    probeChosen(chosen, preset, progress, signal),
  );
  const { taskFfmpegMajor } = await import('../accounts/ffmpeg');
  const { audio, review, limits, split } = settings();
  const choices = {
    preset,
    pool,
    audio: parseAudioChoice(audio),
    limits,
    split,
    outputFolder,
    ffmpegMajor: await taskFfmpegMajor(account),
    workspace: workspace.name ?? '',
  };
  const first = planRun(probed, choices);
  if (first.manifest.files.length === 0) return refuseAll(first.manifest);
  await refuseBeyondQuota(account, pool);
  const isReviewed = withOptions || review === 'always' || (review === 'azure' && account.signIn !== 'local');
  const planned = isReviewed
    ? await (await import('./review')).reviewRun({ account, probed, costs, until }, choices, first)
    : first;
  if (planned === 'otherPreset') return planned;
  const { resolveConflicts } = await import('./conflicts');
  const manifest = planned && (await resolveConflicts(planned.manifest));
  if (manifest === undefined) return undefined;
  const expected = await costs.expect(account, manifest);
  return withEstimate({ manifest, notes: planned?.notes ?? [] }, expected);
}

/** Shows why none of the files can be transcoded, and offers another preset. */
async function refuseAll({ refused }: Manifest): Promise<'otherPreset' | undefined> {
  const [first] = refused;
  if (first && refused.length === 1) throw new UserError(first.problem);
  const reasons = refused.slice(0, shownReasons).map(({ problem }) => sentenceOf(problem).text);
  const more = refused.length - reasons.length;
  const detail = [...reasons, ...(more > 0 ? [l10n.t('… and {0} more', count(more))] : [])].join('\n');
  const text = l10n.t('None of the {0} files can be transcoded with this preset.', count(refused.length));
  const choose = l10n.t('Choose Another Preset');
  return (await showError(text, { modal: true, detail }, choose)) === choose ? 'otherPreset' : undefined;
}

const subnetPattern =
  /^\/subscriptions\/[^/\s]+\/resourceGroups\/[^/\s]+\/providers\/Microsoft\.(Classic)?Network\/virtualNetworks\/[^/\s]+\/subnets\/[^/\s]+$/i;

/**
 * The pool of the settings, for runs of an account. Throws if its nodes can't be in their subnet, which requires Microsoft
 * Entra authentication: https://learn.microsoft.com/azure/batch/batch-virtual-network#prerequisites
 */
export function poolFor({ signIn, label }: AccountRecord): RunPool {
  const { subnetId, ...pool } = settings().pool;
  if (subnetId === undefined || signIn === 'local') return pool;
  if (!subnetPattern.test(subnetId)) throw new UserError({ kind: 'subnetInvalid', subnet: subnetId });
  if (signIn === 'keys') throw new UserError({ kind: 'subnetNeedsSignIn', account: label });
  return { ...pool, subnetId };
}

/** Throws `quota` if the quota allows no node at all. An unknown quota refuses nothing. */
export async function refuseBeyondQuota(account: AccountRecord, pool: RunPool): Promise<void> {
  if (account.resourceId === undefined) return;
  const [{ quota, supportedSizes }, { refuseBeyond }] = await Promise.all([
    import('../accounts/checkConnection'),
    import('../../core/accounts/quota'),
  ]);
  const signal = AbortSignal.timeout(quotaMs);
  const [allowed, sizes] = await Promise.all([
    quota(account, signal).catch(() => undefined),
    supportedSizes(account, signal),
  ]);
  if (allowed) refuseBeyond(allowed, pool, sizes);
}
