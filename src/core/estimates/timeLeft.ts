import type { FileProgress } from '../jobs/taskProgress';
import { type FileResult, taskSecondsOf } from '../plan/manifest';
import type { RunProgress } from '../runs/runEvents';

/** A file of the run, as far as an estimate needs it. */
interface EstimatedFile {
  readonly id: string;
  /** Bytes of the source. */
  readonly size: number;
  /** Length of the source in seconds, if it is known. */
  readonly seconds?: number;
}

/** An estimate that is so much higher than the last one is believed; a smaller rise is noise. */
const believedRise = 1.25;
const believedRiseMs = 10_000;

/** How long an estimate must stay that high. */
const believedAfterMs = 10_000;

/** How fast an estimate follows what is believed: the share of the difference that is left after one second. */
const keptPerSecond = 0.8;

/** An estimate that was so many times too high is corrected faster. */
const muchTooHigh = 2;
const keptPerSecondThen = 0.3;

/** Tasks that ended say how fast the others are only if their files were at least this share as long. */
const comparableShare = 0.25;

/** Until a task has ended, its share that is not encoding (start, download, upload) is unknown. */
const encodingShare = 0.8;

/** Downloads are watched for so long before their rate counts. */
const minFetchMs = 2_000;

/** The weight of the upload in the share of the work that is done. */
const uploadShare = 0.2;

/** An upload must have lasted this long before its rate is used. */
const minUploadMs = 2_000;

/**
 * Estimates how long a run still takes: the bytes that are left to upload at the rate so far, the seconds of media that
 * are left to encode at the speed of the tasks, spread over the slots that work, and the outputs that wait to be
 * downloaded. Falls as the run goes on; rises only when the run has been slower than estimated for ten seconds. The clock is
 * passed in, in milliseconds.
 */
export class TimeLeft {
  readonly #seen = new Map<string, { progress: FileProgress; at: number }>();
  readonly #work: ReadonlyMap<string, number>;
  #uploadSince: { at: number; bytes: number } | undefined;
  /** Downloads while outputs waited for them. */
  readonly #fetching = { ms: 0, bytes: 0 };
  #fetchSeen: { at: number; bytes: number } | undefined;
  #shown: { ms: number; at: number } | undefined;
  #slowSince: number | undefined;

  /** `expectedSpeed`: seconds of media per second of a task, from earlier runs, for as long as no task has run. */
  constructor(
    files: readonly EstimatedFile[],
    private readonly expectedSpeed?: number,
  ) {
    this.#work = workOf(files);
  }

  /** Milliseconds until the run ends, or undefined while nothing is known about its speed. */
  estimate(now: number, progress: RunProgress, results: ReadonlyMap<string, FileResult>): number | undefined {
    // Nothing is left, whatever was estimated.
    if (progress.phase === 'done') return 0;
    const raw = this.#raw(now, progress, results);
    if (raw === undefined) return undefined;
    this.#shown = { ms: this.#smooth(now, raw), at: now };
    return this.#shown.ms;
  }

  /** The share of the work that is done, from 0 to 1: of each file its upload and its encoding. */
  share(
    now: number,
    { upload, running, settling }: RunProgress,
    results: ReadonlyMap<string, FileResult>,
  ): number {
    this.#note(now, running);
    const speed = this.#speed();
    let total = 0;
    let done = 0;
    for (const [id, work] of this.#work) {
      total += work;
      const seen = running.has(id) ? this.#seen.get(id) : undefined;
      if (results.has(id) || settling.has(id)) done += work;
      else if (seen) done += Math.min(doneOf(seen, now, speed), work);
    }
    const uploaded = upload.bytesTotal > 0 ? Math.min(upload.bytes / upload.bytesTotal, 1) : 1;
    return total > 0 ? uploadShare * uploaded + (1 - uploadShare) * (done / total) : 0;
  }

