import { UserError } from './errors';
import type { Lease, Storage } from './storage';

const leaseSeconds = 15;
const renewMs = 5_000;

/**
 * The right to act on a run: a lease on its manifest, so that of all windows on all machines one acts and the others
 * look on. A window that is killed loses it after 15 seconds.
 */
export class Claim {
  readonly #lost = new AbortController();
  readonly #timer: NodeJS.Timeout;

  private constructor(
    private readonly lease: Lease,
    private readonly runId: string,
  ) {
    this.#timer = setInterval(() => void this.#renew(), renewMs);
    this.#timer.unref();
  }

  /** Throws `runTaken` when another window holds the run. */
  static async take(
    storage: Storage,
    container: string,
    blob: string,
    runId: string,
    signal: AbortSignal,
  ): Promise<Claim> {
    const lease = await storage.lease(container, blob, leaseSeconds, signal);
    if (lease === undefined) throw new UserError({ kind: 'runTaken', run: runId });
    return new Claim(lease, runId);
  }

  get leaseId(): string {
    return this.lease.id;
  }

  /** Aborts, with a `runTaken`, when another window has taken the run over: after a machine slept, for example. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.lease.release().catch(() => undefined);
  }

  async #renew(): Promise<void> {
    try {
      await this.lease.renew();
    } catch (error) {
      // Not reaching the service proves nothing; only its answer that somebody else holds the lease does.
      const taken = error instanceof UserError && error.problem.kind === 'service';
      if (!taken) return;
      clearInterval(this.#timer);
      this.#lost.abort(new UserError({ kind: 'runTaken', run: this.runId }));
    }
  }
}
