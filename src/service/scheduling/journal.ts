import {
  closeSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Reserve } from '../guard/reserve';
import { unusable } from '../guard/startError';
import { BatchError } from '../wire/errors';

/** One change: a record under its key, or its end. */
type Line = [key: string, record: unknown];

/** A line of the file that is no change, and what its beginning says it belonged to. */
export interface DamagedLine {
  readonly text: string;
  readonly key: string | undefined;
}

/** The file is rewritten when it has grown to this many times its size after the last rewriting. */
const growth = 4;
const smallBytes = 16 * 1024 * 1024;
const chunkBytes = 1024 * 1024;
/** With less free on the disk, no new change is started. */
const minFreeBytes = 128 * 1024;

/**
 * The store of the service: each change is a line, written before the reply that tells of it, so that the state
 * survives the process being killed at any moment. An incomplete last line was never acknowledged and is dropped.
 *
 * While the disk is full, changes in progress are written into a reserve; `isWritable` is false then, and callers start
 * no new change until `recover` succeeds. A change that cannot be written at all is kept in memory and written first.
 */
export class Journal {
  readonly #path: string;
  readonly #reserve: Reserve;
  #file: number;
  #bytes = 0;
  #bytesRewritten = 0;
  #pending: Buffer[] = [];
  #isFull = false;
  #removedAt: number | undefined;
  #isUnsynced = false;
  /** Lines that `read` could not use. */
  damaged: DamagedLine[] = [];

