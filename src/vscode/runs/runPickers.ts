import pLimit from 'p-limit';
import { l10n, type QuickPickItem, window } from 'vscode';
import type { Storage } from '../../core/azure/storage';
import type { Until } from '../../core/plan/manifest';
import type { ListedRun } from '../../core/records/runList';
import { background } from '../background';
import { showInformation } from '../messages';
import { time } from '../words/numbers';
import { plainText } from '../words/plainText';
import type { LiveRun } from './liveRun';
import { readRun } from './outcome';
import { isUpload, type RunRecord } from './runRecord';
import type { Runs } from './runs';
import { firstNames, liveNames, liveTitle, liveWords, runTitle, stateWords } from './runWords';

interface RunQuestion {
  readonly title: string;
  readonly suits: (record: RunRecord) => boolean;
  /** The message if no run qualifies. */
  readonly none: string;
  /** Asks even if only one run qualifies. */
  readonly alwaysAsks?: boolean;
}

/**
 * Returns the run that qualifies, and asks if there are several. Shows a message and returns undefined if there is
 * none.
 */
export async function pickRun(
  runs: Runs,
  { title, suits, none, alwaysAsks = false }: RunQuestion,
): Promise<RunRecord | undefined> {
  const records = runs.records.filter(suits);
  if (records.length === 0) background(showInformation(none));
  if (records.length === 0 || (records.length === 1 && !alwaysAsks)) return records[0];
  const answer = await window.showQuickPick(
    records.map((record) => ({
      label: plainText(runTitle(record)),
      description: time(new Date(record.created)),
      detail: plainText([stateWords(record, false), firstNames(record)].filter(Boolean).join(' · ')),
      record,
    })),
    { title, matchOnDetail: true },
  );
  return answer?.record;
}

/** The run that this window is working on; asks if there are several. */
export async function pickLiveRun({ liveRuns }: Runs): Promise<LiveRun | undefined> {
  if (liveRuns.length === 0) background(showInformation(l10n.t('No run is active in this window.')));
  if (liveRuns.length < 2) return liveRuns[0];
  const answer = await window.showQuickPick(
    liveRuns.map((live) => ({
      label: plainText(liveTitle(live)),
      description: time(new Date(live.manifest.created)),
      detail: plainText([liveWords(live), liveNames(live)].join(' · ')),
      live,
    })),
    { title: l10n.t('Cancel which run?'), matchOnDetail: true },
  );
  return answer?.live;
}

/** Runs that the list of an account describes; older ones have their ids only. */
const maxDescribed = 50;
const readsAtOnce = 8;

/** A run that the user chose, and how far to go with it. */
interface PickedRun extends ListedRun {
  readonly until: Until;
}

/**
 * Asks for one of the runs in an account: what each transcodes, its state, its time and its workspace. A run that was only
 * uploaded is not submitted unasked.
 */
export async function pickListedRun(
  storage: Storage,
  accountId: string,
  signal: AbortSignal,
): Promise<PickedRun | undefined> {
  const { runsOf } = await import('../../core/records/runList');
  const found = await runsOf(storage, signal);
  if (found.length === 0) background(showInformation(l10n.t('The account has no runs.')));
  if (found.length === 0) return undefined;
  const limit = pLimit(readsAtOnce);
  const read = async (run: ListedRun) => (await readRun(storage, accountId, run, signal))?.record;
  const items = await Promise.all(
    found.map((run, index) =>
      index < maxDescribed ? limit(async () => runItem(run, await read(run))) : runItem(run, undefined),
    ),
  );
  const answer = await window.showQuickPick(items, {
    title: l10n.t('Attach to which run?'),
    placeHolder: l10n.t('Newest first'),
    matchOnDescription: true,
    matchOnDetail: true,
  });
  if (answer === undefined) return undefined;
  const record = answer.record ?? (await read(answer.run));
  return { ...answer.run, until: record && isUpload(record) ? 'uploaded' : 'fetched' };
}

function runItem(
  run: ListedRun,
  record: RunRecord | undefined,
): QuickPickItem & { run: ListedRun; record?: RunRecord } {
  const when = time(record ? new Date(record.created) : run.modified);
  const where = run.workspace || l10n.t('no workspace');
  if (record === undefined) return { label: run.runId, description: when, detail: plainText(where), run };
  return {
    label: plainText(runTitle(record)),
    description: stateWords(record, false),
    detail: plainText([when, where, firstNames(record)].filter(Boolean).join(' · ')),
    run,
    record,
  };
}
