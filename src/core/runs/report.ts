import type { Problem } from '../errors';
import {
  type ExpectedUse,
  type FileResult,
  type Manifest,
  taskRunsOf,
  taskSecondsOf,
} from '../plan/manifest';

import { runTimeOf } from '../plan/runTime';

/** One file in the report of a run. */
export interface ReportRow {
  readonly file: string;
  readonly status: 'done' | 'failed' | 'unfinished';
  readonly bytes?: number;
  /** Length of the source. */
  readonly seconds?: number;
  readonly output?: string;
  readonly outputBytes?: number;
  /** Size of the output for each byte of the source. */
  readonly ratio?: number;
  /** Seconds that its task took. */
  readonly taskSeconds?: number;
  /** Seconds of the source for each second of the task. */
  readonly speed?: number;
  readonly node?: string;
  readonly retries?: number;
  readonly problem?: Problem;
}

export interface RunReport {
  readonly run: string;
  /** ISO 8601. */
  readonly created: string;
  /** ISO 8601; undefined while it is not over. */
  readonly finished?: string;
  /** ISO 8601; undefined unless the user canceled it. */
  readonly canceled?: string;
  readonly preset: string;
  readonly workspace: string;
  /** Hours of all nodes together. */
  readonly nodeHours?: number;
  /** The share of the nodes that were dedicated, from 0 to 1; undefined if it isn't known. */
  readonly dedicatedShare?: number;
  /** Nodes on which tasks of the run have completed. */
  readonly nodes: number;
  /** Minutes that the run took, as `runTimeOf` counts them; undefined while nothing has ended. */
  readonly minutes?: number;
  readonly expected?: ExpectedUse;
  readonly totals: {
    readonly files: number;
    readonly done: number;
    readonly failed: number;
    readonly bytes: number;
    readonly outputBytes: number;
    /** Seconds of media that were transcoded. */
    readonly seconds: number;
    readonly taskSeconds: number;
  };
  readonly rows: readonly ReportRow[];
}

/** The outcome of a run, file by file and in total. */
export function reportOf(manifest: Manifest, results: readonly FileResult[]): RunReport {
  const byId = new Map(results.map((result) => [result.id, result]));
  const rows: ReportRow[] = [
    ...manifest.files.map(({ id, path, size, seconds }) => {
      const result = byId.get(id);
      // As in the list of runs: what a cancellation has ended is no failure.
      const isEnded = manifest.canceled !== undefined && result?.problem?.kind === 'ended';
      const row = rowOf(path, size, seconds, result);
      return isEnded ? { ...row, status: 'unfinished' as const, problem: undefined } : row;
    }),
    ...manifest.refused.map(({ path, problem }) => ({ file: path, status: 'failed' as const, problem })),
  ];
  const sum = (of: (row: ReportRow) => number | undefined) =>
    rows.reduce((total, row) => total + (row.status === 'done' ? (of(row) ?? 0) : 0), 0);
  return {
    run: manifest.runId,
    created: manifest.created,
    finished: manifest.finished,
    canceled: manifest.canceled,
    preset: manifest.preset.label,
    workspace: manifest.workspace,
    nodeHours: nodeHoursOf(manifest, results),
    dedicatedShare: dedicatedShareOf(manifest),
    minutes: minutesOf(manifest, results),
    expected: manifest.expected,
    nodes: new Set(results.flatMap(taskRunsOf).flatMap(({ node }) => node ?? [])).size,
    totals: {
      files: rows.length,
      done: rows.filter(({ status }) => status === 'done').length,
      failed: rows.filter(({ status }) => status === 'failed').length,
      bytes: sum(({ bytes }) => bytes),
      outputBytes: sum(({ outputBytes }) => outputBytes),
      seconds: sum(({ seconds }) => seconds),
      // The time of failed tasks was spent, too.
      taskSeconds: rows.reduce((total, { taskSeconds = 0 }) => total + taskSeconds, 0),
    },
    rows,
  };
}

/**
 * Hours of the nodes as they were seen. A window that closed did not see all of them, but a node existed at least from
 * the start of its first task to the end of its last.
 */
function nodeHoursOf({ nodeHours = 0 }: Manifest, results: readonly FileResult[]): number | undefined {
  const spans = new Map<string, { start: number; end: number }>();
  for (const { node, startTime, endTime } of results.flatMap(taskRunsOf)) {
    if (!node || !startTime || !endTime) continue;
    const { start, end } = spans.get(node) ?? { start: Number.POSITIVE_INFINITY, end: 0 };
    spans.set(node, {
      start: Math.min(start, Date.parse(startTime)),
      end: Math.max(end, Date.parse(endTime)),
    });
  }
  const used = [...spans.values()].reduce((sum, { start, end }) => sum + (end - start) / 3_600_000, 0);
  return Math.max(nodeHours, used) || undefined;
}

function retriesOf(result: FileResult): number | undefined {
  const known = taskRunsOf(result).flatMap(({ retries }) => retries ?? []);
  return known.length > 0 ? known.reduce((sum, retries) => sum + retries, 0) : undefined;
}

function dedicatedShareOf({ nodeHours = 0, dedicatedNodeHours }: Manifest): number | undefined {
  return dedicatedNodeHours === undefined || nodeHours <= 0 ? undefined : dedicatedNodeHours / nodeHours;
}

function minutesOf(manifest: Manifest, results: readonly FileResult[]): number | undefined {
  const ms = runTimeOf(manifest, results);
  return ms === undefined ? undefined : ms / 60_000;
}

function rowOf(
  file: string,
  bytes: number,
  seconds: number | undefined,
  result: FileResult | undefined,
): ReportRow {
  const { outputUri, outputBytes, outputSeconds, node, problem } = result ?? {};
  const taskSeconds = result && taskSecondsOf(result);
  const retries = result && retriesOf(result);
  const length = seconds ?? outputSeconds;
  return {
    file,
    status: result === undefined ? 'unfinished' : problem ? 'failed' : 'done',
    bytes,
    seconds: length,
    output: outputUri,
    outputBytes,
    ratio: outputBytes !== undefined && bytes > 0 ? outputBytes / bytes : undefined,
    taskSeconds,
    speed: length !== undefined && taskSeconds && !problem ? length / taskSeconds : undefined,
    node,
    retries,
    problem,
  };
}

const columns = [
  ...['file', 'status', 'bytes', 'seconds', 'output', 'outputBytes', 'ratio'],
  ...['taskSeconds', 'speed', 'node', 'retries'],
] as const;

/**
 * The rows as CSV (RFC 4180, UTF-8 with a byte order mark, which spreadsheets need to read it as such), the reason of a
 * failure in words. A text that a spreadsheet would take for a formula gets an apostrophe in front.
 */
export function reportCsv({ rows }: RunReport, say: (problem: Problem) => string): string {
  const lines = rows.map((row) => [
    ...columns.map((column) => row[column as keyof ReportRow]),
    row.problem && say(row.problem),
  ]);
  return `\ufeff${[[...columns, 'reason'], ...lines].map((cells) => cells.map(csvCell).join(',')).join('\r\n')}\r\n`;
}

function csvCell(value: unknown): string {
  if (value === undefined) return '';
  if (typeof value === 'number') return String(Math.round(value * 1000) / 1000);
  const text = String(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
