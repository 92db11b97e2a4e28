import type { RetryNotice, RetryPolicy } from '../../core/azure/retry';
import type { Service } from '../../core/errors';
import type { RunEvent } from '../../core/runs/runEvents';

/** How long a run tries to reach a service that throttles or does not answer. */
const patienceMs = 15 * 60_000;

/** A service that has failed for so long is shown: one retry is common, and not worth a word. */
const shownAfterMs = 10_000;

/** Why a run gets no further: every call to one of its services has failed for some time. */
export type NoAnswer = RetryNotice['reason'];

/** Whether the services of a run answer. The clock is passed in, in milliseconds. */
export class Answers {
  readonly #failing = new Map<Service, { readonly since: number; reason: NoAnswer }>();

  constructor(private readonly now: () => number = Date.now) {}

  /** The retries of calls to a service, which are noted here and reported as steps of the run. */
  policy(service: Service, report: (event: RunEvent) => void): Partial<RetryPolicy> {
    return {
      patienceMs,
      onRetry: (notice) => {
        const { since = this.now() } = this.#failing.get(service) ?? {};
        this.#failing.set(service, { since, reason: notice.reason });
        report({ kind: 'step', step: { kind: 'waiting', service, notice } });
      },
      onSuccess: () => {
        this.#failing.delete(service);
      },
    };
  }

  /** Undefined while all services answer, or have failed for a short time only. */
  missing(): NoAnswer | undefined {
    const failing = [...this.#failing.values()];
    return failing.find(({ since }) => this.now() - since >= shownAfterMs)?.reason;
  }
}
