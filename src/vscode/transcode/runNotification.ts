import {
  type CancellationToken,
  CancellationTokenSource,
  l10n,
  ProgressLocation,
  type QuickPickItem,
  ThemeIcon,
  window,
} from 'vscode';
import { type Problem, UserError } from '../../core/errors';
import { isSubmitted, outputContainerOf, type Until } from '../../core/plan/manifest';
import type { Accounts } from '../accounts/accounts';
import { background } from '../background';
import { showInformation, showWarning } from '../messages';
import type { LiveRun } from '../runs/liveRun';
import type { Runs } from '../runs/runs';
import { liveLine, liveNames, liveTitle } from '../runs/runWords';
import { withoutLinks } from '../words/plainText';
import { sentenceOf } from '../words/sentences';

/** What the user decided after pressing Cancel. */
export type CancelChoice = 'stopWatching' | 'cancelRun' | 'cancelAndCleanUp';

/** What the notification shows of a run. */
type Followed = Pick<LiveRun, 'manifest' | 'progress' | 'results' | 'timeLeft' | 'share' | 'noAnswer'>;

interface FollowedRun {
  readonly live: () => Followed | undefined;
  /** What the run does before it has numbers. */
  readonly opening: () => string | undefined;
  readonly until: Until;
}

/**
 * Milliseconds between two updates of the notification: often enough to show progress, and rarely enough to be
 * readable.
 */
const refreshMs = 250;

const enableMs = 120_000;

/**
 * Shows a run in a notification until `work` ends. Cancel asks what to do; if the user keeps the run, the notification
 * comes back.
 */
export async function follow<T>(
  title: string,
  { live, opening, until }: FollowedRun,
  work: Promise<T>,
  onCancel: (choice: CancelChoice) => void,
): Promise<T> {
  const ended = work.then(
    () => 'ended' as const,
    () => 'ended' as const,
  );
  while ((await showUntilCancelled(title, { live, opening }, ended)) === 'cancelled') {
    // The question is closed when the run ends: it has no answer any more.
    const asking = new CancellationTokenSource();
    const choice = await Promise.race([askCancel(live(), until, asking.token), ended]).finally(() => {
      asking.cancel();
      asking.dispose();
    });
    if (choice === 'ended') break;
    if (choice === 'keepRunning') continue;
    onCancel(choice);
    break;
  }
  return work;
}

function showUntilCancelled(
  title: string,
  { live, opening }: Pick<FollowedRun, 'live' | 'opening'>,
  ended: Promise<'ended'>,
): Thenable<'ended' | 'cancelled'> {
  const options = { location: ProgressLocation.Notification, title: withoutLinks(title), cancellable: true };
  return window.withProgress(options, async (notification, token) => {
    let shown = 0;
    const show = () => {
      const now = live();
      if (now === undefined) {
        const message = opening();
        if (message) notification.report({ message });
        return;
      }
      const percent = 100 * now.share();
      notification.report({ message: liveLine(now), increment: Math.max(percent - shown, 0) });
      shown = Math.max(percent, shown);
    };
    show();
    const timer = setInterval(show, refreshMs);
    try {
      return await Promise.race([ended, cancelled(token)]);
    } finally {
      clearInterval(timer);
    }
  });
}

function cancelled(token: CancellationToken): Promise<'cancelled'> {
  return new Promise((resolve) => token.onCancellationRequested(() => resolve('cancelled')));
}