  #smooth(now: number, raw: number): number {
    if (this.#shown === undefined) return raw;
    const elapsed = now - this.#shown.at;
    const expected = Math.max(this.#shown.ms - elapsed, 0);
    const isMuchTooHigh = expected > muchTooHigh * raw;
    const kept = (isMuchTooHigh ? keptPerSecondThen : keptPerSecond) ** (elapsed / 1000);
    if (raw <= this.#shown.ms) {
      this.#slowSince = undefined;
      return Math.min(raw + (expected - raw) * kept, this.#shown.ms);
    }
    if (raw <= this.#shown.ms * believedRise + believedRiseMs) {
      this.#slowSince = undefined;
      return this.#shown.ms;
    }
    this.#slowSince ??= now;
    if (now - this.#slowSince < believedAfterMs) return this.#shown.ms;
    return raw + (this.#shown.ms - raw) * kept;
  }

  #raw(now: number, progress: RunProgress, results: ReadonlyMap<string, FileResult>): number | undefined {
    this.#noteFetching(now, progress);
    const encoding = this.#encoding(now, progress, results);
    const upload = this.#upload(now, progress);
    if (encoding === undefined || upload === undefined) return undefined;
    const fetching = this.#fetch(progress, results);
    // How long the last downloads take is unknown until one has been seen.
    if (fetching === undefined && upload.left + encoding.left === 0) return undefined;
    // The last file to be uploaded is encoded after that.
    const made = upload.left > 0 ? Math.max(upload.left + encoding.oneFile, encoding.left) : encoding.left;
    return made + (fetching ?? 0);
  }

  #noteFetching(now: number, { settling, fetch: { bytes } }: RunProgress): void {
    const seen = this.#fetchSeen;
    this.#fetchSeen = settling.size > 0 ? { at: now, bytes } : undefined;
    if (seen === undefined) return;
    this.#fetching.ms += now - seen.at;
    this.#fetching.bytes += bytes - seen.bytes;
  }

  /** Milliseconds for the outputs that wait or are being downloaded, which are as large as others for their length. */
  #fetch({ settling, fetch }: RunProgress, results: ReadonlyMap<string, FileResult>): number | undefined {
    if (settling.size === 0) return 0;
    let bytes = 0;
    let work = 0;
    for (const { id, outputBytes } of results.values()) {
      if (outputBytes === undefined) continue;
      bytes += outputBytes;
      work += this.#work.get(id) ?? 0;
    }
    const { ms, bytes: received } = this.#fetching;
    if (work === 0 || ms < minFetchMs || received <= 0) return undefined;
    const waiting = [...settling].reduce((sum, id) => sum + (this.#work.get(id) ?? 0), 0);
    const partial = Math.max(fetch.bytes - bytes, 0);
    return (Math.max((waiting * bytes) / work - partial, 0) * ms) / received;
  }

  #upload(now: number, { upload }: RunProgress): { left: number } | undefined {
    const bytesLeft = upload.bytesTotal - upload.bytes;
    if (bytesLeft <= 0) return { left: 0 };
    // A retry counts its upload from the beginning.
    if (this.#uploadSince && upload.bytes < this.#uploadSince.bytes) this.#uploadSince = undefined;
    this.#uploadSince ??= { at: now, bytes: upload.bytes };
    const elapsed = now - this.#uploadSince.at;
    const bytes = upload.bytes - this.#uploadSince.bytes;
    return elapsed < minUploadMs || bytes <= 0 ? undefined : { left: (bytesLeft * elapsed) / bytes };
  }

  #encoding(
    now: number,
    { tasks, running, pieces, settling }: RunProgress,
    results: ReadonlyMap<string, FileResult>,
  ): { left: number; oneFile: number } | undefined {
    this.#note(now, running);
    const rate = this.#rate(results);
    if (rate === undefined) return undefined;
    const msOf = (work: number) => (work * 1000) / rate.speed;
    const taskMs = (work: number) => rate.overheadMs + msOf(work);
    const usual = this.#speed();
    const slots: number[] = [];
    const queued: number[] = [];
    for (const [id, work] of this.#work) {
      if (results.has(id) || settling.has(id)) continue;
      const parts = pieces.get(id)?.filter(({ piece }) => piece.kind === 'part');
      if (parts) {
        for (const { state, startSeconds, endSeconds, progress } of parts) {
          const left = endSeconds - startSeconds - (progress?.seconds ?? 0);
          if (state === 'running') slots.push(msOf(Math.max(left, 0)));
          else if (state === 'waiting') queued.push(taskMs(left));
        }
        continue;
      }
      const seen = this.#seen.get(id);
      if (seen && running.has(id)) slots.push(msOf(Math.max(work - doneOf(seen, now, usual), 0)));
      else queued.push(taskMs(work));
    }
    // Tasks that run without a progress yet have just begun.
    while (slots.length < tasks.running && queued.length > 0) slots.push(queued.shift() ?? 0);
    if (slots.length === 0) slots.push(0);
    const all = [...this.#work.values()];
    const mean = all.reduce((sum, work) => sum + work, 0) / Math.max(all.length, 1);
    return { left: makespan(slots, queued), oneFile: taskMs(mean) };
  }

  /** Mean speed of the tasks whose speed was read, in units of work per second; 0 if none was. */
  #speed(): number {
    const speeds = [...this.#seen.values()].flatMap(({ progress }) => progress.speed || []);
    return speeds.length > 0 ? speeds.reduce((all, one) => all + one, 0) / speeds.length : 0;
  }

  #note(now: number, running: RunProgress['running']): void {
    for (const [id, progress] of running) {
      if (this.#seen.get(id)?.progress !== progress) this.#seen.set(id, { progress, at: now });
    }
  }

  /**
   * Units of work per second of encoding, and what a task takes besides. The speed is that of the tasks that run, or have
   * run while they were watched; without any, that of tasks that ended, unless they were much shorter than those that are
   * left: they say nothing of the speed. Otherwise that of earlier runs.
   */
  #rate(results: ReadonlyMap<string, FileResult>): { speed: number; overheadMs: number } | undefined {
    const ended = [...results.values()].flatMap((result) => {
      const seconds = taskSecondsOf(result);
      if (result.problem || seconds === undefined) return [];
      return { work: this.#work.get(result.id) ?? 0, seconds };
    });
    const sum = (of: (one: (typeof ended)[number]) => number) => ended.reduce((all, one) => all + of(one), 0);
    const speed = this.#speed();
    if (speed > 0) {
      if (ended.length === 0) return { speed: encodingShare * speed, overheadMs: 0 };
      const overhead = sum(({ work, seconds }) => Math.max(seconds - work / speed, 0)) / ended.length;
      return { speed, overheadMs: overhead * 1000 };
    }
    const left = [...this.#work].flatMap(([id, work]) => (results.has(id) ? [] : work));
    const meanLeft = left.reduce((all, work) => all + work, 0) / Math.max(left.length, 1);
    const [work, seconds] = [sum((one) => one.work), sum((one) => one.seconds)];
    if (work > 0 && seconds > 0 && work / ended.length >= comparableShare * meanLeft)
      return { speed: work / seconds, overheadMs: 0 };
    return this.expectedSpeed === undefined ? undefined : { speed: this.expectedSpeed, overheadMs: 0 };
  }
}

/**
 * Work by file: seconds of media. Where a length is unknown it is derived from the size, by the other files; where no
 * length is known, all files count alike.
 */
function workOf(files: readonly EstimatedFile[]): Map<string, number> {
  const known = files.filter(({ seconds }) => seconds !== undefined);
  const bytes = known.reduce((sum, { size }) => sum + size, 0);
  const seconds = known.reduce((sum, file) => sum + (file.seconds ?? 0), 0);
  return new Map(
    files.map((file) => [file.id, file.seconds ?? (bytes > 0 ? (file.size * seconds) / bytes : 1)]),
  );
}

/**
 * What a task has done by now. Of many tasks each is read only from time to time: one that was seen to run and not read yet is
 * assumed to be as fast as the others.
 */
function doneOf(
  { progress, at }: { progress: FileProgress; at: number },
  now: number,
  usualSpeed: number,
): number {
  return progress.seconds + ((progress.speed ?? usualSpeed) * (now - at)) / 1000;
}

/** When the last of the slots is free, if each takes the next of the queue when it is done. */
function makespan(slots: readonly number[], queued: readonly number[]): number {
  const ends = [...slots].sort((one, other) => one - other);
  if (queued.length > maxSimulated) {
    const all = [...slots, ...queued];
    return Math.max(...slots, all.reduce((sum, ms) => sum + ms, 0) / slots.length);
  }
  for (const ms of queued) {
    const end = (ends.shift() ?? 0) + ms;
    const at = ends.findIndex((other) => other > end);
    ends.splice(at < 0 ? ends.length : at, 0, end);
  }
  return ends.at(-1) ?? 0;
}

/** With more files than this, their mean is as good as a simulation. */
const maxSimulated = 1_000;
