import { randomUUID } from 'node:crypto';
import type { Lease, Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import { UserError } from '../errors';
import { LeaseNote } from '../records/leaseNotes';
import { type ManifestStore, manifestBlob } from '../records/manifestStore';
import { anyOf, type Clock, pause, systemClock } from '../wait';

const leaseSeconds = 15;
const renewMs = 5_000;

/** Answers that say the lease is over, but not that somebody else has it. */
const expiredCodes = [
  'LeaseNotPresentWithLeaseOperation',
  'LeaseNotPresentWithBlobOperation',
  'LeaseIsBrokenAndCannotBeRenewed',
  'LeaseIsBreakingAndCannotBeAcquired',
  'LeaseLost',
];

/** How often, and how many milliseconds apart, the leases of killed processes are released before the run counts as taken. */
const leftTries = 3;
const leftPauseMs = 100;

/**
 * The right to act on a run: a lease on its manifest, so that only one window on one machine acts at a time. The lease of
 * a killed window expires after 15 seconds. Another window with the same claim folder, in which the process with the lease
 * is noted, can take the run at once.
 */
export class Claim {
  readonly #lost = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #lease: Lease;
  #released = false;
  /** False after an expired lease was acquired again, until it is known that no other window had the run in between. */
  #isChecked = true;

  private constructor(
    private readonly taken: TakenFrom,
    lease: Lease,
    private readonly note: LeaseNote | undefined,
    private readonly isCurrent: ClaimOptions['isCurrent'],
  ) {
    this.#lease = lease;
    // Renewed by the system clock, which the service's leases follow.
    this.#timer = setInterval(() => this.#renewing(), renewMs);
    this.#timer.unref();
  }

  /** Throws `runTaken` if another window holds the run. */
  static async take(
    storage: Storage,
    container: string,
    blob: string,
    runId: string,
    { folder, isCurrent, signal }: ClaimOptions,
  ): Promise<Claim> {
    const leaseId = randomUUID();
    const note = folder === undefined ? undefined : new LeaseNote(folder, runId, leaseId);
    const take = () => storage.lease(container, blob, leaseId, leaseSeconds, signal);
    // The note comes first: a process that is killed at any moment leaves no lease without one.
    await note?.write();
    try {
      let lease = await take();
      for (let tries = 0; note !== undefined && lease === undefined && tries < leftTries; tries++) {
        // The request of a process that was killed a moment ago may still be on its way.
        if (tries > 0) await pause(leftPauseMs, signal);
        const left = await note.left();
        if (left.length === 0) break;
        for (const id of left) await storage.releaseLease(container, blob, id, signal);
        lease = await take();
      }
      if (lease === undefined) throw new UserError({ kind: 'runTaken', run: runId });
      await note?.removeLeft();
      return new Claim({ storage, container, blob, runId }, lease, note, isCurrent);
    } catch (error) {
      await note?.remove();
      throw error;
    }
  }

  /** Whether this process has given up the right to act on the run. */
  get isReleased(): boolean {
    return this.#released;
  }

  get leaseId(): string {
    return this.#lease.id;
  }

  /** Aborts, with the reason, when another window has taken the run or the run was deleted. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Acquires the lease again, which may have expired. Throws `runTaken` if another window was faster, even if it has released the
   * run since; also after `release`.
   */
  async regain(signal = this.#lost.signal): Promise<void> {
    const { storage, container, blob, runId } = this.taken;
    // Nobody would renew or release it: no window could act on the run until it expires.
    if (this.#released) throw new UserError({ kind: 'runTaken', run: runId });
    const lease = await storage.lease(
      container,
      blob,
      this.leaseId,
      leaseSeconds,
      anyOf(signal, this.#lost.signal),
    );
    if (lease !== undefined && this.#released) await lease.release().catch(() => undefined);
    if (lease === undefined || this.#released) throw new UserError({ kind: 'runTaken', run: runId });
    this.#lease = lease;
    this.#isChecked = false;
    await this.#check(signal);
  }

  /** Throws `runTaken` or `runNotFound` if the run has changed or was deleted while this process did not have the lease. */
  async #check(signal = this.#lost.signal): Promise<void> {
    if (this.#isChecked) return;
    try {
      if (!(await this.isCurrent(anyOf(signal, this.#lost.signal))))
        throw new UserError({ kind: 'runTaken', run: this.taken.runId });
      this.#isChecked = true;
    } catch (error) {
      if (isRunLost(error)) this.#lose(error);
      throw error;
    }
  }

  async release(): Promise<void> {
    this.#released = true;
    clearInterval(this.#timer);
    await this.#lease.release().catch(() => undefined);
    await this.note?.remove();
  }

  #renewing(): void {
    this.#renew().catch((error) => this.#lose(error));
  }

  async #renew(): Promise<void> {
    await this.note?.touch();
    try {
      await this.#lease.renew();
      await this.#check();
    } catch (error) {
      if (isStorageCode(error, ...expiredCodes)) await this.#regainSoon();
      else if (isStorageCode(error, 'LeaseIdMismatchWithLeaseOperation', 'LeaseAlreadyPresent'))
        this.#lose(new UserError({ kind: 'runTaken', run: this.taken.runId }));
      else if (isStorageCode(error, 'ContainerBeingDeleted', 'HTTP 404'))
        this.#lose(new UserError({ kind: 'runNotFound', run: this.taken.container }));
      // Any other failure to reach the service says nothing about the lease: the next renewal asks again.
    }
  }

  async #regainSoon(): Promise<void> {
    if (this.#released) return;
    try {
      await this.regain();
    } catch (error) {
      if (isRunLost(error)) this.#lose(error);
    }
  }

  #lose(reason: unknown): void {
    clearInterval(this.#timer);
    this.#lost.abort(reason);
  }
}

/** Whether an error says that this process has lost the run. */
function isRunLost(error: unknown): boolean {
  return error instanceof UserError && ['runTaken', 'runNotFound'].includes(error.problem.kind);
}

export interface ClaimOptions {
  /** Where the processes of this machine note their leases. */
  readonly folder?: string;
  /** Whether the account holds the run as this process knows it: no other window has acted on it meanwhile. */
  readonly isCurrent: (signal: AbortSignal) => Promise<boolean>;
  readonly signal: AbortSignal;
}

interface TakenFrom {
  readonly storage: Storage;
  readonly container: string;
  readonly blob: string;
  readonly runId: string;
}

interface ClaimParts {
  readonly storage: Storage;
  readonly claimFolder?: string;
  readonly clock?: Clock;
}

interface Wanted {
  readonly container: string;
  readonly runId: string;
  /** How long another window's claim is waited for, in milliseconds. */
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

/** Takes the claim of a run that is in the account. Throws `runTaken`. */
export async function takeClaim(
  { storage, claimFolder: folder, clock = systemClock }: ClaimParts,
  store: ManifestStore,
  { container, runId, waitMs, signal }: Wanted,
): Promise<Claim> {
  const isCurrent = (own: AbortSignal) => store.isCurrent(own);
  const end = clock.now() + waitMs;
  for (;;) {
    try {
      return await Claim.take(storage, container, manifestBlob, runId, { folder, isCurrent, signal });
    } catch (error) {
      const isTaken = error instanceof UserError && error.problem.kind === 'runTaken';
      if (!isTaken || clock.now() >= end) throw error;
      await clock.pause(1_000, signal);
    }
  }
}
