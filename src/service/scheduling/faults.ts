import { BatchError } from '../wire/errors';
import type { Wire } from '../wire/wire';

/**
 * A set of faults for tests, sent to the signed route `POST /_faults` of a service that runs with `--faults`. Each order
 * replaces the members that it names and leaves the others as they are. Durations are in milliseconds; 0 or null turns
 * a lasting fault off.
 */
export interface FaultOrder {
  // Requests

  /** The next requests are refused with this status. */
  readonly refuse?: {
    readonly status: RefusalStatus;
    readonly requests: number;
    readonly retryAfterSeconds?: number;
  };
  /** This share (0 to 1) of all requests is refused, chosen by `seed`. */
  readonly refuseShare?: number;
  /** Statuses of the requests that `refuseShare` refuses. Default: 429, 500 and 503 in turn. */
  readonly refuseStatuses?: readonly RefusalStatus[];
  /** Starts the random numbers of `refuseShare` and `preemptEveryMs` again. */
  readonly seed?: number;
  /** The next requests take effect, but their connection is cut before the answer. */
  readonly cut?: number;
  /** The next answers whose `METHOD /path` contains `path` announce their whole length and stop half-way. */
  readonly cutBody?: {
    readonly answers: number;
    /** Default: every answer. */
    readonly path?: string;
    /** `close` ends the connection in order (FIN), `hang` leaves it open and sends nothing more. Default: `close`. */
    readonly ending?: 'close' | 'hang';
  };
  /** Every reply waits this long. */
  readonly slowMs?: number;

  // Answers that are out of date

  /** Task counts and node counts are those of this time ago. */
  readonly countsLagMs?: number;
  /** Lists of pools, nodes, jobs and tasks are those of this time ago. */
  readonly listsLagMs?: number;

  // Pools and nodes

  /** Nodes are added one by one, each this long after the last. */
  readonly nodeArrivalMs?: number;
  /** Each resize of a pool lasts at least this long; until then, others are refused with `PoolBeingResized`. */
  readonly resizingMs?: number;
  /** New nodes are refused with this code (`AccountCoreQuotaReached`), for a limited time if `forMs` is given. */
  readonly allocation?: string | { readonly code: string; readonly forMs: number } | null;
  /** The next nodes that start become unusable. */
  readonly unusable?: number;
  /** Puts nodes of a pool in this state now: those with tasks first, all of them unless `nodes` is given. */
  readonly setNodes?: {
    readonly pool: string;
    readonly state: 'unusable' | 'unknown' | 'offline';
    readonly nodes?: number;
  };
  /** Preempts a Spot node of this pool, one with a task if there is one. */
  readonly preempt?: string;
  /** Preempts a random Spot node of any pool at this interval. */
  readonly preemptEveryMs?: number;
  /** Start tasks take `delayMs` longer, and fail if an exit code other than 0 is given. */
  readonly startTask?: {
    readonly exitCode?: number;
    readonly stderr?: string;
    readonly delayMs?: number;
  } | null;
  /** The next start tasks are interrupted by a reboot of their node, after which they run again. */
  readonly interruptStartTasks?: number;

  // Jobs

  /** The clock of job schedules is ahead by this. */
  readonly clockOffsetMs?: number;
  /** Jobs with an auto pool complete with this error and without a pool. */
  readonly schedulingError?: SchedulingError | null;
}

export type RefusalStatus = 429 | 500 | 503;

/** `JobSchedulingError` of the Batch REST API. */
export interface SchedulingError {
  readonly category: 'UserError' | 'ServerError';
  readonly code: string;
  readonly message?: string;
  readonly details?: readonly { readonly name: string; readonly value: string }[];
}

const codeOf = { 429: 'TooManyRequests', 500: 'InternalError', 503: 'ServerBusy' } as const;

/** The lasting faults, and what is left of those that are counted. None unless the service runs with `--faults`. */
export class Faults {
  #order: FaultOrder = {};
  #refusals = 0;
  #refused = 0;
  #cuts = 0;
  #cutBodies = 0;
  #unusable = 0;
  #interruptions = 0;
  #allocationEndsAt = Number.POSITIVE_INFINITY;
  #random = randomNumbers(1);

