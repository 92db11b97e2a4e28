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

/**
 * Tasks that one round reads, whatever their number, and the pause between two rounds: at most nine requests every two
 * seconds.
 */
const tasksPerRound = 4;
const roundMs = 2_000;

/**
 * More than ffmpeg, which writes 300 bytes every second, writes within `lateMs`: a file with more is read from its end.
 */
const readBytes = 64 * 1024;

/** A file that was not read for so long, in milliseconds, is read from its end. */
const lateMs = 60_000;

/** Bytes at the end of a file that hold at least one complete block. */
const endBytes = 4 * 1024;

/** How far a task was read. */
interface Reading {
  readonly position: number;
  /** When it was read, in milliseconds; -Infinity for a task to read in the next rounds. */
  readonly at: number;
}

const unread: Reading = { position: 0, at: Number.NEGATIVE_INFINITY };

/**
 * Follows the progress of running tasks in the files that ffmpeg writes, those first that were not read for longest. A file
 * that cannot be read is no problem: the task may have ended, or its node was lost.
 */
export class TaskProgress {
  readonly #readings = new Map<string, Reading>();
  /** The link to the next page of running tasks: each round asks for one page. */
  #next: string | undefined;

  constructor(
    private readonly batch: Batch,
    private readonly jobId: string,
    private readonly onProgress: (taskId: string, progress: FileProgress) => void,
    private readonly clock: Clock,
  ) {}

  /** Reads until the signal aborts. `isWorthwhile` says whether any task runs. */
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
    const link = this.#next;
    // After a failure the first page is asked for again.
    this.#next = undefined;
    const options = { filter: "state eq 'running'", select: 'id', signal };
    const { items, next } = await this.batch.taskPage(this.jobId, options, link);
    this.#next = next;
    const ids = items.map(({ id = '' }) => id);
    if (link === undefined && next === undefined) this.#forgetOthers(ids);
    for (const id of ids) {
      if (this.#readings.has(id)) continue;
      this.#readings.set(id, unread);
      this.onProgress(id, { seconds: 0 });
    }
    const readAt = (id: string) => this.#readings.get(id)?.at ?? 0;
    const longestAgo = ids.sort((one, other) => Math.sign(readAt(one) - readAt(other)) || 0);
    await Promise.all(longestAgo.slice(0, tasksPerRound).map((id) => this.#readInTurn(id, signal)));
  }

  #forgetOthers(ids: readonly string[]): void {
    const running = new Set(ids);
    for (const id of this.#readings.keys()) if (!running.has(id)) this.#readings.delete(id);
  }

  async #readInTurn(id: string, signal: AbortSignal): Promise<void> {
    const { position, at } = this.#readings.get(id) ?? unread;
    const now = this.clock.now();
    // Whatever comes of it, the others are next.
    this.#readings.set(id, { position, at: now });
    try {
      // Most tasks that were not read before have just begun: their files are short.
      const from = position > 0 && now - at >= lateMs ? undefined : position;
      this.#readings.set(id, await this.#read(id, from, now, signal));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    }
  }

  /** Reads from a position, or the end of the file if none is given. */
  async #read(taskId: string, from: number | undefined, now: number, signal: AbortSignal): Promise<Reading> {
    const place = { jobId: this.jobId, taskId };
    const path = `wd/${progressFile}`;
    const size = async () => (await this.batch.fileProperties(place, path, signal))?.size ?? 0;
    const position = from ?? Math.max((await size()) - endBytes, 0);
    const data = await this.batch.readFile(place, path, position, readBytes, signal);
    // A task that starts again, on this node or another one, writes its file from the beginning.
    if (data.length === 0) {
      const isShorter = position > 0 && (await size()) < position;
      return { position: isShorter ? 0 : position, at: now };
    }
    const end = position + data.length;
    // The file has more, so this part is old: the next round reads the end.
    if (data.length >= readBytes) return { position: end, at: unread.at };
    const progress = parseProgress(Buffer.from(data).toString('latin1'));
    if (progress) this.onProgress(taskId, progress);
    return { position: end, at: now };
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
