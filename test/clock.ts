import { type Clock, pause } from '../src/core/wait';

/** A clock that runs `rate` times as fast as the system's, and can be set forward, as after the sleep of a laptop. */
export class FastClock implements Clock {
  #time = Date.now();
  #readAt = Date.now();

  /**
   * If `isHeld` is given, the clock stands still while it returns true and while the process doesn't get to run: hours
   * don't pass because the machine is slow.
   */
  constructor(
    readonly rate = 1,
    private readonly isHeld?: () => boolean,
  ) {}

  now(): number {
    const elapsed = Date.now() - this.#readAt;
    this.#readAt += elapsed;
    if (this.isHeld === undefined) this.#time += elapsed * this.rate;
    else if (!this.isHeld()) this.#time += Math.min(elapsed, 50) * this.rate;
    return this.#time;
  }

  async pause(ms: number, signal: AbortSignal): Promise<void> {
    const end = this.now() + ms;
    // In short steps, since the clock may be set forward meanwhile.
    while (this.now() < end) await pause(Math.min((end - this.now()) / this.rate, 20), signal);
    signal.throwIfAborted();
  }

  /** Sets the clock forward by this many milliseconds. */
  sleep(ms: number): void {
    this.#time += ms;
  }
}
