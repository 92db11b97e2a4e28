/** How many requests are made at first. */
const initial = 8;

/** A measurement takes at least this long, in milliseconds, and at least two blocks for each parallel request. */
const measureMs = 1_000;

/** Growth of the throughput, as a factor, that is worth more requests. */
const worthwhile = 1.05;

/** How long a number of requests is kept after more of them gained nothing, or were throttled, in milliseconds. */
const settledMs = 30_000;

/** Refusals within this time, in milliseconds, count as one: all requests in flight get one. */
const burstMs = 5_000;

/**
 * Finds how many requests to make in parallel: more while the throughput grows, half as many when the service throttles.
 * A long or lossy connection needs many requests at once; on a short one they only take memory.
 */
export class Parallelism {
  #now: number;
  /** Of the last measurement, with fewer requests. */
  #before: { readonly count: number; readonly rate: number } | undefined;
  #measuring: { readonly since: number; bytes: number; blocks: number };
  #settledUntil = 0;
  #throttledAt = Number.NEGATIVE_INFINITY;

  /** `max` is the upper limit; `now` returns milliseconds. */
  constructor(
    readonly max: number,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#now = Math.min(initial, max);
    this.#measuring = this.#start();
  }

  /** The number of requests to make at once. */
  get count(): number {
    return this.#now;
  }

  /** Measures from now on, after a time without requests. */
  restart(): void {
    this.#measuring = this.#start();
  }

  /** Takes note of a request that has moved so many bytes. `isSaturated`: others wait for their turn. */
  moved(bytes: number, isSaturated: boolean): void {
    const measuring = this.#measuring;
    measuring.bytes += bytes;
    measuring.blocks++;
    const elapsed = this.now() - measuring.since;
    if (elapsed < measureMs || measuring.blocks < 2 * this.#now) return;
    if (isSaturated) this.#decide((measuring.bytes / elapsed) * 1000);
    this.#measuring = this.#start();
  }

  /** Takes note of a request that the service has refused because there are too many. */
  throttled(): void {
    const now = this.now();
    if (now - this.#throttledAt < burstMs) return;
    this.#throttledAt = now;
    this.#now = Math.max(1, Math.floor(this.#now / 2));
    this.#settle();
  }

  /** `rate` is in bytes per second. */
  #decide(rate: number): void {
    if (this.now() < this.#settledUntil) return;
    const before = this.#before;
    if (before && rate < before.rate * worthwhile) {
      this.#now = before.count;
      this.#settle();
      return;
    }
    if (this.#now >= this.max) return;
    this.#before = { count: this.#now, rate };
    this.#now = Math.min(this.max, Math.ceil(this.#now * 1.5));
  }

  #settle(): void {
    this.#before = undefined;
    this.#settledUntil = this.now() + settledMs;
    this.#measuring = this.#start();
  }

  #start() {
    return { since: this.now(), bytes: 0, blocks: 0 };
  }
}
