import { linkSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { startTime } from './tasks/processTree';

/** One service for each data folder: the file names the process that has it. */
export class Lock {
  constructor(private readonly path: string) {}

  /** Undefined when this process has the folder now, or the id of the living process that has it. */
  async take(): Promise<number | undefined> {
    const own = `${this.path}.${process.pid}`;
    writeFileSync(own, `${process.pid} ${(await startTime(process.pid)) ?? ''}`, { mode: 0o600 });
    try {
      for (;;) {
        try {
          // A link appears with its content, so that nobody reads an empty lock.
          linkSync(own, this.path);
          return undefined;
        } catch (error) {
          if ((error as { code?: string }).code !== 'EEXIST') throw error;
        }
        const seen = contentOf(this.path);
        const holder = await livingHolder(seen);
        if (holder !== undefined) return holder;
        this.#giveUp(seen);
      }
    } finally {
      rmSync(own, { force: true });
    }
  }

  release(): void {
    rmSync(this.path, { force: true });
  }

  /** Takes away the lock of a process that is gone, unless somebody else has just done so and locked anew. */
  #giveUp(seen: string): void {
    const aside = `${this.path}.${process.pid}.gone`;
    try {
      renameSync(this.path, aside);
      if (contentOf(aside) !== seen) linkSync(aside, this.path);
      unlinkSync(aside);
    } catch {
      // Somebody else was quicker.
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

/** After a restart of the machine, the id of a dead process may be somebody else's: its start time tells. */
async function livingHolder(content: string): Promise<number | undefined> {
  const [id = '', started = ''] = content.split(' ');
  const pid = Number(id);
  if (!(pid > 0) || pid === process.pid || !isAlive(pid)) return undefined;
  const seen = await startTime(pid);
  return started !== '' && seen !== undefined && seen !== started ? undefined : pid;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}
