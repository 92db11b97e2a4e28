/** How the Accounts view is watched: nothing is asked for while it is hidden. */
export type Watch = 'hidden' | 'unfocused' | 'focused';

/** Milliseconds between two requests for a list that has something in a transitional state. */
export const changingMs = 4_000;
/** Milliseconds between two requests for a list in which nothing is going on. */
export const settledMs = 30_000;
/** The same while the window does not have the focus. */
export const unfocusedMs = 120_000;
/** After an action, its lists are followed as if they were changing: the service may take a while to show the effect. */
export const followedMs = 30_000;
/** Requests for lists and counts, whatever is expanded. Lists are refreshed less often where they take more. */
export const requestsPerMinute = 60;

/** When a list was loaded, in milliseconds since 1970, and what is going on in it. */
export interface ListAge {
  readonly loadedAt: number;
  readonly isChanging: boolean;
  /** Something happened since: the list is refreshed at once. */
  readonly isStale: boolean;
  readonly followedUntil: number;
}

/** When to refresh a list, in milliseconds since 1970. */
export function dueAt({ loadedAt, isChanging, isStale, followedUntil }: ListAge, watch: Watch): number {
  if (watch === 'hidden') return Number.POSITIVE_INFINITY;
  if (isStale) return loadedAt;
  if (watch === 'unfocused') return loadedAt + unfocusedMs;
  return loadedAt + (isChanging || loadedAt < followedUntil ? changingMs : settledMs);
}

/** When the next requests may be sent after some were sent at `sentAt`. */
export function nextRequestsAt(sentAt: number, requests: number): number {
  return sentAt + (requests * 60_000) / requestsPerMinute;
}
