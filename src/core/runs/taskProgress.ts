import { setTimeout as delay } from 'node:timers/promises';
import type { Batch } from '../azure/batch';
import { UserError } from '../errors';
import { progressFile } from '../presets/ffmpegCommand';
import type { FileProgress } from './runEvents';

/** Tasks looked at in one round, whatever their number: a few requests, every other second. */
const looksPerRound = 3;
const roundMs = 2_000;

/** More than ffmpeg writes between two looks. */
const readBytes = 64 * 1024;

/**
 * Follows how far running tasks are, in turn, from the ends of the files that ffmpeg writes. What cannot be read is no
 * trouble: the task may have ended, or its node gone.
 */
export class TaskProgress {
  readonly #positions = new Map<string, number>();
  #turn = 0;

  constructor(
    private readonly batch: Batch,
    private readonly jobId: string,
    private readonly onProgress: (taskId: string, progress: FileProgress) => void,
  ) {}

  /** Until the signal aborts. `isWorthwhile` says whether anything runs. */
  async follow(isWorthwhile: () => boolean, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await delay(roundMs, undefined, { signal });
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
    for (let look = 0; look < Math.min(looksPerRound, ids.length); look++) {
      await this.#look(ids[this.#turn++ % ids.length] ?? '', signal);
    }
  }

  async #look(taskId: string, signal: AbortSignal): Promise<void> {
    const position = this.#positions.get(taskId) ?? 0;
    const place = { jobId: this.jobId, taskId };
    const data = await this.batch.readFile(place, `wd/${progressFile}`, position, readBytes, signal);
    if (data.length === 0) return;
    this.#positions.set(taskId, position + data.length);
    const progress = parseProgress(Buffer.from(data).toString('latin1'));
    if (progress) this.onProgress(taskId, progress);
  }
}

/** The last whole block of what ffmpeg's `-progress` writes; undefined where there is none yet. */
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
