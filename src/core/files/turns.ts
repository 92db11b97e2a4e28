import { setMaxListeners } from 'node:events';

interface Waiting<T> {
  readonly item: T;
  readonly start: () => void;
}

/** A queue, first come, first served, that a waiting job can leave. */
export class Turns<T> {
  readonly #waiting: Waiting<T>[] = [];

  get length(): number {
    return this.#waiting.length;
  }

  /** Resolves when it is the item's turn. Rejects with the signal's reason when the signal aborts before that. */
  async wait(item: T, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    // Node warns of more than ten listeners, and all files of a run share a signal.
    if (signal) setMaxListeners(0, signal);
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal?.reason);
      };
      const start = () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const waiting = { item, start };
      this.#waiting.push(waiting);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }

  /** Starts every waiting job to which `admits` says yes, whatever its place in the queue. */
  admitEach(admits: (item: T) => boolean): void {
    for (const next of this.#waiting.filter(({ item }) => admits(item))) {
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      next.start();
    }
  }

  /** Starts waiting jobs in their order, as long as `admits` says yes to the first. */
  admit(admits: (item: T) => boolean): void {
    for (let next = this.#waiting[0]; next && admits(next.item); next = this.#waiting[0]) {
      this.#waiting.shift();
      next.start();
    }
  }
}
