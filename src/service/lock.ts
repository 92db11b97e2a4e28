import { linkSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { isRunning, startTime } from './tasks/processes/processTree';

/** The lock of a data folder: a file that names the process that holds it. A process that has ended holds nothing. */
export class Lock {
  /** What the file says while this process holds the lock. */
  readonly #content = `${process.pid} ${startTime(process.pid) ?? ''}`;

  constructor(private readonly path: string) {}

  /** Resolves to undefined if this process holds the lock now, otherwise to the id of the running process that holds it. */
  async take(): Promise<number | undefined> {
    const own = `${this.path}.${process.pid}`;
    writeFileSync(own, this.#content, { mode: 0o600 });
    try {
      for (;;) {
        try {
          // A link appears with its content, so that no other process reads an empty lock.
          linkSync(own, this.path);
          return undefined;
        } catch (error) {
          if ((error as { code?: string }).code !== 'EEXIST') throw error;
        }
        const seen = contentOf(this.path);
        const holder = await livingHolder(seen);
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

  /** Removes the lock of a process that has ended, unless another process has just replaced it. */
  #removeStale(seen: string): void {
    const aside = `${this.path}.${process.pid}.stale`;
    try {
      renameSync(this.path, aside);
      if (contentOf(aside) !== seen) linkSync(aside, this.path);
      unlinkSync(aside);
    } catch {
      // Another process was faster.
    }
  }
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** A process id may have been given to another process, for example after a restart of the machine; the start time tells. */
async function livingHolder(content: string): Promise<number | undefined> {
  const [id = '', started = ''] = content.split(' ');
  const pid = Number(id);
  if (!(pid > 0) || pid === process.pid || !isRunning(pid)) return undefined;
  const seen = startTime(pid);
  return started !== '' && seen !== undefined && seen !== started ? undefined : pid;
}