async function askCancel(
  run: Followed | undefined,
  until: Until,
  token: CancellationToken,
): Promise<CancelChoice | 'keepRunning'> {
  const isUpload = until === 'uploaded';
  const choices: (QuickPickItem & { choice: CancelChoice | 'keepRunning' })[] = [
    {
      iconPath: new ThemeIcon('eye-closed'),
      label: isUpload ? l10n.t('Stop Uploading') : l10n.t('Stop Monitoring'),
      detail: stopDetail(until, run !== undefined && isSubmitted(run.manifest)),
      choice: 'stopWatching',
    },
    {
      iconPath: new ThemeIcon('stop-circle'),
      label: l10n.t('Cancel This Run'),
      detail: isUpload
        ? l10n.t('Ends the upload. Files that were uploaded remain in the account until you clean up.')
        : l10n.t('Ends the tasks. Outputs that are complete can still be fetched.'),
      choice: 'cancelRun',
    },
    {
      iconPath: new ThemeIcon('trash'),
      label: l10n.t('Cancel and Clean Up'),
      detail: isUpload
        ? l10n.t('Ends the upload and deletes everything that this run created in the account.')
        : l10n.t('Ends the tasks and deletes everything that this run created in the account.'),
      choice: 'cancelAndCleanUp',
    },
    {
      iconPath: new ThemeIcon('debug-continue'),
      label: l10n.t('Keep Running'),
      detail: l10n.t('Nothing is canceled.'),
      choice: 'keepRunning',
    },
  ];
  const title = run ? l10n.t('Cancel “{0}”?', liveTitle(run)) : l10n.t('Cancel the run?');
  const placeHolder = run && liveNames(run);
  const answer = await window.showQuickPick(choices, { title, placeHolder, ignoreFocusOut: true }, token);
  return answer?.choice ?? 'keepRunning';
}

/** What goes on, and what waits for the user, after a run is stopped. */
function stopDetail(until: Until, isAllSubmitted: boolean): string {
  if (until === 'uploaded')
    return l10n.t('Files that were uploaded remain in the account. Continue later from the Transcodes view.');
  if (isAllSubmitted)
    return l10n.t('The tasks keep running. Fetch the outputs later from the Transcodes view.');
  return until === 'submitted'
    ? l10n.t('Tasks that were submitted keep running. Submit the other files later from the Transcodes view.')
    : l10n.t('Tasks that were submitted keep running. Other files wait until you fetch the outputs.');
}

/** The message may have been answered when this window no longer works on the run. */
async function enableJob(accounts: Accounts, runs: Runs, runId: string, jobId: string): Promise<void> {
  const live = runs.live(runId);
  if (live) return live.enableJob(jobId);
  const record = runs.record(runId);
  if (record === undefined) throw new UserError({ kind: 'runNotFound', run: outputContainerOf(runId) });
  const { Batch } = await import('../../core/azure/batch');
  const batch = new Batch(await accounts.connect(accounts.accountOf(record)));
  await batch.enableJob(jobId, AbortSignal.timeout(enableMs));
}

/**
 * Tells the user of a problem with which a run waits for somebody: a job that was disabled, which it offers to enable, or
 * Spot nodes that Azure preempts again and again, for which it offers dedicated ones. Other problems are in the log.
 */
export async function tellTrouble(
  accounts: Accounts,
  runs: Runs,
  runId: string,
  problem: Problem,
): Promise<void> {
  if (problem.kind === 'jobDisabled') {
    const enable = l10n.t('Enable Job');
    if ((await showWarning(sentenceOf(problem).text, enable)) === enable)
      await enableJob(accounts, runs, runId, problem.job);
    return;
  }
  if (problem.kind !== 'preempted') return;
  const use = l10n.t('Use Dedicated Nodes');
  const keep = l10n.t('Keep Spot Nodes');
  const answer = await showWarning(sentenceOf(problem).text, use, keep);
  if (answer !== use) return;
  const live = runs.live(runId);
  if (live === undefined) {
    background(
      showInformation(
        l10n.t(
          "Pool {0} wasn't changed, because this window no longer monitors the run. Continue the run in the Transcodes view, or resize the pool in the Accounts view.",
          problem.pool,
        ),
      ),
    );
    return;
  }
  const nodes = await live.useDedicatedNodes();
  const text = l10n.t('Pool {0} continues with dedicated nodes: {1}', problem.pool, nodes);
  background(showInformation(text));
}