  /** Throws a StartError if the file cannot be opened for writing. */
  constructor(folder: string) {
    this.#path = join(folder, 'state.jsonl');
    try {
      this.#file = openSync(this.#path, 'a+', 0o600);
      closeSync(this.#file);
      this.#file = openSync(this.#path, 'r+', 0o600);
      this.#bytes = fstatSync(this.#file).size;
    } catch (error) {
      throw unusable(this.#path, error);
    }
    this.#reserve = new Reserve(join(folder, 'state.reserve'));
    this.#isFull = !this.#reserve.fill();
  }

  /** All records that are left, by key, in the order of their first appearance. */
  read(): Map<string, unknown> {
    const records = new Map<string, unknown>();
    for (const { text, isTorn } of lines(this.#path)) {
      const change = changeOf(text);
      if (change === undefined) {
        if (!isTorn && text !== '') this.damaged.push({ text, key: /^\["([^"\\]+)",/.exec(text)?.[1] });
        continue;
      }
      const [key, record] = change;
      if (record === null) records.delete(key);
      else records.set(key, record);
    }
    return records;
  }

  /** Throws a BatchError, before anything has changed, for a record that cannot be written as JSON. */
  put(key: string, record: unknown): void {
    this.#append([key, record]);
  }

  remove(key: string): void {
    this.#append([key, null]);
    this.#removedAt = Date.now();
  }

  /** Whether there is room for new changes. */
  get isWritable(): boolean {
    return !this.#isFull && this.#pending.length === 0;
  }

  /**
   * Writes what could not be written, and fills the reserve again. Returns whether there is room for new changes. To be
   * called at short intervals: a full disk is noticed here before a change fails.
   */
  recover(): boolean {
    if (!this.#hasRoom()) this.#isFull = true;
    if (this.isWritable || !this.#hasRoom()) return this.isWritable;
    try {
      while (this.#pending[0]) {
        this.#write(this.#pending[0]);
        this.#pending.shift();
      }
      this.#isFull = !this.#reserve.fill();
    } catch {
      this.#isFull = true;
    }
    return this.isWritable;
  }

  #hasRoom(): boolean {
    try {
      const { bavail, bsize } = statfsSync(this.#path);
      return bavail * bsize >= minFreeBytes;
    } catch {
      return true;
    }
  }

  /** Whether the file has grown enough to be rewritten, or has kept removed records for a while. */
  get shouldRewrite(): boolean {
    return this.#bytes > smallBytes && this.#bytes > growth * this.#bytesRewritten;
  }

  /** Whether removed records are still in the file, which may hold signatures, and the time has come to drop them. */
  isStale(now: number): boolean {
    const waitMs = this.#bytes > smallBytes ? 60_000 : 2_000;
    return this.#removedAt !== undefined && now - this.#removedAt > waitMs;
  }

  /**
   * Leaves one line for each record; the old file stays complete until the new one is. Returns false if the new one
   * could not be written, for example because the disk is full; the old one is used then.
   */
  rewrite(records: Iterable<readonly [string, unknown]>): boolean {
    const next = `${this.#path}.next`;
    let file: number | undefined;
    try {
      file = openSync(next, 'w+', 0o600);
      let bytes = 0;
      for (const chunk of chunksOf(records)) {
        writeAll(file, chunk, bytes);
        bytes += chunk.length;
      }
      fsyncSync(file);
      renameSync(next, this.#path);
      closeSync(this.#file);
      this.#file = file;
      this.#bytes = bytes;
      this.#pending = [];
      this.#removedAt = undefined;
      return true;
    } catch {
      if (file !== undefined) closeSync(file);
      rmSync(next, { force: true });
      return false;
    } finally {
      this.#bytesRewritten = this.#bytes;
    }
  }

  /** Has the system bring to the disk what it holds in memory: what a power cut, rather than a kill, would lose. */
  sync(): void {
    if (!this.#isUnsynced) return;
    this.#isUnsynced = false;
    // An error would be one of the disk, which the next write reports.
    fdatasync(this.#file, () => undefined);
  }

  close(): void {
    this.recover();
    closeSync(this.#file);
    this.#reserve.close();
  }

  /** A line begins with the end of the last, so that one torn by a kill does not spoil its successor. */
  #append(line: Line): void {
    const bytes = Buffer.from(`\n${textOf(line)}\n`);
    if (this.#pending.length > 0) {
      this.#pending.push(bytes);
      return;
    }
    try {
      this.#write(bytes);
    } catch {
      this.#isFull = true;
      if (!this.#writeIntoReserve(bytes)) this.#pending.push(bytes);
    }
  }

  #writeIntoReserve(bytes: Buffer): boolean {
    if (!this.#reserve.release(bytes.length)) return false;
    try {
      this.#write(bytes);
      return true;
    } catch {
      return false;
    }
  }

  #write(bytes: Buffer): void {
    writeAll(this.#file, bytes, this.#bytes);
    this.#bytes += bytes.length;
    this.#isUnsynced = true;
  }
}

/** Writes all bytes or none: a part that a full disk has taken is cut off again. */
function writeAll(file: number, bytes: Buffer, position: number): void {
  try {
    for (let done = 0; done < bytes.length; ) {
      const written = writeSync(file, bytes, done, bytes.length - done, position + done);
      if (written === 0) throw Object.assign(new Error('Nothing was written.'), { code: 'ENOSPC' });
      done += written;
    }
  } catch (error) {
    ftruncateSync(file, position);
    throw error;
  }
}

function* chunksOf(records: Iterable<readonly [string, unknown]>): Generator<Buffer> {
  let text = '';
  for (const [key, record] of records) {
    text += `${textOf([key, record])}\n`;
    if (text.length < chunkBytes) continue;
    yield Buffer.from(text);
    text = '';
  }
  if (text !== '') yield Buffer.from(text);
}

function textOf(line: Line): string {
  try {
    return JSON.stringify(line);
  } catch (error) {
    throw new BatchError('InvalidRequestBody', {
      Reason: `It cannot be stored: ${error instanceof Error ? error.message : error}`,
    });
  }
}

function changeOf(text: string): Line | undefined {
  try {
    const line: unknown = JSON.parse(text);
    const isChange = Array.isArray(line) && line.length === 2 && typeof line[0] === 'string';
    return isChange ? (line as Line) : undefined;
  } catch {
    return undefined;
  }
}

/** The lines of a file that may be larger than the longest string; the last is torn if nothing ends it. */
function* lines(path: string): Generator<{ text: string; isTorn: boolean }> {
  const file = openSync(path, 'r');
  const chunk = Buffer.alloc(chunkBytes);
  let rest: Buffer[] = [];
  try {
    for (let size = readSync(file, chunk); size > 0; size = readSync(file, chunk)) {
      const read = chunk.subarray(0, size);
      let start = 0;
      for (let end = read.indexOf(10); end >= 0; end = read.indexOf(10, start)) {
        const text = Buffer.concat([...rest, read.subarray(start, end)]).toString('utf8');
        rest = [];
        start = end + 1;
        yield { text, isTorn: false };
      }
      rest.push(Buffer.from(read.subarray(start)));
    }
    const text = Buffer.concat(rest).toString('utf8');
    if (text !== '') yield { text, isTorn: true };
  } finally {
    closeSync(file);
  }
}

const idPattern = /^[\w-]{1,64}$/;
/** Jobs of job schedules have a number behind the schedule's id. */
const jobIdPattern = /^[\w-]{1,64}(:job-\d{1,9})?$/;
const nodeIdPattern = /^[\w-]{1,100}$/;

/** Throws for a record that cannot be one: damage in the file must not become a path or a resource without a state. */
export function checkRecord(key: string, record: unknown): void {
  const [kind = '', owner = '', id = ''] = key.split('/');
  const wire = ['pool', 'job', 'schedule'].includes(kind) ? (record as { wire?: unknown })?.wire : record;
  if (!['pool', 'node', 'job', 'jobnode', 'task', 'subtasks', 'schedule'].includes(kind))
    throw new Error('Its kind is unknown.');
  if (!(['job', 'jobnode', 'task', 'subtasks'].includes(kind) ? jobIdPattern : idPattern).test(owner))
    throw new Error('Its id is invalid.');
  const isOfTask = kind === 'task' || kind === 'subtasks';
  if ((kind.endsWith('node') && !nodeIdPattern.test(id)) || (isOfTask && !idPattern.test(id)))
    throw new Error('Its id is invalid.');
  if (typeof wire !== 'object' || wire === null || Array.isArray(wire)) throw new Error('It is no object.');
  const { state } = wire as { state?: unknown };
  const hasState = kind !== 'jobnode' && kind !== 'subtasks';
  if (hasState && typeof state !== 'string') throw new Error('It has no state.');
  if (kind === 'subtasks' && !Array.isArray((wire as { subtasks?: unknown }).subtasks))
    throw new Error('It is no list.');
  JSON.stringify(record);
}
