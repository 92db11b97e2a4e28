/** How many requests are made at first. */
const initial = 8;

/**
 * How many are made at first for a large file. Few connections share a link better than many, which overflow its queue when
 * they begin; and each more makes the pieces smaller in which data is read, which takes more of a processor.
 */
const initialForLarge = 4;

/** A measurement takes this long, in milliseconds: several round trips of a long connection. */
const measureMs = 400;

/**
 * Reports of moved bytes in a measurement for each request: an upload reports whole blocks, and several at once say little
 * about the throughput.
 */
const minReportsPerRequest = 2;

/** How long, in milliseconds, the first bytes of new connections are not measured, because they are still getting faster. */
const warmUpMs = 200;

/** Growth of the throughput, as a factor, that is worth more requests. */
const worthwhile = 1.05;

/** The same for large files, which keep a few requests busy: more requests must outweigh their own cost. */
const worthwhileForLarge = 1.25;

/**
 * Bytes per second of each request from which on more requests are not tried: neither losses nor the round trip limit such a
 * connection, and new ones disturb it while they begin.
 */
const fastRequest = 10e6;

/** How long a number of requests is kept after more of them gained nothing; twice as long after each further trial. */
const minSettledMs = 4_000;
const minSettledMsForLarge = 15_000;
const maxSettledMs = 60_000;

/** How long a number of requests is kept after the service has throttled, in milliseconds. */
const throttledMs = 30_000;

/** Refusals within this time, in milliseconds, count as one: all requests in flight get one. */
const burstMs = 5_000;

/**
 * Finds how many requests to make in parallel: more while the throughput grows, half as many when the service throttles.
 * A long or lossy connection needs many requests at once; on a short one they only take memory.
 */
export class Parallelism {
  #count: number;
  /** The measurement before the last growth. */
  #before: { readonly count: number; readonly rate: number } | undefined;
  /** The last measurement with the same number of requests, in bytes per second. */
  #lastRate = 0;
  #measuring = { since: 0, bytes: 0, reports: 0 };
  #isWarmingUp = true;
  #hasTried = false;
  #worthwhile = worthwhile;
  #settledUntil = 0;
  #minSettledMs = minSettledMs;
  #settledMs = minSettledMs;
  #throttledAt = Number.NEGATIVE_INFINITY;

  /** `max` is the upper limit; `now` returns milliseconds. */
  constructor(
    readonly max: number,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#count = Math.min(initial, max);
    this.#measure();
  }

  /** The number of requests to make at once. */
  get count(): number {
    return this.#count;
  }

  /** Measures from now on, after a time without requests. */
  restart(): void {
    this.#lastRate = 0;
    this.#measure();
    this.#isWarmingUp = true;
  }

  /** Takes note of a large file that is about to be transferred. */
  largeFile(): void {
    this.#worthwhile = worthwhileForLarge;
    this.#minSettledMs = minSettledMsForLarge;
    this.#settledMs = Math.max(this.#settledMs, minSettledMsForLarge);
    if (!this.#hasTried) this.#count = Math.min(initialForLarge, this.max);
  }

  /** Takes note of bytes that a request has moved. `isSaturated`: others wait for their turn. */
  moved(bytes: number, isSaturated: boolean): void {
    const measuring = this.#measuring;
    measuring.bytes += bytes;
    measuring.reports++;
    const elapsed = this.now() - measuring.since;
    if (elapsed < (this.#isWarmingUp ? warmUpMs : measureMs)) return;
    if (measuring.reports < minReportsPerRequest * this.#count) return;
    if (this.#isWarmingUp) this.#isWarmingUp = false;
    else if (isSaturated) this.#decide((measuring.bytes / elapsed) * 1000);
    this.#measure();
  }

  /** Takes note of a request that the service has refused because there are too many. */
  throttled(): void {
    const now = this.now();
    if (now - this.#throttledAt < burstMs) return;
    this.#throttledAt = now;
    this.#change(Math.max(1, Math.floor(this.#count / 2)));
    this.#settle(throttledMs);
  }

  /** `rate` is in bytes per second. */
  #decide(rate: number): void {
    if (this.now() < this.#settledUntil) return;
    const before = this.#before;
    if (before && rate < before.rate * this.#worthwhile) {
      this.#change(before.count);
      this.#settle(this.#settledMs);
      this.#settledMs = Math.min(2 * this.#settledMs, maxSettledMs);
      return;
    }
    if (this.#count >= this.max) return;
    const last = this.#lastRate;
    this.#lastRate = rate;
    if (before) this.#settledMs = this.#minSettledMs;
    // While the throughput grows by itself, as on new connections, more requests would seem to be the reason.
    else if (rate >= fastRequest * this.#count || rate >= last * worthwhile) return;
    // One slow measurement must not make the next one a gain.
    this.#before = { count: this.#count, rate: Math.max(rate, last) };
    this.#change(Math.min(this.max, 2 * this.#count));
  }

  #change(count: number): void {
    this.#hasTried = true;
    this.#count = count;
    this.#lastRate = 0;
    this.#isWarmingUp = true;
  }

  #settle(ms: number): void {
    this.#before = undefined;
    this.#settledUntil = this.now() + ms;
    this.#measure();
  }

  #measure(): void {
    this.#measuring = { since: this.now(), bytes: 0, reports: 0 };
  }
}
