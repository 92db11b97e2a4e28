import { l10n, Uri } from 'vscode';
import type { AccountRecord } from '../../core/azure/account';
import { ownMetadata } from '../../core/azure/ownership';
import { outputContainerOf } from '../../core/plan/manifest';
import { accountOfWorkspace, askAccountOf } from '../accounts/accountCommands';
import type { ConnectParts } from '../accounts/connect';
import type { Handlers } from '../commands';
import type { TranscodeCommandId } from '../contributions';
import { confirmWarning } from '../messages';
import { hasSources } from '../runs/knownOutputs';
import { pickListedRun, pickLiveRun, pickRun } from '../runs/runPickers';
import { isRetryable, isUpload, type RunRecord } from '../runs/runRecord';
import type { RunNode } from '../runs/runRows';
import type { Runs } from '../runs/runs';
import { firstNames, runTitle } from '../runs/runWords';
import type { ShownProblem } from '../words/remedy';
import { type RunWork, requireTrust } from './runWork';
import type { Transcode } from './transcode';

interface TranscodeParts extends ConnectParts {
  readonly runs: Runs;
  readonly work: RunWork;
  readonly transcode: Transcode;
}

/** A job in the Accounts view, as far as these commands use it. */
interface JobNode {
  readonly account: AccountRecord;
  readonly job?: { readonly metadata?: { name: string; value: string }[] };
}

/** The commands that start runs and continue them. */
export function transcodeCommands(parts: TranscodeParts): Handlers<TranscodeCommandId> {
  const { transcode, runs, work } = parts;
  return {
    // The button in the title of the Transcodes view calls it with the row that has the focus.
    transcode: (clicked?: Uri | RunNode, selected?: Uri[]) =>
      clicked instanceof Uri
        ? transcode.transcode('fetched', clicked, selected)
        : transcode.transcode('fetched'),
    transcodeWithOptions: (clicked?: Uri, selected?: Uri[]) =>
      transcode.transcode('fetched', clicked, selected, { withOptions: true }),
    async upload(clicked?: Uri | RunNode, selected?: Uri[]) {
      requireTrust();
      if (clicked && 'record' in clicked) return work.resume(clicked.record, 'uploaded');
      return transcode.transcode('uploaded', clicked, selected);
    },
    submit: (clicked?: Uri | RunNode, selected?: Uri[]) => submit(parts, clicked, selected),
    fetch: (clicked?: Uri | RunNode, selected?: Uri[]) => fetchOutputs(parts, clicked, selected),
    // The button in the title of the Transcodes view calls it with the row that has the focus.
    attach: (about?: RunNode | ShownProblem) =>
      attach(parts, about && 'problem' in about ? about : undefined),
    async fetchJob(node?: JobNode) {
      requireTrust();
      const runId = ownMetadata(node?.job?.metadata, 'run');
      if (node === undefined || runId === undefined) return;
      const run = { runId, outputContainer: outputContainerOf(runId), until: 'fetched' as const };
      await work.attach(await work.connect(node.account), run);
    },
    async retryFailed(node?: RunNode) {
      requireTrust();
      const record = node?.record ?? (await pickFailed(runs));
      if (record) await work.retry(record);
    },
    cancelRun: (node?: RunNode) => cancelRun(runs, node?.record),
    async createSample() {
      requireTrust();
      return (await import('./sampleVideo')).createSample();
    },
    async trySample() {
      requireTrust();
      const { createSample } = await import('./sampleVideo');
      const sample = await createSample();
      // As the walkthrough says: it costs nothing, whatever account the workspace uses.
      const account = await parts.accounts.addLocal();
      await transcode.transcode('fetched', sample, undefined, { account, showsOutput: true });
    },
  };
}

/** Submits the files of a run that were uploaded. Files that were not are uploaded first. */
async function submit(
  { runs, work, transcode }: TranscodeParts,
  clicked?: Uri | RunNode,
  selected?: readonly Uri[],
): Promise<void> {
  requireTrust();
  if (clicked && 'record' in clicked) return work.resume(clicked.record, 'submitted');
  if (clicked) {
    const uploaded = newestOf(runs, clicked, selected, isUpload);
    return uploaded
      ? work.resume(uploaded, 'submitted')
      : transcode.transcode('submitted', clicked, selected);
  }
  const suits = (record: RunRecord) => isUpload(record) && !runs.live(record.runId);
  if (!runs.records.some(suits)) return transcode.transcode('submitted');
  const record = await pickRun(runs, { title: l10n.t('Submit the files of which run?'), suits, none: '' });
  if (record) await work.resume(record, 'submitted');
}

