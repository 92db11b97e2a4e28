import { type CancellationToken, l10n, ProgressLocation, window } from 'vscode';
import type { RunProgress } from '../../core/runs/runEvents';
import { percentDone, progressLine } from '../words/story';

export type CancelChoice = 'goOn' | 'stopWatching' | 'cancelRun' | 'cancelAndCleanUp';

/** What of a run is shown. */
interface Followed {
  readonly progress: RunProgress;
  readonly since: number;
}

/** How often the notification changes: fast enough to live, slow enough to read. */
const refreshMs = 250;

/**
 * Shows a run in a notification until `work` ends. Cancel asks what to do; a person who decides to go on gets the
 * notification back.
 */
export async function follow<T>(
  title: string,
  live: () => Followed | undefined,
  work: Promise<T>,
  onCancel: (choice: Exclude<CancelChoice, 'goOn'>) => void,
): Promise<T> {
  const ended = work.then(
    () => 'ended' as const,
    () => 'ended' as const,
  );
  while ((await showUntilCancelled(title, live, ended)) === 'cancelled') {
    const choice = await Promise.race([askCancel(), ended]);
    if (choice === 'ended') break;
    if (choice === 'goOn') continue;
    onCancel(choice);
    break;
  }
  return work;
}

function showUntilCancelled(
  title: string,
  live: () => Followed | undefined,
  ended: Promise<'ended'>,
): Thenable<'ended' | 'cancelled'> {
  const options = { location: ProgressLocation.Notification, title, cancellable: true };
  return window.withProgress(options, async (notification, token) => {
    let shown = 0;
    const show = () => {
      const now = live();
      if (now === undefined) return;
      const percent = percentDone(now.progress);
      const message = progressLine(now.progress, now.since);
      notification.report({ message, increment: Math.max(percent - shown, 0) });
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

async function askCancel(): Promise<CancelChoice> {
  const choices: { label: string; detail: string; choice: CancelChoice }[] = [
    {
      label: l10n.t('$(eye-closed) Stop Watching'),
      detail: l10n.t('The tasks go on. Attach to the run later to fetch its outputs.'),
      choice: 'stopWatching',
    },
    {
      label: l10n.t('$(stop-circle) Cancel This Run'),
      detail: l10n.t('Tasks are ended. What is done stays and can be fetched.'),
      choice: 'cancelRun',
    },
    {
      label: l10n.t('$(trash) Cancel and Clean Up'),
      detail: l10n.t('Tasks are ended, and what this run made in the account is deleted.'),
      choice: 'cancelAndCleanUp',
    },
    { label: l10n.t('$(play) Go On'), detail: l10n.t('Nothing is cancelled.'), choice: 'goOn' },
  ];
  const answer = await window.showQuickPick(choices, {
    title: l10n.t('Cancel the transcode?'),
    ignoreFocusOut: true,
  });
  return answer?.choice ?? 'goOn';
}
