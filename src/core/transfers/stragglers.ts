import { anyOf } from '../wait';

/** Number of requests that began later and have ended, from which on a request can count as slow. */
const minOvertaking = 4;

/** A slow request takes this many times as long as the slowest of these, for the same number of bytes. */
const slowFactor = 3;

/** A request that takes less time is not slow, in milliseconds. */
const minSlowMs = 500;

interface Running {
  readonly bytes: number;
  /** Milliseconds. */
  readonly began: number;
  overtaking: number;
  /** The longest time that one of the requests that overtook it would have taken for its bytes, in milliseconds. */
  longestMs: number;
  timer?: NodeJS.Timeout;
  readonly onSlow: () => void;
}

/**
 * Notices requests on connections that have become very slow: after losses, congestion control can need many seconds to send
 * as fast as other connections do. Only requests that began later are compared, so that a link that gets slower as a whole
 * makes no request slow.
 */
export class Stragglers {
  readonly #running = new Set<Running>();

  /** `now` returns milliseconds. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Registers a request for so many bytes. `onSlow` is called at most once. Call the returned function when it ends. */
  begin(bytes: number, onSlow: () => void): () => void {
    const one: Running = { bytes, began: this.now(), overtaking: 0, longestMs: 0, onSlow };
    this.#running.add(one);
    return () => {
      clearTimeout(one.timer);
      this.#running.delete(one);
      this.#ended(one);
    };
  }

  /**
   * Runs a step, and once more if it turns out to be slow: the signal that it gets aborts then, which closes its connection.
   * The second time it takes as long as it takes.
   */
  async run<T>(bytes: number, signal: AbortSignal, step: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const slow = new AbortController();
    const end = this.begin(bytes, () => slow.abort(new Error('the connection is slow')));
    try {
      return await step(anyOf(signal, slow.signal));
    } catch (error) {
      if (signal.aborted || !slow.signal.aborted) throw error;
    } finally {
      end();
    }
    return step(signal);
  }

  #ended({ began, bytes }: Running): void {
    const elapsed = this.now() - began;
    // In the order of their beginnings.
    for (const other of this.#running) {
      if (other.began >= began) break;
      other.overtaking++;
      other.longestMs = Math.max(other.longestMs, elapsed * Math.max(1, other.bytes / bytes));
      if (other.overtaking < minOvertaking) continue;
      clearTimeout(other.timer);
      const slowMs = Math.max(minSlowMs, slowFactor * other.longestMs);
      other.timer = setTimeout(other.onSlow, Math.max(0, other.began + slowMs - this.now())).unref();
    }
  }
}
