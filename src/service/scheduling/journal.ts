import { closeSync, fsyncSync, openSync, readSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** One change: a record under its key, or its end. */
type Line = [key: string, record: unknown];

/** Rewritten when it is this much larger than what it was after the last rewriting. */
const growth = 4;
const smallBytes = 16 * 1024 * 1024;

/**
 * The embedded store: every change is a line, appended before the reply that tells of it, so that the state survives
 * the process being killed at any moment. A torn last line was never told of and is dropped.
 */
export class Journal {
  readonly #path: string;
  #file: number;
  #bytes = 0;
  #bytesRewritten = 0;

  constructor(folder: string) {
    this.#path = join(folder, 'state.jsonl');
    this.#file = openSync(this.#path, 'a', 0o600);
  }

  /** All records that are left, by key, in the order of their first appearance. */
  read(): Map<string, unknown> {
    const records = new Map<string, unknown>();
    for (const line of lines(this.#path)) {
      let change: Line;
      try {
        change = JSON.parse(line) as Line;
      } catch {
        continue;
      }
      const [key, record] = change;
      if (record === null) records.delete(key);
      else records.set(key, record);
    }
    return records;
  }

  put(key: string, record: unknown): void {
    this.#append([key, record]);
  }

  remove(key: string): void {
    this.#append([key, null]);
  }

  get shouldRewrite(): boolean {
    return this.#bytes > smallBytes && this.#bytes > growth * this.#bytesRewritten;
  }

  /** Leaves one line for each record; the old file stays whole until the new one is complete. */
  rewrite(records: Iterable<readonly [string, unknown]>): void {
    const next = `${this.#path}.next`;
    const file = openSync(next, 'w', 0o600);
    let bytes = 0;
    for (const line of records) bytes += writeSync(file, `${JSON.stringify(line)}\n`);
    fsyncSync(file);
    closeSync(file);
    closeSync(this.#file);
    renameSync(next, this.#path);
    this.#file = openSync(this.#path, 'a', 0o600);
    this.#bytes = bytes;
    this.#bytesRewritten = bytes;
  }

  close(): void {
    closeSync(this.#file);
  }

  /** A line begins with the end of the last, so that one torn by a kill does not spoil its successor. */
  #append(line: Line): void {
    this.#bytes += writeSync(this.#file, `\n${JSON.stringify(line)}\n`);
  }
}

/** The lines of a file that may be larger than the longest string. */
function* lines(path: string): Generator<string> {
  const file = openSync(path, 'r');
  const chunk = Buffer.alloc(1024 * 1024);
  let rest: Buffer[] = [];
  try {
    for (let size = readSync(file, chunk); size > 0; size = readSync(file, chunk)) {
      const read = chunk.subarray(0, size);
      let start = 0;
      for (let end = read.indexOf(10); end >= 0; end = read.indexOf(10, start)) {
        const line = Buffer.concat([...rest, read.subarray(start, end)]).toString('utf8');
        rest = [];
        start = end + 1;
        if (line !== '') yield line;
      }
      rest.push(Buffer.from(read.subarray(start)));
    }
    const last = Buffer.concat(rest).toString('utf8');
    if (last !== '') yield last;
  } finally {
    closeSync(file);
  }
}
