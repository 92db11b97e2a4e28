import type { Batch } from '../azure/batch';
import type { RunPool } from '../plan/manifest';
import { anyOf } from '../wait';
import { type FoundPool, findPool } from './ensurePool';

/** Looks for the pool of a new run while the containers of the run are made: these requests change nothing. */
export class PoolSearch {
  /** Rejects with the reason if the account cannot be read. */
  readonly found: Promise<FoundPool>;
  readonly #stop = new AbortController();

  constructor(batch: Batch, pool: RunPool, signal: AbortSignal) {
    this.found = findPool(batch, pool, anyOf(signal, this.#stop.signal));
    // Nobody may ask for it.
    this.found.catch(() => undefined);
  }

  end(): void {
    this.#stop.abort();
  }
}
