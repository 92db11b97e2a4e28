import { BatchError } from '../wire/errors';

/** What a test asks to go wrong, through the signed route `POST /_faults`. */
export interface FaultOrder {
  /** The next requests are answered with this status (429 or 503). */
  readonly refuse?: {
    readonly status: 429 | 503;
    readonly requests: number;
    readonly retryAfterSeconds?: number;
  };
  /** A share (0 to 1) of all requests is answered with 503, until set to 0. */
  readonly refuseShare?: number;
  /** The next requests are cut in the middle. */
  readonly cut?: number;
  /** Milliseconds that every reply waits, until set to 0. */
  readonly slowMs?: number;
  /** Start tasks fail with this exit code and stderr. */
  readonly startTask?: { readonly exitCode: number; readonly stderr: string } | null;
  /** Nodes are refused with this code (`AccountCoreQuotaReached`). */
  readonly allocation?: string | null;
  /** A Spot node of this pool, one that runs something if there is one, is taken away. */
  readonly preempt?: string;
}

/** Faults on demand; none unless the service was started with `--faults`. */
export class Faults {
  #order: FaultOrder = {};
  #refusals = 0;
  #cuts = 0;

  constructor(readonly isAllowed: boolean) {}

  set(order: FaultOrder): void {
    this.#order = { ...this.#order, ...order };
    if (order.refuse) this.#refusals = order.refuse.requests;
    if (order.cut !== undefined) this.#cuts = order.cut;
  }

  /** Throws what a throttling service answers. */
  maybeRefuse(): void {
    const { refuse, refuseShare = 0 } = this.#order;
    if (refuse && this.#refusals > 0) {
      this.#refusals--;
      const headers: Record<string, string> =
        refuse.retryAfterSeconds === undefined ? {} : { 'Retry-After': String(refuse.retryAfterSeconds) };
      throw new BatchError(refuse.status === 429 ? 'TooManyRequests' : 'ServerBusy', {}, headers);
    }
    if (refuseShare > 0 && Math.random() < refuseShare) throw new BatchError('ServerBusy');
  }

  /** Whether the connection of this request is to be cut. */
  takeCut(): boolean {
    if (this.#cuts <= 0) return false;
    this.#cuts--;
    return true;
  }

  /** Resolves once the reply may go out. */
  async delay(): Promise<void> {
    const { slowMs = 0 } = this.#order;
    if (slowMs > 0) await new Promise((resolve) => setTimeout(resolve, slowMs));
  }

  startTaskFailure(_poolId: string): { exitCode: number; stderr: string } | undefined {
    return this.#order.startTask ?? undefined;
  }

  allocationFailure(_poolId: string): string | undefined {
    return this.#order.allocation ?? undefined;
  }
}
