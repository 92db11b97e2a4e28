let report: (error: unknown) => unknown = (error) => console.error(error);

/** Sets who hears of work in the background that fails. Called once, when the extension is activated. */
export function reportFailuresTo(reporter: (error: unknown) => unknown): void {
  report = reporter;
}

/** Lets work go on without waiting for it: a message that may stay open for hours, for example. A failure is reported. */
export function background(work: Thenable<unknown>): void {
  work.then(undefined, report);
}
