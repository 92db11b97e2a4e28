import { closeSync, openSync, readSync } from 'node:fs';
import { BatchError } from '../wire/errors';

/** One change: a record under its key, or its end. */
export type Line = [key: string, record: unknown];

/** A damaged line of the file, and the resource that its beginning names. */
export interface DamagedLine {
  readonly text: string;
  readonly key: string | undefined;
}

/** A line as it is read. */
export interface ReadLine {
  readonly text: string;
  /** Where it begins in the file, and its length without the end of the line, in bytes. */
  readonly at: number;
  readonly bytes: number;
  /** The line has no end, because the process was killed while it was written. */
  readonly isTorn: boolean;
}

const chunkBytes = 1024 * 1024;

/** Throws a BatchError for a record that cannot be written as JSON. */
export function textOf(line: Line): string {
  try {
    return JSON.stringify(line);
  } catch (error) {
    throw new BatchError('InvalidRequestBody', {
      Reason: `It cannot be stored: ${error instanceof Error ? error.message : error}`,
    });
  }
}

/** The change of a line; undefined for a damaged one. */
export function lineOf(text: string): Line | undefined {
  try {
    const line: unknown = JSON.parse(text);
    const isChange = Array.isArray(line) && line.length === 2 && typeof line[0] === 'string';
    return isChange ? (line as Line) : undefined;
  } catch {
    return undefined;
  }
}

/** The key at the beginning of a damaged line. */
export function keyOf(text: string): string | undefined {
  return /^\["([^"\\]+)",/.exec(text)?.[1];
}

/** The lines, without empty ones, of a file that may be larger than the longest string. */
export function* lines(path: string): Generator<ReadLine> {
  const file = openSync(path, 'r');
  const chunk = Buffer.alloc(chunkBytes);
  let rest: Buffer[] = [];
  let at = 0;
  try {
    for (let size = readSync(file, chunk); size > 0; size = readSync(file, chunk)) {
      const read = chunk.subarray(0, size);
      let start = 0;
      for (let end = read.indexOf(10); end >= 0; end = read.indexOf(10, start)) {
        const part = read.subarray(start, end);
        const line = rest.length === 0 ? part : Buffer.concat([...rest, part]);
        rest = [];
        start = end + 1;
        if (line.length > 0) yield { text: line.toString('utf8'), at, bytes: line.length, isTorn: false };
        at += line.length + 1;
      }
      if (start < size) rest.push(Buffer.from(read.subarray(start)));
    }
    const line = Buffer.concat(rest);
    if (line.length > 0) yield { text: line.toString('utf8'), at, bytes: line.length, isTorn: true };
  } finally {
    closeSync(file);
  }
}

const idPattern = /^[\w-]{1,64}$/;
/** Jobs of job schedules have a number behind the schedule's id. */
const jobIdPattern = /^[\w-]{1,64}(:job-\d{1,9})?$/;
const nodeIdPattern = /^[\w-]{1,100}$/;

/** Records of at most this many bytes nest less deep than what can be written again. */
const flatBytes = 8_000;

/**
 * Throws for a record that cannot be one: damage in the file must not become a path or a resource without a state.
 * `bytes` is the length of its line.
 */
export function checkRecord(key: string, record: unknown, bytes = Number.POSITIVE_INFINITY): void {
  const [kind = '', owner = '', id = ''] = key.split('/');
  const wire = ['pool', 'job', 'schedule'].includes(kind) ? (record as { wire?: unknown })?.wire : record;
  const isOfTask = ['task', 'subtasks', 'ending'].includes(kind);
  const isOfJob = isOfTask || kind === 'job' || kind === 'jobnode';
  if (!isOfJob && !['pool', 'node', 'schedule', 'certificate'].includes(kind))
    throw new Error('Its kind is unknown.');
  if (!(isOfJob ? jobIdPattern : idPattern).test(owner)) throw new Error('Its id is invalid.');
  if ((kind.endsWith('node') && !nodeIdPattern.test(id)) || (isOfTask && !idPattern.test(id)))
    throw new Error('Its id is invalid.');
  if (typeof wire !== 'object' || wire === null || Array.isArray(wire)) throw new Error('It is no object.');
  const { state } = wire as { state?: unknown };
  const hasState = !['jobnode', 'subtasks', 'ending'].includes(kind);
  if (hasState && typeof state !== 'string') throw new Error('It has no state.');
  if (kind === 'subtasks' && !Array.isArray((wire as { subtasks?: unknown }).subtasks))
    throw new Error('It is no list.');
  if (bytes > flatBytes) JSON.stringify(record);
}

/** Pools come before their nodes, jobs before their tasks, and these before what else is stored of them. */
export function rankOf(key: string): number {
  if (key.startsWith('subtasks/') || key.startsWith('ending/')) return 2;
  return key.startsWith('pool/') || key.startsWith('job/') ? 0 : 1;
}