/**
 * Fetches the outputs of a run, but not of one that was only uploaded: that would submit it. Offers the runs of the account
 * if this workspace has none.
 */
async function fetchOutputs(
  parts: TranscodeParts,
  clicked?: Uri | RunNode,
  selected?: readonly Uri[],
): Promise<void> {
  requireTrust();
  const { runs, work } = parts;
  const fetchOf = async (record: RunRecord) => {
    if (record.isHalfSubmitted && !(await (await import('./endMessages')).maySubmitRest(record))) return;
    await work.resume(record, 'fetched');
  };
  if (clicked && 'record' in clicked) return fetchOf(clicked.record);
  const hasTasks = (record: RunRecord) => !isUpload(record);
  const submitted = clicked && newestOf(runs, clicked, selected, hasTasks);
  if (submitted) return fetchOf(submitted);
  const suits = (record: RunRecord) => hasTasks(record) && !runs.live(record.runId);
  if (!runs.records.some(suits)) return attach(parts);
  // The only run is not one of the selected files, so it is offered, not taken.
  const alwaysAsks = clicked !== undefined;
  const title = l10n.t('Fetch the outputs of which run?');
  const record = await pickRun(runs, { title, suits, none: '', alwaysAsks });
  if (record) await fetchOf(record);
}

/** Listing the runs of an account takes no longer. */
const listMs = 120_000;

/** Continues any run that the account holds, from whatever machine it was started. */
async function attach(parts: TranscodeParts, shown?: ShownProblem): Promise<void> {
  requireTrust();
  const account = await (shown ? askAccountOf(parts.accounts, shown) : accountOfWorkspace(parts));
  if (account === undefined) return;
  const connection = await parts.work.connect(account);
  const { Storage } = await import('../../core/azure/storage');
  const picked = await pickListedRun(new Storage(connection), account.id, AbortSignal.timeout(listMs));
  if (picked) await parts.work.attach(connection, picked);
}

function pickFailed(runs: Runs): Promise<RunRecord | undefined> {
  return pickRun(runs, {
    title: l10n.t('Retry the failed files of which run?'),
    suits: (record) => isRetryable(record) && !runs.isWorkingOn(record.runId),
    none: l10n.t('No run of this workspace has failed files.'),
  });
}

/** Also while the run is being created or opened. */
async function cancelRun(runs: Runs, clicked: RunRecord | undefined): Promise<void> {
  const record = clicked ?? runs.record((await pickLiveRun(runs))?.manifest.runId ?? '');
  if (record === undefined) return;
  const isSure = await confirmWarning(l10n.t('Cancel “{0}”?', runTitle(record)), {
    detail: [firstNames(record), cancelDetail(runs, record)].filter(Boolean).join('\n'),
    button: l10n.t('Cancel Run'),
    keep: l10n.t('Keep Running'),
  });
  if (isSure) await runs.cancel(record.runId);
}

/** What the cancellation of a run does, and when. */
function cancelDetail(runs: Runs, { runId, until, waitsFor }: RunRecord): string {
  if (waitsFor !== undefined && !runs.isWorkingOn(runId)) {
    return until === 'uploaded'
      ? l10n.t('The run is canceled as soon as the account can be used again.')
      : l10n.t('The run is canceled as soon as the account can be used again. Until then, its tasks go on.');
  }
  return until === 'uploaded'
    ? l10n.t('Ends the upload. Files that were uploaded remain in the account until you clean up.')
    : l10n.t('Ends the tasks. Outputs that are complete can still be fetched.');
}

/** The newest run of this kind that has all of these files. */
function newestOf(
  runs: Runs,
  clicked: Uri,
  selected: readonly Uri[] | undefined,
  isWanted: (record: RunRecord) => boolean,
): RunRecord | undefined {
  const uris = (selected?.length ? selected : [clicked]).map((uri) => uri.toString());
  return runs.records.find(
    (record) => isWanted(record) && !runs.live(record.runId) && hasSources(record, uris),
  );
}
