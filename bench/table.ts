import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

/** Figures of one contender, measured in the same run as the others. */
export interface Row {
  readonly way: string;
  /** Undefined if the contender wasn't measured; `note` says why. */
  readonly figures?: Readonly<Record<string, number>>;
  readonly note?: string;
}

export interface Column {
  /** Key of the figure. */
  readonly key: string;
  /** Label with unit: `seconds`, `peak MB`. */
  readonly label: string;
  readonly digits?: number;
}

export interface Table {
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
  /** A column with the ratio of each row to one of them, because absolute figures depend on the machine. */
  readonly ratio?: {
    readonly label: string;
    /** Key of the figure to compare. */
    readonly key: string;
    /** The contender that is 1.00. */
    readonly of: string;
    /** If smaller figures are better, the ratio is inverted, so that 2.00 is always twice as good. */
    readonly isLessBetter?: boolean;
  };
}

export interface BenchResult {
  readonly name: string;
  readonly tables: readonly Table[];
}

/** Prints the tables and saves them, with a description of the machine, in `bench/results/NAME.json`. */
export function report(result: BenchResult): void {
  for (const table of result.tables) console.log(`\n${textOf(table)}`);
  const machine = {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGB: Math.round(totalmem() / 1e9),
    system: systemName(),
    node: process.version,
  };
  mkdirSync('bench/results', { recursive: true });
  const path = `bench/results/${result.name}.json`;
  writeFileSync(path, `${JSON.stringify({ machine, ...result }, undefined, 2)}\n`);
  const { cpu, cores, memoryGB, system, node } = machine;
  console.log(`\n${cores} x ${cpu}, ${memoryGB} GB, ${system}, Node ${node}. Saved in ${path}.`);
}

/** Formats a table as aligned Markdown. */
export function textOf({ title, columns, rows, ratio }: Table): string {
  const header = ['', ...columns.map(({ label }) => label), ...(ratio ? [ratio.label] : [])];
  const base = ratio && rows.find(({ way }) => way === ratio.of)?.figures?.[ratio.key];
  const lines = rows.map(({ way, figures, note }) => {
    if (figures === undefined) return [way, note ?? 'not measured'];
    const cells = columns.map(({ key, digits = 1 }) => figures[key]?.toFixed(digits) ?? '');
    const own = ratio && figures[ratio.key];
    if (ratio && base && own) cells.push((ratio.isLessBetter ? base / own : own / base).toFixed(2));
    return [note ? `${way} (${note})` : way, ...cells];
  });
  const widths = header.map((_, column) =>
    Math.max(
      ...[header, ...lines].map((line) =>
        line.length === 2 && column > 0 ? 0 : (line[column] ?? '').length,
      ),
    ),
  );
  const format = (line: string[]) =>
    `| ${header
      .map((_, column) => {
        const cell = line[column] ?? '';
        const width = widths[column] ?? 0;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join(' | ')} |`;
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(Math.max(width - 1, 1))}:`)).join(' | ')} |`;
  return [`## ${title}`, '', format(header), rule, ...lines.map(format)].join('\n');
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

function systemName(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? process.platform;
  } catch {
    return process.platform;
  }
}
