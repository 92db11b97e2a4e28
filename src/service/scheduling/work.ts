import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from './log';

/** What goes on by itself: timers, and work in progress. Closing ends the first and waits for the second. */
export class Work {
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #running = new Set<Promise<void>>();
  readonly #stopping = new AbortController();

  constructor(private readonly log: Log) {}

  get isClosed(): boolean {
    return this.#stopping.signal.aborted;
  }

  after(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.isClosed) work();
    }, ms);
    this.#timers.add(timer);
  }

  /** Resolves after this time, or when this is stopped. */
  async pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
  }

  every(ms: number, work: () => void): void {
    this.#timers.add(setInterval(work, ms));
  }

  /** Keeps track of work that nobody waits for; what it throws is a bug and is logged. */
  track(work: Promise<void>): void {
    const tracked = work
      .catch((error) => this.log(`Unexpected: ${error instanceof Error ? error.stack : error}`))
      .finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  /** Starts nothing more; `settle` waits for what is running. */
  stop(): void {
    this.#stopping.abort();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  async settle(): Promise<void> {
    await Promise.allSettled(this.#running);
  }
}
