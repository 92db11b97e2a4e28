import { l10n } from 'vscode';
import type { Until } from '../../core/runs/run';
import type { RunSummary } from '../../core/runs/runEvents';
import { background } from '../background';
import { confirmWarning, showInformation, showWarning } from '../messages';
import type { RunRecord } from '../runs/runRecord';
import { namesOf, runTitle } from '../runs/runWords';
import { count, duration, filesOf } from '../words/numbers';
import { sentenceOf } from '../words/sentences';

/** What the user can do next, by the button of a message. */
export type NextStep = 'cleanUp' | 'continue' | 'fetch' | 'retry' | 'showFailures' | 'showOutputs' | 'submit';

/** Shows how a run ended. Resolves with the button that the user pressed, which may be hours later. */
export function tellEnd(
  { total, succeeded, failed, elapsedMs, firstFiles, firstFailed }: RunSummary,
  { offersCleanUp }: { offersCleanUp: boolean },
): Promise<NextStep | undefined> {
  const cleanUp: NextStep[] = offersCleanUp ? ['cleanUp'] : [];
  return failed === 0
    ? askNext(
        'information',
        l10n.t(
          '{0} of {1} transcoded in {2}: {3}',
          count(succeeded),
          count(total),
          duration(elapsedMs),
          namesOf(firstFiles, total),
        ),
        'showOutputs',
        ...cleanUp,
      )
    : askNext(
        'warning',
        l10n.t(
          '{0} of {1} transcoded, {2} failed: {3}',
          count(succeeded),
          count(total),
          count(failed),
          failedWords(firstFailed, failed),
        ),
        'showFailures',
        'retry',
        ...cleanUp,
      );
}

/** Shows that the files were uploaded or submitted, as far as the command goes. */
export function tellPart(
  { total, failed, firstFiles, firstFailed }: RunSummary,
  until: Exclude<Until, 'fetched'>,
): Promise<NextStep | undefined> {
  const [done, all] = [count(total - failed), filesOf(total)];
  const isUpload = until === 'uploaded';
  const names = namesOf(firstFiles, total);
  const failures = failedWords(firstFailed, failed);
  const text =
    failed > 0
      ? isUpload
        ? l10n.t('{0} of {1} uploaded, {2} failed: {3}', done, all, count(failed), failures)
        : l10n.t('{0} of {1} submitted, {2} failed: {3}', done, all, count(failed), failures)
      : isUpload
        ? l10n.t('{0} of {1} uploaded: {2}', done, all, names)
        : l10n.t('{0} of {1} submitted: {2}', done, all, names);
  const next = until === 'uploaded' ? 'submit' : 'fetch';
  if (failed === 0) return askNext('information', text, next);
  return failed < total
    ? askNext('warning', text, 'showFailures', next)
    : askNext('warning', text, 'showFailures');
}

/** The names of the files that failed, or why it failed if there is only one. */
function failedWords(first: RunSummary['firstFailed'], failed: number): string {
  const [only] = first;
  return only && failed === 1
    ? sentenceOf(only.problem).text
    : namesOf(
        first.map(({ path }) => path),
        failed,
      );
}

/** Shows that a run is no longer monitored, and offers to continue. */
export function tellTimeout({
  unfinished,
  job,
  monitorMinutes: minutes,
}: RunSummary): Promise<NextStep | undefined> {
  return askNext(
    'warning',
    sentenceOf({ kind: 'monitoringTimeout', minutes, job, unfinished }).text,
    'continue',
  );
}

/** Shows that the user canceled a run. It has no record if it was canceled before it was created. */
export function tellCanceled(record: RunRecord | undefined): Promise<NextStep | undefined> {
  if (record === undefined) return askNext('information', l10n.t('The run was canceled before it started.'));
  if (record.until === 'uploaded') {
    const canceled = l10n.t(
      'The upload was canceled. Files that were uploaded remain in the account until you clean them up.',
    );
    return askNext('information', canceled, 'cleanUp');
  }
  const text = l10n.t(
    'The run was canceled. {0} of {1} outputs are complete. Its containers remain until you clean them up.',
    count(record.succeeded ?? 0),
    count(record.files),
  );
  return askNext('information', text, 'fetch', 'cleanUp');
}

