import { commands, l10n, type TextDocumentContentProvider, Uri, window, workspace } from 'vscode';
import { type ReportRow, type RunReport, reportCsv, reportOf } from '../core/report';
import type { Accounts } from './accounts';
import { bytes, count, decimal, duration, percent, time } from './numbers';
import { outcomeOf } from './outcome';
import { presetName } from './presetLabels';
import type { Runs } from './runs';
import { sentenceOf } from './sentences';

export const reportScheme = 'azure-batch-report';

/** The reports of runs as documents, written when they are opened. */
export class Reports implements TextDocumentContentProvider {
  constructor(
    private readonly accounts: Accounts,
    private readonly runs: Runs,
  ) {}

  async provideTextDocumentContent(uri: Uri): Promise<string> {
    const report = await this.#report(uri.query);
    return report ? markdownOf(report) : '';
  }

  /** Opens the report of a run, the latest one when none is named, as it is read rather than as it is written. */
  async show(runId: string | undefined): Promise<void> {
    const run = runId ?? this.runs.records[0]?.runId;
    if (run === undefined) {
      void window.showInformationMessage(l10n.t('Nothing has been transcoded in this workspace yet.'));
      return;
    }
    const uri = Uri.from({ scheme: reportScheme, path: `/${l10n.t('Transcode')} ${run}.md`, query: run });
    await commands.executeCommand('markdown.showPreview', uri);
  }

  /** Saves the report as CSV, JSON or Markdown, whichever the chosen name ends with. */
  async save(runId: string | undefined): Promise<void> {
    const report = await this.#report(runId);
    if (report === undefined) return;
    const [folder] = workspace.workspaceFolders ?? [];
    const name = `transcode-${report.run}.csv`;
    const target = await window.showSaveDialog({
      defaultUri: folder ? Uri.joinPath(folder.uri, name) : undefined,
      filters: { CSV: ['csv'], JSON: ['json'], Markdown: ['md'] },
      title: l10n.t('Export the report of the run'),
    });
    if (target === undefined) return;
    await workspace.fs.writeFile(target, new TextEncoder().encode(textOf(report, target.path)));
    await window.showTextDocument(target);
  }

  async #report(runId: string | undefined): Promise<RunReport | undefined> {
    const outcome = await outcomeOf(this.accounts, this.runs, runId || undefined);
    if (outcome === undefined) return undefined;
    const { manifest, results } = outcome;
    return { ...reportOf(manifest, results), preset: presetName(manifest.preset) };
  }
}

function textOf(report: RunReport, path: string): string {
  if (path.endsWith('.json')) return `${JSON.stringify(report, undefined, 2)}\n`;
  return path.endsWith('.md') ? markdownOf(report) : reportCsv(report, (problem) => sentenceOf(problem).text);
}

function markdownOf(report: RunReport): string {
  const { totals } = report;
  const facts = [
    [l10n.t('Run'), report.run],
    [l10n.t('Started'), time(new Date(report.created))],
    ...(report.finished ? [[l10n.t('Finished'), time(new Date(report.finished))]] : []),
    [l10n.t('Files'), l10n.t('{0} of {1} done, {2} failed', totals.done, totals.files, totals.failed)],
    [l10n.t('Size'), `${bytes(totals.bytes)} → ${bytes(totals.outputBytes)}`],
    [l10n.t('Media'), duration(totals.seconds * 1000)],
    [l10n.t('Time of all tasks'), duration(totals.taskSeconds * 1000)],
    [l10n.t('Nodes'), count(report.nodes)],
    ...(report.nodeHours === undefined ? [] : [[l10n.t('Node-hours, about'), decimal(report.nodeHours)]]),
  ];
  const head = [
    ...[l10n.t('File'), l10n.t('Size'), l10n.t('Length'), l10n.t('Output'), l10n.t('Ratio')],
    ...[l10n.t('Task'), l10n.t('Speed'), l10n.t('Retries'), l10n.t('Node')],
  ];
  const failed = report.rows.filter(({ problem }) => problem);
  return [
    `# ${escaped(report.preset)}`,
    ...['', ...facts.map(([name, value]) => `- **${name}**: ${escaped(value ?? '')}`), ''],
    ...(failed.length > 0 ? [`## ${l10n.t('Failures')}`, '', ...failed.map(failureLine), ''] : []),
    ...[`## ${l10n.t('Files')}`, '', line(head), line(head.map(() => '---'))],
    ...report.rows.map((row) => line(cellsOf(row))),
    '',
  ].join('\n');
}

function failureLine({ file, problem }: ReportRow): string {
  return `- **${escaped(file)}**: ${escaped(problem ? sentenceOf(problem).text : '')}`;
}

function cellsOf(row: ReportRow): string[] {
  const told = <T>(value: T | undefined, say: (value: T) => string) =>
    value === undefined ? '' : say(value);
  const output = row.output && decodeURIComponent(row.output.slice(row.output.lastIndexOf('/') + 1));
  const marks = { done: '✓', failed: '✗', unfinished: '…' };
  return [
    `${marks[row.status]} ${escaped(row.file)}`,
    told(row.bytes, bytes),
    told(row.seconds, (seconds) => duration(seconds * 1000)),
    output ? `${escaped(output)} (${told(row.outputBytes, bytes)})` : '',
    told(row.ratio, percent),
    told(row.taskSeconds, (seconds) => duration(seconds * 1000)),
    told(row.speed, (speed) => `${decimal(speed)}×`),
    told(row.retries, count),
    told(row.node, (node) => `\`${node.slice(0, 14)}…\``),
  ];
}

const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;

/** A file's name is no Markdown. */
function escaped(text: string): string {
  return text.replace(/[\r\n]+/g, ' ').replace(/[\\`*_{}[\]<>()#+!|~&-]/g, '\\$&');
}
