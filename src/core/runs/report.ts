import type { Problem } from '../errors';
import type { FileResult, Manifest } from '../plan/manifest';

/** One file of a run as its report tells it. */
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
  readonly preset: string;
  readonly workspace: string;
  readonly nodeHours?: number;
  readonly nodes: number;
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

/** What came of a run, file by file and in all. */
export function reportOf(manifest: Manifest, results: readonly FileResult[]): RunReport {
  const byId = new Map(results.map((result) => [result.id, result]));
  const rows: ReportRow[] = [
    ...manifest.files.map(({ id, path, size, seconds }) => rowOf(path, size, seconds, byId.get(id))),
    ...manifest.refused.map(({ path, problem }) => ({ file: path, status: 'failed' as const, problem })),
  ];
  const sum = (of: (row: ReportRow) => number | undefined) =>
    rows.reduce((total, row) => total + (row.status === 'done' ? (of(row) ?? 0) : 0), 0);
  return {
    run: manifest.runId,
    created: manifest.created,
    finished: manifest.finished,
    preset: manifest.preset.label,
    workspace: manifest.workspace,
    nodeHours: manifest.nodeHours,
    nodes: new Set(rows.flatMap(({ node }) => node ?? [])).size,
    totals: {
      files: rows.length,
      done: rows.filter(({ status }) => status === 'done').length,
      failed: rows.filter(({ status }) => status === 'failed').length,
      bytes: sum(({ bytes }) => bytes),
      outputBytes: sum(({ outputBytes }) => outputBytes),
      seconds: sum(({ seconds }) => seconds),
      taskSeconds: sum(({ taskSeconds }) => taskSeconds),
    },
    rows,
  };
}

function rowOf(
  file: string,
  bytes: number,
  seconds: number | undefined,
  result: FileResult | undefined,
): ReportRow {
  const { outputUri, outputBytes, outputSeconds, startTime, endTime, node, retries, problem } = result ?? {};
  const taskSeconds = startTime && endTime ? (Date.parse(endTime) - Date.parse(startTime)) / 1000 : undefined;
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
