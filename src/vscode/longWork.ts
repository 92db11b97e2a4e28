import { type Progress, ProgressLocation, window } from 'vscode';

export type Report = Progress<{ message?: string; increment?: number }>;

/** Work that is done sooner shows nothing: a notification that comes and goes at once only startles. */
const shownAfterMs = 400;

/**
 * Does what may take long, with a notification that shows its progress and can cancel it. `increment`s that were
 * reported before the notification was there count.
 */
export async function longWork<T>(
  title: string,
  work: (progress: Report, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const aborted = new AbortController();
  let before = 0;
  let shown: Report = {
    report: ({ increment = 0 }) => {
      before += increment;
    },
  };
  const done = work({ report: (value) => shown.report(value) }, aborted.signal);
  const timer = setTimeout(() => {
    void window.withProgress(
      { location: ProgressLocation.Notification, title, cancellable: true },
      async (progress, token) => {
        token.onCancellationRequested(() => aborted.abort());
        progress.report({ increment: before });
        shown = progress;
        await done.catch(() => undefined);
      },
    );
  }, shownAfterMs);
  return done.finally(() => clearTimeout(timer));
}