  constructor(readonly isAllowed: boolean) {}

  set(order: FaultOrder): void {
    this.#order = { ...this.#order, ...order };
    const { refuse, cut, cutBody, unusable, interruptStartTasks, allocation, seed } = order;
    if (refuse) this.#refusals = refuse.requests;
    if (cut !== undefined) this.#cuts = cut;
    if (cutBody !== undefined) this.#cutBodies = cutBody.answers;
    if (unusable !== undefined) this.#unusable = unusable;
    if (interruptStartTasks !== undefined) this.#interruptions = interruptStartTasks;
    if (seed !== undefined) this.#random = randomNumbers(seed);
    if (allocation !== undefined) {
      const forMs = typeof allocation === 'object' ? allocation?.forMs : undefined;
      this.#allocationEndsAt = forMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + forMs;
    }
  }

  /** A random number from 0 to 1, the same sequence for the same seed. */
  random(): number {
    return this.#random();
  }

  /** Throws the error of a request that is to be refused. */
  maybeRefuse(): void {
    const { refuse, refuseShare = 0, refuseStatuses = [429, 500, 503] } = this.#order;
    if (refuse && this.#refusals > 0) {
      this.#refusals--;
      const headers: Record<string, string> =
        refuse.retryAfterSeconds === undefined ? {} : { 'Retry-After': String(refuse.retryAfterSeconds) };
      throw new BatchError(codeOf[refuse.status], {}, headers);
    }
    if (refuseShare > 0 && this.random() < refuseShare) {
      throw new BatchError(codeOf[refuseStatuses[this.#refused++ % refuseStatuses.length] ?? 503]);
    }
  }

  /** Whether the connection of this request is to be cut. */
  takeCut(): boolean {
    if (this.#cuts <= 0) return false;
    this.#cuts--;
    return true;
  }

  /** What follows the first half of the body of this answer; undefined for an answer that stays complete. */
  takeBodyCut(request: string): 'close' | 'hang' | undefined {
    const { path = '', ending = 'close' } = this.#order.cutBody ?? {};
    if (this.#cutBodies <= 0 || !request.includes(path)) return undefined;
    this.#cutBodies--;
    return ending;
  }

  /** Resolves once the reply may be sent. */
  async delay(): Promise<void> {
    const { slowMs = 0 } = this.#order;
    if (slowMs > 0) await new Promise((resolve) => setTimeout(resolve, slowMs));
  }

  get clockOffsetMs(): number {
    return this.#order.clockOffsetMs ?? 0;
  }

  get lags(): { readonly countsMs: number; readonly listsMs: number } {
    return { countsMs: this.#order.countsLagMs ?? 0, listsMs: this.#order.listsLagMs ?? 0 };
  }

  get nodeArrivalMs(): number {
    return this.#order.nodeArrivalMs ?? 0;
  }

  get resizingMs(): number {
    return this.#order.resizingMs ?? 0;
  }

  get preemptEveryMs(): number {
    return this.#order.preemptEveryMs ?? 0;
  }

  get startTask(): FaultOrder['startTask'] {
    return this.#order.startTask ?? undefined;
  }

  get schedulingError(): Wire | undefined {
    const error = this.#order.schedulingError;
    return error ? { ...error } : undefined;
  }

  /** The code with which new nodes are refused now. */
  get allocationFailure(): string | undefined {
    const { allocation } = this.#order;
    if (!allocation || Date.now() >= this.#allocationEndsAt) return undefined;
    return typeof allocation === 'string' ? allocation : allocation.code;
  }

  /** Whether a node that starts now becomes unusable. */
  takeUnusable(): boolean {
    if (this.#unusable <= 0) return false;
    this.#unusable--;
    return true;
  }

  /** Whether a start task that runs now is interrupted. */
  takeInterruption(): boolean {
    if (this.#interruptions <= 0) return false;
    this.#interruptions--;
    return true;
  }
}

/** The generator mulberry32, which is public domain: numbers from 0 to 1 that depend on the seed alone. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
