import { type Clock, pause } from '../src/core/wait';

/** A clock that runs `rate` times as fast as the system's, and can be set forward: a laptop that sleeps. */
export class FastClock implements Clock {
  readonly #start = Date.now();
  #slept = 0;

  constructor(readonly rate = 1) {}

  now(): number {
    return this.#start + (Date.now() - this.#start) * this.rate + this.#slept;
  }

  async pause(ms: number, signal: AbortSignal): Promise<void> {
    const end = this.now() + ms;
    // In short steps, since the clock may be set forward meanwhile.
    while (this.now() < end) await pause(Math.min((end - this.now()) / this.rate, 20), signal);
    signal.throwIfAborted();
  }

  /** Sets the clock forward by this many milliseconds. */
  sleep(ms: number): void {
    this.#slept += ms;
  }
}
