import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from './log';

/** What a piece of background work is about. */
export interface Concern {
  /** For the log: `task t of job j`. */
  readonly about: string;
  /** Puts an error where a client can read it: on the task, node, pool or job. */
  readonly fail?: (error: unknown) => void;
}

type BackgroundWork = () => void | Promise<void>;

/** Running work gets this long to end after `stop`. */
const settleMs = 3_000;

/**
 * Runs timers and background work. An error there is logged with its stack and put on the resource it is about; it never
 * reaches other work or ends the process.
 */
export class Supervisor {
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #running = new Set<Promise<void>>();
  readonly #stopping = new AbortController();
  readonly #controllers = new Set<() => void>();

  constructor(private readonly log: Log) {}

  get isClosed(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** Aborts when the service ends. For work that lasts as long as the service; `stopping` is for shorter work. */
  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  /** A controller that aborts when the service ends, until it is released. */
  stopping(): { readonly controller: AbortController; release(): void } {
    const controller = new AbortController();
    const abort = () => controller.abort();
    this.#controllers.add(abort);
    if (this.isClosed) abort();
    return { controller, release: () => this.#controllers.delete(abort) };
  }

  /** Runs work once, after some milliseconds. */
  after(ms: number, concern: Concern, work: BackgroundWork): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.run(concern, work);
    }, ms);
    this.#timers.add(timer);
  }

  /** Runs work again and again. */
  every(ms: number, concern: Concern, work: BackgroundWork): void {
    this.#timers.add(setInterval(() => this.run(concern, work), ms));
  }

  /** Runs work now; what it leaves running is waited for by `settle`. Does nothing once the service ends. */
  run(concern: Concern, work: BackgroundWork): void {
    if (this.isClosed) return;
    try {
      const running = work();
      if (running) this.#track(concern, running);
    } catch (error) {
      this.#report(concern, error);
    }
  }

  /** Resolves after some milliseconds, or when the service ends. */
  async pause(ms: number): Promise<void> {
    const { controller, release } = this.stopping();
    await delay(ms, undefined, { signal: controller.signal }).catch(() => undefined);
    release();
  }

  /** Starts nothing more. */
  stop(): void {
    this.#stopping.abort();
    for (const abort of this.#controllers) abort();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** Resolves when running work has ended, or after 3 seconds: the service ends whatever a task is waiting for. */
  async settle(): Promise<void> {
    await Promise.race([Promise.allSettled(this.#running), delay(settleMs, undefined, { ref: false })]);
  }

  #track(concern: Concern, running: Promise<void>): void {
    const tracked = running
      .catch((error) => this.#report(concern, error))
      .finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  #report({ about, fail }: Concern, error: unknown): void {
    this.log(`Unexpected error about ${about}: ${error instanceof Error ? error.stack : error}`);
    try {
      fail?.(error);
    } catch (failing) {
      this.log(
        `The error could not be put on ${about}: ${failing instanceof Error ? failing.stack : failing}`,
      );
    }
  }
}
