import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Lease, Storage } from '../azure/storage';
import { isStorageCode } from '../azure/storageCall';
import { UserError } from '../errors';

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

  private constructor(
    private readonly taken: TakenFrom,
    lease: Lease,
    private readonly note: LeaseNote | undefined,
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
    { folder, signal }: { folder?: string; signal: AbortSignal },
  ): Promise<Claim> {
    const note = folder === undefined ? undefined : new LeaseNote(folder, runId);
    const take = () => storage.lease(container, blob, leaseSeconds, signal);
    let lease = await take();
    const left = lease ? undefined : await note?.left();
    if (left) {
      await storage.releaseLease(container, blob, left, signal);
      lease = await take();
    }
    if (lease === undefined) throw new UserError({ kind: 'runTaken', run: runId });
    try {
      await note?.write(lease.id);
    } catch (error) {
      await lease.release().catch(() => undefined);
      throw error;
    }
    return new Claim({ storage, container, blob, runId }, lease, note);
  }

  get leaseId(): string {
    return this.#lease.id;
  }

  /** Aborts, with the reason, when another window has taken the run or the run was deleted. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Takes a lease that has expired again. Throws `runTaken` if another window was faster. */
  async regain(): Promise<void> {
    const { storage, container, blob, runId } = this.taken;
    const lease = await storage.lease(container, blob, leaseSeconds, this.#lost.signal);
    if (lease === undefined) throw new UserError({ kind: 'runTaken', run: runId });
    this.#lease = lease;
    await this.note?.write(lease.id);
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
    try {
      await this.#lease.renew();
    } catch (error) {
      if (isStorageCode(error, ...expiredCodes)) await this.#regainSoon();
      else if (isStorageCode(error, 'LeaseIdMismatchWithLeaseOperation', 'LeaseAlreadyPresent'))
        this.#lose(new UserError({ kind: 'runTaken', run: this.taken.runId }));
      else if (isStorageCode(error, 'ContainerNotFound', 'BlobNotFound', 'HTTP 404'))
        this.#lose(new UserError({ kind: 'runNotFound', run: this.taken.container }));
      // Any other failure to reach the service says nothing about the lease: the next renewal asks again.
    }
  }

  async #regainSoon(): Promise<void> {
    if (this.#released) return;
    try {
      await this.regain();
    } catch (error) {
      if (error instanceof UserError && error.problem.kind === 'runTaken') this.#lose(error);
    }
  }

  #lose(reason: unknown): void {
    clearInterval(this.#timer);
    this.#lost.abort(reason);
  }
}

interface TakenFrom {
  readonly storage: Storage;
  readonly container: string;
  readonly blob: string;
  readonly runId: string;
}

/** Notes which process of this machine has the lease of a run. */
class LeaseNote {
  readonly #path: string;

  constructor(
    private readonly folder: string,
    runId: string,
  ) {
    this.#path = join(folder, `${runId}.json`);
  }

  async write(leaseId: string): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const note = { leaseId, pid: process.pid, host: hostname() };
    await writeFile(this.#path, JSON.stringify(note), { mode: 0o600 });
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  /** The lease of a process of this machine that no longer exists. */
  async left(): Promise<string | undefined> {
    const note = parsed(await readFile(this.#path, 'utf8').catch(() => ''));
    return note && note.host === hostname() && !isAlive(note.pid) ? note.leaseId : undefined;
  }
}

interface Note {
  readonly leaseId: string;
  readonly pid: number;
  readonly host: string;
}

/** Undefined for a note that a crash left incomplete. */
function parsed(text: string): Note | undefined {
  try {
    return JSON.parse(text) as Note;
  } catch {
    return undefined;
  }
}

/** Whether a living process of this machine has noted that it acts on a run. */
export async function isClaimedHere(folder: string, runId: string): Promise<boolean> {
  const text = await readFile(join(folder, `${runId}.json`), 'utf8').catch(() => undefined);
  if (text === undefined) return false;
  const { pid, host } = JSON.parse(text) as { pid: number; host: string };
  return host === hostname() && isAlive(pid);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}
