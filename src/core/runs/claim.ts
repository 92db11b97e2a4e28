import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Lease, Storage } from '../azure/storage';
import { UserError } from '../errors';

const leaseSeconds = 15;
const renewMs = 5_000;

/**
 * The right to act on a run: a lease on its manifest, so that of all windows on all machines one acts and the others
 * look on. A window that is killed loses it after 15 seconds, and at once to one that has the same claim folder, where
 * the process with the lease is written down.
 */
export class Claim {
  readonly #lost = new AbortController();
  readonly #timer: NodeJS.Timeout;

  private constructor(
    private readonly lease: Lease,
    private readonly runId: string,
    private readonly note: LeaseNote | undefined,
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
    await note?.write(lease.id);
    return new Claim(lease, runId, note);
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
    await this.note?.remove();
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

/** Which process of this machine has the lease of a run. */
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

  /** The lease of a process of this machine that is gone. */
  async left(): Promise<string | undefined> {
    const text = await readFile(this.#path, 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    const { leaseId, pid, host } = JSON.parse(text) as { leaseId: string; pid: number; host: string };
    return host === hostname() && !isAlive(pid) ? leaseId : undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}
