import type { Batch } from '../azure/batch';
import { UserError } from '../errors';
import { progressFile } from '../presets/ffmpegCommand';
import type { Clock } from '../wait';

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
  /** Tasks that are known to run. */
  readonly #running = new Set<string>();
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
      select: 'id',
      signal,
    });
    const ids = items.map(({ id = '' }) => id);
    for (const id of ids) {
      if (!this.#running.has(id)) this.onProgress(id, { seconds: 0 });
      this.#running.add(id);
    }
    for (let asked = 0; asked < Math.min(tasksPerRound, ids.length); asked++) {
      await this.#read(ids[this.#turn++ % ids.length] ?? '', signal);
    }
  }

  async #read(taskId: string, signal: AbortSignal): Promise<void> {
    const position = this.#positions.get(taskId) ?? 0;
    const place = { jobId: this.jobId, taskId };
    const path = `wd/${progressFile}`;
    const data = await this.batch.readFile(place, path, position, readBytes, signal);
    if (data.length === 0) {
      // A task that starts again, on this node or another one, writes its file from the beginning.
      const properties = position > 0 ? await this.batch.fileProperties(place, path, signal) : undefined;
      if (properties !== undefined && properties.size < position) this.#positions.delete(taskId);
      return;
    }
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
