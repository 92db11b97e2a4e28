import type { AccountRecord } from '../../core/azure/account';
import type { RetryNotice, RetryPolicy } from '../../core/azure/retry';
import { endedBy, type Service, type WaitReason } from '../../core/errors';
import type { TimeLeft } from '../../core/estimates/timeLeft';
import type { FileResult, Manifest } from '../../core/plan/manifest';
import type { Run } from '../../core/runs/run';
import type { RunEvent, RunProgress } from '../../core/runs/runEvents';

/** A run that this window is working on. */
export interface LiveRun {
  readonly account: AccountRecord;
  readonly manifest: Manifest;
  readonly progress: RunProgress;
  readonly results: ReadonlyMap<string, FileResult>;
  /** Milliseconds that the run still takes, if known. */
  timeLeft(): number | undefined;
  /** The share of the work that is done, from 0 to 1. */
  share(): number;
  /** Why the numbers of the run don't change, if a service has not answered for some time. */
  noAnswer(): NoAnswer | undefined;
  /** Stops working on the run, with the reason. Its tasks go on. */
  stop(reason?: unknown): void;
  /** Stops working on the run, waits until that has settled, and ends its jobs. */
  cancel(): Promise<void>;
  /** Enables a job of the run that was disabled. */
  enableJob(jobId: string): Promise<void>;
  /** Asks for dedicated nodes instead of Spot nodes. Resolves with how many. */
  useDedicatedNodes(): Promise<number>;
}

/** A run that this window is creating or opening, which has no numbers yet. */
export interface OpeningRun {
  readonly answers: Pick<ServiceHealth, 'missing'>;
  readonly isNew: boolean;
  readonly isCanceled: boolean;
}

/** The same, to be canceled or stopped. */
export interface Opening extends OpeningRun {
  readonly abort: AbortController;
  readonly answers: ServiceHealth;
  isCanceled: boolean;
}

/** An estimate changes slowly, and every view of a run asks for it. */
const estimateMs = 500;

/** How long a change of a job or pool of a run may take. */
const changeMs = 120_000;

/** Within this time the jobs and auto pools of a canceled run are ended. */
export const cancelMs = 10 * 60_000;

export function liveRun(
  account: AccountRecord,
  run: Run,
  {
    estimator,
    abort,
    answers,
  }: { readonly estimator: TimeLeft; readonly abort: AbortController; readonly answers: ServiceHealth },
): LiveRun {
  const { progress } = run;
  let estimate: { at: number; ms: number | undefined } | undefined;
  return {
    account,
    manifest: run.manifest,
    progress,
    results: run.results,
    timeLeft() {
      const now = Date.now();
      if (estimate === undefined || now - estimate.at >= estimateMs)
        estimate = { at: now, ms: estimator.estimate(now, progress, run.results) };
      return estimate.ms;
    },
    share: () => estimator.share(Date.now(), progress, run.results),
    noAnswer: () => answers.missing(),
    stop: (reason) => abort.abort(reason),
    cancel: () => run.cancel(AbortSignal.timeout(cancelMs)),
    enableJob: (jobId) => run.state.parts.batch.enableJob(jobId, AbortSignal.timeout(changeMs)),
    useDedicatedNodes: () => withinLimit(account, (signal) => run.useDedicatedNodes(signal)),
  };
}

/** Runs a change of a pool, which waits while Batch refuses it. Throws `unreachable` when `changeMs` are over. */
async function withinLimit<T>({ batchUrl }: AccountRecord, change: (signal: AbortSignal) => Promise<T>) {
  const signal = AbortSignal.timeout(changeMs);
  try {
    return await change(signal);
  } catch (error) {
    throw endedBy(error, new URL(batchUrl).host);
  }
}

/** Why a run has stopped, or was not canceled. */
export interface Failure {
  /** What it waits for, if it goes on by itself. */
  readonly reason?: WaitReason;
  readonly error: unknown;
}

/** What this error means for a run of this account. */
export async function failureOf(
  error: unknown,
  account: AccountRecord,
  options?: { readonly isCanceling?: boolean },
): Promise<Failure> {
  const { waitOf } = await import('../../core/accounts/waitReason');
  return waitOf(error, account, options) ?? { error };
}

/** How long a run tries to reach a service that throttles or does not answer. */
const patienceMs = 15 * 60_000;

/** How long a service must fail before this is shown: a single retry is common. */
const shownAfterMs = 10_000;
/** A timer may be some milliseconds ahead of the clock. */
const timerSlackMs = 50;

/** Why a run gets no further: every call to one of its services has failed for some time. */
export type NoAnswer = RetryNotice['reason'];

/** Whether the services of a run answer. The clock is passed in, in milliseconds. */
export class ServiceHealth {
  readonly #failing = new Map<Service, { readonly since: number; reason: NoAnswer }>();

  /**
   * `onMissing` is called once a service has failed for so long that this is shown: no event of the run updates the views then.
   * `later` runs a function after so many milliseconds.
   */
  constructor(
    private readonly onMissing: () => void,
    private readonly now: () => number = Date.now,
    private readonly later: (act: () => void, ms: number) => void = (act, ms) => setTimeout(act, ms).unref(),
  ) {}

  /** Returns a retry policy that records failures of the service here and reports them as steps of the run. */
  policy(service: Service, report: (event: RunEvent) => void): Partial<RetryPolicy> {
    return {
      patienceMs,
      onRetry: (notice) => {
        if (!this.#failing.has(service)) this.later(() => this.#check(), shownAfterMs + timerSlackMs);
        const { since = this.now() } = this.#failing.get(service) ?? {};
        this.#failing.set(service, { since, reason: notice.reason });
        report({ kind: 'step', step: { kind: 'waiting', service, notice } });
      },
      onSuccess: () => {
        this.#failing.delete(service);
      },
    };
  }

  #check(): void {
    if (this.missing()) this.onMissing();
  }

  /** Undefined while all services answer, or have failed for a short time only. */
  missing(): NoAnswer | undefined {
    const failing = [...this.#failing.values()];
    return failing.find(({ since }) => this.now() - since >= shownAfterMs)?.reason;
  }
}