/** Shows what was fetched of a canceled run: the files that the cancellation ended are no failures. */
export function tellFetchedOfCanceled(record: RunRecord): Promise<NextStep | undefined> {
  const text = l10n.t(
    '{0} of {1} outputs of the canceled run are complete.',
    count(record.succeeded ?? 0),
    count(record.files),
  );
  return (record.succeeded ?? 0) > 0
    ? askNext('information', text, 'showOutputs', 'cleanUp')
    : askNext('information', text, 'cleanUp');
}

/**
 * Shows what goes on without this window. `isSubmitted`: every file has a task. Has no buttons, so that VS Code hides it
 * soon.
 */
export function tellStopped(record: RunRecord | undefined, stopped: StoppedRun): void {
  background(showInformation(stoppedWords(record, stopped)));
}

interface StoppedRun {
  readonly isLocal: boolean;
  readonly isSubmitted: boolean;
  readonly until: Until;
}

export function stoppedWords(
  record: Pick<RunRecord, 'succeeded' | 'files'> | undefined,
  { isLocal, isSubmitted, until }: StoppedRun,
): string {
  if (record === undefined) return l10n.t('The run was stopped before it started.');
  if (until === 'uploaded') {
    return l10n.t(
      'The upload stopped. Files that were uploaded remain in the account. Upload to Batch Storage in the Transcodes view continues the upload, Submit Transcode transcodes the files.',
    );
  }
  const [done, files] = [count(record.succeeded ?? 0), count(record.files)];
  if (!isSubmitted && until === 'submitted') {
    return l10n.t(
      'The run stopped before all its files were submitted. Tasks that were submitted keep running. Submit Transcode in the Transcodes view submits the other files.',
    );
  }
  if (!isSubmitted) {
    return l10n.t(
      'The run stopped after {0} of {1} outputs, before all its files were submitted. Tasks that were submitted keep running. Fetch Outputs in the Transcodes view continues the run.',
      done,
      files,
    );
  }
  return isLocal
    ? l10n.t(
        'Monitoring stopped after {0} of {1} outputs. The tasks keep running. Fetch the outputs later from the Transcodes view.',
        done,
        files,
      )
    : l10n.t(
        'Monitoring stopped after {0} of {1} outputs. The tasks keep running, and their nodes cost money. Fetch the outputs later from the Transcodes view.',
        done,
        files,
      );
}

/** Asks before the outputs are fetched of a run that was stopped while it was submitted: its other files are submitted, too. */
export function maySubmitRest(record: RunRecord): Promise<boolean> {
  return confirmWarning(
    l10n.t('Not all files of “{0}” were submitted. Submit the others now?', runTitle(record)),
    {
      detail: l10n.t('Outputs are fetched when all files have been submitted and transcoded.'),
      button: l10n.t('Submit and Fetch'),
      keep: l10n.t('Not Now'),
    },
  );
}

async function askNext(
  kind: 'information' | 'warning',
  text: string,
  ...steps: NextStep[]
): Promise<NextStep | undefined> {
  const titles = new Map(steps.map((step) => [nextTitle(step), step]));
  const show = kind === 'information' ? showInformation : showWarning;
  const answer = await show(text, ...titles.keys());
  return answer ? titles.get(answer) : undefined;
}

function nextTitle(step: NextStep): string {
  switch (step) {
    case 'cleanUp':
      return l10n.t('Clean Up…');
    case 'continue':
      return l10n.t('Continue Monitoring');
    case 'fetch':
      return l10n.t('Fetch Outputs');
    case 'retry':
      return l10n.t('Retry Failed');
    case 'showFailures':
      return l10n.t('Show Failures');
    case 'showOutputs':
      return l10n.t('Show Outputs');
    case 'submit':
      return l10n.t('Submit Transcode');
  }
}
