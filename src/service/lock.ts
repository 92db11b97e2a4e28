import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { giveFreeName } from './guard/newFile';
import { StartError } from './guard/startError';
import { isRunning, startTime } from './tasks/processes/processTree';
import { startedAt } from './tasks/processes/startedAt';

/** Its name in the data folder. */
export const lockFile = 'service.lock';

/** Two readings of the start of one process differ by less than this. */
const maxDifferenceMs = 30_000;

/** A lock that is empty for longer was left by a process that ended while it made the lock. */
const emptyMs = 5_000;

/** The running process that a lock names. */
export interface Holder {
  readonly pid: number;
  /** Whether the process is known to be the one that took the lock, and not a later one with its id. */
  readonly isCertain: boolean;
}

/** The lock of a data folder: a file that names the process that holds it. A process that has ended holds nothing. */
export class Lock {
  /** What the file says while this process holds the lock. */
  readonly #content = `${process.pid} ${startTime(process.pid) ?? Math.round(performance.timeOrigin)}`;

  readonly #starts = new Map<number, Promise<number | undefined>>();

  constructor(
    private readonly path: string,
    /** Whether a process answers as the service that holds the lock. */
    private readonly answers: (pid: number) => Promise<boolean>,
  ) {}

  /** Resolves to undefined if this process holds the lock now, otherwise to the running process that holds it. */
  async take(): Promise<Holder | undefined> {
    const own = `${this.path}.${process.pid}`;
    writeFileSync(own, this.#content, { mode: 0o600 });
    const unchangedFor = unchangedTimer();
    try {
      for (;;) {
        if (giveFreeName(own, this.path)) return undefined;
        const seen = contentOf(this.path);
        // Where there are no links, a lock is empty for a moment.
        if (seen === '' && unchangedFor(this.path) < emptyMs) {
          await delay(20);
          continue;
        }
        const holder = await this.#livingHolder(seen);
        if (holder !== undefined) return holder;
        this.#removeStale(seen);
      }
    } finally {
      rmSync(own, { force: true });
    }
  }

  /** Whether the file was deleted, perhaps with its folder, or is another process's by now. */
  get isLost(): boolean {
    try {
      return readFileSync(this.path, 'utf8') !== this.#content;
    } catch (error) {
      return (error as { code?: string }).code === 'ENOENT';
    }
  }

  /** Leaves the lock of another process alone. */
  release(): void {
    if (!this.isLost) rmSync(this.path, { force: true });
  }

  /**
   * A process id may have been given to another process, for example after a restart of the machine. The holder is the
   * process with the start time in the lock; if its start time is unknown, a process that answers as the service.
   */
  async #livingHolder(content: string): Promise<Holder | undefined> {
    const [id = '', started = ''] = content.split(' ');
    const pid = Number(id);
    if (!(pid > 0) || pid === process.pid || !isRunning(pid)) return undefined;
    const present = startTime(pid);
    if (started !== '' && present !== undefined)
      return present === started ? { pid, isCertain: true } : undefined;
    // Where only another program knows start times, an answer is faster.
    if (await this.answers(pid)) return { pid, isCertain: true };
    const isSame = started === '' ? undefined : await this.#isStart(pid, started);
    return isSame === false ? undefined : { pid, isCertain: isSame === true };
  }

  /** Whether a process started at a time; undefined if unknown. Starts a program, which can take a second. */
  async #isStart(pid: number, started: string): Promise<boolean | undefined> {
    const asked = this.#starts.get(pid) ?? startedAt(pid);
    this.#starts.set(pid, asked);
    const ms = await asked;
    return ms === undefined ? undefined : Math.abs(ms - Number(started)) < maxDifferenceMs;
  }

  /** Removes the lock of a process that has ended, unless another process has just replaced it. */
  #removeStale(seen: string): void {
    const aside = `${this.path}.${process.pid}.stale`;
    try {
      renameSync(this.path, aside);
      if (contentOf(aside) !== seen) giveFreeName(aside, this.path);
      rmSync(aside, { force: true });
    } catch {
      // Another process was faster.
    }
  }
}

/** What to tell the user when the holder of the lock of a data folder neither answers nor ends. */
export function unansweredBy({ pid, isCertain }: Holder, dataDir: string, then: string): StartError {
  return new StartError(
    isCertain
      ? `Process ${pid} holds ${dataDir} but does not answer. End that process, then ${then}.`
      : `Process ${pid} may hold ${dataDir}, but does not answer. End that process, or delete ${join(dataDir, lockFile)} if it is another program; then ${then}.`,
  );
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/**
 * Returns a function that gives the milliseconds for which a file is known to be unchanged: since it was written, or
 * since its time was first seen, as that time can be in the future. `Infinity` if the file does not exist.
 */
function unchangedTimer(): (path: string) => number {
  let seen = { mtimeMs: Number.NaN, at: 0 };
  return (path) => {
    const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Number.NEGATIVE_INFINITY };
    if (mtimeMs !== seen.mtimeMs) seen = { mtimeMs, at: performance.now() };
    return Math.max(Date.now() - mtimeMs, performance.now() - seen.at);
  };
}
