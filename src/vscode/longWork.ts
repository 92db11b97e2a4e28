import { type Progress, ProgressLocation, window } from 'vscode';
import { background } from './background';
import { withoutLinks } from './words/plainText';

export type Report = Progress<{ message?: string; increment?: number }>;

/** Faster work shows nothing: a notification that appears for a moment only distracts. */
const shownAfterMs = 400;

/**
 * Does work that may take long, with a notification that shows its progress and can cancel it. Counts increments that
 * were reported before the notification appeared.
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
  const show = () =>
    window.withProgress(
      { location: ProgressLocation.Notification, title: withoutLinks(title), cancellable: true },
      async (progress, token) => {
        token.onCancellationRequested(() => aborted.abort());
        progress.report({ increment: before });
        shown = {
          report: ({ message, ...value }) =>
            progress.report({ ...value, message: message && withoutLinks(message) }),
        };
        await done.catch(() => undefined);
      },
    );
  const timer = setTimeout(() => background(show()), shownAfterMs);
  return done.finally(() => clearTimeout(timer));
}
