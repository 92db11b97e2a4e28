import type { Batch, Task } from '../azure/batch';
import { UserError } from '../errors';
import { progressFile } from '../presets/ffmpegCommand';
import type { Clock } from '../wait';
import { lifeOf } from './logTail';

/** How far the task of a file is, while it runs. */
export interface FileProgress {
  /** Seconds of the source that are done. */
  readonly seconds: number;
  /** Seconds of the source per second of the clock. */
  readonly speed?: number;
}

/** Tasks asked in one round, whatever their number: a few requests every two seconds. */
const tasksPerRound = 3;
const roundMs = 2_000;

/** More than ffmpeg writes between two reads. */
const readBytes = 64 * 1024;

/**
 * Follows the progress of running tasks, in turn, in the files that ffmpeg writes. A file that cannot be read is no
 * problem: the task may have ended, or its node was lost.
 */
export class TaskProgress {
  readonly #positions = new Map<string, number>();
  /** The present start of each task that is known to run: after another one, its file begins anew. */
  readonly #lives = new Map<string, string | undefined>();
  #turn = 0;

  constructor(
    private readonly batch: Batch,
    private readonly jobId: string,
    private readonly onProgress: (taskId: string, progress: FileProgress) => void,
    private readonly clock: Clock,
  ) {}

  /** Goes on until the signal aborts. `isWorthwhile` says whether any task runs. */
  async follow(isWorthwhile: () => boolean, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.clock.pause(roundMs, signal);
        if (isWorthwhile()) await this.#round(signal);
      } catch (error) {
        if (!signal.aborted && !(error instanceof UserError)) throw error;
      }
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { items } = await this.batch.taskPage(this.jobId, {
      filter: "state eq 'running'",
      select: 'id,executionInfo',
      signal,
    });
    const ids = items.map(({ id = '' }) => id);
    for (const task of items) this.#noteLife(task);
    for (let asked = 0; asked < Math.min(tasksPerRound, ids.length); asked++) {
      await this.#read(ids[this.#turn++ % ids.length] ?? '', signal);
    }
  }

  #noteLife(task: Task): void {
    const { id = '' } = task;
    const before = this.#lives.get(id);
    const life = lifeOf(task) ?? before;
    if (!this.#lives.has(id) || (before !== undefined && life !== before)) {
      this.#positions.delete(id);
      this.onProgress(id, { seconds: 0 });
    }
    this.#lives.set(id, life);
  }

  async #read(taskId: string, signal: AbortSignal): Promise<void> {
    const position = this.#positions.get(taskId) ?? 0;
    const place = { jobId: this.jobId, taskId };
    const data = await this.batch.readFile(place, `wd/${progressFile}`, position, readBytes, signal);
    if (data.length === 0) return;
    this.#positions.set(taskId, position + data.length);
    const progress = parseProgress(Buffer.from(data).toString('latin1'));
    if (progress) this.onProgress(taskId, progress);
  }
}

/** The last complete block that ffmpeg's `-progress` wrote; undefined if there is none yet. */
export function parseProgress(text: string): FileProgress | undefined {
  const end = text.lastIndexOf('progress=');
  if (end < 0) return undefined;
  const start = text.lastIndexOf('progress=', end - 1);
  const block = text.slice(Math.max(start, 0), end);
  const value = (name: string) => new RegExp(`^${name}=\\s*(-?[\\d.]+)`, 'm').exec(block)?.[1];
  const microseconds = value('out_time_us');
  if (microseconds === undefined) return undefined;
  const speed = value('speed');
  return {
    seconds: Math.max(Number(microseconds) / 1e6, 0),
    speed: speed === undefined ? undefined : Number(speed),
  };
}
