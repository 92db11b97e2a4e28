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
import { dirname, join } from 'node:path';
import { Reserve } from '../guard/reserve';
import { unusable } from '../guard/startError';
import { type DamagedLine, keyOf, type Line, lineOf, lines, textOf } from './lines';

/** The file is rewritten when it has grown to this many times its size after the last rewriting. */
const growth = 4;
const smallBytes = 16 * 1024 * 1024;
const chunkBytes = 1024 * 1024;
const newLine = Buffer.from('\n');
/** Bytes read at once where records are read one by one: those of a list are often neighbors. */
const windowBytes = 64 * 1024;
/** With less free on the disk, no new change is started. */
const minFreeBytes = 128 * 1024;

/** Where the journal has a record, which need not be in memory then. */
export class StoredRecord {
  constructor(
    private readonly journal: Journal,
    public at: number,
    readonly bytes: number,
  ) {}

  /** Reads the record. Throws if the file was changed by others. */
  read(): unknown {
    return this.journal.recordAt(this);
  }
}

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
  /** Lines of the file, when it was read, that later ones had replaced. */
  #oldLines = 0;
  /** The part of the file that was read last. */
  #window = Buffer.alloc(0);
  #windowAt = 0;
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

  /**
   * All records that are left, by key, in the order of their first appearance. `keep` says what to keep of each in memory.
   */
  read(
    keep: (key: string, record: unknown, stored: StoredRecord) => unknown = (_key, record) => record,
  ): Map<string, unknown> {
    const records = new Map<string, unknown>();
    let changes = 0;
    for (const { text, at, bytes, isTorn } of lines(this.#path)) {
      const change = lineOf(text);
      if (change === undefined) {
        if (!isTorn) this.damaged.push({ text, key: keyOf(text) });
        continue;
      }
      changes++;
      const [key, record] = change;
      if (record === null) {
        records.delete(key);
        this.#removedAt = Date.now();
      } else records.set(key, keep(key, record, new StoredRecord(this, at, bytes)));
    }
    this.#oldLines = changes - records.size;
    this.#bytesRewritten = changes === 0 ? 0 : (this.#bytes * records.size) / changes;
    return records;
  }

  /**
   * Stores a record. Undefined if only memory has it, because the disk is full. Throws a BatchError, before anything has
   * changed, for a record that cannot be written as JSON.
   */
  put(key: string, record: unknown): StoredRecord | undefined {
    return this.#append([key, record]);
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

  /** The record of a line. Throws if the file was changed by others. */
  recordAt(stored: StoredRecord): unknown {
    const change = lineOf(this.#lineAt(stored).toString('utf8'));
    if (change === undefined) throw new Error(`${this.#path} was changed by another program.`);
    return change[1];
  }

  #lineAt({ at, bytes }: StoredRecord): Buffer {
    const isRead = at >= this.#windowAt && at + bytes <= this.#windowAt + this.#window.length;
    if (!isRead) {
      const buffer = Buffer.alloc(Math.min(Math.max(bytes, windowBytes), this.#bytes - at));
      this.#window = buffer.subarray(0, readSync(this.#file, buffer, 0, buffer.length, at));
      this.#windowAt = at;
    }
    const start = at - this.#windowAt;
    return this.#window.subarray(start, start + bytes);
  }

  /** Whether a file that was just read is to be rewritten: it is small, or much of it is out of date. */
  get isWorthRewriting(): boolean {
    return this.#oldLines > 0 && (this.#bytes <= smallBytes || this.#bytes > 1.25 * this.#bytesRewritten);
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
    const moved: [StoredRecord, number][] = [];
    try {
      file = openSync(next, 'w+', 0o600);
      const writer = new LineWriter(file);
      for (const [key, record] of records) {
        const isStored = record instanceof StoredRecord;
        if (isStored) moved.push([record, writer.bytes]);
        writer.write(isStored ? this.#lineAt(record) : Buffer.from(textOf([key, record])));
      }
      writer.flush();
      fsyncSync(file);
      renameSync(next, this.#path);
      syncFolder(dirname(this.#path));
      closeSync(this.#file);
      this.#file = file;
      this.#bytes = writer.bytes;
      for (const [stored, at] of moved) stored.at = at;
      this.#window = Buffer.alloc(0);
      this.#oldLines = 0;
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

  /** Flushes the file to the disk, so that its content survives a power failure, too. */
  sync(): void {
    if (!this.#isUnsynced) return;
    this.#isUnsynced = false;
    // An error of the disk is reported by the next write.
    fdatasync(this.#file, () => undefined);
  }

  close(): void {
    this.recover();
    closeSync(this.#file);
    this.#reserve.close();
  }

  /** A line begins with the end of the last, so that one torn by a kill does not spoil its successor. */
  #append(line: Line): StoredRecord | undefined {
    const bytes = Buffer.from(`\n${textOf(line)}\n`);
    if (this.#pending.length > 0) {
      this.#pending.push(bytes);
      return undefined;
    }
    const at = this.#bytes + newLine.length;
    const stored = new StoredRecord(this, at, bytes.length - 2 * newLine.length);
    try {
      this.#write(bytes);
      return stored;
    } catch {
      this.#isFull = true;
      if (this.#writeIntoReserve(bytes)) return stored;
      this.#pending.push(bytes);
      return undefined;
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

/** Writes lines into a file from its beginning, many at once. */
class LineWriter {
  readonly #chunk = Buffer.alloc(chunkBytes);
  #length = 0;
  #written = 0;

  constructor(private readonly file: number) {}

  /** Bytes of the lines so far. */
  get bytes(): number {
    return this.#written + this.#length;
  }

  write(line: Buffer): void {
    if (this.#length + line.length >= chunkBytes) this.flush();
    if (line.length >= chunkBytes) this.#put(Buffer.concat([line, newLine]));
    else {
      this.#length += line.copy(this.#chunk, this.#length);
      this.#length += newLine.copy(this.#chunk, this.#length);
    }
  }

  flush(): void {
    this.#put(this.#chunk.subarray(0, this.#length));
    this.#length = 0;
  }

  #put(bytes: Buffer): void {
    writeAll(this.file, bytes, this.#written);
    this.#written += bytes.length;
  }
}

/** Flushes a folder to the disk, so that a renamed file keeps its name after a power failure. */
function syncFolder(path: string): void {
  try {
    const folder = openSync(path, 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch {
    // Windows opens no folders. An error of the disk is reported by the next write.
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
