let report: (error: unknown) => unknown = (error) => console.error(error);

/** Sets the reporter of failures of background work. Called once, when the extension is activated. */
export function reportFailuresTo(reporter: (error: unknown) => unknown): void {
  report = reporter;
}

/**
 * Runs work in the background, without waiting for it: for example a message that may stay open for hours. A failure is
 * reported.
 */
export function background(work: Thenable<unknown>): void {
  work.then(undefined, report);
}
